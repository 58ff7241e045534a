"""A generator that makes the same image again and again is marked where its results are read."""

from __future__ import annotations

import pytest

from balancebench.artefacts.synthesis import SynthesisDescription
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


def misbehaving(how):
    return f'\n[[balancer]]\nuse = "misbehaving"\nhow = "{how}"\n'


def test_near_identical_images_are_marked_in_the_record_and_in_the_row_with_their_figure(harness):
    plan = harness.plan(misbehaving("one_image"), replace=ONE_SEED)
    assert not harness.run(plan, jobs=0).failed
    record = harness.record(plan, "synthesise", "misbehaving")
    text = "near-identical images in 1 of 1 classes: spread 0.00 of the real images'"
    assert record.warnings == (text,)
    board = build_leaderboard(plan.suite, collect(plan, harness.store))
    (table,) = board.tables
    rows = {row.balancer: row for row in table.rows}
    assert rows["misbehaving"].warnings == (text,)
    assert rows["none"].warnings == ()


def test_the_figures_are_kept_with_the_images(harness):
    plan = harness.plan(misbehaving("one_image"), replace=ONE_SEED)
    harness.run(plan, jobs=0)
    key = next(cell.steps["synthesise"] for cell in plan.cells if cell.balancer == "misbehaving")
    first, *others = SynthesisDescription.read(harness.store, key).figures_K
    assert first.spread == pytest.approx(0, abs=1e-9)
    assert first.distance == pytest.approx(0, abs=1e-6)
    assert first.contrast > 0.2
    assert others == [None, None]


def test_repeats_and_a_few_images_are_not_marked(harness):
    for how in ("copies", "none"):
        plan = harness.plan(misbehaving(how), replace=ONE_SEED)
        harness.run(plan, jobs=0)
        assert harness.record(plan, "synthesise", "misbehaving").warnings == ()


def test_descriptions_of_older_versions_are_read(harness):
    assert SynthesisDescription.model_validate({"images": 3, "counts_K": [0, 3]}).figures_K is None
