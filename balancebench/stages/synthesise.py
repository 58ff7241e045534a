"""Stage `synthesise`: a balancer's new images, made once and shared by all classifiers."""

from __future__ import annotations

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.synthesis import SynthesisedImages
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError, DataError
from balancebench.stages.balancing import synthesis_context
from balancebench.stages.input_files import handed_out
from balancebench.stages.origin_guard import guard_made_images
from balancebench.stages.workplace import Workplace
from balancebench.step import BalancingInputs
from balancebench.synthesis.degenerate import degeneracy_warnings, image_figures

__all__ = ["run_synthesise"]


def run_synthesise(workplace: Workplace) -> None:
    """Let the balancer make its images and write them."""
    inputs = workplace.inputs(BalancingInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    train = subset.train
    balancer = workplace.build("balancer", "component")
    context = synthesis_context(workplace, balancer, subset, inputs.balancer)
    try:
        with handed_out(balancer.component.name, train):
            synthetic = balancer.object.synthesise(train, context)
    except DataError as error:
        raise BalancerError(f"{balancer.component.name} made images that do not fit: {error}") from error
    figures_K = None
    if synthetic is not None:
        _check(balancer.component.name, synthetic, train)
        guard_made_images(workplace, balancer.component.name, synthetic, subset)
        with workplace.aside():
            figures_K = image_figures(synthetic, train)
        for text in degeneracy_warnings(figures_K):
            workplace.warn(text)
    SynthesisedImages(images=synthetic, figures_K=figures_K).write(workplace.results, train.class_count)


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
