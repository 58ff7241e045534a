"""What the images of a cell are, for metrics: read from the store when a metric asks for them.

Axis suffixes: N images, B images of a batch, K classes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.training_result import kept_weights
from balancebench.contracts import FeaturePredictor, RestorableClassifier
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancebenchError, ClassifierError
from balancebench.evaluation import EvaluationImages
from balancebench.seeds import seed_for
from balancebench.stages.balancing import read_images, restored_generator
from balancebench.stages.workplace import Built, Workplace
from balancebench.step import BalancerInputs, ScoreInputs, input_keys
from balancebench.synthesis.fill import draw_images

__all__ = ["cell_images"]


def cell_images(
    workplace: Workplace, subset: Subset, inputs: ScoreInputs, labels_N: NDArray[np.int64]
) -> EvaluationImages:
    """Return the images of the cell that the workplace's step scores; labels_N: of the test images."""
    maker = _outermost_synthesis(inputs.balancer)

    @cache
    def test() -> LabelledImages:
        classes = subset.splits.train
        return LabelledImages(
            images_NCHW=subset.test_images_NCHW,
            labels_N=labels_N,
            class_names=classes.class_names,
            superclass_K=classes.superclass_K,
        )

    @cache
    def synthetic() -> LabelledImages | None:
        images = None if maker is None else read_images(workplace, maker, subset.train)
        if images is None:
            return None
        is_synthetic_N = images.origins_N == Origin.SYNTHETIC
        if is_synthetic_N.all():
            return images
        return images.take(np.flatnonzero(is_synthetic_N)) if is_synthetic_N.any() else None

    return EvaluationImages(
        synthetic=synthetic,
        kept=cache(lambda: subset.train),
        full_train=cache(lambda: subset.kept_and_withheld),
        test=test,
        draw=lambda counts_K: _drawn(workplace, subset, inputs, counts_K),
        used_withheld_data=any(workplace.record(key).used_withheld_data for key in input_keys(inputs.balancer)),
        extractor=cache(lambda: _extractor(workplace, inputs)),
        extractor_key=inputs.extractor,
        device=workplace.device,
        cached=workplace.store.cached,
    )


def _outermost_synthesis(inputs: BalancerInputs) -> BalancerInputs | None:
    """Return the inputs of the outermost balancer that made images: what wraps comes before what is wrapped."""
    level: BalancerInputs | None = inputs
    while level is not None and level.synthesis is None:
        level = level.base
    return level


def _drawn(
    workplace: Workplace, subset: Subset, inputs: ScoreInputs, counts_K: NDArray[np.int64]
) -> LabelledImages | None:
    """Return new images of the outermost generator; None where no balancer of the cell trained one."""
    if "balancer" not in workplace.step.restored:
        return None
    balancer: Built | None = workplace.build_from("balancer", workplace.step.restored["balancer"])
    level: BalancerInputs | None = inputs.balancer
    while balancer is not None and level is not None and level.generator is None:
        balancer, level = balancer.base, level.base
    if balancer is None or level is None:
        return None
    generator = restored_generator(workplace, balancer, level)
    return draw_images(
        generator,
        subset.train,
        counts_K,
        seed=seed_for("metrics", 0),
        device=workplace.device,
        deterministic=True,
        progress=workplace.progress,
    )


def _extractor(workplace: Workplace, inputs: ScoreInputs) -> FeaturePredictor:
    """Restore the classifier that was trained on all images; its components are told by the step it came from."""
    if inputs.extractor is None:
        raise BalancebenchError("a metric asks for the extractor, but its component does not say that it needs it")
    classifier = workplace.build_from("classifier", workplace.step.restored["extractor"])
    name = classifier.component.name
    if not isinstance(classifier.object, RestorableClassifier):
        raise ClassifierError(
            f"the classifier {name} gives no features (it cannot be saved and restored): give the metric another "
            "`extractor`, or leave it out"
        )
    weights = kept_weights(workplace.store, inputs.extractor)
    if weights is None:
        raise ClassifierError(
            f"the training of {name} on all images kept no weights, as it is older than metrics that need them: "
            f"delete {workplace.store.folder(inputs.extractor)} and run the suite again"
        )
    return classifier.object.restore(weights, workplace.device)
