"""The balancer `none`."""

from __future__ import annotations

import numpy as np

from balancebench import LabelledImages, PlanContext
from balancebench.builtin.balancers.components import BALANCERS


def test_none_trains_one_plain_phase_on_the_imbalanced_set_itself():
    (component,) = BALANCERS
    train = LabelledImages(
        images_NCHW=np.zeros((3, 1, 2, 2), dtype=np.uint8),
        labels_N=np.array([0, 0, 1], dtype=np.int64),
        class_names=("cat", "dog"),
    )
    plan = component.create(component.options()).plan(train, None, PlanContext(rng=np.random.default_rng(0)))

    (phase,) = plan.phases
    assert (component.name, component.synthesises) == ("none", False)
    assert phase.images is train
    assert (phase.share, phase.loss, phase.sampling_weight_N, phase.batch_transform) == (1.0, None, None, None)
    assert (phase.trainable, phase.reset_head, phase.restart) == ("all", False, None)
    assert (plan.head, plan.adjust_head, plan.adjust_logits) == ("linear", None, None)
