"""Images on disk become synthetic images of their class, at the training images' size."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from balancebench import BalancerError, LabelledImages
from balancebench.synthesis.fit_options import FitOptions
from balancebench.synthesis.image_fit import fit_image
from balancebench.testing import synthesis_context
from balancebench_imagegen.image_pool import ImagePool
from balancebench_imagegen.options import ImagePoolOptions
from balancebench_imagegen.pool_files import pool_identity
from balancebench_imagegen.resize import stretched


def encoded(level, size=(6, 6), form="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def train():
    labels_N = np.repeat(np.array([0, 1, 2]), [6, 1, 4])
    return LabelledImages(
        images_NCHW=np.zeros((11, 3, 6, 6), np.uint8), labels_N=labels_N, class_names=("dog", "cat", "car")
    )


@pytest.fixture
def pool(tmp_path):
    """Eight cats of levels 1 to 8 and three cars of levels 101 to 103."""
    folder = tmp_path / "pool"
    for name, levels in {"cat": range(1, 9), "car": range(101, 104)}.items():
        (folder / name).mkdir(parents=True)
        for level in levels:
            (folder / name / f"{level}.png").write_bytes(encoded(level))
    return folder


@pytest.fixture
def synthesise(train, tmp_path):
    runs = iter(range(100))

    def run(seed=0, **options):
        run_folder = tmp_path / f"run{next(runs)}"
        run_folder.mkdir()
        return ImagePool(ImagePoolOptions(**options)).synthesise(train, synthesis_context(run_folder, seed))

    return run


def levels(synthetic, label):
    return synthetic.images_NCHW[synthetic.labels_N == label][:, 0, 0, 0].tolist()


def test_each_class_gets_images_of_its_own_folder_none_twice(synthesise, pool):
    synthetic = synthesise(path=pool)
    assert synthetic.counts_K.tolist() == [0, 5, 2]
    assert set(levels(synthetic, 1)) < set(range(1, 9))
    assert len(set(levels(synthetic, 1))) == 5
    assert set(levels(synthetic, 2)) < {101, 102, 103}


def test_another_seed_draws_others_and_the_same_seed_the_same(synthesise, pool):
    assert levels(synthesise(path=pool), 1) == levels(synthesise(path=pool), 1)
    assert levels(synthesise(path=pool), 1) != levels(synthesise(path=pool, seed=1), 1)


def test_too_few_images_are_refused_with_every_shortfall(synthesise, pool):
    with pytest.raises(BalancerError) as caught:
        synthesise(path=pool, target=12)
    assert "'dog' needs 6 and has 0; 'cat' needs 11 and has 8; 'car' needs 8 and has 3" in str(caught.value)


@pytest.mark.parametrize("labels", [["cat"] * 6 + ["car"] * 3, [1] * 6 + [2] * 3])
@pytest.mark.parametrize("as_table", [False, True])
def test_a_parquet_file_is_read_by_name_or_id_as_bytes_or_as_tables(synthesise, tmp_path, labels, as_table):
    images = [encoded(level) for level in [*range(1, 7), *range(101, 104)]]
    column = [{"bytes": image, "path": None} for image in images] if as_table else images
    path = tmp_path / "pool.parquet"
    parquet.write_table(pa.table({"picture": column, "kind": labels}), path)
    synthetic = synthesise(path=path, image_column="picture", label_column="kind")
    assert set(levels(synthetic, 1)) < set(range(1, 7))
    assert set(levels(synthetic, 2)) < {101, 102, 103}
    with pytest.raises(BalancerError, match="has no column 'image'; it has picture, kind"):
        synthesise(path=path, label_column="kind")


def test_broken_files_are_refused_by_name(synthesise, pool, tmp_path):
    (pool / "cat" / "3.png").write_bytes(b"no image")
    with pytest.raises(BalancerError, match=r"3.png cannot be read as an image"):
        synthesise(path=pool, target={"cat": 9})
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 no parquet")
    with pytest.raises(BalancerError, match="cannot be read as parquet"):
        synthesise(path=damaged)
    with pytest.raises(BalancerError, match="there is no folder"):
        synthesise(path=tmp_path / "nowhere")


def test_the_identity_follows_content_and_no_path(pool, tmp_path):
    before = pool_identity(ImagePoolOptions(path=pool))
    moved = pool.rename(tmp_path / "moved")
    assert pool_identity(ImagePoolOptions(path=moved)) == before
    image = moved / "cat" / "1.png"
    content = bytearray(image.read_bytes())
    content[-1] ^= 1  # the same size
    image.write_bytes(content)
    assert pool_identity(ImagePoolOptions(path=moved)) != before
    assert str(moved) not in json.dumps(before)


def test_pools_are_brought_to_size_as_real_folders_are(synthesise, tmp_path):
    wide_HWC = np.random.default_rng(0).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    folder = tmp_path / "wide"
    (folder / "cat").mkdir(parents=True)
    Image.fromarray(wide_HWC).save(folder / "cat" / "1.png")
    for options in ({"fit": "crop"}, {"fit": "letterbox", "interpolation": "lanczos", "padding": "mean"}):
        synthetic = synthesise(path=folder, target={"cat": 2}, **options)
        expected = fit_image(Image.fromarray(wide_HWC), (6, 6), FitOptions(**options))
        np.testing.assert_array_equal(synthetic.images_NCHW[0].transpose(1, 2, 0), np.asarray(expected))


def test_half_of_the_pool_gets_margins_where_that_is_asked_for(synthesise, tmp_path):
    (tmp_path / "squares" / "cat").mkdir(parents=True)
    for level in range(100, 160):
        (tmp_path / "squares" / "cat" / f"{level}.png").write_bytes(encoded(level, (30, 30)))
    options = {"fit": "letterbox", "margin_probability": 0.5, "target": {"cat": 61}}
    synthetic = synthesise(path=tmp_path / "squares", **options)
    with_margin = (synthetic.images_NCHW[:, :, 0] == 0).all(axis=(1, 2))
    assert 18 <= with_margin.sum() <= 42  # of 60 at a half: 3 standard deviations
    assert (synthetic.images_NCHW[:, :, 3] > 0).all()
    again = synthesise(path=tmp_path / "squares", **options)
    np.testing.assert_array_equal(again.images_NCHW, synthetic.images_NCHW)


def test_batches_are_stretched_as_pillow_does():
    image_HWC = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    ours = stretched(torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float(), (10, 9))
    theirs = np.asarray(Image.fromarray(image_HWC).resize((9, 10), Image.Resampling.BILINEAR))
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - theirs).max() < 1.0  # Pillow rounds, twice
