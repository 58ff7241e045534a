"""The plans, carried out by the training loop on the smallest of networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from balancebench import BalancebenchError, Base, FitContext, LabelledImages, PlanContext
from balancebench.registry import load_registry
from balancebench.testing import fit_context, tiny_training_set
from balancebench_longtail import plugin

COMPONENTS = {component.name: component for component in plugin.balancebench_balancers()}
TRAIN = tiny_training_set((60, 18, 6))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def planned(name: str, train: LabelledImages, **options: Any) -> Any:
    validated = COMPONENTS[name].options.model_validate(options)
    base = getattr(validated, "base", None)
    wrapped = None
    if base is not None:
        wrapped = Base(
            balancer=COMPONENTS[base.use].create(COMPONENTS[base.use].options.model_validate(base.options)),
            synthetic=None,
        )
    return COMPONENTS[name].create(validated).plan(train, None, PlanContext(rng=np.random.default_rng(0), base=wrapped))


def fitted(plan: Any, context: FitContext, **options: Any) -> Any:
    component = load_registry().find("classifier", "small_cnn").component
    given = {"epochs": 2, "batch_size": 16, **component.smoke, **options}
    classifier: Any = component.create(component.options.model_validate(given))
    return classifier.fit(plan, context)


EVERY_PLAN = [
    *[(name, dict(component.smoke)) for name, component in COMPONENTS.items()],
    ("logit_adjustment", {"form": "post_hoc"}),
    ("class_balanced_loss", {"form": "focal"}),
    ("drw", {"loss": "balanced_softmax"}),
    ("drs", {"loss": "ldam"}),
    ("cmo", {"base": {"use": "ldam_drw"}}),
    ("remix", {"base": {"use": "drw"}}),
    ("crt", {"base": {"use": "mixup"}}),
    ("posterior_recalibration", {"base": {"use": "drw"}}),
]


@pytest.mark.parametrize(("name", "options"), EVERY_PLAN)
def test_every_method_trains_to_finite_logits_that_its_seed_decides(name: str, options: dict[str, Any]):
    first, second = (fitted(planned(name, TRAIN, **options), fit_context(seed=3)) for _ in range(2))
    logits_NK = first.predict_logits(TRAIN.images_NCHW)
    assert logits_NK.shape == (84, 3)
    assert np.isfinite(logits_NK).all()
    np.testing.assert_array_equal(logits_NK, second.predict_logits(TRAIN.images_NCHW))


def test_mixing_with_a_batch_size_of_one_is_refused_before_the_first_step():
    steps: list[int] = []

    def count(_images: int, taken: int) -> None:
        steps.append(taken)

    context = dataclasses.replace(fit_context(), count=count)
    with pytest.raises(BalancebenchError, match=r"at least (2|two)"):
        fitted(planned("mixup", TRAIN), context, batch_size=1)
    assert sum(steps) == 0


def test_balanced_methods_find_the_smallest_class_more_often_than_plain_training():
    train = tiny_training_set((200, 40, 8), seed=4)
    test = tiny_training_set((1, 1, 100), seed=5)

    def share_of_last_class(plan: Any) -> float:
        logits_NK = fitted(plan, fit_context(seed=1), epochs=6).predict_logits(test.images_NCHW)
        return float((logits_NK.argmax(axis=1) == 2).mean())

    plain = share_of_last_class(planned("logit_adjustment", train, tau=0))
    for name, options in [
        ("balanced_softmax", {}),
        ("logit_adjustment", {"form": "post_hoc"}),
        ("class_balanced_sampling", {}),
    ]:
        assert share_of_last_class(planned(name, train, **options)) >= plain
