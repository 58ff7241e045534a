"""Checks of balancers."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.contracts import Balancer, TrainsGenerator
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError
from balancebench.testing.balancer_runs import Run, Subject, base_of, planned, run, synthesised, withheld_from
from balancebench.testing.contexts import plan_context
from balancebench.testing.plans import check_origins, check_plan, has_callables, plan_parts
from balancebench.testing.subject import Body, build, check_refusal, image_arrays
from balancebench.testing.tiny import tiny_training_set
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds
from balancebench.training_plan import TrainingPlan

__all__ = ["BALANCER_CHECKS"]


def plans_training_on_its_classes(component: Subject) -> None:
    """`plan` returns a TrainingPlan over the classes and image shape of the training set."""
    train = tiny_training_set()
    check_plan(run(component, train).plan, train)


def makes_images_that_fit(component: Subject) -> None:
    """What `synthesise` returns has the training set's classes and shape, and an origin other than REAL."""
    train = tiny_training_set()
    _check_synthetic(run(component, train).synthetic, train)


def declares_whether_it_synthesises(component: Subject) -> None:
    """`synthesises` decides whether the harness calls `synthesise` at all."""
    train = tiny_training_set()
    synthetic = synthesised(component, train, seed=0)
    if component.synthesises:
        assert synthetic is not None, (
            "it declares synthesises=True but makes no images for a training set of 40, 10 and 2"
        )
    else:
        assert synthetic is None, "it makes images but does not declare synthesises=True, so nobody would ask for them"


def declares_whether_it_trains_a_generator(component: Subject) -> None:
    """`trains_generator` decides whether the harness calls `train_generator` at all."""
    able = isinstance(build(component), TrainsGenerator)
    if component.trains_generator:
        assert able, "it declares trains_generator=True but has no train_generator and restore_generator"
    else:
        assert not able, "it has train_generator but does not declare trains_generator=True, so nobody would call it"


def trains_on_the_images_it_makes(component: Subject) -> None:
    """The images that were synthesised stand in a phase of the plan."""
    ran = run(component, tiny_training_set())
    if ran.synthetic is None:
        return
    synthetic_bytes = {image.tobytes() for image in ran.synthetic.images_NCHW}
    trained_on = {image.tobytes() for phase in ran.plan.phases for image in phase.images.images_NCHW}
    assert synthetic_bytes & trained_on, "no phase of its plan holds any of the images it made"


def tells_real_images_from_made_ones(component: Subject) -> None:
    """REAL images are those of the training set, each as often as there; REPEATED ones are exact copies."""
    train = tiny_training_set()
    withheld = withheld_from(train)
    check_origins(run(component, train).plan, train, [train, withheld])


def gives_losses_and_transforms_that_fit(component: Subject) -> None:
    """Losses are one float32 an image and differentiable; transforms and adjustments keep shapes."""
    _check_callables(run(component, tiny_training_set()).plan)


def same_seed_gives_the_same_result(component: Subject) -> None:
    """All randomness comes from the contexts."""
    results: list[dict[str, object]] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            results.append(run(component, tiny_training_set(), seed=5).parts)
    different = [name for name, value in results[0].items() if results[1].get(name) != value]
    assert not different, f"two runs with one seed differ in {', '.join(different)}"


def only_a_seeded_one_depends_on_the_seed(component: Subject) -> None:
    """`seeded=False` makes all seeds share one step, so their results must be one."""
    if component.seeded:
        return
    first, second = (run(component, tiny_training_set(), seed=seed).parts for seed in (0, 1))
    different = [name for name, value in first.items() if second.get(name) != value]
    assert not different, f"it declares seeded=False, but another seed changes {', '.join(different)}"


def plans_the_same_whatever_it_did_before(component: Subject) -> None:
    """`plan` depends on its arguments alone: not on earlier calls, nor on having synthesised itself."""
    train, other = tiny_training_set(), tiny_training_set((20, 8, 3), seed=1)
    fresh = run(component, train)
    used: Balancer[Any] = build(component)
    for images in (train, other):
        synthetic = synthesised(component, images, 0, balancer=used)
        used.plan(images, synthetic, plan_context(0, base_of(component, images, 0)))
    again = used.plan(train, fresh.synthetic, plan_context(0, base_of(component, train, 0)))
    expected = plan_parts(fresh.plan)
    different = [name for name, value in plan_parts(again).items() if expected.get(name) != value]
    assert not different, f"after other calls the same arguments give another plan: {', '.join(different)}"


def leaves_its_inputs_alone(component: Subject) -> None:
    """The training set and the synthetic images are shared, memory-mapped and read-only."""
    train = tiny_training_set()
    with expect_untouched(image_arrays("the training", train)):
        synthetic = _read_only(synthesised(component, train, seed=0)) if component.synthesises else None
        with expect_untouched(image_arrays("the synthetic", synthetic)):
            planned(component, train, synthetic, seed=0)


def leaves_global_random_state_alone(component: Subject) -> None:
    """It draws from the generators it is given and from no other, and seeds none; so do its losses and transforms."""
    with global_random_state_untouched():
        plan_parts(run(component, tiny_training_set()).plan)  # calls losses and transforms too


def handles_colour_images(component: Subject) -> None:
    """Three channels work as one does."""
    train = tiny_training_set(channels=3)
    _check_run(run(component, train), train)


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
    declares_whether_it_trains_a_generator,
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


def _read_only(images: LabelledImages | None) -> LabelledImages | None:
    if images is None:
        return None

    def frozen(array: NDArray[Any]) -> NDArray[Any]:
        copied = np.array(array)
        copied.setflags(write=False)
        return copied

    return replace(
        images,
        images_NCHW=frozen(np.asarray(images.images_NCHW)),
        labels_N=frozen(images.labels_N),
        origin_N=frozen(images.origins_N),
    )


def _check_synthetic(synthetic: Any, train: LabelledImages) -> None:
    """Fail unless `synthetic` is None or images that can be added to `train`."""
    if synthetic is None:
        return
    assert isinstance(synthetic, LabelledImages), (
        f"synthesise returns {type(synthetic).__name__}, not LabelledImages or None"
    )
    assert synthetic.class_names == train.class_names, f"it makes images of the classes {synthetic.class_names}"
    shape, expected = synthetic.images_NCHW.shape[1:], train.images_NCHW.shape[1:]
    assert shape == expected, f"it makes images of shape {shape} for training images of shape {expected}"
    assert len(synthetic) > 0, "it makes an empty set of images; return None instead"
    real = int((synthetic.origins_N == Origin.REAL).sum())
    assert real == 0, f"{real} of its images are marked REAL; give each the origin REPEATED, AUGMENTED or SYNTHETIC"
    last_parent = -1 if synthetic.parents is None else synthetic.parents.last_row
    assert last_parent < len(train), f"it names training image {last_parent} as a parent; there are {len(train)}"


def _check_run(ran: Run, train: LabelledImages) -> None:
    _check_synthetic(ran.synthetic, train)
    check_plan(ran.plan, train)
    _check_callables(ran.plan)


def _check_callables(plan: TrainingPlan) -> None:
    if has_callables(plan):
        from balancebench.testing.callables import check_callables

        check_callables(plan)


def _handles_or_refuses(component: Subject, train: LabelledImages) -> None:
    try:
        ran = run(component, train)
    except BalancerError as error:
        check_refusal(error)
        return
    _check_run(ran, train)
