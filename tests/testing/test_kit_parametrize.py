"""How the kit meets pytest: readable ids, expected failures that are strict, and sets that authors can use."""

import random

import numpy as np
import pytest

from balancebench import BalancerComponent, BalancerError, LabelledImages, Options, Origin, PlanContext
from balancebench.testing import (
    collect_checks,
    fit_context,
    load_context,
    parametrize_with_checks,
    plan_context,
    synthesis_context,
    tiny_evaluation,
    tiny_training_set,
)
from balancebench.testing.watch import global_random_state_untouched, other_global_seeds

PLUGIN_TEST = """
from balancebench import BalancerComponent, Options
from balancebench.testing import parametrize_with_checks

class NoOptions(Options):
    pass

MINE = BalancerComponent(name="mine", summary="Two\\nlines.", options=NoOptions, build="balancebench:Balancer")

@parametrize_with_checks(balancers=[MINE], expected_failures={expected})
def test_conforms(check):
    check()
"""
SUMMARY = ("mine", "says what it is in one line")
COLOUR = ("mine", "handles colour images")


@pytest.fixture
def outcomes(tmp_path, pytestconfig):
    """Run pytest on a plugin's test file with these expected failures; returns its last lines."""
    import subprocess
    import sys

    def run(expected):
        path = tmp_path / "test_mine.py"
        path.write_text(PLUGIN_TEST.replace("{expected}", repr(expected)), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfxX", str(path)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    return run


def test_expected_failures_are_reported_with_their_reason_and_must_fail(outcomes):
    shown = outcomes({SUMMARY: "the paper needs two lines", COLOUR: "not yet"})
    assert "XFAIL test_mine.py::test_conforms[balancer mine: says what it is in one line]" in shown
    assert "the paper needs two lines" in shown
    assert "FAILED test_mine.py::test_conforms[balancer mine: handles colour images]" in shown  # it passes after all
    assert "1 failed" in shown
    assert "1 xfailed" in shown


def test_an_expected_failure_of_no_check_is_an_error():
    with pytest.raises(ValueError, match="'mine', 'handles colours'"):
        parametrize_with_checks(expected_failures={("mine", "handles colours"): "misspelt"})


def test_ids_say_what_is_checked():
    class NoOptions(Options):
        pass

    mine = BalancerComponent(name="mine", summary="Mine.", options=NoOptions, build="balancebench:Balancer")
    ids = [str(check) for check in collect_checks(balancers=[mine])]
    assert "balancer mine: same seed gives the same result" in ids
    assert len(ids) == len(set(ids))


def test_a_tiny_training_set_is_read_only_real_and_repeatable():
    train = tiny_training_set((5, 3, 0), channels=3, height=8, width=6)
    assert isinstance(train, LabelledImages)
    assert train.images_NCHW.shape == (8, 3, 8, 6)
    assert train.counts_K.tolist() == [5, 3, 0]
    assert (train.origins_N == Origin.REAL).all()
    assert not any(array.flags.writeable for array in (train.images_NCHW, train.labels_N, train.origins_N))
    assert train.digest() == tiny_training_set((5, 3, 0), channels=3, height=8, width=6).digest()
    assert train.digest() != tiny_training_set((5, 3, 0), channels=3, height=8, width=6, seed=1).digest()


def test_tiny_classes_are_linearly_separable_but_near_each_other_in_pixels():
    train = tiny_training_set((100, 100))
    rows_NH = train.images_NCHW.mean(axis=(1, 3))
    lower_is_brighter_N = rows_NH[:, 8:].mean(axis=1) > rows_NH[:, :8].mean(axis=1)
    assert (lower_is_brighter_N == (train.labels_N == 1)).mean() > 0.95
    pixels_ND = train.images_NCHW.reshape(200, -1).astype(np.float64)
    distances_NN = ((pixels_ND[:, None] - pixels_ND) ** 2).sum(axis=2)
    np.fill_diagonal(distances_NN, np.inf)
    foreign = (train.labels_N[distances_NN.argmin(axis=1)] != train.labels_N).mean()
    assert 0.1 < foreign < 0.9


def test_a_tiny_evaluation_hits_as_often_as_asked_without_ties():
    evaluation = tiny_evaluation((300, 300), hit_rate=0.7)
    hits = (evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N).mean()
    assert 0.6 < hits < 0.8
    assert len(np.unique(evaluation.logits_NK)) == evaluation.logits_NK.size


def test_the_generator_of_a_tiny_evaluation_draws_new_images_the_same_at_every_call():
    images = tiny_evaluation().images
    drawn = images.draw(np.array([2, 0, 3]))
    assert drawn.counts_K.tolist() == [2, 0, 3]
    assert (drawn.origins_N == Origin.SYNTHETIC).all()
    assert drawn.digest() == images.draw(np.array([2, 0, 3])).digest()
    synthetic_bytes = {image.tobytes() for image in images.synthetic().images_NCHW}
    assert synthetic_bytes.isdisjoint(image.tobytes() for image in drawn.images_NCHW)


def test_contexts_are_what_plugins_get(tmp_path):
    for number, make in enumerate((load_context, synthesis_context)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert make(folder).scratch.is_dir()
    assert isinstance(plan_context(3), PlanContext)
    assert plan_context(3).rng.integers(1000) == plan_context(3).rng.integers(1000)
    fit_context().count(1, 1)
    fit_context().progress(1, 2, "half")


def test_a_context_hands_over_what_it_is_given(tmp_path):
    generator, images = object(), tiny_training_set()
    context = synthesis_context(tmp_path, generator=lambda: generator, validation=lambda: images)
    assert context.generator() is generator
    assert context.validation() is images
    assert context.checkpoints.folder.is_dir()
    assert fit_context(checkpoints=context.checkpoints).checkpoints is context.checkpoints


def test_a_context_says_that_there_is_no_generator_and_has_no_validation_images_unless_given(tmp_path):
    context = synthesis_context(tmp_path)
    with pytest.raises(BalancerError, match="does not declare that it trains one"):
        context.generator()
    assert context.validation() is None
    assert fit_context().checkpoints is None


def test_drawing_from_any_global_generator_is_noticed():
    import torch

    for library, draw in {
        "Python": random.random,
        "NumPy": np.random.standard_normal,
        "torch": lambda: torch.rand(1),
    }.items():
        with pytest.raises(AssertionError, match=library), global_random_state_untouched():
            draw()
    with global_random_state_untouched():
        np.random.default_rng(0).random()
        random.Random(0).random()
        torch.rand(1, generator=torch.Generator().manual_seed(0))


def test_global_generators_are_put_back_after_they_were_seeded():
    with global_random_state_untouched(), other_global_seeds(3):
        random.random()
        np.random.random()  # noqa: NPY002 - what is put back
