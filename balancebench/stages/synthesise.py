"""Stage `synthesise`: a balancer's new images, made once and shared by all classifiers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from balancebench.component import Base, FitContext, PlanContext, Predictor, SynthesisContext, seed_for
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError
from balancebench.stages.arrays import read_images, write_images, write_json
from balancebench.stages.imbalance import read_subset
from balancebench.stages.order import Built, Workplace
from balancebench.training.plan import TrainingPlan

__all__ = ["base_of", "fit_context", "plan_context", "read_synthetic", "run_synthesise"]


def run_synthesise(place: Workplace) -> None:
    """Let the balancer make its images and write them."""
    subset = read_subset(place)
    train = subset.train
    balancer = place.build("balancer", "component")
    settings = place.order.settings
    attempts = place.store.checkpoint_folder(place.order.key)
    # What an earlier attempt made of withheld images may stand in its checkpoints: the mark must not get lost.
    saw_withheld = attempts / "used_withheld_data"
    place.used_withheld_data = saw_withheld.exists()

    def withheld() -> LabelledImages:
        saw_withheld.touch()
        place.used_withheld_data = True
        return subset.withheld

    def train_classifier(plan: TrainingPlan) -> Predictor:
        if "classifier" not in place.order.work["components"]:
            raise BalancerError(
                f"{balancer.component.name} trains a classifier but does not declare that it requires one"
            )
        classifier = place.build("classifier", "classifier")
        return classifier.object.fit(plan, fit_context(place, settings["classifier_seed"]))

    artefacts, checkpoints = place.results / "artefacts", attempts / "files"
    artefacts.mkdir()
    checkpoints.mkdir(exist_ok=True)
    context = SynthesisContext(
        seed=seed_for("generator", settings["seed"] or 0),
        rng=np.random.default_rng(seed_for("generator", settings["seed"] or 0)),
        device=place.device,
        precision=settings["precision"],
        deterministic=settings["deterministic"],
        artefacts=artefacts,
        scratch=place.scratch,
        checkpoints=checkpoints,
        progress=place.progress,
        logger=place.logger,
        withheld=withheld,
        train_classifier=train_classifier,
        count=place.count,
        base=base_of(place, balancer, train),
    )
    synthetic = balancer.object.synthesise(train, context)
    description: dict[str, object] = {"images": 0, "counts_K": [0] * train.class_count}
    if synthetic is not None:
        _check(balancer.component.name, synthetic, train)
        write_images(place.results, "synthetic", synthetic)
        description = {"images": len(synthetic), "counts_K": synthetic.counts_K.tolist()}
    write_json(place.results / "synthetic.json", description)


def read_synthetic(place: Workplace, role: str, train: LabelledImages) -> LabelledImages | None:
    """Map the images that an input step made; None where there is no such step, or it made none."""
    if role not in place.order.inputs or not (place.input_folder(role) / "synthetic_images.npy").exists():
        return None
    return read_images(place.input_folder(role), "synthetic", train.class_names, train.superclass_K)


def base_of(place: Workplace, balancer: Built, train: LabelledImages, role: str = "base") -> Base | None:
    """Return the balancer that this one wraps, with what it synthesised."""
    if balancer.base is None:
        return None
    return Base(
        balancer=balancer.base.object,
        synthetic=read_synthetic(place, role, train),
        base=base_of(place, balancer.base, train, f"{role}.base"),
    )


def plan_context(place: Workplace, balancer: Built, train: LabelledImages) -> PlanContext:
    """Return what a balancer plans with; every call starts the same random stream."""
    rng = np.random.default_rng(seed_for("plan", place.order.settings["generator_seed"] or 0))
    return PlanContext(rng=rng, base=base_of(place, balancer, train))


def fit_context(place: Workplace, seed: int) -> FitContext:
    """Return a context to train in whose epochs nobody watches."""

    def ignore_epoch(_epoch: int, _predictor: Predictor, _values: Mapping[str, float]) -> None:
        return

    return FitContext(
        seed=seed_for("classifier", seed),
        device=place.device,
        precision=place.order.settings["precision"],
        deterministic=place.order.settings["deterministic"],
        progress=place.progress,
        logger=place.logger,
        epoch_finished=ignore_epoch,
        count=place.count,
        compilation=place.compilation,
        note=place.note,
    )


def _check(name: str, synthetic: LabelledImages, train: LabelledImages) -> None:
    if synthetic.class_names != train.class_names:
        raise BalancerError(f"{name} made images of other classes than the training set's")
    if synthetic.images_NCHW.shape[1:] != train.images_NCHW.shape[1:]:
        raise BalancerError(
            f"{name} made images of shape {synthetic.images_NCHW.shape[1:]}, training images have "
            f"{train.images_NCHW.shape[1:]}"
        )
    if (synthetic.origins_N == Origin.REAL).any():
        raise BalancerError(f"{name} returned images marked as real; give each an origin")
