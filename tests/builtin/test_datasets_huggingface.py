"""The hub's formats, from small parquet files and folders that the tests write; the hub itself is never asked."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from balancebench.builtin.datasets.components import DATASETS
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError

datasets = pytest.importorskip("datasets", reason="the library `datasets` is an extra")

HUGGINGFACE = next(component for component in DATASETS if component.name == "huggingface")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return LoadContext(
        data_root=tmp_path / "data", scratch=scratch, progress=lambda *_: None, logger=logging.getLogger("test")
    )


def load(path: Path | str, context: LoadContext, **options: object) -> DatasetSplits:
    return HUGGINGFACE.create(HUGGINGFACE.options.model_validate({"path": str(path), **options})).load(context)


def identity(path: Path | str, **options: object) -> object:
    assert HUGGINGFACE.identity is not None
    return HUGGINGFACE.identity(HUGGINGFACE.options.model_validate({"path": str(path), **options}))


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, labels: list[Any], features: dict[str, Any] | None = None, **columns: str) -> Path:
    """Write one image a label, of shade 0, 1, 2, ... ."""
    image, label = columns.get("image", "image"), columns.get("label", "label")
    table: dict[str, Any] = {image: [{"bytes": png(row), "path": None} for row in range(len(labels))], label: labels}
    kinds = {image: datasets.Image(), **(features or {})}
    if label not in kinds:
        kinds[label] = datasets.Value("string" if isinstance(labels[0], str) else "int64")
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(table, features=datasets.Features(kinds)).to_parquet(str(path))
    return path


def rows(splits: DatasetSplits) -> dict[int, str]:
    """Each image's shade, which is its row, with its class name."""
    return {
        int(image[0, 0, 0]): split.class_names[label]
        for split in (splits.train, splits.test)
        for image, label in zip(split.images_NCHW, split.labels_N, strict=True)
    }


def test_class_labels_keep_their_names_and_order(tmp_path: Path, context: LoadContext) -> None:
    labels = [0, 2, 0, 2, 2, 0, 2, 0]
    kinds = {"label": datasets.ClassLabel(names=["zebra", "never seen", "ant"])}
    splits = load(write_parquet(tmp_path / "a.parquet", labels, kinds), context, test_fraction=0.25)
    assert splits.train.class_names == ("zebra", "ant")
    assert rows(splits) == {row: ("zebra", "", "ant")[label] for row, label in enumerate(labels)}
    assert splits.train.counts_K.tolist() == [3, 3]
    assert splits.test.counts_K.tolist() == [1, 1]
    assert splits.train.images_NCHW.shape == (6, 3, 4, 4)


def test_integers_are_classes_in_numeric_order(tmp_path: Path, context: LoadContext) -> None:
    labels = [10, 9, 10, 9, 100, 100]
    splits = load(write_parquet(tmp_path / "a.parquet", labels), context, test_fraction=0.5, channels="grey", size=2)
    assert splits.train.class_names == ("9", "10", "100")
    assert rows(splits) == {row: str(label) for row, label in enumerate(labels)}
    assert splits.train.images_NCHW.shape == (3, 1, 2, 2)


def test_text_labels_are_classes_in_the_order_of_names(tmp_path: Path, context: LoadContext) -> None:
    labels = ["ship", "cat", "cat", "ship"]
    splits = load(write_parquet(tmp_path / "a.parquet", labels), context, test_fraction=0.5)
    assert splits.train.class_names == ("cat", "ship")
    assert rows(splits) == dict(enumerate(labels))


def test_columns_may_have_other_names_and_images_be_plain_bytes(tmp_path: Path, context: LoadContext) -> None:
    table = {"pixels": [png(row) for row in range(4)], "kind": ["a", "b", "a", "b"], "note": ["", "", "", ""]}
    kinds = {"pixels": datasets.Value("binary"), "kind": datasets.Value("string"), "note": datasets.Value("string")}
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_dict(table, features=datasets.Features(kinds)).to_parquet(str(path))
    splits = load(path, context, test_fraction=0.5, image_column="pixels", label_column="kind")
    assert rows(splits) == {0: "a", 1: "b", 2: "a", 3: "b"}
    with pytest.raises(DataError, match="no column 'image' for `image_column`"):
        load(path, context, test_fraction=0.5, label_column="kind")
    with pytest.raises(DataError, match=r"'note' holds .*, not encoded images"):
        load(path, context, test_fraction=0.5, image_column="note", label_column="kind")


def test_parquet_folder_has_splits(tmp_path: Path, context: LoadContext) -> None:
    folder = tmp_path / "folder"
    write_parquet(folder / "data" / "train-00000-of-00001.parquet", ["cat", "ship", "cat"])
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", ["ship", "cat"])
    splits = load(folder, context)
    assert splits.train.labels_N.tolist() == [0, 1, 0]
    assert splits.test.labels_N.tolist() == [1, 0]
    swapped = load(folder, context, train_split="test", test_split="train")
    assert swapped.test.digest() == splits.train.digest()
    with pytest.raises(DataError, match="tset"):
        load(folder, context, test_split="tset")


def test_image_folder_of_the_library_is_read(tmp_path: Path, context: LoadContext) -> None:
    for split, count in (("train", 3), ("test", 1)):
        for shade, name in ((10, "cat"), (100, "ship")):
            for index in range(count):
                path = tmp_path / "folder" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(shade + index))
    splits = load(tmp_path / "folder", context)
    assert splits.train.class_names == ("cat", "ship")
    assert {shade: name for shade, name in rows(splits).items() if shade < 50} == dict.fromkeys((10, 11, 12), "cat")
    assert splits.test.counts_K.tolist() == [1, 1]


def test_images_per_class_and_superclasses_work_as_elsewhere(tmp_path: Path, context: LoadContext) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["cat", "ship"] * 6)
    whole = load(path, context, test_fraction=0.5)
    table = {"animal": ["cat"], "vehicle": ["ship"]}
    small = load(path, context, test_fraction=0.5, images_per_class=1, superclasses=table)
    assert small.train.counts_K.tolist() == [1, 1]
    for label in range(2):
        first = whole.train.images_NCHW[whole.train.labels_N == label][:1]
        np.testing.assert_array_equal(small.train.images_NCHW[small.train.labels_N == label], first)
    assert small.test.digest() == whole.test.digest()
    assert small.train.superclass_K == ("animal", "vehicle")


def test_broken_image_is_named_by_its_row(tmp_path: Path, context: LoadContext) -> None:
    images = [{"bytes": png(0), "path": None}, {"bytes": b"broken", "path": "b.png"}, {"bytes": png(2), "path": None}]
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    for part in ("train", "test"):
        table = datasets.Dataset.from_dict({"image": images, "label": [0, 0, 1]}, features=kinds)
        (tmp_path / "folder").mkdir(exist_ok=True)
        table.to_parquet(str(tmp_path / "folder" / f"{part}.parquet"))
    with pytest.raises(DataError, match=r"2 of 6 images .*: train row 1, b.png \(not a readable image\); test row 1"):
        load(tmp_path / "folder", context)


def test_rows_without_a_label_are_refused(tmp_path: Path, context: LoadContext) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["cat", None, "ship", None])
    with pytest.raises(DataError, match="2 of 4 rows of split 'train' have no label, the first is row 1"):
        load(path, context, test_fraction=0.5)
    kinds = {"label": datasets.ClassLabel(names=["cat", "ship"])}
    hidden = write_parquet(tmp_path / "b.parquet", [0, 1, -1], kinds)
    with pytest.raises(DataError, match=r"1 of 3 rows .* first is row 2"):
        load(hidden, context, test_fraction=0.5)
    floats = write_parquet(tmp_path / "c.parquet", [0.5, 1.5], {"label": datasets.Value("float64")})
    with pytest.raises(DataError, match="neither integers nor text"):
        load(floats, context, test_fraction=0.5)


def test_classes_that_differ_between_splits_are_named(tmp_path: Path, context: LoadContext) -> None:
    write_parquet(tmp_path / "folder" / "train.parquet", ["cat", "ship"])
    write_parquet(tmp_path / "folder" / "test.parquet", ["cat", "dog"])
    with pytest.raises(DataError, match="test has no images of classes that train has: ship"):
        load(tmp_path / "folder", context)


def test_one_file_needs_a_test_fraction(tmp_path: Path, context: LoadContext) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["cat", "ship"])
    with pytest.raises(DataError, match="one file without splits: set `test_fraction`"):
        load(path, context)


def test_file_that_is_no_parquet_is_a_data_error(tmp_path: Path, context: LoadContext) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not a parquet file")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read: "):
        load(tmp_path / "a.parquet", context, test_fraction=0.5)


def test_missing_library_is_a_data_error_that_says_what_to_install(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'balancebench\[huggingface\]'"):
        load(tmp_path, context)


def test_hub_out_of_reach_is_a_data_error_that_names_the_data_set(
    context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_calls: list[tuple[Any, ...]] = []

    def out_of_reach(*arguments: Any, **options: Any) -> None:
        load_calls.append((arguments, options))
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", out_of_reach)
    with pytest.raises(DataError, match="owner/name cannot be loaded from the hub: Couldn't reach"):
        load("owner/name", context, revision="0123abc", configuration="full")
    assert load_calls == [(("owner/name", "full"), {"split": "train", "revision": "0123abc"})]


def test_hub_data_that_is_not_cached_is_a_data_error_while_offline(context: LoadContext) -> None:
    with pytest.raises(DataError, match="balancebench/no-such-dataset cannot be loaded from the hub"):
        load("balancebench/no-such-dataset", context)


def test_identity_is_the_hub_id_or_the_local_files(tmp_path: Path) -> None:
    assert identity("owner/name") == {"hub": "owner/name"}
    path = write_parquet(tmp_path / "one" / "a.parquet", ["cat", "ship"])
    write_parquet(tmp_path / "two" / "a.parquet", ["cat", "ship"])
    assert identity(path) == identity(tmp_path / "two" / "a.parquet") == identity(tmp_path / "one")
    path.write_bytes(path.read_bytes() + b" ")
    assert identity(path) != identity(tmp_path / "two")
    with pytest.raises(DataError, match=r"no file or folder .*b.parquet .did you mean 'a.parquet'"):
        identity(tmp_path / "one" / "b.parquet")


def test_nothing_is_written_beside_the_data(tmp_path: Path, context: LoadContext) -> None:
    path = write_parquet(tmp_path / "one" / "a.parquet", ["cat", "ship"] * 2)
    load(path, context, test_fraction=0.5)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.parquet"]
    assert any(context.scratch.rglob("*.npy"))
