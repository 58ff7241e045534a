"""Pools of generated images, prompts by class, and CLIP's view of class names, on a pipeline of random weights."""

from __future__ import annotations

import json
import string

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from balancebench import BalancerError, LabelledImages
from balancebench.testing import synthesis_context
from balancebench_imagegen import stable_diffusion
from balancebench_imagegen.clip_similarity import ClassSimilarity, vague_classes
from balancebench_imagegen.image_pool import ImagePool
from balancebench_imagegen.options import ImagePoolOptions
from balancebench_imagegen.pipeline import Pipeline
from balancebench_imagegen.prompts import Prompts, read_prompts
from balancebench_imagegen.stable_diffusion import StableDiffusion
from balancebench_imagegen.stable_diffusion_options import StableDiffusionOptions, model_folder, model_identity


@pytest.fixture
def batches(monkeypatch):
    """The sizes of the batches that the pipeline was asked for."""
    sizes, real_call = [], Pipeline.__call__

    def call(self, prompts, seeds, sources):
        sizes.append(len(prompts))
        return real_call(self, prompts, seeds, sources)

    monkeypatch.setattr(Pipeline, "__call__", call)
    return sizes


@pytest.fixture
def train():
    labels_N = np.repeat(np.array([0, 1, 2]), [5, 1, 3])
    images_NCHW = np.random.default_rng(0).integers(0, 256, (9, 3, 12, 12), dtype=np.uint8)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("dog", "cat", "car"))


@pytest.fixture
def synthesise(folder, train, tmp_path):
    runs = iter(range(100))

    def run(seed=5, **options):
        run_folder = tmp_path / f"run{next(runs)}"
        run_folder.mkdir()
        context = synthesis_context(run_folder, seed=seed)
        given = {"folder": folder, "preset": "tiny_random", "steps": 1, **options}
        synthetic = StableDiffusion(StableDiffusionOptions(**given)).synthesise(train, context)
        return synthetic, json.loads((context.artefacts / "generation.json").read_text())

    return run


def rows_of(pool):
    return [json.loads(line) for line in (pool / "manifest.jsonl").read_text().splitlines()]


def test_a_pool_says_of_each_image_what_it_was_made_from_and_gives_it_again(synthesise, tmp_path, batches):
    pool = tmp_path / "pool"
    first, told = synthesise(pool=pool)
    assert (sum(batches), told["from_pool"]) == (6, 0)
    rows = rows_of(pool)
    assert sorted(row["class_name"] for row in rows) == ["car"] * 2 + ["cat"] * 4
    assert {(row["steps"], row["guidance"], row["scheduler"], row["flagged"]) for row in rows} == {
        (1, 7.5, "own", False)
    }
    assert {row["prompt"] for row in rows if row["class_name"] == "car"} == {"a photo of a car"}
    with Image.open(pool / rows[0]["file"]) as picture:
        assert picture.size == (rows[0]["width"], rows[0]["height"]) == (16, 16)
    again, told = synthesise(pool=pool)
    assert (sum(batches), told["from_pool"]) == (6, 6)
    np.testing.assert_array_equal(again.images_NCHW, first.images_NCHW)
    without, _ = synthesise()
    np.testing.assert_array_equal(without.images_NCHW, first.images_NCHW)


def test_only_what_a_pool_lacks_is_made(synthesise, tmp_path, batches):
    pool = tmp_path / "pool"
    synthesise(pool=pool, target={"cat": 3})
    del batches[:]
    synthetic, told = synthesise(pool=pool, target={"cat": 5}, batch_size=8)
    assert (batches, told["from_pool"]) == ([2], 2)
    assert synthetic.counts_K.tolist() == [0, 4, 0]
    for other in ({"seed": 6}, {"guidance": 3.0}, {"templates": {"*": "a drawing of a {class_name}"}}):
        del batches[:]
        synthesise(pool=pool, target={"cat": 5}, **other)
        assert sum(batches) == 4  # other noise, other settings, other prompts: other images


def test_image_pool_reads_what_was_generated(synthesise, train, tmp_path):
    synthesise(pool=tmp_path / "pool")
    (tmp_path / "reading").mkdir()
    options = ImagePoolOptions(path=tmp_path / "pool", target={"cat": 4, "car": 4})
    assert ImagePool(options).synthesise(train, synthesis_context(tmp_path / "reading")).counts_K.tolist() == [0, 3, 1]


def test_a_pool_whose_manifest_does_not_fit_its_files_is_refused(synthesise, train, tmp_path):
    pool = tmp_path / "pool"
    synthesise(pool=pool)
    first, second = (pool / row["file"] for row in rows_of(pool)[:2])
    content = first.read_bytes()
    Image.new("RGB", (16, 16)).save(first)
    with pytest.raises(BalancerError, match=r"is not the image that manifest.jsonl says: delete it and its line"):
        synthesise(pool=pool)
    first.write_bytes(content)
    second.unlink()
    with pytest.raises(BalancerError, match=r"line 2, names cat/.*png, which is not there"):
        synthesise(pool=pool)
    (tmp_path / "reading").mkdir()
    with pytest.raises(BalancerError, match=r"line 2, names cat/.*png, which is not there"):
        ImagePool(ImagePoolOptions(path=pool, target={"cat": 2})).synthesise(
            train, synthesis_context(tmp_path / "reading")
        )
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "precious.txt").write_text("mine")
    with pytest.raises(BalancerError, match=r"is not empty and has no manifest.jsonl"):
        synthesise(pool=foreign)
    assert [path.name for path in foreign.iterdir()] == ["precious.txt"]


def test_a_line_that_was_cut_short_is_made_again(synthesise, tmp_path, batches):
    pool = tmp_path / "pool"
    synthesise(pool=pool)
    manifest = pool / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]) + lines[-1][:40])
    del batches[:]
    synthesise(pool=pool)
    assert sum(batches) == 1
    synthesise(pool=pool)  # and the manifest can be read again
    assert sum(batches) == 1


def test_flagged_images_have_a_line_and_no_file(synthesise, tmp_path, monkeypatch, batches):
    real_call, numbers = Pipeline.__call__, iter(range(100))

    def call(self, prompts, seeds, sources):
        images, _ = real_call(self, prompts, seeds, sources)
        return images, [next(numbers) == 0 for _ in prompts]

    monkeypatch.setattr(Pipeline, "__call__", call)
    _, told = synthesise(pool=tmp_path / "pool")
    assert [row["file"] for row in rows_of(tmp_path / "pool") if row["flagged"]] == [""]
    generated = sum(batches)
    _, again = synthesise(pool=tmp_path / "pool")
    assert (told["flagged"], again["flagged"], sum(batches) - generated) == (1, 1, 0)


def test_prompts_come_from_a_file_by_class_one_or_a_list(synthesise, tmp_path):
    prompts = tmp_path / "prompts.toml"
    prompts.write_text('cat = ["a cat", "a kitten"]\ncar = "a red {class_name}"\n')
    _, told = synthesise(prompts_file=prompts, target={"cat": 12, "car": 4})
    assert set(told["prompts"]["cat"]) == {"a cat", "a kitten"}
    assert told["prompts"]["car"] == ["a red car"]
    other = model_identity(StableDiffusionOptions(preset="tiny_random"))
    assert model_identity(StableDiffusionOptions(preset="tiny_random", prompts_file=prompts)) != other


def test_a_file_of_prompts_that_lacks_a_class_is_refused(synthesise, tmp_path):
    prompts = tmp_path / "prompts.json"
    prompts.write_text('{"cats": "a cat", "car": "a car"}')
    with pytest.raises(BalancerError, match=r"no prompt for class 'cat' \(did you mean 'cats'\?\)"):
        synthesise(prompts_file=prompts)
    synthesise(prompts_file=prompts, target={"car": 4})  # nobody asks for cats
    for content, message in (("[1]", "holds no prompts"), ('{"cat": []}', "at least one"), ("{", "cannot be read")):
        prompts.write_text(content)
        with pytest.raises(BalancerError, match=message):
            read_prompts(prompts)


def test_a_list_of_one_prompt_draws_words_as_that_prompt_does():
    words = {"colour": tuple(string.ascii_letters)}
    one, listed = Prompts({"*": "{colour} x"}, words), Prompts({"*": ("{colour} x",)}, words)
    rng = np.random.default_rng
    assert [one.prompt("x", rng(seed)) for seed in range(9)] == [listed.prompt("x", rng(seed)) for seed in range(9)]


def test_a_model_that_brings_code_of_its_own_is_refused(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "pipeline.py").write_text("raise SystemExit")
    with pytest.raises(BalancerError, match=r"brings code of its own \(pipeline.py\), which is never run"):
        model_folder(StableDiffusionOptions(folder=tmp_path / "model", preset="tiny_random"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, folder):
    """A CLIP model of random weights, with the tokenizer of the tiny pipeline."""
    import transformers

    path = tmp_path_factory.mktemp("clip")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **sizes,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.CLIPConfig(
            text_config=text, vision_config={**sizes, "image_size": 16, "patch_size": 8}, projection_dim=8
        )
        transformers.CLIPModel(config).save_pretrained(path, safe_serialization=True)
    tokenizer.save_pretrained(path)
    transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16).save_pretrained(path)
    return path


def test_similarities_are_those_of_transformers_own_model(clip):
    import transformers

    pixels_BHWC = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    pictures = [Image.fromarray(pixels_HWC) for pixels_HWC in pixels_BHWC]
    ours_BK = ClassSimilarity(clip, ["cat", "car"], torch.device("cpu"))(pictures)
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip)
    processor = transformers.CLIPImageProcessor.from_pretrained(clip)
    texts = tokenizer(["a photo of a cat", "a photo of a car"], padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**texts, pixel_values=processor(images=pictures, return_tensors="pt")["pixel_values"])
    np.testing.assert_allclose(ours_BK, output.logits_per_image / model.logit_scale.exp().detach(), atol=1e-5)


def test_similarities_are_reported_by_class_and_unlike_images_dropped(synthesise, clip):
    plain, told = synthesise(clip_folder=clip)
    assert set(told["clip_similarity"]["to_own_name"]) == {"cat", "car"}
    middle = told["clip_similarity"]["to_own_name"]["cat"]
    strict, told = synthesise(clip_folder=clip, least_similarity=middle, target={"cat": 5})
    assert told["flagged_by_class"]["cat"] > 0
    assert told["clip_similarity"]["to_own_name"]["cat"] <= 1
    assert not np.array_equal(strict.images_NCHW, plain.images_NCHW[plain.labels_N == 1])
    with pytest.raises(BalancerError, match=r"safety checker and CLIP flagged 1[0-9][0-9] of"):
        synthesise(clip_folder=clip, least_similarity=1.0, batch_size=64, target={"cat": 60})


def test_a_name_is_vague_where_its_images_fit_another_one_as_well():
    mean_KK = np.array([[0.30, 0.20, 0.10], [0.31, 0.25, 0.20], [np.nan] * 3])
    assert vague_classes(mean_KK, ["apple", "ginger", "pear"]) == {"ginger": "apple"}


def test_options_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="least_similarity wants a CLIP model"):
        StableDiffusionOptions(least_similarity=0.2)
    with pytest.raises(ValidationError, match="a pool keeps images made from text alone"):
        StableDiffusionOptions(pool=tmp_path, source="kept")
    with pytest.raises(BalancerError, match="there is no CLIP model at"):
        stable_diffusion_ready(tmp_path)


def stable_diffusion_ready(clip_folder):
    from balancebench_imagegen.stable_diffusion_options import model_ready

    model_ready(StableDiffusionOptions(preset="tiny_random", clip_folder=clip_folder))


def test_the_pipeline_is_not_loaded_for_what_lies_in_the_pool(synthesise, tmp_path, monkeypatch):
    synthesise(pool=tmp_path / "pool")

    def load(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(stable_diffusion, "Pipeline", load)
    synthesise(pool=tmp_path / "pool")
