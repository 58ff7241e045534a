"""balancebench's training of a classifier beside a plain loop: what the benchmarks of networks share.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from balancebench.config import Compilation
from balancebench.contracts import FitContext, Predictor
from balancebench.data import LabelledImages
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.model import BackboneBuilder, ImageModel, build_model
from balancebench.training.normalise import channel_statistics
from balancebench.training.options import TrainingOptions
from balancebench.training.reproducibility import run_seeds, seeded_globals
from balancebench.training_plan import Phase, TrainingPlan
from benchmarks.matrix_product import matrix_product_rates
from benchmarks.plain import ImageDataset, make_loader, make_sgd, make_transform, train_epoch
from benchmarks.report import Table, figure, rates_table
from benchmarks.timing import Contestant, median, take_turns

__all__ = ["Case", "compare", "fit_context", "new_model", "synthetic_images", "training_flops"]

CLASSES = 10
PLAIN = "plain loop, {} workers"
OURS = "balancebench, {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is trained, how, on what. An epoch is `steps` steps over as many batches of synthetic images."""

    title: str
    build_backbone: BackboneBuilder
    options: TrainingOptions
    image_shape: tuple[int, int, int]
    steps: int

    @property
    def epoch_images(self) -> int:
        """Images of one epoch."""
        return self.steps * self.options.batch_size


def synthetic_images(count: int, image_shape: tuple[int, int, int], seed: int = 0) -> LabelledImages:
    """Return grey levels drawn uniformly, always the same ones, with the labels in turn."""
    rng = np.random.default_rng(seed)
    return LabelledImages(
        images_NCHW=rng.integers(0, 256, (count, *image_shape), dtype=np.uint8),
        labels_N=np.arange(count, dtype=np.int64) % CLASSES,
        class_names=tuple(f"class {label}" for label in range(CLASSES)),
    )


def fit_context(
    device: str,
    precision: Literal["fp32", "bf16"],
    *,
    deterministic: bool,
    epoch_finished: Callable[[int, Mapping[str, float]], None],
    compilation: Compilation = "never",
    seed: int = 0,
) -> FitContext:
    """Return the context of a training whose epochs are listened to."""

    def finished(epoch: int, _predictor: Predictor, values: Mapping[str, float]) -> None:
        epoch_finished(epoch, values)

    return FitContext(
        seed=seed,
        device=device,
        precision=precision,
        deterministic=deterministic,
        progress=lambda _done, _total, _message="": None,
        logger=logging.getLogger("benchmarks"),
        epoch_finished=finished,
        count=lambda _images, _steps: None,
        compilation=compilation,
    )


def new_model(case: Case, device: str, seed: int = 0) -> ImageModel:
    """Return the network with the weights that balancebench's training begins with."""
    with seeded_globals(run_seeds(seed).network, torch.device(device)):
        model = build_model(
            case.build_backbone,
            channels=case.image_shape[0],
            image_size=case.image_shape[1:],
            class_count=CLASSES,
            head="linear",
        )
    return model.to(device)


def compare(
    case: Case,
    *,
    device: str,
    precisions: tuple[Literal["fp32", "bf16"], ...],
    compiled: bool,
    workers: tuple[int, ...],
    rounds: int,
) -> tuple[list[Table], dict[str, Any]]:
    """Time one epoch of each in turn; return the tables of images a second, arithmetic and operators, and the figures.

    balancebench trains two epochs a round through `NetworkClassifier.fit` and its second one counts: the first takes
    the upload, the choice of kernels and the compilation that a run of many epochs pays once. compiled: time it with
    its network compiled, too.
    """
    images = synthetic_images(case.epoch_images, case.image_shape)
    contestants = [
        *(_plain_contestant(case, images, device, count) for count in workers),
        *(
            _our_contestant(case, images, device, precision, wish)
            for precision in precisions
            for wish in (("never", "always") if compiled else ("never",))
        ),
    ]
    timed = take_turns(contestants, rounds=rounds, device=device)
    rates, figures = rates_table(case.title, "images/s", timed, [PLAIN.format(count) for count in workers])
    flops = training_flops(case)
    products = {precision: matrix_product_rates(device, precision) for precision in sorted({"fp32", *precisions})}
    peaks = {precision: max(of_products.values()) for precision, of_products in products.items()}
    unit, scale = ("TFLOP/s", 1e12) if device.startswith("cuda") else ("GFLOP/s", 1e9)
    rows: list[tuple[str, ...]] = []
    for row in timed:
        precision = "bf16" if row.name.startswith(OURS.format("bf16")) else "fp32"
        achieved = median(row.rates) * flops
        rows.append(
            (
                row.name,
                precision,
                figure(achieved / scale),
                figure(peaks[precision] / scale),
                f"{achieved / peaks[precision]:.1%}",
            )
        )
    header = ("", "arithmetic", unit, f"{unit} of a matrix product", "share")
    note = (
        f"{flops / 1e9:.3g} GFLOP an image, forward and backward, counted by torch.utils.flop_counter; "
        f"the matrix product is the fastest of {len(products['fp32'])}, several sizes in several layouts, "
        "timed in the same run."
    )
    arithmetic = Table(f"{case.title}: arithmetic", header, tuple(rows), note)
    shares = operator_shares(case, images, device, precisions[-1])
    operators = Table(
        f"{case.title}: where the time goes",
        ("", "share"),
        tuple((name, f"{share:.1%}") for name, share in shares.items()),
        f"Of balancebench, {precisions[-1]}, by torch.profiler: two epochs with the start and end of a training.",
    )
    return [rates, arithmetic, operators], {
        **figures,
        "flop_per_image": flops,
        "matmul_flop_per_second": peaks,
        "matrix_products_flop_per_second": products,
        "operator_shares": shares,
    }


def _plain_contestant(case: Case, images: LabelledImages, device: str, workers: int) -> Contestant:
    statistics = channel_statistics(torch.from_numpy(images.images_NCHW))
    transform = make_transform(case.options.augmentation, statistics, case.image_shape[1:])
    loader = make_loader(ImageDataset(images, transform), case.options.batch_size, workers=workers, device=device)
    model = new_model(case, device)
    optimiser = make_sgd(model, case.options)

    def work() -> None:
        train_epoch(model, loader, optimiser, device)

    return Contestant(PLAIN.format(workers), work, case.epoch_images)


def _our_contestant(
    case: Case, images: LabelledImages, device: str, precision: Literal["fp32", "bf16"], compilation: Compilation
) -> Contestant:
    plan = TrainingPlan(phases=(Phase(images=images),))
    classifier = NetworkClassifier(case.build_backbone, case.options.model_copy(update={"epochs": 2}))

    def work() -> float:
        ends: list[float] = []
        context = fit_context(
            device,
            precision,
            deterministic=device == "cpu",  # where it costs nothing
            compilation=compilation,
            epoch_finished=lambda _epoch, _values: ends.append(time.perf_counter()),
        )
        classifier.fit(plan, context)
        return ends[1] - ends[0]

    name = OURS.format(precision) + (", compiled" if compilation == "always" else "")
    return Contestant(name, work, case.epoch_images)


def operator_shares(
    case: Case, images: LabelledImages, device: str, precision: Literal["fp32", "bf16"], most: int = 8
) -> dict[str, float]:
    """Return the operators that take most of a training's time on the device, largest first, with their shares."""
    from torch.profiler import ProfilerActivity, profile

    train = _our_contestant(case, images, device, precision, "never").work
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        train()
    own: Counter[str] = Counter()
    for event in profiler.key_averages():
        taken = event.self_device_time_total if device.startswith("cuda") else event.self_cpu_time_total
        own[event.key] += taken
    total = own.total()
    shown = own.most_common(most)
    return {name: taken / total for name, taken in shown} | {"all others": 1 - sum(t for _, t in shown) / total}


def training_flops(case: Case) -> float:
    """Return the floating-point operations of one image, forward and backward, without the optimiser's."""
    from torch.utils.flop_counter import FlopCounterMode

    count = 2
    model = new_model(case, "cpu")
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(count, *case.image_shape)).sum().backward()
    return counter.get_total_flops() / count
