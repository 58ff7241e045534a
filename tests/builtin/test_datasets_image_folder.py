"""Folders of images: what is read, in which order, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balancebench.builtin.datasets.components import DATASETS
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError

IMAGE_FOLDER = next(component for component in DATASETS if component.name == "image_folder")
SHADES = {"bird": 10, "cat": 100, "ship": 200}


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return LoadContext(
        data_root=tmp_path / "data", scratch=scratch, progress=lambda *_: None, logger=logging.getLogger("test")
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def write(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), shade).save(path, "PNG")


def write_classes(folder: Path, count: int = 3) -> None:
    for name, shade in SHADES.items():
        for index in range(count):
            write(folder / name / f"{index}.png", shade + index)


def load(root: Path, context: LoadContext, **options: object) -> DatasetSplits:
    model = IMAGE_FOLDER.options.model_validate({"root": root, **options})
    return IMAGE_FOLDER.create(model).load(context)


def identity(root: Path, **options: object) -> object:
    assert IMAGE_FOLDER.identity is not None
    return IMAGE_FOLDER.identity(IMAGE_FOLDER.options.model_validate({"root": root, **options}))


def refusal(root: Path, context: LoadContext, **options: object) -> str:
    """The message with which the folder is refused, which must be the same when planning and when loading."""
    with pytest.raises(DataError) as planned:
        identity(root, **options)
    with pytest.raises(DataError) as loaded:
        load(root, context, **options)
    assert str(planned.value) == str(loaded.value)
    return str(loaded.value)


def shades(images_NCHW: np.ndarray) -> list[int]:
    return images_NCHW[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("validation", [None, "validation", "val"])
def test_train_and_test_folders_are_read_in_the_order_of_class_and_file_names(
    root: Path, context: LoadContext, validation: str | None
) -> None:
    write_classes(root / "train")
    write_classes(root / "test", 1)
    if validation:
        write_classes(root / validation, 2)
    splits = load(root, context)
    assert splits.train.class_names == ("bird", "cat", "ship")
    assert splits.train.images_NCHW.shape == (9, 3, 4, 4)
    assert shades(splits.train.images_NCHW) == [10, 11, 12, 100, 101, 102, 200, 201, 202]
    assert splits.train.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert shades(splits.test.images_NCHW) == [10, 100, 200]
    if validation:
        assert splits.validation is not None
        assert shades(splits.validation.images_NCHW) == [10, 11, 100, 101, 200, 201]
    else:
        assert splits.validation is None


def test_one_tree_is_split_by_the_test_fraction(root: Path, context: LoadContext) -> None:
    write_classes(root, 8)
    splits = load(root, context, test_fraction=0.25)
    assert splits.train.counts_K.tolist() == [6, 6, 6]
    assert splits.test.counts_K.tolist() == [2, 2, 2]
    together = [*shades(splits.train.images_NCHW), *shades(splits.test.images_NCHW)]
    assert sorted(together) == [shade + index for shade in SHADES.values() for index in range(8)]
    for split in (splits.train, splits.test):
        for shade, label in zip(shades(split.images_NCHW), split.labels_N, strict=True):
            assert shade // 90 == label  # 10.. is class 0, 100.. class 1, 200.. class 2


def test_images_per_class_keeps_the_first_training_images_and_the_same_test_images(
    root: Path, context: LoadContext
) -> None:
    write_classes(root, 8)
    whole = load(root, context, test_fraction=0.25)
    small = load(root, context, test_fraction=0.25, images_per_class=2)
    first_two = shades(whole.train.images_NCHW[[0, 1, 6, 7, 12, 13]])
    assert shades(small.train.images_NCHW) == first_two
    assert small.test.digest() == whole.test.digest()


def test_superclass_folders_give_the_superclasses(root: Path, context: LoadContext) -> None:
    for split in ("train", "test"):
        for folder in ("vehicle/ship", "animal/cat", "animal/bird"):
            write(root / split / folder / "0.png", SHADES[folder.split("/")[1]])
    splits = load(root, context, superclass_level=True)
    assert splits.train.class_names == ("bird", "cat", "ship")
    assert splits.test.superclass_K == splits.train.superclass_K == ("animal", "animal", "vehicle")
    assert shades(splits.train.images_NCHW) == [10, 100, 200]


def test_superclasses_may_come_from_a_table(root: Path, context: LoadContext) -> None:
    write_classes(root)
    table = {"animal": ["cat", "bird"], "vehicle": ["ship"]}
    assert load(root, context, test_fraction=0.3, superclasses=table).train.superclass_K == (
        "animal",
        "animal",
        "vehicle",
    )
    with pytest.raises(DataError, match=r"'shpi', no class here .did you mean 'ship'"):
        load(root, context, test_fraction=0.3, superclasses={"animal": ["cat", "bird"], "vehicle": ["shpi"]})


def test_other_and_hidden_files_are_ignored_and_the_suffix_says_nothing_of_the_format(
    root: Path, context: LoadContext
) -> None:
    write_classes(root)
    write(root / "cat" / "png behind another name.JPG", 150)
    write(root / "cat" / ".hidden.png")
    write(root / ".git" / "0.png")
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "README.md").write_text("no image")
    splits = load(root, context, test_fraction=0.3)
    assert (splits.train.counts_K + splits.test.counts_K).tolist() == [3, 4, 3]
    assert 150 in [*shades(splits.train.images_NCHW), *shades(splits.test.images_NCHW)]


def test_broken_images_of_all_splits_are_named(root: Path, context: LoadContext) -> None:
    for split in ("train", "test"):
        write_classes(root / split)
    for path in (root / "train/cat/1.png", root / "test/ship/2.png"):
        path.write_bytes(path.read_bytes()[:40])
    (root / "train/bird/empty.jpg").touch()
    with pytest.raises(DataError) as raised:
        load(root, context)
    message = str(raised.value)
    assert message.startswith("3 of 19 images cannot be used: ")
    for name in ("train/bird/empty.jpg", "train/cat/1.png", "test/ship/2.png"):
        assert name in message


def test_sizes_must_agree_unless_one_is_asked_for(root: Path, context: LoadContext) -> None:
    write_classes(root)
    Image.new("RGB", (6, 4)).save(root / "cat" / "wide.png")
    with pytest.raises(DataError, match=r"cat/wide.png .6x4 pixels, others 4x4 pixels"):
        load(root, context, test_fraction=0.3)
    assert load(root, context, test_fraction=0.3, size=8).train.images_NCHW.shape[1:] == (3, 8, 8)


def test_missing_root_names_the_nearest_folder(root: Path, context: LoadContext) -> None:
    write_classes(root)
    assert refusal(root.with_name("photo"), context, test_fraction=0.3).endswith("(did you mean 'photos'?)")
    assert "nowhere" in refusal(root / "nowhere" / "at all", context)


def test_layout_that_does_not_fit_says_what_would(root: Path, context: LoadContext) -> None:
    write_classes(root)
    assert "no train and test folders; set `test_fraction`" in refusal(root, context)
    write_classes(root.with_name("halved") / "train")
    assert "train but no test folder; set `root` to" in refusal(root.with_name("halved"), context)
    write_classes(root.with_name("split") / "train")
    write_classes(root.with_name("split") / "test")
    assert "leave `test_fraction` out" in refusal(root.with_name("split"), context, test_fraction=0.3)


def test_class_called_train_is_a_class_of_one_tree(root: Path, context: LoadContext) -> None:
    write_classes(root)
    write(root / "train" / "0.png")
    write(root / "train" / "1.png")
    assert load(root, context, test_fraction=0.3).train.class_names == ("bird", "cat", "ship", "train")


def test_class_folder_without_images_is_named(root: Path, context: LoadContext) -> None:
    write_classes(root)
    (root / "dog").mkdir()
    (root / "dog" / "notes.txt").touch()
    assert f"class folder {root / 'dog'} has no images" in refusal(root, context, test_fraction=0.3)


def test_class_of_one_image_cannot_be_split(root: Path, context: LoadContext) -> None:
    write_classes(root)
    write(root / "dog" / "0.png")
    with pytest.raises(DataError, match="'dog' has 1 image"):
        load(root, context, test_fraction=0.3)


def test_classes_that_differ_between_splits_are_named(root: Path, context: LoadContext) -> None:
    write_classes(root / "train")
    write_classes(root / "test")
    write(root / "test" / "dog" / "0.png")
    assert "train has no images of classes that test has: dog" in refusal(root, context)
    write(root / "train" / "dog" / "0.png")
    write(root / "train" / "horse" / "0.png")
    assert "test has no images of classes that train has: horse" in refusal(root, context)


def test_images_outside_class_folders_and_folders_inside_them_are_refused(root: Path, context: LoadContext) -> None:
    write_classes(root)
    write(root / "stray.png")
    assert "an image outside any class folder: 'stray.png'" in refusal(root, context, test_fraction=0.3)
    (root / "stray.png").unlink()
    write(root / "cat" / "kittens" / "0.png")
    assert f"{root / 'cat'} holds the folder 'kittens'" in refusal(root, context, test_fraction=0.3)


def test_class_in_two_superclasses_is_refused(root: Path, context: LoadContext) -> None:
    write(root / "train/pet/cat/0.png")
    write(root / "test/wild/cat/0.png")
    assert "'cat' is in super-class 'pet' elsewhere" in refusal(root, context, superclass_level=True)
    write(root / "train/wild/cat/0.png")
    assert "'cat' is in super-classes 'pet' and 'wild'" in refusal(root, context, superclass_level=True)


def test_links_that_leave_the_root_are_not_followed(
    root: Path, tmp_path: Path, context: LoadContext, caplog: pytest.LogCaptureFixture
) -> None:
    write_classes(root)
    write(tmp_path / "elsewhere" / "secret" / "0.png", 99)
    (root / "cat" / "inside.png").symlink_to(root / "cat" / "0.png")
    (root / "cat" / "outside.png").symlink_to(tmp_path / "elsewhere" / "secret" / "0.png")
    (root / "secret").symlink_to(tmp_path / "elsewhere" / "secret")
    splits = load(root, context, test_fraction=0.3)
    assert splits.train.class_names == ("bird", "cat", "ship")
    assert (splits.train.counts_K + splits.test.counts_K).tolist() == [3, 4, 3]
    assert "2 symbolic links" in caplog.text
    (root / "horse").mkdir()
    (root / "horse" / "0.png").symlink_to(tmp_path / "elsewhere" / "secret" / "0.png")
    assert "links that lead out of the root are not followed" in refusal(root, context, test_fraction=0.3)


def test_identity_follows_names_and_sizes_and_not_the_place(root: Path, tmp_path: Path) -> None:
    write_classes(root)
    before = identity(root, test_fraction=0.3)
    assert isinstance(before, str)
    assert len(before) == 64
    moved = root.rename(tmp_path / "moved")
    (moved / "README.md").write_text("no image")
    assert identity(moved, test_fraction=0.3) == before
    (moved / "cat" / "0.png").write_bytes((moved / "cat" / "0.png").read_bytes() + b" ")
    longer = identity(moved, test_fraction=0.3)
    (moved / "cat" / "0.png").rename(moved / "bird" / "other.png")
    relabelled = identity(moved, test_fraction=0.3)
    assert len({before, longer, relabelled}) == 3


def test_split_folders_may_be_capitalised_in_any_way(root: Path, context: LoadContext) -> None:
    write_classes(root / "Train")
    write_classes(root / "TEST", 1)
    write_classes(root / "Validation", 2)
    splits = load(root, context)
    assert splits.validation is not None
    assert (len(splits.train), len(splits.test), len(splits.validation)) == (9, 3, 6)
    assert "leave `test_fraction` out" in refusal(root, context, test_fraction=0.5)


def test_two_folders_of_one_split_are_refused(root: Path, context: LoadContext) -> None:
    for folder in ("train", "Train", "test"):
        write_classes(root / folder)
    if len(list(root.iterdir())) < 3:
        pytest.skip("this file system does not tell capitals apart")
    assert "has the folders Train and train; keep one" in refusal(root, context)


def test_broken_files_are_left_out_with_their_labels_where_that_is_asked_for(root: Path, context: LoadContext) -> None:
    write_classes(root / "train")
    write_classes(root / "test", 1)
    (root / "train" / "cat" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 12 images cannot be used: train/cat/1.png"):
        load(root, context)
    splits = load(root, context, on_broken="skip")
    assert splits.train.counts_K.tolist() == [3, 2, 3]
    assert splits.train.images_NCHW[:, 0, 0, 0].tolist() == [10, 11, 12, 100, 102, 200, 201, 202]


def test_a_class_whose_files_are_all_broken_is_refused_by_name(root: Path, context: LoadContext) -> None:
    write_classes(root / "train", 1)
    write_classes(root / "test", 1)
    (root / "train" / "ship" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no train image of class 'ship' can be read"):
        load(root, context, on_broken="skip")
