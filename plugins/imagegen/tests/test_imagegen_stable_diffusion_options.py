"""What Stable Diffusion's options name: models that are there or not, words, and what decides a step's key."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from balancebench import BalancerError
from balancebench.config import identity_config
from balancebench_imagegen.stable_diffusion_options import (
    PRESETS,
    StableDiffusionOptions,
    model_folder,
    model_identity,
    outside_data,
)


def test_a_missing_model_is_named_with_the_command_that_fetches_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(BalancerError) as caught:
        model_folder(StableDiffusionOptions())
    sd14 = PRESETS["sd14"]
    assert f"`hf download CompVis/stable-diffusion-v1-4 --revision {sd14.revision}`" in str(caught.value)
    with pytest.raises(BalancerError, match="no diffusion pipeline at"):
        model_folder(StableDiffusionOptions(folder=tmp_path / "nowhere"))


def test_a_model_in_the_hubs_cache_is_found_and_one_with_parts_missing_is_not(monkeypatch, tmp_path, folder):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    options = StableDiffusionOptions(model="someone/tiny", revision="0" * 40, preset="tiny_random")
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    assert model_folder(options) == snapshot
    snapshot.unlink()
    snapshot.mkdir()
    for part in folder.iterdir():
        if part.name != "unet":
            (snapshot / part.name).symlink_to(part)
    with pytest.raises(BalancerError, match="incomplete, unet is missing: fetch someone/tiny"):
        model_folder(options)
    (snapshot / "unet").mkdir()
    (snapshot / "unet" / "config.json").write_text("{}")
    (snapshot / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BalancerError, match="has no weights as safetensors"):
        model_folder(options)


def test_the_identity_follows_the_model_the_settings_and_the_words_but_no_path(folder, tmp_path):
    copied = tmp_path / "elsewhere"
    copied.symlink_to(folder)
    here, there = (StableDiffusionOptions(folder=model_path, preset="tiny_random") for model_path in (folder, copied))
    assert model_identity(here) == model_identity(there)
    assert str(folder) not in json.dumps([model_identity(here), identity_config(here)])
    assert model_identity(StableDiffusionOptions(steps=20)) != model_identity(StableDiffusionOptions())
    assert identity_config(StableDiffusionOptions(batch_size=2)) == identity_config(StableDiffusionOptions())
    words = tmp_path / "words.toml"
    lists = {"breed": ["tabby"], "action": ["lying"], "preposition": ["on"], "furniture": ["mat"]}
    words.write_text("\n".join(f"{name} = {json.dumps(word_list)}" for name, word_list in lists.items()))
    from_file = StableDiffusionOptions(words_file=words)
    assert from_file.prompts().prompt("cat", np.random.default_rng(0)) == "A tabby cat lying on the mat"
    assert model_identity(from_file) != model_identity(StableDiffusionOptions())


def test_rows_name_the_model_that_was_trained_elsewhere(folder):
    expected = "CompVis/stable-diffusion-v1-4, trained on text-image pairs from the web"
    assert outside_data(StableDiffusionOptions()) == expected
    assert outside_data(StableDiffusionOptions(preset="tiny_random")) is None
    assert "tiny" in outside_data(StableDiffusionOptions(folder=folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "someone/model"}, "needs a revision: the commit listed at https://huggingface.co/someone/model"),
        ({"model": "someone/model", "revision": "main"}, "pattern"),
        ({"model": "../model", "revision": "0" * 40}, "pattern"),
        ({"revision": "0" * 40}, "revision is of `model`"),
        ({"templates": {"cat": "a {bred} cat"}}, r"has \{bred\}, but there is no list.*did you mean 'breed'"),
        ({"templates": {"cat": "a {breed.__class__} cat"}}, "names in braces"),
        ({"templates": {"cat": "a {0} cat"}}, "names in braces"),
        ({"templates": {"cat": "a {breed cat"}}, "cannot be read"),
        ({"source": "kept", "preset": "sd_turbo", "strength": 0.5}, "leaves none"),
        ({"height": 100}, "multiple of 8"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        StableDiffusionOptions(**options)


@pytest.mark.parametrize(
    ("content", "message"),
    [("breed = 3", "'breed' must be a list"), ("breed = [", "cannot be read"), ("", "holds no lists")],
)
def test_a_file_without_word_lists_is_refused(content, message, tmp_path):
    words = tmp_path / "words.toml"
    words.write_text(content)
    with pytest.raises(BalancerError, match=message):
        StableDiffusionOptions(words_file=words).prompts()
