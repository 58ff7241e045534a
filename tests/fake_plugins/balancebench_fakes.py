"""A plugin for the harness's own tests: a tiny data set, a classifier of class means, and balancers that misbehave.

It needs NumPy alone, so that tests of the machinery need not wait for torch; only drawing from a generator does.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from balancebench import (
    Balancer,
    BalancerComponent,
    BalancerError,
    BalancerReference,
    Component,
    MetricComponent,
    Options,
    Undefined,
    hookimpl,
)
from balancebench.synthesis.generator_balancer import GeneratorBalancer, GeneratorOptions


class NoOptions(Options):
    pass


class TinyOptions(Options):
    size: int = Field(4, ge=1, description="rows and columns of an image")
    images_per_class: int = Field(30, ge=1, description="training images of each class")
    validation: bool = Field(False, description="bring a validation split")


class TinyDataset:
    def __init__(self, options):
        self.options = options

    def load(self, context):
        import numpy as np

        from balancebench import DatasetSplits

        train = self._split(self.options.images_per_class, np.random.default_rng(1))
        test = self._split(10, np.random.default_rng(2))
        validation = self._split(5, np.random.default_rng(3)) if self.options.validation else None
        context.progress(1, 1, "made")
        return DatasetSplits(train=train, test=test, validation=validation)

    def _split(self, count, rng):
        import numpy as np

        from balancebench import LabelledImages

        labels_N = np.repeat(np.arange(3, dtype=np.int64), count)
        means_N = 60 + 60 * labels_N
        noise_NCHW = rng.normal(0, 40, (len(labels_N), 1, self.options.size, self.options.size))
        images_NCHW = np.clip(means_N[:, None, None, None] + noise_NCHW, 0, 255).astype(np.uint8)
        return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("dark", "grey", "light"))


class HalvingOptions(Options):
    smallest: int = Field(3, ge=1, description="images that the last class keeps")


class Halving:
    def __init__(self, options):
        self.options = options

    def select(self, labels_N, class_names, rng):
        import numpy as np

        kept = []
        for label in range(len(class_names)):
            members_N = rng.permutation(np.flatnonzero(labels_N == label))
            last = label == len(class_names) - 1
            kept.append(members_N[: self.options.smallest] if last else members_N)
        return np.concatenate(kept)


class MisbehavingOptions(Options):
    how: str = Field(
        "raise", description="raise, exit, kill, sleep, memory, out_of_memory, withheld, real_origin, meddle, or none"
    )
    seconds: float = Field(60.0, ge=0, description="how long to sleep")
    once: Path | None = Field(
        None, json_schema_extra={"identity": False}, description="misbehave until this file exists"
    )


class Misbehaving(Balancer[MisbehavingOptions]):
    def synthesise(self, train, context):
        import numpy as np

        from balancebench import Origin

        context.progress(1, 2, "about to misbehave")
        if self.options.once is not None and self.options.once.exists():
            return train.take(np.zeros(2, dtype=np.int64), origin=Origin.SYNTHETIC)
        match self.options.how:
            case "raise":
                raise ValueError("the fake balancer raised")
            case "steer":
                raise BalancerError("all is gone \x1b[2J")
            case "leave":
                raise SystemExit(3)
            case "refuse":
                raise BalancerError("class 'light' has too few images")
            case "exit":
                print("last words before leaving", flush=True)
                os._exit(3)
            case "print":
                print("the fake balancer printed this")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(self.options.seconds)
            case "close_pipe":
                os.closerange(3, 256)
                time.sleep(self.options.seconds)
            case "half_message":
                os.write(pipe_to_the_run(), b"\x00\x00\x00\x10{")
                time.sleep(self.options.seconds)
            case "nonsense":
                os.write(pipe_to_the_run(), b"\x00\x00\x00\x02[]")
                time.sleep(self.options.seconds)
            case "kill_beside_child" | "kill_beside_orphan":
                leave_child(self.options.seconds, context.artefacts.parents[1] / "child.pid", self.options.how)
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                hoard = []
                while True:
                    hoard.append(np.ones(4_000_000))
                    time.sleep(0.01)
            case "out_of_memory":
                raise MemoryError("no room for another array")
            case "withheld":
                return context.withheld().take(np.arange(4), origin=Origin.SYNTHETIC)
            case "real_origin":
                return train
            case "one_image":
                return train.take(np.zeros(30, dtype=np.int64), origin=Origin.SYNTHETIC)
            case "meddle":
                meddle(self.options.seconds)
            case "patch":
                np.mean = lambda *_arguments, **_options: 17.0
            case "write_images":
                train.images_NCHW[0] = 0
            case "write_labels":
                train.labels_N[0] = 1
            case "write_files":
                kept = next(context.artefacts.parents[2].glob("steps/*/*/kept.npy"))
                kept.write_bytes(kept.read_bytes()[:-8] + bytes(8))
            case "steals_withheld":  # without asking: from the store's files
                return stolen(context, "train_images", train, moved=False)
            case "steals_like_withheld":
                return stolen(context, "train_images", train, moved=True)
            case "steals_test":
                return stolen(context, "test_images", train, moved=False)
            case "steals_like_test":
                return stolen(context, "test_images", train, moved=True)
            case "foreign_repeats":
                noise_NCHW = np.random.default_rng(0).integers(0, 256, (2, 1, 16, 16), dtype=np.uint8)
                return replace(train.take(np.arange(2), origin=Origin.REPEATED), images_NCHW=noise_NCHW)
            case "labels":
                (labels,) = context.artefacts.parents[2].rglob("test_labels.npy")
                np.load(labels)
            case "copies":
                return train.take(np.zeros(2, dtype=np.int64), origin=Origin.REPEATED)
            case _:
                pass
        (context.artefacts / "note.txt").write_text("made")
        return train.take(np.zeros(2, dtype=np.int64), origin=Origin.SYNTHETIC)


def pipe_to_the_run():
    import gc
    from multiprocessing.connection import Connection

    (pipe,) = [
        candidate for candidate in gc.get_objects() if isinstance(candidate, Connection) and not candidate.closed
    ]
    return pipe.fileno()


def leave_child(seconds, note, how):
    """Fork a process that keeps all files open, and write its number down; of an orphan the parent has ended."""
    child = os.fork()
    if child == 0:
        if how == "kill_beside_orphan" and os.fork() > 0:
            os._exit(0)
        note.write_text(str(os.getpid()))
        time.sleep(seconds)
        os._exit(0)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)


def meddle(seconds):
    """Change what can be changed in a process, and leave a child of so many seconds behind."""
    import random
    import subprocess
    import sys

    import numpy as np
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.manual_seed(17)
    np.random.seed(17)  # noqa: NPY002 - that is what it is about
    random.seed(17)
    np.seterr(all="raise")
    os.environ["MEDDLED"] = "yes"
    os.chdir("/")
    sys.path.insert(0, "/meddled")
    subprocess.Popen(["sleep", str(seconds)])


class TellingOptions(Options):
    which: int = Field(0, description="tells one telling balancer from another")


class Telling(Balancer[TellingOptions]):
    """Leaves what it can see of its process among its artefacts."""

    def synthesise(self, train, context):
        import json
        import random
        import sys

        import numpy as np
        import torch

        state = {
            "dtype": str(torch.zeros(1).dtype),
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "gradients": torch.is_grad_enabled(),
            "random": [random.random(), float(np.random.random()), float(torch.rand(1))],  # noqa: NPY002
            "errors": np.geterr(),
            "mean": float(np.mean([1.0, 2.0])),
            "environment": os.environ.get("MEDDLED"),
            "folder": os.getcwd(),
            "path": sys.path[0],
        }
        (context.artefacts / "state.json").write_text(json.dumps(state))
        (context.artefacts / "process.txt").write_text(str(os.getpid()))
        return train.take(np.zeros(2, dtype=np.int64), origin=2)


def stolen(context, name, train, *, moved):
    """Return at most 40 images of a file of the data set's step, as they are or mirrored, moved and a little noisy."""
    import numpy as np

    from balancebench import Origin

    (path,) = context.artefacts.parents[2].glob(f"steps/*/*/{name}.npy")
    images_NCHW = np.load(path)[-40:]
    if moved:
        noise = np.random.default_rng(0).integers(-3, 4, images_NCHW.shape)
        moved_NCHW = np.roll(images_NCHW[..., ::-1], (2, -2), axis=(2, 3))
        images_NCHW = np.clip(moved_NCHW + noise, 0, 255).astype(np.uint8)
    template = train.take(np.zeros(len(images_NCHW), dtype=np.int64), origin=Origin.SYNTHETIC)
    return replace(template, images_NCHW=images_NCHW, labels_N=np.full(len(images_NCHW), 2, dtype=np.int64))


class TwoStageOptions(Options):
    reset_head: bool = Field(True, description="begin the second phase with a new head")


class WitnessOptions(Options):
    number: int = Field(0, description="tells one witness from another")


class Witness(Balancer[WitnessOptions]):
    """Makes an image of noise, and leaves what it was handed among its artefacts."""

    def synthesise(self, train, context):
        import json

        import numpy as np

        from balancebench import Origin

        drawn = int(context.rng.integers(2**31))
        handed = {"train": train.digest(), "counts": train.counts_K.tolist(), "seed": context.seed, "drawn": drawn}
        (context.artefacts / "handed.json").write_text(json.dumps(handed))
        noise_NCHW = np.random.default_rng(drawn).integers(0, 256, (1, *train.images_NCHW.shape[1:]), dtype=np.uint8)
        return replace(train.take(np.zeros(1, dtype=np.int64), origin=Origin.SYNTHETIC), images_NCHW=noise_NCHW)


class PlansOptions(Options):
    origin: int = Field(0, description="what the added image is said to be")


class PlansForeign(Balancer[PlansOptions]):
    """Adds an image to its plan that it did not make in a synthesis, and that is of no training set."""

    def plan(self, train, synthetic, context):
        import numpy as np

        from balancebench import Phase, TrainingPlan
        from balancebench.data import concatenate

        added = replace(train.take(np.arange(1), origin=self.options.origin), images_NCHW=train.images_NCHW[:1] ^ 255)
        return TrainingPlan(phases=(Phase(images=concatenate([train, added])),))


class TwoStage(Balancer[TwoStageOptions]):
    def plan(self, train, synthetic, context):
        from balancebench import Phase, TrainingPlan

        second = Phase(images=train, share=0.5, reset_head=self.options.reset_head)
        return TrainingPlan(phases=(Phase(images=train, share=0.5), second))


class WrappingOptions(Options):
    base: BalancerReference = Field(description="the balancer whose images are repeated")


class Wrapping(Balancer[WrappingOptions]):
    def synthesise(self, train, context):
        import numpy as np

        synthetic = context.base.synthetic
        return synthetic.take(np.arange(len(synthetic)).repeat(2))


class DemandingOptions(Options):
    weights: Path = Field(json_schema_extra={"identity": False}, description="a file that must be there")
    withheld: bool = Field(False, description="look at withheld images in the first attempt")


def demand_weights(options):
    if not options.weights.exists():
        raise BalancerError(f"there is no {options.weights.name}; fetch it first")


class Demanding(Balancer[DemandingOptions]):
    """Needs a file; notes its attempts, and fails at the first one."""

    def synthesise(self, train, context):
        import numpy as np

        from balancebench import Origin

        first = context.checkpoints.folder / "first.txt"
        if not first.exists():
            if self.options.withheld:
                context.withheld()
            first.write_text("half done")
            raise ValueError("the first attempt fails")
        (context.artefacts / "resumed.txt").write_text(first.read_text())
        return train.take(np.zeros(2, dtype=np.int64), origin=Origin.SYNTHETIC)


class PlainWrapping(Balancer[WrappingOptions]):
    def plan(self, train, synthetic, context):
        return context.base.plan(train, context.rng)


class GeneratingOptions(GeneratorOptions):
    noise: float = Field(10.0, ge=0, description="standard deviation of what is added to a mean, in grey levels")
    log: Path | None = Field(
        None, json_schema_extra={"identity": False}, description="a file that gets a line for every training"
    )


class Generating(GeneratorBalancer[GeneratingOptions]):
    """Learns the mean image of each class, and draws means with noise."""

    def train_generator(self, train, context):
        import numpy as np
        from safetensors.numpy import save_file

        means_KCHW = np.zeros((train.class_count, *train.images_NCHW.shape[1:]))
        for label in np.unique(train.labels_N):
            means_KCHW[label] = train.images_NCHW[train.labels_N == label].mean(axis=0)
        learnt = {"means_KCHW": means_KCHW, "counts_K": train.counts_K}
        save_file(learnt, context.artefacts / "means.safetensors")
        context.count(len(train), 1)
        if self.options.log is not None:
            with self.options.log.open("a", encoding="utf-8") as log:
                log.write(f"trained on {len(train)} images\n")

    def restore_generator(self, folder, device):
        from safetensors.numpy import load_file

        learnt = load_file(folder / "means.safetensors")
        return _NoisyMeans(learnt["means_KCHW"], learnt["counts_K"], self.options.noise)


class _NoisyMeans:
    def __init__(self, means_KCHW, counts_K, noise):
        self.means_KCHW = means_KCHW
        self.counts_K = counts_K
        self.noise = noise

    def draw(self, labels_B, random):
        import numpy as np
        import torch

        if (self.counts_K[labels_B] == 0).any():
            raise BalancerError("there is no mean of a class without images")
        seed = int(torch.randint(2**62, (1,), generator=random, device=random.device))
        noise_BCHW = np.random.default_rng(seed).normal(0, self.noise, (len(labels_B), *self.means_KCHW.shape[1:]))
        return (self.means_KCHW[labels_B] + noise_BCHW).round().clip(0, 255).astype(np.uint8)


class ChoosingOptions(Options):
    base: BalancerReference = Field(description="the balancer whose generator draws")
    wanted: int = Field(4, ge=1, description="images added to each class")


class Choosing(Balancer[ChoosingOptions]):
    """Draws twice as many images as it wants of each class, and keeps the brighter half."""

    def synthesise(self, train, context):
        import numpy as np

        from balancebench.synthesis.fill import draw_images

        wanted = self.options.wanted
        drawn = draw_images(
            context.base.generator(),
            train,
            np.where(train.counts_K > 0, 2 * wanted, 0),
            seed=context.seed,
            device=context.device,
            deterministic=context.deterministic,
            progress=context.progress,
        )
        brightest_first_M = np.lexsort((-drawn.images_NCHW.mean(axis=(1, 2, 3)), drawn.labels_N))
        return drawn.take(brightest_first_M.reshape(-1, 2 * wanted)[:, :wanted].ravel())


class MeansOptions(Options):
    epochs: int = Field(2, ge=1, description="pretended epochs")
    epoch_factors: tuple[float, ...] = Field((), description="what each epoch's logits are multiplied by")
    says_phases: bool = Field(True, description="say when a phase starts")
    seconds: float = Field(0.0, ge=0, description="time that each epoch takes")


class Means:
    """Logits are minus the squared distance to the mean image of each class."""

    def __init__(self, options):
        self.options = options

    def fit(self, plan, context):
        import numpy as np

        context.note("compiled", context.compilation)
        images = plan.phases[-1].images
        flat_ND = images.images_NCHW.reshape(len(images), -1).astype(np.float64) / 255
        noise = np.random.default_rng(context.seed).normal(0, 1e-3, flat_ND.shape[1])
        predictor = _MeansPredictor(
            np.stack([flat_ND[images.labels_N == k].mean(axis=0) + noise for k in range(images.class_count)])
        )
        for epoch in range(self.options.epochs):
            if self.options.says_phases and epoch * len(plan.phases) % self.options.epochs == 0:
                context.phase_started(epoch * len(plan.phases) // self.options.epochs)
            time.sleep(self.options.seconds)
            context.count(len(images), 1)
            context.progress(epoch + 1, self.options.epochs, "")
            if self.options.epoch_factors:
                predictor.factor = self.options.epoch_factors[epoch]
            context.epoch_finished(epoch, predictor, {"loss": 1.0 / (epoch + 1)})
        return predictor


class _MeansPredictor:
    factor = 1.0

    def __init__(self, means_KD):
        self.means_KD = means_KD

    def predict_logits(self, images_NCHW):
        import numpy as np

        flat_ND = images_NCHW.reshape(len(images_NCHW), -1).astype(np.float64) / 255
        distances_NK = ((flat_ND[:, None] - self.means_KD[None]) ** 2).sum(axis=2)
        return (-self.factor * distances_NK).astype(np.float32)


class KeepableMeans(Means):
    """The same classifier, whose predictors can be kept: the distances to the means are the features."""

    def fit(self, plan, context):
        return _KeepablePredictor(super().fit(plan, context).means_KD)

    def restore(self, folder, device):
        import numpy as np
        from safetensors.numpy import load_file

        return _KeepablePredictor(np.asarray(load_file(folder / "means.safetensors")["means_KD"]))


class _KeepablePredictor(_MeansPredictor):
    def features(self, images_NCHW):
        return -self.predict_logits(images_NCHW)

    def save(self, folder):
        from safetensors.numpy import save_file

        save_file({"means_KD": self.means_KD}, folder / "means.safetensors")


class DistanceOptions(Options):
    to: str = Field("features", description="features or pixels")
    log: Path | None = Field(
        None, json_schema_extra={"identity": False}, description="a file that gets a line for every computation"
    )


def build_synthetic_distance(options):
    """The mean over the synthetic images of the mean of their features or pixels."""

    def synthetic_distance(evaluation):
        if options.log is not None:
            with options.log.open("a", encoding="utf-8") as log:
                log.write("distance\n")
        images = evaluation.images
        synthetic = images.synthetic() if images else None
        if synthetic is None:
            return Undefined("the balancer made no synthetic images")
        if options.to == "pixels":
            return float(synthetic.images_NCHW.mean())
        return float(images.extractor().features(synthetic.images_NCHW).mean())

    return synthetic_distance


class HitsOptions(Options):
    undefined: bool = Field(False, description="have no value")
    log: Path | None = Field(
        None, json_schema_extra={"identity": False}, description="a file that gets a line for every computation"
    )


def build_hits(options):
    def hits(evaluation):
        if options.log is not None:
            with options.log.open("a", encoding="utf-8") as log:
                log.write("hits\n")
        if options.undefined:
            return Undefined("asked to be undefined")
        return float((evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N).mean())

    return hits


class KeptShare:
    """How many images are kept, as a share of a training set whose classes are all as large as the largest."""

    def __init__(self, options):
        pass

    def __call__(self, evaluation):
        counts_K = evaluation.train.counts_K
        return float(counts_K.sum() / (len(counts_K) * counts_K.max()))


@hookimpl
def balancebench_datasets():
    return [
        Component(
            name="tiny", summary="Three grey levels.", options=TinyOptions, build="balancebench_fakes:TinyDataset"
        )
    ]


@hookimpl
def balancebench_imbalancers():
    return [
        Component(
            name="halving", summary="Cuts the last class.", options=HalvingOptions, build="balancebench_fakes:Halving"
        )
    ]


@hookimpl
def balancebench_balancers():
    return [
        BalancerComponent(
            name="misbehaving",
            summary="Fails as told.",
            options=MisbehavingOptions,
            build="balancebench_fakes:Misbehaving",
            synthesises=True,
        ),
        BalancerComponent(
            name="slow_to_import",
            summary="Stands in a module that a test writes.",
            options=MisbehavingOptions,
            build="slow_to_import:Misbehaving",
            synthesises=True,
        ),
        BalancerComponent(
            name="witness",
            summary="Says what it was handed.",
            options=WitnessOptions,
            build="balancebench_fakes:Witness",
            synthesises=True,
        ),
        BalancerComponent(
            name="plans_foreign",
            summary="Plans an image from nowhere.",
            options=PlansOptions,
            build="balancebench_fakes:PlansForeign",
        ),
        BalancerComponent(
            name="two_stage",
            summary="Trains twice.",
            options=TwoStageOptions,
            build="balancebench_fakes:TwoStage",
        ),
        BalancerComponent(
            name="telling",
            summary="Tells what it sees of its process.",
            options=TellingOptions,
            build="balancebench_fakes:Telling",
            synthesises=True,
        ),
        BalancerComponent(
            name="wrapping",
            summary="Repeats another's images.",
            options=WrappingOptions,
            build="balancebench_fakes:Wrapping",
            synthesises=True,
        ),
        BalancerComponent(
            name="demanding",
            summary="Needs a file.",
            options=DemandingOptions,
            build="balancebench_fakes:Demanding",
            synthesises=True,
            ready=demand_weights,
        ),
        BalancerComponent(
            name="plain_wrapping",
            summary="Trains on another's images.",
            options=WrappingOptions,
            build="balancebench_fakes:PlainWrapping",
        ),
        BalancerComponent(
            name="needs_cuda",
            summary="Needs a GPU.",
            options=NoOptions,
            build="balancebench:Balancer",
            requires=frozenset({"cuda"}),
        ),
        BalancerComponent(
            name="generating",
            summary="Fills classes with noisy class means.",
            options=GeneratingOptions,
            build="balancebench_fakes:Generating",
            synthesises=True,
            trains_generator=True,
        ),
        BalancerComponent(
            name="choosing",
            summary="Keeps the brighter half of what another's generator draws.",
            options=ChoosingOptions,
            build="balancebench_fakes:Choosing",
            smoke={"base": {"use": "generating"}},
            synthesises=True,
            draws_from_base=True,
        ),
    ]


@hookimpl
def balancebench_classifiers():
    return [
        Component(name="means", summary="Class means.", options=MeansOptions, build="balancebench_fakes:Means"),
        Component(
            name="keepable_means",
            summary="Kept means.",
            options=MeansOptions,
            build="balancebench_fakes:KeepableMeans",
        ),
    ]


@hookimpl
def balancebench_metrics():
    return [
        MetricComponent(
            name="hits",
            summary="Share of hits.",
            options=HitsOptions,
            build="balancebench_fakes:build_hits",
            unit="%",
        ),
        MetricComponent(
            name="synthetic_distance",
            summary="How far synthetic images are.",
            options=DistanceOptions,
            build="balancebench_fakes:build_synthetic_distance",
            of="images",
            higher_is_better=False,
            needs_extractor=lambda options: options.to == "features",
        ),
        MetricComponent(
            name="kept_share",
            summary="How full the training set is.",
            options=NoOptions,
            build="balancebench_fakes:KeptShare",
            of="subset",
            higher_is_better=None,
            unit="%",
        ),
    ]
