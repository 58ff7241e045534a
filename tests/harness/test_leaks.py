"""Images that a balancer should not have are found by what they are, whoever fetched them and however."""

import numpy as np
import pytest

from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.stages.leaks import leaked

LARGER = {'use = "tiny"': 'use = "tiny"\nsize = 16', "seeds = [0, 1]": "seeds = [0]"}


def stealing(how):
    return f'[[balancer]]\nuse = "misbehaving"\nhow = "{how}"\n'


def causes(outcome):
    return {entry.message for entry in outcome.failed if entry.status == "failed"}


def row_of(harness, plan, balancer):
    board = build_leaderboard(plan.suite, collect(plan, harness.store))
    return next(row for row in board.tables[0].rows if row.balancer == balancer)


def test_withheld_images_that_nobody_asked_for_mark_the_row(harness):
    plan = harness.plan(stealing("steals_withheld"), replace=LARGER)
    assert not harness.run(plan, jobs=0).failed
    row = row_of(harness, plan, "misbehaving")
    assert row.used_withheld_data
    assert any("equal withheld training images" in text for text in row.warnings)
    assert not row_of(harness, plan, "none").warnings


@pytest.mark.parametrize(
    ("how", "whose"), [("steals_like_withheld", "withheld training images"), ("steals_like_test", "test images")]
)
def test_images_that_are_moved_mirrored_and_noisy_are_recognised(harness, how, whose):
    plan = harness.plan(stealing(how), replace=LARGER)
    assert not harness.run(plan, jobs=0).failed
    (warning,) = [text for text in row_of(harness, plan, "misbehaving").warnings if "looked at" in text]
    assert f"are near {whose}" in warning


def test_test_images_are_refused(harness):
    plan = harness.plan(stealing("steals_test"), replace=LARGER)
    assert causes(harness.run(plan, jobs=0)) == {
        "misbehaving made images that are test images: 30 of 30 equal test images"
    }


def test_repeats_of_what_is_not_in_the_training_set_are_refused(harness):
    plan = harness.plan(stealing("foreign_repeats"), replace=LARGER)
    (cause,) = causes(harness.run(plan, jobs=0))
    assert "2 images of origin REPEATED that are not of the training set" in cause


def test_a_plan_with_a_real_image_from_elsewhere_is_refused(harness):
    plan = harness.plan('[[balancer]]\nuse = "plans_foreign"\norigin = 0\n', replace=LARGER)
    (cause,) = causes(harness.run(plan, jobs=0))
    assert "plans_foreign trains on 1 images of origin REAL" in cause


def test_a_plan_may_add_images_of_its_own(harness):
    plan = harness.plan('[[balancer]]\nuse = "plans_foreign"\norigin = 2\n', replace=LARGER)
    assert not harness.run(plan, jobs=0).failed


@pytest.mark.parametrize("jobs", [0, 1])
def test_honest_rows_carry_no_mark(harness, jobs):
    plan = harness.plan(stealing("copies") + '[[balancer]]\nuse = "generating"\n', replace=LARGER)
    assert not harness.run(plan, jobs=jobs).failed
    for balancer in ("misbehaving", "generating"):
        row = row_of(harness, plan, balancer)
        assert not row.used_withheld_data
        assert not [text for text in row.warnings if "withheld" in text or "test images" in text]


@pytest.fixture
def blobs():
    """Return smooth random images, no two alike."""

    def draw(count, seed):
        rng = np.random.default_rng(seed)
        coarse = rng.normal(128, 60, (count, 3, 5, 5))
        return np.clip(np.kron(coarse, np.ones((1, 1, 6, 6)))[..., :28, :28], 0, 255).astype(np.uint8)

    return draw


def test_augmented_kept_images_are_nobodys_leak(blobs):
    kept, others = blobs(300, 1), blobs(400, 2)
    assert not leaked(np.roll(kept[:50, ..., ::-1], 2, axis=2), kept, others)
    assert not leaked(blobs(50, 3), kept, others)


def test_an_image_that_is_both_kept_and_withheld_is_no_leak(blobs):
    kept = blobs(20, 1)
    assert not leaked(kept[:5], kept, kept.copy())


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-2, 3)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_shifts_and_mirrors_of_others_are_found(blobs, shift, mirrored):
    kept, others = blobs(100, 1), blobs(100, 2)
    images = np.roll(others[:20, ..., ::-1] if mirrored else others[:20], shift, axis=(2, 3))
    leak = leaked(images, kept, others)
    assert leak.equal + leak.near >= 18


def test_finely_textured_images_with_a_little_noise_are_found_where_they_did_not_move():
    rng = np.random.default_rng(1)
    kept, others = rng.integers(0, 250, (2, 50, 1, 8, 8)).astype(np.uint8)
    assert leaked(others + rng.integers(1, 5, others.shape).astype(np.uint8), kept, others).near == 50


def test_flat_images_are_like_everything_and_count_for_nothing():
    flat = np.full((10, 1, 8, 8), 128, dtype=np.uint8)
    assert not leaked(flat + np.arange(10, dtype=np.uint8)[:, None, None, None], flat[:1], flat[:1] + 3)
