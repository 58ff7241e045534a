"""No score is made from damaged inputs, however the damage hides."""

import os
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from balancebench.cli.console import ConsoleReporter
from balancebench.cli.shared import errors_console
from balancebench.execution.run_plan import run_plan
from balancebench.execution.scheduler import Scheduler
from balancebench.leaderboard.results_in_store import collect
from balancebench.plan import expand
from balancebench.stages import score
from balancebench.store import Store
from balancebench.store.index import StoreIndex
from balancebench.suite.bind import bind_suite

MORE_METRICS = {
    "seeds = [0, 1]": "seeds = [0]",
    'metrics = ["hits"]': 'metrics = ["hits", "balanced_accuracy", { use = "synthetic_distance", to = "pixels" }]',
}
ONE_METRIC = {"seeds = [0, 1]": "seeds = [0]"}
SYNTHETIC = '\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n'
SCORES_ONLY = frozenset({"score", "measure"})
FILES = [
    ("load", "test_images.npy"),
    ("load", "train_images.npy"),
    ("imbalance", "kept.npy"),
    ("synthesise", "synthetic_images.npy"),
    ("train", "logits_last.npy"),
]


def damage(path):
    """Flip the last bit of a file, which keeps its size and its time of change."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def trained(fakes, suite_file, tmp_path):
    """A store with a trained suite whose new metrics are not computed yet; `scores` are what they must be."""

    def scores_in(store):
        cells = [cell for cell in collect(plan, store) if cell.status == "done" and cell.balancer == "misbehaving"]
        return [cell.scores["last"].metrics for cell in cells]

    plan = expand(bind_suite(suite_file(SYNTHETIC, replace=MORE_METRICS), fakes))
    right = Store.open(tmp_path / "right")
    run_plan(plan, right, executor="inline", device="cpu")
    store = Store.open(tmp_path / "store")
    run_plan(
        expand(bind_suite(suite_file(SYNTHETIC, replace=ONE_METRIC), fakes)), store, executor="inline", device="cpu"
    )
    cell = next(cell for cell in plan.cells if cell.balancer == "misbehaving")
    return SimpleNamespace(
        plan=plan,
        store=store,
        scores=scores_in(right),
        scores_in=lambda: scores_in(store),
        path=lambda stage, name: (
            (store.answers.folder(cell.steps["load"]) if stage == "answers" else store.folder(cell.steps[stage])) / name
        ),
        run=lambda **options: run_plan(plan, store, executor="inline", device="cpu", **options),
    )


@pytest.mark.parametrize(("stage", "name"), [*FILES, ("answers", "test_labels.npy")])
def test_rescoring_refuses_damaged_inputs_and_a_run_computes_them_again(trained, stage, name):
    damage(trained.path(stage, name))
    rescored = trained.run(stages=SCORES_ONLY)
    assert rescored.failed
    assert trained.scores_in() == []
    assert not trained.run().failed
    assert trained.scores_in() == trained.scores


@pytest.mark.parametrize(("stage", "name"), FILES)
def test_damage_that_no_time_tells_is_found_before_a_score_is_made_and_the_next_run_mends_it(
    trained, monkeypatch, stage, name
):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 0)
    with StoreIndex(trained.store) as index:
        index.survey(trained.plan.steps)
    damage(trained.path(stage, name))
    with monkeypatch.context() as blind:  # the index sees times and sizes as they were: bits have rotted
        blind.setattr(StoreIndex, "_is_verified", lambda self, known: True)
        refused = trained.run(stages=SCORES_ONLY)
    assert any("is damaged: it is not what its record says" in failed.message for failed in refused.failed)
    assert trained.scores_in() == []
    assert not trained.run().failed
    assert trained.scores_in() == trained.scores


def test_bits_that_rot_while_the_store_is_believed_are_doubted_from_the_first_reading_on(trained, monkeypatch):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 0)
    path = trained.path("train", "logits_last.npy")
    damage(path)
    key = path.parent.name
    before = path.stat()
    with pytest.raises(Exception, match="is damaged"):
        trained.store.files(key).mapped(path.name)
    after = path.stat()
    assert after.st_ctime_ns > before.st_ctime_ns  # so that the index compares it again
    assert after.st_mtime_ns == before.st_mtime_ns


def test_an_input_that_is_altered_while_a_step_reads_it_fails_the_step(trained, monkeypatch):
    run_score = score.run_score

    def score_beside_damage(workplace):
        run_score(workplace)
        if workplace.step.label.count("misbehaving"):
            damage(trained.path("load", "test_images.npy"))

    monkeypatch.setattr(score, "run_score", score_beside_damage)
    outcome = trained.run()
    assert any("test_images.npy was altered while this step read it" in failed.message for failed in outcome.failed)
    assert trained.scores_in() == []
    monkeypatch.setattr(score, "run_score", run_score)
    assert not trained.run().failed
    assert trained.scores_in() == trained.scores


def test_the_run_that_waits_for_another_does_not_accept_what_the_other_has_not_mended(trained, monkeypatch):
    path = trained.path("load", "test_images.npy")
    damage(path)
    key = path.parent.name
    others_lock = trained.store.lock(key)  # another run is about to mend it
    look = Scheduler._look_elsewhere
    looks = []

    def look_and_release(scheduler):
        look(scheduler)
        if len(looks) == 10:  # 2 s of waiting: it has looked
            others_lock.release()
        looks.append(key)

    monkeypatch.setattr(Scheduler, "_look_elsewhere", look_and_release)
    outcome = trained.run()
    assert len(looks) > 10
    assert not outcome.failed
    assert trained.store.damage(trained.store.read_done(key)) is None
    assert trained.scores_in() == trained.scores


def test_a_finished_step_that_is_damaged_after_the_survey_is_not_taken_for_anothers_work(trained):
    key = trained.path("train", "logits_last.npy").parent.name
    trained.store.set_aside(key)

    class Damaging:
        """Puts a damaged result where another run would have put a whole one."""

        def surveying(self):
            return nullcontext()

        def surveyed(self, plan, surveyed):
            (aside,) = (trained.store.root / "set_aside").glob(f"{key}.*")
            aside.rename(trained.store.folder(key))
            damage(trained.store.folder(key) / "logits_last.npy")

        def running(self, plan, surveyed, where):
            return nullcontext()

    assert not trained.run(reporter=Damaging()).failed
    assert trained.store.damage(trained.store.read_done(key)) is None
    assert trained.scores_in() == trained.scores


def test_rescoring_what_is_scored_says_that_an_input_is_damaged_and_is_not_computed_again(trained, capsys):
    trained.run()
    path = trained.path("train", "logits_last.npy")
    damage(path)
    outcome = trained.run(stages=SCORES_ONLY, reporter=ConsoleReporter(errors_console()))
    assert list(outcome.damaged) == [path.parent.name]
    assert "left as it is, and nothing is made from it" in " ".join(capsys.readouterr().err.split())
