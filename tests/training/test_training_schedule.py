from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebench import LabelledImages, Phase, Restart
from balancebench.training.options import TrainingOptions
from balancebench.training.schedule import LearningRate, schedule_phases


@pytest.fixture
def phases(make_images):
    images = make_images(100)

    def make(*shares: float) -> tuple[Phase, ...]:
        return tuple(Phase(images=images, share=share) for share in shares)

    return make


def steps_of(schedules):
    return [schedule.steps for schedule in schedules]


def test_an_epoch_drops_the_last_partial_batch(phases):
    (schedule,) = schedule_phases(TrainingOptions(epochs=3, batch_size=32), phases(1.0))

    assert (schedule.batch_size, schedule.steps_per_epoch, schedule.steps) == (32, 3, 9)


def test_fewer_images_than_a_batch_make_one_batch_of_all_of_them(phases):
    (schedule,) = schedule_phases(TrainingOptions(epochs=3, batch_size=128), phases(1.0))

    assert (schedule.batch_size, schedule.steps_per_epoch, schedule.steps) == (100, 1, 3)


def test_deferred_phases_switch_at_four_fifths(phases):
    schedules = schedule_phases(TrainingOptions(epochs=200, batch_size=10), phases(0.8, 0.2))

    assert steps_of(schedules) == [1600, 400]


@pytest.mark.parametrize("count", [2, 3, 7, 20, 30])
def test_shares_that_sum_to_one_spend_the_epochs_exactly(phases, count):
    schedules = schedule_phases(TrainingOptions(epochs=30, batch_size=10), phases(*[1 / count] * count))

    assert sum(steps_of(schedules)) == 300
    assert max(steps_of(schedules)) - min(steps_of(schedules)) <= 10


def test_each_phase_lasts_at_least_one_epoch(phases):
    schedules = schedule_phases(TrainingOptions(epochs=1, batch_size=10), phases(0.8, 0.1, 0.1))

    assert steps_of(schedules) == [10, 10, 10]


def test_a_late_short_phase_takes_its_epoch_from_the_phase_before(phases):
    schedules = schedule_phases(TrainingOptions(epochs=2, batch_size=10), phases(0.8, 0.2))

    assert steps_of(schedules) == [10, 10]


@given(
    budget=st.integers(1, 60),
    weights=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12),
)
def test_a_budget_of_at_least_an_epoch_a_phase_is_spent_exactly(budget, weights):
    shares = [weight / sum(weights) for weight in weights]
    images = LabelledImages(
        images_NCHW=np.zeros((10, 1, 2, 2), np.uint8), labels_N=np.zeros(10, np.int64), class_names=("only",)
    )
    schedules = schedule_phases(
        TrainingOptions(epochs=budget, batch_size=10), [Phase(images=images, share=share) for share in shares]
    )

    assert sum(steps_of(schedules)) == max(budget, len(weights))
    assert min(steps_of(schedules)) >= 1


def test_a_share_beyond_the_budget_is_spent_on_top(phases):
    schedules = schedule_phases(TrainingOptions(epochs=20, batch_size=10), phases(1.0, 0.1))

    assert steps_of(schedules) == [200, 20]


def test_a_budget_in_steps_is_divided_in_steps_and_epochs_end_with_the_phase(phases):
    first, second = schedule_phases(TrainingOptions(steps=55, batch_size=10), phases(0.5, 0.5))

    assert (first.steps, second.steps) == (28, 27)
    assert first.epoch_steps == [10, 10, 8]


def test_a_phase_over_more_images_has_longer_epochs(make_images):
    phases = (Phase(images=make_images(100), share=0.5), Phase(images=make_images(40), share=0.5))

    assert steps_of(schedule_phases(TrainingOptions(epochs=4, batch_size=20), phases)) == [10, 4]


def test_the_learning_rate_runs_on_across_phases(phases):
    options = TrainingOptions(epochs=10, batch_size=10, schedule="cosine", learning_rate=0.4)
    (whole,) = schedule_phases(options, phases(1.0))
    first, second = schedule_phases(options, phases(0.3, 0.7))

    assert not second.fresh_optimiser
    for step in range(70):
        assert second.learning_rate.at(second.first_step + step) == whole.learning_rate.at(30 + step)
    assert first.learning_rate.at(0) == 0.4


def test_a_restart_begins_a_schedule_over_all_phases_up_to_the_next_one(phases):
    plain, last = phases(0.5, 0.1)
    restarted = Phase(images=plain.images, share=0.4, restart=Restart(learning_rate=0.01, schedule="constant"))
    options = TrainingOptions(epochs=10, batch_size=10, learning_rate=0.1, warmup=0.2)

    first, second, third = schedule_phases(options, (plain, restarted, last))

    assert [schedule.fresh_optimiser for schedule in (first, second, third)] == [True, True, False]
    assert first.learning_rate.total_steps == 50
    assert second.learning_rate == third.learning_rate
    assert (third.first_step, third.learning_rate.total_steps) == (40, 50)
    assert [third.learning_rate.at(step) for step in (0, 49)] == [0.01, 0.01]
    assert first.learning_rate.warmup_steps == 10
    assert second.learning_rate.warmup_steps == 0, "only a new network is warmed up"


def test_a_restart_without_values_keeps_rate_and_kind_of_schedule(phases):
    (plain,) = phases(1.0)
    restarted = Phase(images=plain.images, share=1.0, restart=Restart())

    first, second = schedule_phases(TrainingOptions(epochs=10, batch_size=10), (plain, restarted))

    assert second.learning_rate == first.learning_rate
    assert second.first_step == 0


def test_multi_step_with_warm_up_is_the_recipe_of_long_tailed_cifar():
    rate = LearningRate(
        schedule="multi_step",
        peak=0.1,
        total_steps=200,
        warmup_steps=5,
        milestones=(0.8, 0.9),
        factors=(0.01, 0.0001),
    )

    expected = {0: 0.02, 1: 0.04, 4: 0.1, 5: 0.1, 159: 0.1, 160: 1e-3, 179: 1e-3, 180: 1e-5, 199: 1e-5}
    for step, value in expected.items():
        assert rate.at(step) == pytest.approx(value, rel=1e-12)


def test_cosine_falls_from_the_peak_after_the_warm_up_to_almost_zero():
    rate = LearningRate(schedule="cosine", peak=2.0, total_steps=110, warmup_steps=10)

    assert rate.at(9) == 2.0
    assert rate.at(10) == 2.0
    assert rate.at(60) == pytest.approx(1.0)
    assert rate.at(35) == pytest.approx(1.0 + math.cos(math.pi / 4))
    assert 0 < rate.at(109) < 0.001
