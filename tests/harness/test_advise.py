"""What `balancebench advise` says of a folder of images and of a suite, before anything is trained."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from balancebench.advice import Advice, Advisor
from balancebench.registry import Registry, load_registry


@pytest.fixture
def photographs(tmp_path):
    """A folder of 40 apples, 12 pears and 4 plums."""
    rng = np.random.default_rng(0)
    for name, count in (("apple", 40), ("pear", 12), ("plum", 4)):
        folder = tmp_path / "fruit bowl" / name
        folder.mkdir(parents=True)
        for index in range(count):
            pixels_HWC = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels_HWC).resize((20, 20)).save(folder / f"{index:02}.png")
    return tmp_path / "fruit bowl"


def flat(text):
    return " ".join(text.split())


def test_a_folder_is_described_and_gets_a_suite_to_start_from(call, photographs, tmp_path):
    code, out, err = call("advise", photographs, "--size", "16", "-o", "fruit.toml")
    assert code == 0, err
    said = flat(out)
    assert "apple 30, pear 9, plum 3" in said
    assert "The largest class has 10 times the images of the smallest." in said
    assert "near-duplicate among the training images" in said
    assert "smote needs 6 images of a class that is to grow; plum has fewer." in said
    assert "7x7 uniform window, sample covariance" in said
    assert "(standard error " in said
    assert "association over eight data sets" in said
    assert "misses the eighth by" in said
    assert 'root = "fruit bowl"' in (tmp_path / "fruit.toml").read_text(encoding="utf-8")
    code, out, err = call("validate", "fruit.toml")
    assert code == 0, err
    assert "fruit.toml: good" in out


def test_without_an_output_the_suite_is_printed(call, photographs, tmp_path):
    before = set(tmp_path.iterdir())
    code, out, _ = call("advise", photographs, "--size", "16")
    assert code == 0
    assert 'use = "image_folder"' in out
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"balancebench-store"}


def test_a_file_that_exists_is_never_written_over(call, photographs, tmp_path):
    (tmp_path / "mine.toml").write_text("mine", encoding="utf-8")
    code, _, err = call("advise", photographs, "-o", "mine.toml")
    assert code == 2
    assert "mine.toml exists already" in flat(err)
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "mine"


def test_of_a_suite_each_subset_is_described_once(call, suite_file):
    path = suite_file('\n[[imbalancer]]\nuse = "none"\n')
    code, out, err = call("advise", path, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert len(said["subsets"]) == 2
    assert said["suite"] is None
    for advice in said["subsets"].values():
        assert sum(advice["Classes"]["figures"]["class_counts"].values()) > 0
        assert advice["Training images among the test images"]["figures"]["near_duplicates"] is not None


def test_a_suite_gets_no_other_suite(call, suite_file):
    code, _, err = call("advise", suite_file(), "-o", "other.toml")
    assert code == 2
    assert "is a suite to start from already" in flat(err)


def test_images_that_cannot_be_read_end_with_the_data_sets_own_words(call, photographs):
    (photographs / "plum" / "00.png").write_bytes(b"no picture")
    code, out, err = call("advise", photographs)
    assert code == 1
    assert "00.png" in err
    assert "Traceback" not in out + err


def test_what_is_not_installed_is_named(call, suite_file, monkeypatch):
    registry = load_registry()
    kept = [advisor for advisor in registry.advisors if advisor.name != "similarity"]
    monkeypatch.setattr(registry, "advisors", kept)
    code, out, _ = call("advise", suite_file())
    assert code == 0
    assert "that comes with balancebench-gmaug, which is not installed here" in flat(out)


def test_a_plugins_advisor_is_asked(call, suite_file, monkeypatch):
    registry = load_registry()
    monkeypatch.setattr(registry, "advisors", [Advisor(name="mine", build=f"{__name__}:advise_on_weather")])
    monkeypatch.setitem(
        __import__("sys").modules, __name__, __import__("types").SimpleNamespace(advise_on_weather=rain)
    )
    code, out, _ = call("advise", suite_file())
    assert code == 0
    assert "It may rain" in out


def rain(evaluation):
    return Advice(heading="Weather", paragraphs=(f"It may rain on {len(evaluation.train)} images.",))


def test_a_plugin_whose_advisors_are_none_is_broken_and_brings_nothing():
    class Plugin:
        pass

    from balancebench.hookspecs import hookimpl

    plugin = Plugin()
    plugin.balancebench_advisors = hookimpl(lambda: ["me"])
    registry = Registry()
    registry.add_plugin(plugin, "balancebench-strange")
    assert "balancebench_advisors returned 'me', not an Advisor" in registry.broken[0].error
    assert registry.advisors == []
