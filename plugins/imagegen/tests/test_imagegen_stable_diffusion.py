"""Stable Diffusion as a balancer, through diffusers' real code on a pipeline of random weights saved by the test."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from balancebench import BalancerError, LabelledImages, Origin
from balancebench.testing import synthesis_context
from balancebench_imagegen import stable_diffusion
from balancebench_imagegen.finished_candidates import FinishedCandidates
from balancebench_imagegen.generated_pool import GeneratedPool
from balancebench_imagegen.pipeline import Pipeline
from balancebench_imagegen.stable_diffusion import StableDiffusion
from balancebench_imagegen.stable_diffusion_options import (
    StableDiffusionOptions,
)
from balancebench_imagegen.tiny_pipeline import save_tiny_pipeline

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shared_pipelines():
    return {}


@pytest.fixture(autouse=True)
def load_once(monkeypatch, shared_pipelines):
    """Keep loaded pipelines between tests: loading is most of their time."""

    def load(folder, options, device):
        key = (folder, options.source, options.scheduler)
        if key not in shared_pipelines:
            shared_pipelines[key] = Pipeline(folder, options, device)
        shared_pipelines[key]._options = options
        return shared_pipelines[key]

    monkeypatch.setattr(stable_diffusion, "Pipeline", load)


@pytest.fixture
def train():
    labels_N = np.repeat(np.array([0, 1, 2]), [9, 1, 7])
    images_NCHW = np.random.default_rng(0).integers(0, 256, (17, 3, 12, 12), dtype=np.uint8)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("dog", "cat", "car"))


@pytest.fixture
def synthesise(folder, train, tmp_path):
    """Make images; returns them and what generation.json says."""
    runs = iter(range(100))

    def run(context=None, data=train, **options):
        if context is None:
            run_folder = tmp_path / f"run{next(runs)}"
            run_folder.mkdir()
            context = synthesis_context(run_folder, seed=5)
        given = {"folder": folder, "preset": "tiny_random", "steps": 2, **options}
        synthetic = StableDiffusion(StableDiffusionOptions(**given)).synthesise(data, context)
        return synthetic, json.loads((context.artefacts / "generation.json").read_text())

    return run


def flag(monkeypatch, flagged_calls):
    """Let the safety checker flag images: flagged_calls(number of the image over all calls) -> bool."""
    numbers = iter(range(10_000))
    real_call = Pipeline.__call__

    def call(self, prompts, seeds, sources):
        images, _ = real_call(self, prompts, seeds, sources)
        return images, [flagged_calls(next(numbers)) for _ in prompts]

    monkeypatch.setattr(Pipeline, "__call__", call)


def closest(synthetic, other):
    assert synthetic.labels_N.tolist() == other.labels_N.tolist()
    return np.abs(synthetic.images_NCHW.astype(int) - other.images_NCHW.astype(int)).max()


def test_each_class_gets_what_it_misses_at_the_training_images_size(synthesise):
    synthetic, told = synthesise()
    assert synthetic.counts_K.tolist() == [0, 8, 2]
    assert synthetic.images_NCHW.shape == (10, 3, 12, 12)
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()
    assert synthetic.images_NCHW.std() > 5
    assert synthetic.parents is None
    assert len({image.tobytes() for image in synthetic.images_NCHW}) == 10
    assert (told["requested"], told["flagged"], told["batches"]) == (10, 0, 3)
    assert len(told["prompts"]["cat"]) == 8
    assert told["prompts"]["car"] == ["a photo of a car"] * 2


def test_cats_are_prompted_with_words_of_every_list(synthesise):
    options = StableDiffusionOptions()
    assert {name: len(words) for name, words in options.words.items()} == {
        "breed": 25, "furniture": 25, "preposition": 8, "action": 2,
    }  # fmt: skip
    _, told = synthesise()
    for prompt in told["prompts"]["cat"]:
        parts = prompt.removeprefix("A ").split(" cat ")
        assert parts[0] in options.words["breed"]
        assert parts[1].startswith(options.words["action"])
        assert parts[1].endswith(options.words["furniture"])
    assert len(set(told["prompts"]["cat"])) > 4


def test_images_do_not_depend_on_the_batch_size(synthesise):
    one, prompts_of_one = synthesise(batch_size=1)
    seven, prompts_of_seven = synthesise(batch_size=7)
    assert closest(one, seven) <= 1
    assert prompts_of_one["prompts"] == prompts_of_seven["prompts"]


def test_another_seed_makes_other_images(synthesise, tmp_path):
    (tmp_path / "other").mkdir()
    other, _ = synthesise(synthesis_context(tmp_path / "other", seed=6))
    assert closest(synthesise()[0], other) > 5


def test_flagged_images_are_dropped_and_drawn_again_with_a_new_prompt(synthesise, monkeypatch):
    plain, told_plain = synthesise(target={"cat": 13})
    flag(monkeypatch, lambda number: number in (1, 4, 5))
    synthetic, told = synthesise(target={"cat": 9}, batch_size=1)
    assert synthetic.counts_K.tolist() == [0, 8, 0]
    assert (told["requested"], told["flagged"], told["flagged_by_class"]) == (8, 3, {"cat": 3})
    passed = [0, 2, 3, 6, 7, 8, 9, 10]
    assert closest(synthetic, plain.take(np.array(passed))) <= 1
    assert told["prompts"]["cat"] == [told_plain["prompts"]["cat"][index] for index in passed]


def test_the_models_own_safety_checker_is_heard(train, tmp_path):
    strict = tmp_path / "strict"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tiny_pipeline(strict, concept_threshold=-2.0)
    options = StableDiffusionOptions(folder=strict, preset="tiny_random", steps=1, batch_size=64, target={"cat": 60})
    with pytest.raises(BalancerError, match=r"flagged 100 of 100 images of class 'cat': other `templates`"):
        StableDiffusion(options).synthesise(train, synthesis_context(tmp_path))


def prompted(monkeypatch, fail_in_call=None):
    """Return the prompts of each call of the pipeline; the call of this number, from 1, is interrupted."""
    real_call, calls = Pipeline.__call__, []

    def call(self, prompts, seeds, sources):
        calls.append(list(seeds))
        if len(calls) == fail_in_call:
            raise KeyboardInterrupt
        return real_call(self, prompts, seeds, sources)

    monkeypatch.setattr(Pipeline, "__call__", call)
    return calls


def test_an_interrupted_step_makes_only_what_is_missing_and_the_same_images(synthesise, monkeypatch, tmp_path):
    whole, told_whole = synthesise(batch_size=3)
    (tmp_path / "broken").mkdir()
    context = synthesis_context(tmp_path / "broken", seed=5)
    calls = prompted(monkeypatch, fail_in_call=3)
    with pytest.raises(KeyboardInterrupt):
        synthesise(context, batch_size=3)
    synthetic, told = synthesise(context, batch_size=3)
    assert [len(seeds) for seeds in calls[3:]] == [3, 1]
    assert (synthetic.images_NCHW == whole.images_NCHW).all()
    assert told["prompts"] == told_whole["prompts"]
    assert (told["batches"], told["candidates_of_earlier_attempts"]) == (2, 6)


@pytest.mark.parametrize("with_pool", [False, True])
def test_a_step_interrupted_inside_a_batch_draws_no_image_again_that_was_written(
    synthesise, monkeypatch, tmp_path, with_pool
):
    options = {"batch_size": 5, "pool": tmp_path / "pool" if with_pool else None}
    whole, _ = synthesise(batch_size=5)
    (tmp_path / "broken").mkdir()
    context = synthesis_context(tmp_path / "broken", seed=5)
    calls = prompted(monkeypatch)
    writes, kind = [], GeneratedPool if with_pool else FinishedCandidates
    real_add = kind.add

    def add(self, *about, **more):
        writes.append(about)
        if len(writes) == 8:
            raise KeyboardInterrupt
        real_add(self, *about, **more)

    monkeypatch.setattr(kind, "add", add)
    with pytest.raises(KeyboardInterrupt):
        synthesise(context, **options)
    synthetic, _ = synthesise(context, **options)
    drawn = [seed for seeds in calls for seed in seeds]
    assert [len(seeds) for seeds in calls] == [5, 5, 3]  # seven of ten had been written
    assert drawn[10:] == drawn[7:10]
    assert closest(synthetic, whole) <= 1  # another batch size may round otherwise


def test_a_resumed_step_tells_the_same_flags_and_similarities(synthesise, monkeypatch, tmp_path):
    flag(monkeypatch, lambda number: number in (1, 4))
    similar = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)

    class Judge:
        """Finds the images that it is shown as similar as the next of the numbers says."""

        def __init__(self, *_):
            self.seen = 0

        def __call__(self, pictures):
            self.seen += len(pictures)
            return similar[self.seen - len(pictures) : self.seen]

    judge = Judge()
    monkeypatch.setattr(stable_diffusion, "ClassSimilarity", lambda *_: judge)
    (tmp_path / "kept").mkdir()
    context = synthesis_context(tmp_path / "kept", seed=5)
    whole, told = synthesise(context, clip_folder=tmp_path, batch_size=1)
    again, told_again = synthesise(context, clip_folder=tmp_path, batch_size=1)
    assert (again.images_NCHW == whole.images_NCHW).all()
    assert (told["batches"], told_again.pop("batches"), told_again.pop("candidates_of_earlier_attempts")) == (12, 0, 12)
    assert told_again == {name: value for name, value in told.items() if name in told_again}
    assert told["flagged"] == 2


def test_what_was_cut_short_or_damaged_is_made_again(synthesise, monkeypatch, tmp_path):
    (tmp_path / "place").mkdir()
    context = synthesis_context(tmp_path / "place", seed=5)
    whole, _ = synthesise(context, batch_size=4)
    calls = prompted(monkeypatch)
    lines, pixels = (context.checkpoints.folder / name for name in ("candidates.jsonl", "pixels.bin"))
    text, image_bytes = lines.read_bytes(), pixels.read_bytes()
    one = len(image_bytes) // 10
    damages = {
        "a cut line": (text[:-20], image_bytes, 9),
        "a cut image": (text, image_bytes[: -one - 5], 8),
        "an image without its line": (b"".join(text.splitlines(keepends=True)[:9]), image_bytes, 9),
        "an altered image": (text, image_bytes[: 6 * one] + bytes(one) + image_bytes[7 * one :], 6),
        "no line": (b"", image_bytes, 0),
    }
    for name, (left_text, left_bytes, whole_images) in damages.items():
        calls.clear()
        lines.write_bytes(left_text)
        pixels.write_bytes(left_bytes)
        again, told = synthesise(context, batch_size=4)
        assert (told["candidates_of_earlier_attempts"], sum(map(len, calls))) == (whole_images, 10 - whole_images), name
        assert closest(again, whole) <= 1, name
        assert (lines.read_bytes(), len(pixels.read_bytes())) == (text, len(image_bytes)), name


def test_the_batch_is_halved_until_memory_holds_it(synthesise, monkeypatch):
    whole, _ = synthesise()
    real_call, sizes = Pipeline.__call__, []

    def call(self, prompts, seeds, sources):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real_call(self, prompts, seeds, sources)

    monkeypatch.setattr(Pipeline, "__call__", call)
    synthetic, told = synthesise()
    assert sizes[:2] == [4, 2]
    assert told["batch_size"] == 2
    assert closest(synthetic, whole) <= 1
    with pytest.raises(torch.OutOfMemoryError):
        synthesise(batch_size=3)


def test_image_to_image_starts_from_a_real_image_of_the_class_and_names_it(synthesise, train, monkeypatch):
    bright = replace(train, images_NCHW=np.full_like(train.images_NCHW, 255))
    dark = replace(train, images_NCHW=np.zeros_like(train.images_NCHW))
    options = {"source": "kept", "strength": 0.5, "guidance": 1.0}
    from_bright, _ = synthesise(data=bright, **options)
    from_dark, _ = synthesise(data=dark, **options)
    assert from_bright.counts_K.tolist() == [0, 8, 2]
    assert closest(from_bright, from_dark) > 5
    levels_NCHW = np.broadcast_to(np.arange(17, dtype=np.uint8)[:, None, None, None] * 15, (17, 3, 12, 12))
    seen, real_call = [], Pipeline.__call__
    monkeypatch.setattr(
        Pipeline, "__call__", lambda *inputs: seen.extend(inputs[3].mean(dim=(1, 2, 3)).tolist()) or real_call(*inputs)
    )
    flag(monkeypatch, lambda number: number == 2)  # what is dropped has no parent
    synthetic, _ = synthesise(data=replace(train, images_NCHW=levels_NCHW), batch_size=1, **options)
    del seen[2]
    np.testing.assert_allclose(np.array(seen) * 255, 15 * synthetic.parents.first_N, atol=0.01)
    without_cats = train.take(np.flatnonzero(train.labels_N != 1))
    with pytest.raises(BalancerError, match="class 'cat' has no images"):
        synthesise(data=without_cats, **options)


def test_a_class_without_images_is_filled_from_text(synthesise, train):
    synthetic, _ = synthesise(data=train.take(np.flatnonzero(train.labels_N != 1)))
    assert synthetic.counts_K.tolist() == [0, 9, 2]


def test_grey_training_images_get_the_luma_of_the_made_ones(synthesise, train):
    colour, _ = synthesise()
    grey, _ = synthesise(data=replace(train, images_NCHW=train.images_NCHW[:, :1].copy()))
    luma = np.tensordot([0.299, 0.587, 0.114], colour.images_NCHW.astype(float), axes=(0, 1))
    assert np.abs(grey.images_NCHW[:, 0] - luma).max() <= 1.01  # each rounded on its own


@pytest.mark.parametrize("scheduler", ["ddim", "dpm_solver", "euler_ancestral", "lcm"])
def test_every_named_sampler_works_image_by_image(synthesise, scheduler):
    one, _ = synthesise(scheduler=scheduler, batch_size=1, target={"cat": 4})
    three, _ = synthesise(scheduler=scheduler, batch_size=3, target={"cat": 4})
    assert closest(one, three) <= 1
