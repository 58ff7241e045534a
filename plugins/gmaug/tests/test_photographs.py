"""The paper's data sets, from small trees laid out as their publishers lay them out."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balancebench import DataError
from balancebench.testing import load_context
from balancebench_gmaug.inaturalist import Inaturalist2019
from balancebench_gmaug.photograph_options import HeldOutOptions, InaturalistOptions, files_identity
from balancebench_gmaug.photographs import Flowers, Scene, UtkFace


def photograph(path, level):
    """A flat image of an odd size: its level tells where it came from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 18), (level, level, level)).save(path, quality=95)


def loaded(dataset, tmp_path):
    return dataset.load(load_context(Path(tempfile.mkdtemp(dir=tmp_path))))


def options(root, **more):
    return HeldOutOptions(root=root, size=8, **({"test_images_per_class": 2} | more))


@pytest.fixture
def flowers(tmp_path):
    root = tmp_path / "archive"
    for label, name in enumerate(("daisy", "dandelion", "rose", "sunflower", "tulip")):
        for index in range(4 + label):
            photograph(root / "flowers" / name / f"{index}_abc.jpg", 20 + 40 * label)
    (root / "flowers" / "rose" / "flickr.py").write_text("no image", encoding="utf-8")
    return root


def test_flowers_are_five_folders_of_which_as_many_of_each_are_held_out(flowers, tmp_path):
    splits = loaded(Flowers(options(flowers)), tmp_path)
    assert splits.train.class_names == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert splits.test.counts_K.tolist() == [2] * 5
    assert splits.train.counts_K.tolist() == [2, 3, 4, 5, 6]
    assert splits.train.images_NCHW.shape[1:] == (3, 8, 8)
    levels = splits.train.images_NCHW[:, 0, 4, 4].astype(int)
    assert (abs(levels - (20 + 40 * splits.train.labels_N)) < 6).all()


def test_another_seed_holds_out_others_and_the_same_seed_the_same(tmp_path):
    root = tmp_path / "flowers"
    for name in ("daisy", "dandelion", "rose", "sunflower", "tulip"):
        for index in range(8):
            photograph(root / name / f"{index}.jpg", 30 * index)
    first, again, other = (
        loaded(Flowers(options(root, split_seed=seed)), tmp_path).test.digest() for seed in (0, 0, 1)
    )
    assert first == again != other


def test_flowers_without_a_class_are_refused_by_its_folder(flowers, tmp_path):
    for path in (flowers / "flowers" / "tulip").iterdir():
        path.unlink()
    (flowers / "flowers" / "tulip").rmdir()
    with pytest.raises(DataError, match=r"there is no folder .*tulip: flowers has daisy"):
        loaded(Flowers(options(flowers)), tmp_path)


def test_a_class_with_no_image_left_to_train_on_is_refused(flowers, tmp_path):
    with pytest.raises(
        DataError, match="class 'daisy' has 4 images, of which test_images_per_class = 4 would leave none"
    ):
        loaded(Flowers(options(flowers, test_images_per_class=4)), tmp_path)


def test_faces_are_labelled_by_the_third_field_of_their_names(tmp_path, caplog):
    root = tmp_path / "utkface"
    for ethnicity in range(5):
        for index in range(3):
            name = f"{20 + index}_{index % 2}_{ethnicity}_2017011617452512{index}.jpg.chip.jpg"
            photograph(root / ("part1" if index else "part2") / name, 20 + 40 * ethnicity)
    photograph(root / "part1" / "61_1_20170109142408075.jpg.chip.jpg", 0)  # the published set has some without a field
    with caplog.at_level(logging.WARNING):
        splits = loaded(UtkFace(options(root, test_images_per_class=1)), tmp_path)
    assert splits.train.class_names == ("White", "Black", "Asian", "Indian", "Others")
    assert splits.train.counts_K.tolist() == [2] * 5
    levels = splits.train.images_NCHW[:, 0, 4, 4].astype(int)
    assert (abs(levels - (20 + 40 * splits.train.labels_N)) < 6).all()
    assert "1 images whose names lack a field are left out, the first being 61_1_" in caplog.text


def test_a_folder_of_other_names_is_no_utkface(tmp_path):
    photograph(tmp_path / "faces" / "anna.jpg", 3)
    with pytest.raises(DataError, match="has no image named as UTKFace's are"):
        loaded(UtkFace(options(tmp_path / "faces")), tmp_path)


def scene(root, rows):
    for name, _ in rows:
        photograph(root / "train" / name, 40)
    lines = ["image_name,label", *(f"{name},{label}" for name, label in rows)]
    (root / "train.csv").write_text("\n".join(lines), encoding="utf-8")


def test_scenes_are_labelled_by_the_table_and_the_others_left_out(tmp_path):
    root = tmp_path / "archive" / "train-scene classification"
    scene(root, [(f"{label}_{index}.jpg", label) for label in range(6) for index in range(3)])
    photograph(root / "train" / "unlabelled.jpg", 9)
    splits = loaded(Scene(options(tmp_path / "archive")), tmp_path)
    assert splits.train.class_names == ("buildings", "forest", "glacier", "mountain", "sea", "street")
    assert splits.train.counts_K.tolist() == [1] * 6
    assert splits.test.counts_K.tolist() == [2] * 6


def test_a_table_of_scenes_with_a_slip_is_refused_by_its_line(tmp_path):
    scene(tmp_path / "a", [("0.jpg", 0), ("1.jpg", 6)])
    with pytest.raises(DataError, match="line 3: label '6' is none of 0 to 5"):
        loaded(Scene(options(tmp_path / "a")), tmp_path)
    scene(tmp_path / "b", [("0.jpg", 0)])
    (tmp_path / "b" / "train" / "0.jpg").unlink()
    with pytest.raises(DataError, match="line 2: there is no image"):
        loaded(Scene(options(tmp_path / "b")), tmp_path)
    with pytest.raises(DataError, match=r"there is no file .*train\.csv"):
        loaded(Scene(options(tmp_path)), tmp_path)


@pytest.fixture
def inaturalist(tmp_path):
    """Two groups; of Fungi three classes in two families, 4, 5 and 6 training images and 3 to validate."""
    root = tmp_path / "inaturalist"
    entries = {"train": [], "val": []}
    for group, number, count in (("Fungi", 11, 4), ("Fungi", 7, 5), ("Fungi", 30, 6), ("Birds", 2, 4)):
        for split, images in (("train", count), ("val", 3)):
            for index in range(images):
                name = f"train_val2019/{group}/{number}/{split}{index}.jpg"
                photograph(root / name, 8 * number)
                entries[split].append((name, number))
    for split, listed in entries.items():
        document = {
            "images": [{"id": index, "file_name": name} for index, (name, _) in enumerate(listed)],
            "annotations": [{"image_id": index, "category_id": number} for index, (_, number) in enumerate(listed)],
        }
        (root / f"{split}2019.json").write_text(json.dumps(document), encoding="utf-8")
    families = {11: "Boletaceae", 7: "Amanitaceae", 30: "Boletaceae", 2: "Laridae"}
    categories = [{"id": number, "name": f"species {number}", "family": family} for number, family in families.items()]
    (root / "categories.json").write_text(json.dumps(categories), encoding="utf-8")
    return root


def test_a_group_has_its_classes_with_families_as_super_classes(inaturalist, tmp_path):
    splits = loaded(Inaturalist2019(InaturalistOptions(root=inaturalist, group="Fungi", size=8)), tmp_path)
    assert splits.train.class_names == ("species 7", "species 11", "species 30")
    assert splits.train.superclass_K == ("Amanitaceae", "Boletaceae", "Boletaceae")
    assert splits.train.counts_K.tolist() == [5, 4, 6]
    assert splits.test.counts_K.tolist() == [3, 3, 3]
    levels = splits.test.images_NCHW[:, 0, 4, 4].astype(int)
    assert (abs(levels - 8 * np.array([7, 11, 30])[splits.test.labels_N]) < 6).all()


def test_as_torchvision_unpacks_it_images_of_each_class_are_held_out(inaturalist, tmp_path):
    (inaturalist / "train_val2019").rename(inaturalist / "2019")
    for split in ("train", "val"):
        (inaturalist / f"{split}2019.json").unlink()
    (inaturalist / "categories.json").unlink()
    given = {"root": inaturalist, "group": "Fungi", "size": 8}
    with pytest.raises(DataError, match=r'says the family of each category: .* super_classes = "none"'):
        loaded(Inaturalist2019(InaturalistOptions(**given)), tmp_path)
    splits = loaded(Inaturalist2019(InaturalistOptions(**given, super_classes="none")), tmp_path)
    assert splits.train.class_names == ("7", "11", "30")
    assert splits.train.superclass_K is None
    assert splits.train.counts_K.tolist() == [5, 4, 6]
    assert splits.test.counts_K.tolist() == [3, 3, 3]


def test_what_does_not_fit_together_is_refused_by_file(inaturalist, tmp_path):
    given = {"root": inaturalist, "size": 8}
    with pytest.raises(DataError, match=r"train2019\.json names no image of Reptiles"):
        loaded(Inaturalist2019(InaturalistOptions(**given, group="Reptiles")), tmp_path)
    with pytest.raises(DataError, match=r"categories\.json says no order of category 7 and 2 more"):
        loaded(Inaturalist2019(InaturalistOptions(**given, group="Fungi", super_classes="order")), tmp_path)
    (inaturalist / "val2019.json").write_text('{"images": [{"id": 3}], "annotations": []}', encoding="utf-8")
    with pytest.raises(DataError, match=r"val2019\.json is not laid out as the competition's"):
        loaded(Inaturalist2019(InaturalistOptions(**given, group="Fungi")), tmp_path)
    (inaturalist / "val2019.json").unlink()
    with pytest.raises(DataError, match=r"there is no file .*val2019\.json"):
        loaded(Inaturalist2019(InaturalistOptions(**given, group="Fungi")), tmp_path)


def test_a_changed_file_is_another_data_set_and_a_missing_folder_is_named(flowers):
    before = files_identity(options(flowers))
    photograph(flowers / "flowers" / "rose" / "new.jpg", 3)
    assert files_identity(options(flowers)) != before
    with pytest.raises(DataError, match=r"there is no folder .*archve.*did you mean 'archive'"):
        files_identity(options(flowers.with_name("archve")))
