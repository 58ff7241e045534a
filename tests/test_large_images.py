"""Large image sets pass for arrays, whatever lies behind them; plain NumPy is the reference."""

from __future__ import annotations

import hashlib
import mmap

import numpy as np
import pytest

from balancebench import LabelledImages, Origin, concatenate, large_images
from balancebench.artefacts.arrays import read_images, write_images
from balancebench.large_images import ImageRows, join_rows, row_chunks, rows_of, take_rows
from balancebench.store import FileEntry, Record, StepFiles

CLASS_NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch):
    monkeypatch.setattr(large_images, "LARGE_BYTES", 1)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5), dtype=np.uint8)


@pytest.fixture
def mapped(pixels, tmp_path):
    np.save(tmp_path / "pixels.npy", pixels)
    return np.load(tmp_path / "pixels.npy", mmap_mode="r")


def labelled(pixels):
    return LabelledImages(
        images_NCHW=pixels, labels_N=np.arange(len(pixels), dtype=np.int64) % 3, class_names=CLASS_NAMES
    )


CHOSEN = np.array([7, 0, 7, 19, 3, 4, 5])


@pytest.fixture
def both(pixels, mapped):
    """The same images twice: as rows of a mapped file and of an array, and as an array."""
    rows = join_rows([take_rows(mapped, CHOSEN), pixels[:4]])
    assert isinstance(rows, ImageRows)
    return rows, np.concatenate([pixels[CHOSEN], pixels[:4]])


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(5),
        slice(2, 9),
        slice(None, None, -3),
        [1, 8, 1],
        np.array([[0, 10], [3, 3]]),
        np.arange(11) % 2 == 0,
        np.array([], dtype=np.int64),
        slice(0, 0),
        None,
        ...,
        (slice(None), 0),
        (np.array([1, 2]), slice(None), np.array([0, 3]), np.array([2, 2])),
    ],
)
def test_indexing_gives_what_an_array_gives(both, key):
    rows, array = both

    got = rows[key]

    assert type(got) is np.ndarray
    assert np.array_equal(got, array[key])
    assert got.dtype == np.uint8


def test_an_index_out_of_range_is_refused(both):
    rows, _ = both

    with pytest.raises(IndexError):
        rows[11]


def test_shape_size_and_iteration_are_an_arrays(both):
    rows, array = both

    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == (array.shape, array.ndim, array.dtype, len(array))
    assert (rows.nbytes, rows.size) == (array.nbytes, array.size)
    assert all(np.array_equal(image, expected) for image, expected in zip(rows, array, strict=True))


@pytest.mark.parametrize(
    "compute",
    [
        lambda images: images.reshape(len(images), -1).astype(np.float32),
        lambda images: images / 255 - 0.5,
        lambda images: 255 - images,
        lambda images: images == images[0],
        lambda images: np.concatenate([images, images]),
        lambda images: np.mean(images, axis=(0, 2, 3)),
        lambda images: images.transpose(0, 2, 3, 1),
        np.ascontiguousarray,
        lambda images: np.array(images, dtype=np.int32),
        lambda images: np.stack(list(images))[::2],
        lambda images: images.max(axis=0),
        lambda images: images.tobytes(),
    ],
)
def test_whatever_a_method_computes_with_them_comes_out_as_with_an_array(both, compute):
    rows, array = both

    assert np.array_equal(compute(rows), compute(array))


def test_what_is_read_is_a_copy_that_may_be_changed(both):
    rows, array = both

    rows[2:4][:] = 0
    np.array(rows)[:] = 0

    assert np.array_equal(rows, array)


def test_choosing_again_and_joining_again_copies_no_pixels(mapped, pixels):
    train = labelled(mapped).take(np.arange(10, 20))

    repeats = train.take(np.array([9, 9, 0]), origin=Origin.REPEATED)
    joined = concatenate([train, repeats, labelled(pixels[:1])])

    assert isinstance(joined.images_NCHW, ImageRows)
    assert len(joined.images_NCHW.sources) == 2, "the mapped file, once, and the array"
    assert np.shares_memory(joined.images_NCHW.sources[0], mapped)
    assert np.shares_memory(joined.images_NCHW.sources[1], pixels)
    assert np.array_equal(joined.images_NCHW, pixels[[*range(10, 20), 19, 19, 10, 0]])
    assert joined.labels_N.tolist() == [*(np.arange(10, 20) % 3), 1, 1, 1, 0]
    assert joined.origins_N.tolist() == [Origin.REAL] * 10 + [Origin.REPEATED] * 3 + [Origin.REAL]


def test_sources_that_are_not_contiguous_are_read_right(pixels):
    turned = np.asfortranarray(pixels)[:, ::-1]

    assert np.array_equal(take_rows(turned, CHOSEN), turned[CHOSEN])


def test_images_of_different_shapes_are_not_joined(pixels):
    with pytest.raises(ValueError, match="different shapes"):
        join_rows([pixels, pixels[:, :, :2]])


def test_small_sets_stay_plain_arrays_of_their_own(monkeypatch, mapped, pixels):
    monkeypatch.setattr(large_images, "LARGE_BYTES", pixels.nbytes)

    taken = labelled(mapped).take(CHOSEN).images_NCHW
    joined = concatenate([labelled(pixels[:9]), labelled(mapped[9:19])]).images_NCHW

    assert type(taken) is np.ndarray
    assert taken.flags.writeable
    assert not np.shares_memory(taken, mapped)
    assert type(joined) is np.ndarray
    assert isinstance(labelled(mapped).take(np.arange(20)).images_NCHW, ImageRows), "from the limit on they are rows"


def test_an_array_and_rows_of_it_have_one_digest(both, monkeypatch):
    rows, array = both
    whole = labelled(array).digest()

    monkeypatch.setattr(large_images, "CHUNK_BYTES", 2 * 3 * 4 * 5)

    assert labelled(array).digest() == whole
    assert labelled(rows).digest() == whole
    assert labelled(rows).take(np.arange(11)[::-1]).digest() != whole


def step_of(folder):
    """The files of a folder as those of a finished step."""
    entries = {
        path.name: FileEntry(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size_bytes=path.stat().st_size)
        for path in folder.iterdir()
    }
    record = Record(
        key="0" * 64,
        stage="load",
        label="mine",
        status="done",
        started_at="",
        duration_seconds=0,
        identity={},
        files=entries,
    )
    return StepFiles(folder, record)


def test_rows_are_written_as_numpy_writes_the_array_and_mapped_back_as_rows(both, monkeypatch, tmp_path):
    rows, array = both
    monkeypatch.setattr(large_images, "CHUNK_BYTES", 2 * 3 * 4 * 5)

    write_images(tmp_path, "train", labelled(rows))
    np.save(tmp_path / "expected.npy", array)
    read = read_images(step_of(tmp_path), "train", CLASS_NAMES, None)

    assert (tmp_path / "train_images.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert isinstance(read.images_NCHW, ImageRows)
    assert np.array_equal(read.images_NCHW, array)


def test_no_images_at_all_can_be_written_and_read(pixels, tmp_path):
    write_images(tmp_path, "none", labelled(pixels[:0]))

    assert read_images(step_of(tmp_path), "none", CLASS_NAMES, None).images_NCHW.shape == (0, 3, 4, 5)


def test_chunks_go_through_all_images_in_order(both, monkeypatch):
    rows, array = both
    monkeypatch.setattr(large_images, "CHUNK_BYTES", 3 * 3 * 4 * 5)

    chunks = list(row_chunks(rows))

    assert [len(chunk) for chunk in chunks] == [3, 3, 3, 2]
    assert np.array_equal(np.concatenate(chunks), array)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot let go of mapped pages")
def test_pages_written_to_a_private_copy_of_a_file_are_not_let_go(tmp_path, pixels):
    np.save(tmp_path / "pixels.npy", pixels)
    private = np.load(tmp_path / "pixels.npy", mmap_mode="c")
    private[3] = 7
    private.setflags(write=False)

    rows = rows_of(private)

    assert (rows[3] == 7).all()
    assert (rows[3] == 7).all(), "after reading once, too"
    assert sum(len(chunk) for chunk in row_chunks(private)) == 20
    assert (private[3] == 7).all()
