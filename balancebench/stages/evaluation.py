"""What the images of a cell are, for metrics: read from the store when a metric asks for them."""

from __future__ import annotations

from functools import cache

import numpy as np

from balancebench.component import EvaluationImages, FeaturePredictor, RestorableClassifier
from balancebench.config import JSON
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancebenchError, ClassifierError
from balancebench.stages.arrays import read_images
from balancebench.stages.imbalance import Subset
from balancebench.stages.order import Workplace
from balancebench.stages.train import WEIGHTS
from balancebench.store import Record

__all__ = ["evaluation_images"]


def evaluation_images(place: Workplace, subset: Subset, trained: Record) -> EvaluationImages:
    """Return the images of the cell whose training is `trained`, for the step at `place`, which scores it."""
    key = _synthesis_key(trained)
    made = None if key is None else place.store.read_done(key)

    @cache
    def synthetic() -> LabelledImages | None:
        if key is not None and made is None:
            raise BalancebenchError("the synthesis that the classifier was trained on is not in the store")
        if made is None or not (place.store.folder(made.key) / "synthetic_images.npy").exists():
            return None
        train = subset.splits.train
        images = read_images(place.store.folder(made.key), "synthetic", train.class_names, train.superclass_K)
        is_synthetic_N = images.origins_N == Origin.SYNTHETIC
        if is_synthetic_N.all():
            return images
        return images.take(np.flatnonzero(is_synthetic_N)) if is_synthetic_N.any() else None

    return EvaluationImages(
        synthetic=synthetic,
        kept=cache(lambda: subset.train),
        full_train=cache(lambda: subset.kept_and_withheld),
        test=lambda: subset.splits.test,
        used_withheld_data=made is not None and made.used_withheld_data,
        extractor=cache(lambda: _extractor(place)),
        device=place.device,
    )


def _synthesis_key(trained: Record) -> str | None:
    """Return the key of the outermost synthesis a cell was trained on: what wraps comes before what is wrapped."""
    roles = [role for role in trained.inputs if role != "subset"]
    if not roles:
        return None
    return trained.inputs["synthetic" if "synthetic" in roles else min(roles, key=len)]  # else base, base.base, ...


def _extractor(place: Workplace) -> FeaturePredictor:
    """Restore the classifier that was trained on all images; its components are told by the step it came from."""
    if "extractor" not in place.order.inputs:
        raise BalancebenchError("a metric asks for the extractor, but its component does not say that it needs it")
    reference: dict[str, JSON] = place.order.work["extractor"]
    classifier = place.build_from("classifier", reference)
    name = classifier.component.name
    if not isinstance(classifier.object, RestorableClassifier):
        raise ClassifierError(
            f"the classifier {name} gives no features (it cannot be saved and restored): give the metric another "
            "`extractor`, or leave it out"
        )
    weights = place.input_folder("extractor") / WEIGHTS
    if not weights.is_dir():
        raise ClassifierError(
            f"the training of {name} on all images kept no weights, as it is older than metrics that need them: "
            f"delete {weights.parent} and run the suite again"
        )
    return classifier.object.restore(weights, place.device)
