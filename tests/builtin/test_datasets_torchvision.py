"""torchvision's sets, over tiny files in the published formats; nothing is downloaded from a network."""

from __future__ import annotations

import gzip
import hashlib
import logging
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from balancebench.builtin.datasets.components import DATASETS
from balancebench.builtin.datasets.torchvision_sets import CIFAR_100_SUPERCLASSES
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError

COMPONENTS = {component.name: component for component in DATASETS}
COUNTS = {"train": 30, "t10k": 20}


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return LoadContext(
        data_root=tmp_path / "data", scratch=scratch, progress=lambda *_: None, logger=logging.getLogger("test")
    )


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine's own loopback that offers the folder `mirror`."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path / "mirror")) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def load(name: str, context: LoadContext, **options: object) -> DatasetSplits:
    component = COMPONENTS[name]
    return component.create(component.options.model_validate(options)).load(context)


def identity(name: str, **options: object) -> object:
    component = COMPONENTS[name]
    assert component.identity is not None
    return component.identity(component.options.model_validate(options))


def pixels(part: str) -> np.ndarray:
    return np.random.default_rng(COUNTS[part]).integers(0, 256, (COUNTS[part], 28, 28), dtype=np.uint8)


def write_idx_files(folder: Path, zipped: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in COUNTS.items():
        labels = np.arange(count, dtype=np.uint8) % 10
        images = struct.pack(">4i", 0x0803, count, 28, 28) + pixels(part).tobytes()
        for name, content in (
            (f"{part}-images-idx3-ubyte", images),
            (f"{part}-labels-idx1-ubyte", struct.pack(">2i", 0x0801, count) + labels.tobytes()),
        ):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("subfolder", ["FashionMNIST/raw", "."])
def test_idx_files_are_read_where_they_lie_without_writing_there(
    tmp_path: Path, context: LoadContext, zipped: bool, subfolder: str
) -> None:
    root = tmp_path / "root"
    write_idx_files(root / subfolder, zipped)
    before = sorted(root.rglob("*"))
    splits = load("fashion_mnist", context, root=root, download=False)
    np.testing.assert_array_equal(splits.train.images_NCHW, pixels("train")[:, None])
    np.testing.assert_array_equal(splits.test.images_NCHW, pixels("t10k")[:, None])
    assert splits.train.labels_N.tolist() == [*range(10)] * 3
    assert splits.train.class_names[:2] == ("T-shirt/top", "Trouser")
    assert sorted(root.rglob("*")) == before


def test_root_defaults_to_the_shared_data_folder(context: LoadContext) -> None:
    write_idx_files(context.data_root / "MNIST" / "raw", zipped=True)
    splits = load("mnist", context, download=False)
    assert len(splits.train) == COUNTS["train"]
    assert splits.train.class_names == tuple("0123456789")


def test_images_per_class_and_superclasses_work_for_torchvision_sets(tmp_path: Path, context: LoadContext) -> None:
    write_idx_files(tmp_path / "root", zipped=True)
    table = {"low": list("01234"), "high": list("56789")}
    splits = load("mnist", context, root=tmp_path / "root", images_per_class=2, superclasses=table)
    assert splits.train.counts_K.tolist() == [2] * 10
    assert splits.test.counts_K.tolist() == [2] * 10
    assert splits.test.superclass_K == ("low",) * 5 + ("high",) * 5


def test_missing_files_without_download_name_the_folder_and_what_to_put_there(
    tmp_path: Path, context: LoadContext
) -> None:
    for attempt in (
        lambda: load("kmnist", context, root=tmp_path, download=False),
        lambda: identity("kmnist", root=tmp_path, download=False),
    ):
        with pytest.raises(DataError) as raised:
            attempt()
        assert f"{tmp_path / 'KMNIST' / 'raw'}" in str(raised.value)
        assert "train-images-idx3-ubyte" in str(raised.value)
    for name, file in (("cifar10", "cifar-10-batches-py"), ("svhn", "train_32x32.mat")):
        with pytest.raises(DataError, match=f"download is off; put .*{file}.* into {tmp_path}"):
            load(name, context, root=tmp_path, download=False)


def test_failing_download_names_the_folder_and_what_to_put_there(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = (tmp_path / "nowhere").as_uri() + "/"
    monkeypatch.setattr(datasets.KMNIST, "mirrors", [nowhere])
    monkeypatch.setattr(datasets.CIFAR10, "url", nowhere + "cifar.tar.gz")
    root = tmp_path / "root"
    with pytest.raises(DataError, match=f"kmnist cannot be downloaded to {root} .*; put train-images-idx3-ubyte"):
        load("kmnist", context, root=root)
    with pytest.raises(DataError, match=f"cifar10 cannot be downloaded to {root} .*; put the folder cifar-10-batches"):
        load("cifar10", context, root=root)


def test_download_that_may_not_write_is_a_data_error(tmp_path: Path, context: LoadContext) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="mnist cannot be downloaded to"):
        load("mnist", context, root=tmp_path / "root")


def test_missing_idx_files_are_downloaded_and_not_asked_for_again(
    tmp_path: Path,
    context: LoadContext,
    mirror: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_idx_files(tmp_path / "mirror", zipped=True)
    published = [
        (name, hashlib.md5((tmp_path / "mirror" / name).read_bytes()).hexdigest())
        for name, _ in datasets.FashionMNIST.resources
    ]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", published)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [mirror])
    first = load("fashion_mnist", context)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [])
    again = load("fashion_mnist", context)
    assert first.train.digest() == again.train.digest()
    np.testing.assert_array_equal(first.train.images_NCHW[:, 0], pixels("train"))
    assert capfd.readouterr() == ("", "")  # torchvision's own progress bars stay away from the console's


@pytest.mark.parametrize("zipped", [True, False])
def test_broken_idx_file_is_named(tmp_path: Path, context: LoadContext, zipped: bool) -> None:
    write_idx_files(tmp_path / "root", zipped)
    [path] = (tmp_path / "root").glob("t10k-images*")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=f"{path} is broken"):
        load("mnist", context, root=tmp_path / "root")


def test_idx_files_of_other_content_have_an_identity_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from balancebench.builtin.datasets import idx_files

    write_idx_files(tmp_path / "zipped", zipped=True)
    write_idx_files(tmp_path / "plain", zipped=False)
    other = identity("mnist", root=tmp_path / "zipped")
    assert other is not None
    assert identity("mnist", root=tmp_path / "plain") == other  # the same content, packed or not
    assert identity("mnist") is None
    assert identity("mnist", root=tmp_path / "still empty") is None  # will be downloaded
    files = [tmp_path / "zipped" / f"{name}.gz" for name in idx_files.IDX_FILES]
    md5s = tuple(hashlib.md5(file.read_bytes()).hexdigest() for file in files)
    monkeypatch.setitem(idx_files.PUBLISHED_MD5, "mnist", md5s)
    assert identity("mnist", root=tmp_path / "zipped") is None
    write_idx_files(tmp_path / "zipped", zipped=False)
    assert identity("mnist", root=tmp_path / "zipped") is None  # unzipped beside the published file
    altered = tmp_path / "zipped" / idx_files.IDX_FILES[1]
    altered.write_bytes(altered.read_bytes()[::-1])
    assert identity("mnist", root=tmp_path / "zipped") is not None


def write_cifar(folder: Path, files: dict[str, int], labels_key: str, class_key: str, class_names: list[str]) -> None:
    """Write batches as published: pickled dictionaries, each row an image's red, green, and blue plane."""
    folder.mkdir(parents=True)
    for seed, (file, count) in enumerate(files.items()):
        data = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [index % len(class_names) for index in range(count)]
        (folder / file).write_bytes(pickle.dumps({"data": data, labels_key: labels}, protocol=2))
    meta = "batches.meta" if class_key == "label_names" else "meta"
    (folder / meta).write_bytes(pickle.dumps({class_key: class_names}, protocol=2))


def trust_files_in(folder: Path, parser: type[datasets.CIFAR10], monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(names: list[list[str]]) -> list[list[str]]:
        return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name, _ in names]

    monkeypatch.setattr(parser, "train_list", listed(parser.train_list))
    monkeypatch.setattr(parser, "test_list", listed(parser.test_list))
    [[meta, md5]] = listed([[parser.meta["filename"], ""]])
    monkeypatch.setattr(parser, "meta", {**parser.meta, "filename": meta, "md5": md5})


CIFAR_10_FILES = {f"data_batch_{number}": 20 for number in range(1, 6)} | {"test_batch": 20}


def test_cifar10_is_the_published_planes_in_order(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    names = [f"class {label}" for label in range(10)]
    write_cifar(folder, CIFAR_10_FILES, "labels", "label_names", names)
    trust_files_in(folder, datasets.CIFAR10, monkeypatch)
    splits = load("cifar10", context, root=tmp_path, download=False)
    second_batch = np.random.default_rng(1).integers(0, 256, (20, 3072), dtype=np.uint8)
    assert splits.train.images_NCHW.shape == (100, 3, 32, 32)
    np.testing.assert_array_equal(splits.train.images_NCHW[20:40].reshape(20, -1), second_batch)
    assert splits.test.counts_K.tolist() == [2] * 10
    assert splits.train.class_names == tuple(names)
    assert splits.train.superclass_K is None


def test_altered_cifar_file_is_refused_before_it_is_unpickled(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar(folder, CIFAR_10_FILES, "labels", "label_names", [str(label) for label in range(10)])
    trust_files_in(folder, datasets.CIFAR10, monkeypatch)
    (folder / "data_batch_3").write_bytes(b"altered")
    with pytest.raises(DataError, match="missing or altered"):
        load("cifar10", context, root=tmp_path, download=False)


def test_cifar_archive_is_downloaded_once(
    tmp_path: Path, context: LoadContext, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mirror" / "cifar-10-batches-py"
    write_cifar(folder, CIFAR_10_FILES, "labels", "label_names", [str(label) for label in range(10)])
    archive = tmp_path / "mirror" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name)
    trust_files_in(folder, datasets.CIFAR10, monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", mirror + archive.name)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(load("cifar10", context).train) == 100
    archive.unlink()
    assert len(load("cifar10", context).train) == 100
    assert (context.data_root / "cifar-10-batches-py" / "data_batch_1").is_file()


def test_cifar100_has_twenty_superclasses_of_five_classes(
    tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(name for classes in CIFAR_100_SUPERCLASSES.values() for name in classes)
    folder = tmp_path / "cifar-100-python"
    write_cifar(folder, {"train": 200, "test": 100}, "fine_labels", "fine_label_names", names)
    trust_files_in(folder, datasets.CIFAR100, monkeypatch)
    splits = load("cifar100", context, root=tmp_path, download=False)
    assert len(splits.train.class_names) == len(set(splits.train.class_names)) == 100
    superclass_K = splits.train.superclass_K
    assert superclass_K is not None
    assert sorted(superclass_K) == sorted([*CIFAR_100_SUPERCLASSES] * 5)
    of = dict(zip(splits.train.class_names, superclass_K, strict=True))
    assert (of["maple_tree"], of["whale"], of["tank"]) == ("trees", "aquatic_mammals", "vehicles_2")


def test_svhn_digit_ten_is_class_zero(tmp_path: Path, context: LoadContext, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    images_HWCN = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
    labels = np.arange(1, 21, dtype=np.uint8)[:, None] % 10
    labels[labels == 0] = 10
    split_list = {}
    for part in ("train", "test"):
        file = tmp_path / f"{part}_32x32.mat"
        savemat(file, {"X": images_HWCN, "y": labels})
        split_list[part] = [file.as_uri(), file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    splits = load("svhn", context, root=tmp_path, download=False)
    assert splits.train.labels_N.tolist() == [*range(1, 10), 0] * 2
    np.testing.assert_array_equal(splits.train.images_NCHW[3, 1], images_HWCN[:, :, 1, 3])
    assert splits.train.class_names == tuple("0123456789")
