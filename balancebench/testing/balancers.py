"""Checks of balancers.

Every check builds a balancer anew for synthesis and for planning, because the harness does: they are steps of their
own, in processes of their own.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.component import Balancer, BalancerComponent, Base
from balancebench.config import BalancerReference, Options
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError
from balancebench.registry import load_registry
from balancebench.testing.contexts import NearestMean, plan_context, synthesis_context
from balancebench.testing.plans import check_origins, check_plan, has_callables, plan_parts
from balancebench.testing.subject import (
    Body,
    build,
    check_refusal,
    device_of,
    fresh_folder,
    image_arrays,
    smoke_options,
)
from balancebench.testing.tiny import tiny_training_set
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds
from balancebench.training.plan import TrainingPlan

__all__ = ["BALANCER_CHECKS"]

Subject = BalancerComponent[Balancer]


def plans_training_on_its_classes(component: Subject) -> None:
    """`plan` returns a TrainingPlan over the classes and image shape of the training set."""
    train = tiny_training_set()
    check_plan(_run(component, train).plan, train)


def makes_images_that_fit(component: Subject) -> None:
    """What `synthesise` returns has the training set's classes and shape, and an origin other than REAL."""
    train = tiny_training_set()
    _check_synthetic(_run(component, train).synthetic, train)


def declares_whether_it_synthesises(component: Subject) -> None:
    """`synthesises` decides whether the harness calls `synthesise` at all."""
    train = tiny_training_set()
    made = _synthesise(component, train, seed=0)
    if component.synthesises:
        assert made is not None, "it declares synthesises=True but makes no images for a training set of 40, 10 and 2"
    else:
        assert made is None, "it makes images but does not declare synthesises=True, so nobody would ask for them"


def trains_on_the_images_it_makes(component: Subject) -> None:
    """The images that were synthesised stand in a phase of the plan."""
    ran = _run(component, tiny_training_set())
    if ran.synthetic is None:
        return
    made = {image.tobytes() for image in ran.synthetic.images_NCHW}
    trained_on = {image.tobytes() for phase in ran.plan.phases for image in phase.images.images_NCHW}
    assert made & trained_on, "no phase of its plan holds any of the images it made"


def tells_real_images_from_made_ones(component: Subject) -> None:
    """REAL images are those of the training set, each as often as there; REPEATED ones are exact copies."""
    train = tiny_training_set()
    withheld = _withheld(train)
    check_origins(_run(component, train).plan, train, [train, withheld])


def gives_losses_and_transforms_that_fit(component: Subject) -> None:
    """Losses are one float32 an image and differentiable; transforms and adjustments keep shapes."""
    _check_callables(_run(component, tiny_training_set()).plan)


def same_seed_gives_the_same_result(component: Subject) -> None:
    """All randomness comes from the contexts."""
    results: list[dict[str, object]] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            results.append(_run(component, tiny_training_set(), seed=5).parts)
    different = [name for name, value in results[0].items() if results[1].get(name) != value]
    assert not different, f"two runs with one seed differ in {', '.join(different)}"


def only_a_seeded_one_depends_on_the_seed(component: Subject) -> None:
    """`seeded=False` makes all seeds share one step, so their results must be one."""
    if component.seeded:
        return
    first, second = (_run(component, tiny_training_set(), seed=seed).parts for seed in (0, 1))
    different = [name for name, value in first.items() if second.get(name) != value]
    assert not different, f"it declares seeded=False, but another seed changes {', '.join(different)}"


def plans_the_same_whatever_it_did_before(component: Subject) -> None:
    """`plan` depends on its arguments alone: not on earlier calls, nor on having synthesised itself."""
    train, other = tiny_training_set(), tiny_training_set((20, 8, 3), seed=1)
    fresh = _run(component, train)
    used: Balancer = build(component)
    for images in (train, other):
        with fresh_folder() as folder:
            made = used.synthesise(images, _synthesis_context(component, images, folder, 0))
        used.plan(images, made, plan_context(0, _base_of(smoke_options(component), images, 0)))
    again = used.plan(train, fresh.synthetic, plan_context(0, _base_of(smoke_options(component), train, 0)))
    expected = plan_parts(fresh.plan)
    different = [name for name, value in plan_parts(again).items() if expected.get(name) != value]
    assert not different, f"after other calls the same arguments give another plan: {', '.join(different)}"


def leaves_its_inputs_alone(component: Subject) -> None:
    """The training set and the synthetic images are shared, memory-mapped and read-only."""
    train = tiny_training_set()
    with expect_untouched(image_arrays("the training", train)):
        made = _read_only(_synthesise(component, train, seed=0)) if component.synthesises else None
        with expect_untouched(image_arrays("the synthetic", made)):
            _plan(component, train, made, seed=0)


def leaves_global_random_state_alone(component: Subject) -> None:
    """It draws from the generators it is given and from no other, and seeds none; so do its losses and transforms."""
    with global_random_state_untouched():
        plan_parts(_run(component, tiny_training_set()).plan)  # calls losses and transforms too


def handles_colour_images(component: Subject) -> None:
    """Three channels work as one does."""
    train = tiny_training_set(channels=3)
    _check_run(_run(component, train), train)


def handles_or_refuses_images_that_are_not_square(component: Subject) -> None:
    """Rows and columns may differ; what cannot work raises BalancerError."""
    _handles_or_refuses(component, tiny_training_set(height=16, width=12))


def handles_or_refuses_a_class_of_one_image(component: Subject) -> None:
    """A class of a single image is worked with, or refused by a BalancerError."""
    _handles_or_refuses(component, tiny_training_set((12, 5, 1)))


def handles_or_refuses_a_class_of_two_images(component: Subject) -> None:
    """A class of two images is worked with, or refused by a BalancerError."""
    _handles_or_refuses(component, tiny_training_set((12, 5, 2)))


def handles_or_refuses_a_class_without_images(component: Subject) -> None:
    """A class that the imbalance emptied is worked with, or refused by a BalancerError."""
    _handles_or_refuses(component, tiny_training_set((12, 5, 0)))


def handles_or_refuses_a_balanced_set(component: Subject) -> None:
    """A training set with nothing to balance is worked with, or refused by a BalancerError."""
    _handles_or_refuses(component, tiny_training_set((8, 8, 8)))


BALANCER_CHECKS: tuple[Body, ...] = (
    plans_training_on_its_classes,
    makes_images_that_fit,
    declares_whether_it_synthesises,
    trains_on_the_images_it_makes,
    tells_real_images_from_made_ones,
    gives_losses_and_transforms_that_fit,
    same_seed_gives_the_same_result,
    only_a_seeded_one_depends_on_the_seed,
    plans_the_same_whatever_it_did_before,
    leaves_its_inputs_alone,
    leaves_global_random_state_alone,
    handles_colour_images,
    handles_or_refuses_images_that_are_not_square,
    handles_or_refuses_a_class_of_one_image,
    handles_or_refuses_a_class_of_two_images,
    handles_or_refuses_a_class_without_images,
    handles_or_refuses_a_balanced_set,
)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a balancer made of a training set."""

    synthetic: LabelledImages | None
    plan: TrainingPlan

    @property
    def parts(self) -> dict[str, object]:
        """What can be compared, by names for a message."""
        made = self.synthetic
        synthetic = None if made is None else (made.digest(), made.origins_N.tobytes())
        return {"the synthetic images": synthetic, **plan_parts(self.plan)}


def _run(component: Subject, train: LabelledImages, seed: int = 0) -> _Run:
    made = _synthesise(component, train, seed) if component.synthesises else None
    return _Run(made, _plan(component, train, made, seed))


def _synthesise(component: Subject, train: LabelledImages, seed: int) -> Any:
    with fresh_folder() as folder:
        return build(component).synthesise(train, _synthesis_context(component, train, folder, seed))


def _plan(component: Subject, train: LabelledImages, made: LabelledImages | None, seed: int) -> Any:
    return build(component).plan(train, made, plan_context(seed, _base_of(smoke_options(component), train, seed)))


def _synthesis_context(component: Subject, train: LabelledImages, folder: Any, seed: int) -> Any:
    return synthesis_context(
        folder,
        seed,
        device=device_of(component),
        base=_base_of(smoke_options(component), train, seed),
        withheld=lambda: _withheld(train),
        train_classifier=NearestMean if "classifier" in component.requires else None,
    )


def _base_of(options: Options, train: LabelledImages, seed: int) -> Base | None:
    """Return the balancer that the options wrap, with what it makes of `train`; any installed one can be."""
    reference = getattr(options, "base", None)
    if not isinstance(reference, BalancerReference):
        return None
    wrapped: Any = load_registry().find("balancer", reference.use).component
    own: Options = wrapped.options.model_validate(reference.options)
    below = _base_of(own, train, seed)
    balancer: Balancer = wrapped.build(own)
    made = None
    if wrapped.synthesises:
        with fresh_folder() as folder:
            made = balancer.synthesise(train, synthesis_context(folder, seed, base=below))
    return Base(balancer=balancer, synthetic=made, base=below)


def _withheld(train: LabelledImages) -> LabelledImages:
    """Return images that an imbalancer may have removed from `train`."""
    _, channels, height, width = train.images_NCHW.shape
    counts = [6] * train.class_count
    return tiny_training_set(counts, channels=channels, height=height, width=width, seed=99)


def _read_only(images: LabelledImages | None) -> LabelledImages | None:
    if images is None:
        return None

    def frozen(array: NDArray[Any]) -> NDArray[Any]:
        copied = np.array(array)
        copied.setflags(write=False)
        return copied

    return replace(
        images,
        images_NCHW=frozen(images.images_NCHW),
        labels_N=frozen(images.labels_N),
        origin_N=frozen(images.origins_N),
    )


def _check_synthetic(made: Any, train: LabelledImages) -> None:
    """Fail unless `made` is None or images that can be added to `train`."""
    if made is None:
        return
    assert isinstance(made, LabelledImages), f"synthesise returns {type(made).__name__}, not LabelledImages or None"
    assert made.class_names == train.class_names, f"it makes images of the classes {made.class_names}"
    shape, expected = made.images_NCHW.shape[1:], train.images_NCHW.shape[1:]
    assert shape == expected, f"it makes images of shape {shape} for training images of shape {expected}"
    assert len(made) > 0, "it makes an empty set of images; return None instead"
    real = int((made.origins_N == Origin.REAL).sum())
    assert real == 0, f"{real} of its images are marked REAL; give each the origin REPEATED, AUGMENTED or SYNTHETIC"


def _check_run(ran: _Run, train: LabelledImages) -> None:
    _check_synthetic(ran.synthetic, train)
    check_plan(ran.plan, train)
    _check_callables(ran.plan)


def _check_callables(plan: TrainingPlan) -> None:
    if has_callables(plan):
        from balancebench.testing.callables import check_callables

        check_callables(plan)


def _handles_or_refuses(component: Subject, train: LabelledImages) -> None:
    try:
        ran = _run(component, train)
    except BalancerError as error:
        check_refusal(error)
        return
    _check_run(ran, train)
