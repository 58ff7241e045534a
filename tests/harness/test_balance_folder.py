"""`balancebench balance`: a folder of images balanced, with manifest and data card, never over what is there."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from balancebench.balanced_folder import balancing_run as balance_module
from balancebench.balanced_folder import image_writer as write_module
from balancebench.balanced_folder.image_writer import write_folder
from balancebench.balanced_folder.request import request_of
from balancebench.data import LabelledImages, Origin, Parents, concatenate
from balancebench.synthesis.fit_options import FitOptions

COUNTS = {"dark": 2, "light": 5}


@pytest.fixture
def photos(tmp_path):
    """Two dark and five light images of 6x6, each of its own grey level."""
    for name, level in (("dark", 10), ("light", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(COUNTS[name]):
            Image.new("RGB", (6, 6), (level + index,) * 3).save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


def manifest(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def balance(call, photos, *more, output="out"):
    return call("balance", photos, "--with", "generating", "-o", output, "--device", "cpu", *more)


def test_every_class_gets_as_many_images_as_the_largest(call, photos, tmp_path):
    code, out, err = balance(call, photos)
    assert code == 0, err
    assert "dark: 5 images" in out
    rows = manifest(tmp_path / "out")
    assert {(row["class"], row["kind"]) for row in rows} == {
        ("dark", "real"), ("dark", "synthetic"), ("light", "real"),
    }  # fmt: skip
    assert len(rows) == 10 == len(list((tmp_path / "out").glob("*/*.png")))
    for row in rows:
        pixels = np.asarray(Image.open(tmp_path / "out" / row["file"]))
        assert pixels.shape == (6, 6, 3)
        if row["kind"] == "real":
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(photos / row["source"])))
        else:
            assert (row["source"], row["seed"]) == ("generating", "0")
            assert abs(pixels.mean() - 10.5) < 15  # the mean image of its class, with noise


def test_the_data_card_says_how_it_was_made(call, photos, tmp_path):
    balance(call, photos, "--option", "target=7", "--seed", "4")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# photos, balanced with generating" in card
    assert "| dark | 2 | 2 | 5 | 7 |" in card
    assert '"target": 7' in card
    assert "seed 4" in card
    assert "6x6 pixels, RGB" in card


def test_a_folder_that_is_not_empty_is_left_as_it_is(call, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    code, _, err = balance(call, photos)
    assert code == 2
    assert "out is not empty (precious.txt): name a new folder, nothing is written over" in err
    assert contents(tmp_path / "out") == {(tmp_path / "out" / "precious.txt").relative_to(tmp_path / "out"): b"mine"}


def test_the_same_command_again_does_nothing_and_another_one_is_refused(call, photos, tmp_path):
    balance(call, photos)
    before = contents(tmp_path / "out")
    code, out, _ = balance(call, photos)
    assert code == 0
    assert "holds all of these images already" in out
    code, _, err = balance(call, photos, "--seed", "1")
    assert code == 2
    assert "out was begun with other seed: name a new folder" in err
    assert contents(tmp_path / "out") == before


def test_an_interrupted_command_goes_on_with_the_trained_generator_and_the_same_images(
    call, photos, tmp_path, monkeypatch
):
    log = tmp_path / "trainings.txt"
    options = ("--option", f'log="{log}"')
    balance(call, photos, *options, output="whole")
    pictures, real_picture = iter(range(6)), write_module._picture

    def interrupted(image_CHW):
        if next(pictures, None) is None:
            raise KeyboardInterrupt
        return real_picture(image_CHW)

    with monkeypatch.context() as patch:
        patch.setattr(write_module, "_picture", interrupted)
        assert balance(call, photos, *options)[0] == 130
    begun = set(contents(tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.csv").exists()
    code, _, err = balance(call, photos, *options)
    assert code == 0, err
    assert len(log.read_text().splitlines()) == 2  # one training for each of the two folders
    images = {path for path in begun if path.suffix == ".png"}
    assert 0 < len(images) < 10
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_dry_run_counts_and_writes_nothing(call, photos, tmp_path):
    code, out, err = balance(call, photos, "--option", "target=9", "--size", "8", "--dry-run")
    assert code == 0, err
    assert "11 images would be made, 18 written." in out
    assert "generating trains a generator first" in out
    assert not (tmp_path / "out").exists()


def test_files_of_several_sizes_want_a_size_and_are_fitted_by_it(call, photos, tmp_path):
    Image.new("RGB", (12, 6), (250, 250, 250)).save(photos / "light" / "wide.png")
    code, _, err = balance(call, photos)
    assert code == 2
    assert "light/wide.png (12x6 pixels, others 6x6 pixels); `size` brings images to one size" in err
    code, _, err = balance(call, photos, "--size", "6", "--fit", "letterbox", "--padding", "white")
    assert code == 0, err
    (wide,) = [row for row in manifest(tmp_path / "out") if row["source"] == "light/wide.png"]
    pixels = np.asarray(Image.open(tmp_path / "out" / wide["file"]))
    assert (pixels[0] == 255).all()
    assert (pixels[3] == 250).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--with", "generatin"), "unknown balancer 'generatin' (did you mean 'generating'?)"),
        (("--with", "generating", "--option", "targt=3"), "unknown key 'targt' (did you mean 'target'?)"),
        (("--with", "generating", "--option", "target"), "write KEY=VALUE, for example target=200"),
        (("--with", "two_stage"), "two_stage trains in 2 phases, which no folder of images can say"),
        (("--with", "none"), "none changes no images here"),
        (("--with", "generating", "--fit", "squash"), "--fit squash: Input should be 'stretch', 'crop' or 'letterbox'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(call, photos, arguments, message):
    code, out, err = call("balance", photos, "-o", "out", "--device", "cpu", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in out + err


def test_folders_that_are_no_classes_are_refused(call, photos, tmp_path):
    (photos / "empty").mkdir()
    assert f"class folder {photos / 'empty'} has no images" in "".join(balance(call, photos)[2])
    (photos / "empty").rmdir()
    photos.rename(tmp_path / "Train")
    assert f"holds splits: name {tmp_path / 'Train'}" in balance(call, tmp_path)[2]
    assert "written images would be read as a class" in balance(call, tmp_path / "Train", output="Train/out")[2]


def test_copies_name_the_file_they_are_copies_of(fakes, photos, tmp_path):
    request = request_of(photos, tmp_path / "out", "none", {}, fakes, fit=FitOptions(), size=None, seed=0)
    train = LabelledImages(
        images_NCHW=np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(4, axis=2).repeat(4, axis=3),
        labels_N=np.array([0, 1, 1, 1]),
        class_names=("dark", "light"),
    )
    repeated = train.take(np.array([0, 0]), origin=Origin.REPEATED)
    request.work.mkdir(parents=True)
    files = ["dark/a.png", "light/a.png", "light/b.png", "light/c.png"]
    write_folder(request, train, files, concatenate([train, repeated]), "a test", lambda *_: None)
    rows = manifest(tmp_path / "out")
    assert [(row["kind"], row["parent"]) for row in rows if row["class"] == "dark"] == [
        ("real", ""), ("repeated", "dark/a.png"), ("repeated", "dark/a.png"),
    ]  # fmt: skip
    assert np.asarray(Image.open(tmp_path / "out" / "dark" / "repeated_00001.png")).shape == (4, 4)
    assert balance_module.is_finished(request)


def test_made_images_name_the_files_they_come_from_as_far_as_the_balancer_knows(fakes, photos, tmp_path):
    request = request_of(photos, tmp_path / "out", "none", {}, fakes, fit=FitOptions(), size=None, seed=0)
    train = LabelledImages(
        images_NCHW=np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, axis=2).repeat(4, axis=3),
        labels_N=np.array([0, 1, 1]),
        class_names=("dark", "light"),
    )
    generated = train.take(np.array([1, 1, 0]), origin=Origin.SYNTHETIC)
    parents = Parents(
        first_N=np.array([1, 2, -1]), second_N=np.array([2, -1, -1]), second_weight_N=np.array([1 / 3, 0, 0])
    )
    unknown = train.take(np.array([0]), origin=Origin.AUGMENTED)
    balanced = concatenate([train, replace(generated, parents=parents), unknown])
    request.work.mkdir(parents=True)
    write_folder(request, train, ["dark/a.png", "light/a.png", "light/b.png"], balanced, "a test", lambda *_: None)
    rows = [(row["parent"], row["second_parent"], row["second_weight"]) for row in manifest(tmp_path / "out")]
    assert rows == [
        ("", "", ""), ("", "", ""), ("", "", ""),
        ("light/a.png", "light/b.png", "0.333333"), ("light/b.png", "", ""), ("unknown", "", ""), ("unknown", "", ""),
    ]  # fmt: skip


def test_parents_that_are_not_in_the_folder_are_an_error_of_the_balancer(call, photos, monkeypatch):
    def synthesise(_self, train, _context):
        generated = train.take(np.array([0]), origin=Origin.SYNTHETIC)
        return replace(generated, parents=Parents.single(np.array([7])))

    monkeypatch.setattr("balancebench_fakes.Generating.synthesise", synthesise)
    code, _, err = balance(call, photos)
    assert code == 2
    assert "generating names image 7 as a parent; the training set has 7" in " ".join(err.split())
