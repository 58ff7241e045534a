"""What `edm` learns on two cores: five classes of Fashion-MNIST at an imbalance ratio of 10, judged on what it draws.

A small CNN trained on all real images of these classes says which class each drawn image is of. Distances are between
pixels, from an image to the nearest kept one of its class, as medians: copies would be far below new real images.

    OMP_NUM_THREADS=1 python -m benchmarks.edm_samples --data FOLDER --keep trained --picture samples.png

--keep holds the trained generator: a second call with it draws anew and trains nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.report import Report, Table, describe_machine, finish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancebench import DatasetSplits, LabelledImages

CLASSES = (0, 1, 5, 7, 8)  # t-shirt, trouser, sandal, sneaker, bag
KEPT = (2000, 1125, 632, 356, 200)


def main() -> None:
    """Train or restore the generator, draw, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--steps", type=int, default=1100, help="of the training, each of 64 images")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of the training")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5], help="one table row each")
    parser.add_argument("--sampler-steps", type=int, default=18, help="noise levels of a drawn image")
    parser.add_argument("--images", type=int, default=100, help="drawn of each class")
    parser.add_argument("--keep", type=Path, help="folder for the trained generator; used where it is there")
    parser.add_argument("--picture", type=Path, help="where 20 images of each class go, of the last guidance")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of tables")
    asked = parser.parse_args()

    import numpy as np
    import torch

    from balancebench_gmaug.edm import Edm
    from balancebench_gmaug.edm_options import EdmOptions

    real = fashion_mnist(asked.data)
    train, test = of_classes(real.train), of_classes(real.test)
    kept = imbalanced(train)
    options: dict[str, Any] = {"preset": "tiny", "steps": asked.steps, "sampler_steps": asked.sampler_steps}
    with TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch) / "trained"
        seconds = None if folder.exists() else trained(Edm(EdmOptions(**options)), kept, asked.precision, folder)
        rows: list[tuple[str, ...]] = []
        predict = judge(train)
        rows.append(("real test images", *judged(predict, test, test, kept)))
        labels_M = np.repeat(np.arange(len(CLASSES)), asked.images)
        for scale in asked.guidance:
            generator = Edm(EdmOptions(**options, guidance=scale)).restore_generator(folder, "cpu")
            begin = time.process_time()
            generated = replace(
                test,
                images_NCHW=generator.draw(labels_M, torch.Generator().manual_seed(0)),
                labels_N=labels_M,
                origin_N=None,
            )
            cost = (time.process_time() - begin) / len(labels_M)
            rows.append((f"guidance {scale:g}, {cost:.2f} s an image", *judged(predict, generated, test, kept)))
            if asked.picture is not None:
                draw_picture(generated, asked.images, asked.picture)
    header = ("", "right", *(f"{name} ({count})" for name, count in zip(kept.class_names, KEPT, strict=True)))
    note = (
        "Right: share of all images and of each class that the judge takes for their class; then, after a slash, the "
    )
    table = Table(
        "edm, preset tiny, five classes of Fashion-MNIST",
        header,
        tuple(rows),
        note + "median distance to the nearest kept image of the class, over that of real test images.",
    )
    settings = {
        "steps": asked.steps,
        "images of a class": asked.images,
        "noise levels": asked.sampler_steps,
        "training": "restored" if seconds is None else f"{seconds:.0f} s of one core, {asked.precision}",
    }
    finish(Report("edm_samples", describe_machine(), settings, (table,)), as_json=asked.json)


def fashion_mnist(folder: Path) -> DatasetSplits:
    """Return both splits."""
    from balancebench.builtin.datasets.components import DATASETS
    from balancebench.testing import load_context

    component = next(dataset for dataset in DATASETS if dataset.name == "fashion_mnist")
    dataset = component.create(component.options.model_validate({"root": folder, "download": False}))
    with TemporaryDirectory() as scratch:
        return dataset.load(load_context(Path(scratch)))


def of_classes(images: LabelledImages) -> LabelledImages:
    """Return the images of CLASSES, labelled 0 to 4."""
    import numpy as np

    chosen = images.take(np.flatnonzero(np.isin(images.labels_N, CLASSES)))
    names = tuple(images.class_names[label] for label in CLASSES)
    return replace(chosen, labels_N=np.searchsorted(CLASSES, chosen.labels_N), class_names=names, superclass_K=None)


def imbalanced(train: LabelledImages) -> LabelledImages:
    """Return as many images of each class as KEPT says, always the same ones."""
    import numpy as np

    rng = np.random.default_rng(0)
    members = [np.flatnonzero(train.labels_N == label) for label in range(len(CLASSES))]
    return train.take(np.concatenate([rng.choice(of, count, False) for of, count in zip(members, KEPT, strict=True)]))


def trained(balancer: Any, kept: LabelledImages, precision: Any, folder: Path) -> float:
    """Train, keep the generator's files in `folder`, and return the seconds of processor that it took."""
    from balancebench.testing import synthesis_context

    begin = time.process_time()
    with TemporaryDirectory() as scratch:
        context = replace(synthesis_context(Path(scratch)), precision=precision)
        balancer.train_generator(kept, context)
        folder.mkdir()
        for path in context.artefacts.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    return time.process_time() - begin


def judge(train: LabelledImages) -> Any:
    """Return images_NCHW -> labels_N of a small CNN, trained for two epochs on all real images."""
    from balancebench.builtin.classifiers.components import CLASSIFIERS
    from balancebench.testing import fit_context
    from balancebench.training_plan import Phase, TrainingPlan

    component = next(classifier for classifier in CLASSIFIERS if classifier.name == "small_cnn")
    classifier = component.create(component.options.model_validate({"epochs": 2}))
    predictor = classifier.fit(TrainingPlan(phases=(Phase(images=train),)), fit_context())
    return lambda images_NCHW: predictor.predict_logits(images_NCHW).argmax(axis=1)


def judged(predict: Any, images: LabelledImages, test: LabelledImages, kept: LabelledImages) -> tuple[str, ...]:
    """Return the share that is right of all images, then of each class with how far it is from the kept ones."""
    is_right_N = predict(images.images_NCHW) == images.labels_N
    cells = [f"{is_right_N.mean():.3f}"]
    for label in range(len(CLASSES)):
        ratio = distance(images, kept, label) / distance(test, kept, label)
        cells.append(f"{is_right_N[images.labels_N == label].mean():.2f} / {ratio:.2f}")
    return tuple(cells)


def distance(images: LabelledImages, kept: LabelledImages, label: int) -> float:
    """Return the median distance from a class's images to the nearest kept one of the class."""
    import numpy as np

    def pixels(of: LabelledImages) -> NDArray[np.float64]:
        chosen = of.images_NCHW[of.labels_N == label]
        return chosen.reshape(len(chosen), -1).astype(np.float64)

    from_NP, to_NP = pixels(images), pixels(kept)
    squared = (from_NP**2).sum(axis=1)[:, None] + (to_NP**2).sum(axis=1) - 2 * from_NP @ to_NP.T
    return float(np.median(np.sqrt(squared.min(axis=1).clip(min=0))))


def draw_picture(generated: LabelledImages, count: int, path: Path) -> None:
    """Write the first 20 images of each class as a row."""
    import numpy as np
    from PIL import Image

    _, _, rows, columns = generated.images_NCHW.shape
    shown = min(20, count)
    grid = generated.images_NCHW.reshape(len(CLASSES), count, rows, columns)[:, :shown]
    picture = np.ascontiguousarray(grid.transpose(0, 2, 1, 3).reshape(len(CLASSES) * rows, shown * columns))
    Image.fromarray(picture).resize((2 * picture.shape[1], 2 * picture.shape[0]), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
