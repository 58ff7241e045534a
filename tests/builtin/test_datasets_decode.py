"""Encoded images of every mode become arrays of one shape."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from balancebench.contracts import LoadContext
from balancebench.errors import DataError
from balancebench.loading.decode import EncodedImage, EncodedImages, decode_image, decode_splits
from balancebench.loading.options import FileImageOptions

FILL = (10, 200, 60)


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return LoadContext(
        data_root=tmp_path / "data", scratch=scratch, progress=lambda *_: None, logger=logging.getLogger("test")
    )


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes, **options: object) -> np.ndarray:
    return decode_image(data, FileImageOptions.model_validate(options))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_rgb_is_taken_as_it_is() -> None:
    pixels_HWC = noise(5, 7)
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(pixels_HWC))), pixels_HWC.transpose(2, 0, 1))


def test_grey_fills_three_channels_or_stays_one() -> None:
    pixels_HW = noise(4, 6)[..., 0]
    data = encoded(Image.fromarray(pixels_HW))
    np.testing.assert_array_equal(decoded(data), np.stack([pixels_HW] * 3))
    np.testing.assert_array_equal(decoded(data, channels="grey"), pixels_HW[None])


def test_colour_becomes_grey_by_luma() -> None:
    red = encoded(Image.new("RGB", (2, 2), (255, 0, 0)))
    assert decoded(red, channels="grey").ravel().tolist() == [76] * 4  # 0.299 * 255 (ITU-R 601-2)


def test_black_and_white_spans_the_byte() -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).convert("1")
    assert decoded(encoded(image), channels="grey").ravel().tolist() == [0, 255, 255, 0]


def test_palette_becomes_its_colours() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    image.putpalette([1, 2, 3, 40, 50, 60, 255, 0, 9])
    assert decoded(encoded(image))[:, 0].T.tolist() == [[1, 2, 3], [40, 50, 60], [255, 0, 9]]


def test_transparent_palette_colour_shows_the_fill() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    image.putpalette([1, 2, 3, 40, 50, 60, 255, 0, 9])
    one_colour = encoded(image, transparency=1)
    assert decoded(one_colour, fill=FILL)[:, 0].T.tolist() == [[1, 2, 3], list(FILL), [255, 0, 9]]
    graded = encoded(image, transparency=bytes([255, 0, 128]))
    expected = [[1, 2, 3], list(FILL), [133, 100, 34]]  # the last: half of (255, 0, 9), half of the fill
    np.testing.assert_allclose(decoded(graded, fill=FILL)[:, 0].T, expected, atol=1)


def test_transparent_colour_of_rgb_and_grey_shows_the_fill() -> None:
    rgb = Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], dtype=np.uint8))
    assert decoded(encoded(rgb, transparency=(9, 9, 9)), fill=FILL)[:, 0].T.tolist() == [list(FILL), [1, 2, 3]]
    grey = Image.fromarray(np.array([[9, 200]], dtype=np.uint8))
    assert decoded(encoded(grey, transparency=9), fill=FILL)[:, 0].T.tolist() == [list(FILL), [200] * 3]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composed_over_the_fill(mode: str) -> None:
    pixels = noise(6, 6, 4 if mode == "RGBA" else 2)
    pixels[0, :, -1] = 255
    pixels[1, :, -1] = 0
    colour_HWC = np.broadcast_to(pixels[..., :-1], (6, 6, 3)).astype(float)
    alpha = pixels[..., -1:] / 255
    expected_HWC = colour_HWC * alpha + np.array(FILL) * (1 - alpha)
    result_HWC = decoded(encoded(Image.fromarray(pixels, mode)), fill=FILL).transpose(1, 2, 0)
    np.testing.assert_allclose(result_HWC, expected_HWC, atol=1)
    np.testing.assert_array_equal(result_HWC[0], colour_HWC[0])
    np.testing.assert_array_equal(result_HWC[1], np.broadcast_to(FILL, (6, 3)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    levels_HW = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    assert decoded(encoded(Image.fromarray(levels_HW), kind), channels="grey").ravel().tolist() == [0, 1, 128, 255]


def test_cmyk_jpeg_becomes_rgb() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow ink: red
    np.testing.assert_allclose(decoded(encoded(image, "JPEG", quality=95))[:, 8, 8], [255, 0, 0], atol=4)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        decoded(encoded(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.fromarray(noise(3, 5))
    stored = {  # how a camera held that way would have stored it
        1: upright,
        2: ImageOps.mirror(upright),
        3: upright.rotate(180),
        4: ImageOps.flip(upright),
        5: ImageOps.mirror(upright.rotate(270, expand=True)),
        6: upright.rotate(90, expand=True),
        7: ImageOps.mirror(upright.rotate(90, expand=True)),
        8: upright.rotate(270, expand=True),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decoded(encoded(stored, exif=exif))
    np.testing.assert_array_equal(result, np.asarray(upright).transpose(2, 0, 1))


def test_unreadable_exif_leaves_an_image_as_it_is() -> None:
    data = encoded(Image.fromarray(noise(8, 8)), "JPEG", exif=b"Exif\0\0not a tiff header at all")
    assert decoded(data).shape == (3, 8, 8)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decoded(data)[:, 0, 0].tolist() == [255, 0, 0]


def test_postscript_is_never_interpreted() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        decoded(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


@pytest.mark.parametrize(("height", "width"), [(30, 50), (50, 30), (16, 16), (7, 5)])
@pytest.mark.parametrize("interpolation", ["bilinear", "lanczos"])
def test_resize_policies_agree_with_pillows_own(height: int, width: int, interpolation: str) -> None:
    image = Image.fromarray(noise(height, width))
    method = Image.Resampling[interpolation.upper()]
    data = encoded(image)
    expected = {
        "stretch": image.resize((16, 16), method),
        "crop": ImageOps.fit(image, (16, 16), method),
        "letterbox": ImageOps.pad(image, (16, 16), method, color=FILL),
    }
    for policy, reference in expected.items():
        result = decoded(data, size=16, fit=policy, interpolation=interpolation, fill=FILL)
        reference_CHW = np.asarray(reference).transpose(2, 0, 1)
        if policy == "letterbox":  # an odd margin may fall on either side
            rolled = [np.roll(reference_CHW, shift, axis) for shift in (0, -1, 1) for axis in (1, 2)]
            assert any(np.array_equal(result, other) for other in rolled)
        else:
            np.testing.assert_array_equal(result, reference_CHW)


def test_letterbox_leaves_something_of_the_narrowest_image() -> None:
    result = decoded(encoded(Image.new("RGB", (90, 1), (9, 9, 9))), size=16, fit="letterbox", fill=FILL)
    assert (result == 9).all(axis=0).sum() == 16
    assert (result.transpose(1, 2, 0) == FILL).all(axis=2).sum() == 240


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    board_HW = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    result = decoded(encoded(Image.fromarray(board_HW)), size=8, channels="grey")
    np.testing.assert_allclose(result.astype(float), 127.5, atol=2)


def named(count: int) -> Iterator[EncodedImage]:
    for index in range(count):
        yield EncodedImage(f"image {index}", encoded(Image.new("L", (2, 2), index % 256)))


def test_decode_splits_keeps_order_and_reports_progress(context: LoadContext) -> None:
    reports: list[tuple[float, float]] = []
    context = LoadContext(
        data_root=context.data_root,
        scratch=context.scratch,
        progress=lambda done, total, message="": reports.append((done, total)),
        logger=context.logger,
    )
    splits = {
        "train": EncodedImages(count=200, batches=[[image] for image in named(200)]),
        "test": EncodedImages(count=3, batches=[list(named(3))]),
    }
    images = decode_splits(splits, FileImageOptions(channels="grey"), context)
    assert images["train"].images_NCHW.shape == (200, 1, 2, 2)
    assert images["train"].images_NCHW[:, 0, 1, 1].tolist() == list(range(200))
    assert images["test"].images_NCHW[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert isinstance(images["train"].images_NCHW, np.memmap)
    assert reports[0] == (0, 203)
    assert reports[-1] == (203, 203)


def test_decode_splits_reads_batches_only_shortly_before_their_turn(context: LoadContext) -> None:
    taken = 0
    ahead: list[int] = []

    def batches() -> Iterator[list[EncodedImage]]:
        nonlocal taken
        for image in named(500):
            taken += 1
            yield [image]

    context = LoadContext(
        data_root=context.data_root,
        scratch=context.scratch,
        progress=lambda done, total, message="": ahead.append(taken - int(done)),
        logger=context.logger,
    )
    decode_splits({"train": EncodedImages(count=500, batches=batches())}, FileImageOptions(), context)
    assert max(ahead) <= 2 * min(8, os.cpu_count() or 1) + 1


def test_decode_splits_names_at_most_ten_broken_images_and_counts_them(context: LoadContext) -> None:
    whole = encoded(Image.fromarray(noise(20, 20)))
    broken = [EncodedImage(f"cut {index}.png", whole[:-200]) for index in range(7)]
    foreign = [EncodedImage(f"text {index}.jpg", b"no image") for index in range(7)]
    splits = {
        "train": EncodedImages(count=8, batches=[[EncodedImage("good.png", whole), *broken]]),
        "test": EncodedImages(count=8, batches=[[*foreign, EncodedImage("good.png", whole)]]),
    }
    with pytest.raises(DataError) as raised:
        decode_splits(splits, FileImageOptions(size=4), context)
    message = str(raised.value)
    assert message.startswith("14 of 16 images cannot be used: cut 0.png (")
    assert "cut 6.png" in message
    assert "text 2.jpg (not a readable image)" in message
    assert "text 3.jpg" not in message
    assert "and 4 more" in message
    assert "good.png" not in message


def test_decode_splits_names_images_of_another_size_where_none_is_asked_for(context: LoadContext) -> None:
    images = [EncodedImage(f"{w}x{h}.png", encoded(Image.new("RGB", (w, h)))) for w, h in ((4, 3), (4, 3), (3, 4))]
    splits = {"train": EncodedImages(count=3, batches=[images])}
    with pytest.raises(DataError, match=r"1 of 3 .*: 3x4.png \(3x4 pixels, others 4x3 pixels\); `size` brings"):
        decode_splits(splits, FileImageOptions(), context)
    assert decode_splits(splits, FileImageOptions(size=5), context)["train"].images_NCHW.shape == (3, 3, 5, 5)


def test_broken_images_are_left_out_where_that_is_asked_for_and_told(context: LoadContext) -> None:
    told: list[str] = []
    notes: dict[str, object] = {}
    context = replace(context, warn=told.append, note=notes.__setitem__)
    images = list(named(5))
    images[1] = EncodedImage("text.png", b"no image")
    images[4] = EncodedImage("cut.png", images[4].data[:30])
    splits = {
        "train": EncodedImages(count=5, batches=[images[:2], images[2:]]),
        "test": EncodedImages(count=1, batches=[images[:1]]),
    }
    options = FileImageOptions(channels="grey", on_broken="skip")
    decoded = decode_splits(splits, options, context)
    assert decoded["train"].kept_N.tolist() == [0, 2, 3]
    assert decoded["train"].images_NCHW.shape == (3, 1, 2, 2)
    assert decoded["train"].images_NCHW[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert notes == {"broken_images_left_out": {"train": 2}}
    assert len(told) == 1
    assert told[0].startswith("left out: 2 of 6 images cannot be used: text.png (not a readable image); cut.png (")


def test_a_split_of_broken_images_alone_is_refused(context: LoadContext) -> None:
    splits = {
        "train": EncodedImages(count=1, batches=[list(named(1))]),
        "test": EncodedImages(count=1, batches=[[EncodedImage("text.png", b"no image")]]),
    }
    with pytest.raises(DataError, match=r"1 of 1 images cannot be used: text.png"):
        decode_splits(splits, FileImageOptions(on_broken="skip"), context)
