"""One definition of how images are brought to size: policies, padding, margins, and what they depend on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from balancebench.synthesis.fit_options import FitOptions, SyntheticFitOptions
from balancebench.synthesis.image_fit import fit_image, fit_made_image, pixels_CHW

RED = (200, 30, 40)


def one_colour(width: int, height: int, colour: tuple[int, int, int] = RED) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def corner(image: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(image)[0, 0].tolist())


@pytest.mark.parametrize(("shape", "inner"), [((40, 20), (8, 16)), ((20, 40), (16, 8)), ((30, 30), (16, 16))])
def test_letterboxing_keeps_the_aspect_ratio_and_centres(shape: tuple[int, int], inner: tuple[int, int]) -> None:
    fitted_HWC = np.asarray(fit_image(one_colour(*shape), (16, 16), FitOptions(fit="letterbox")))
    filled_HW = (fitted_HWC == RED).all(axis=2)
    rows, columns = np.flatnonzero(filled_HW.any(axis=1)), np.flatnonzero(filled_HW.any(axis=0))
    assert (len(rows), len(columns)) == inner
    assert rows[0] == (16 - inner[0]) // 2
    assert columns[0] == (16 - inner[1]) // 2


def test_shapes_that_are_not_square_are_reached_by_every_policy() -> None:
    for fit in ("stretch", "crop", "letterbox"):
        fitted = fit_image(one_colour(40, 20), (6, 24), FitOptions(fit=fit))
        assert fitted.size == (24, 6)
    letterboxed_HWC = np.asarray(fit_image(one_colour(40, 20), (6, 24), FitOptions(fit="letterbox")))
    assert (letterboxed_HWC == RED).all(axis=2).sum(axis=1).tolist() == [12] * 6


def test_cropping_keeps_the_middle() -> None:
    striped_HWC = np.zeros((10, 30, 3), dtype=np.uint8)
    striped_HWC[:, 10:20] = RED
    fitted = fit_image(Image.fromarray(striped_HWC), (10, 10), FitOptions(fit="crop"))
    assert (np.asarray(fitted) == RED).all()


@pytest.mark.parametrize(
    ("padding", "expected"),
    [("fill", (1, 2, 3)), ("black", (0, 0, 0)), ("white", (255, 255, 255)), ("mean", RED), ("reflect", RED)],
)
def test_padding_is_the_colour_asked_for(padding: str, expected: tuple[int, int, int]) -> None:
    options = FitOptions.model_validate({"fit": "letterbox", "padding": padding, "fill": (1, 2, 3)})
    assert corner(fit_image(one_colour(40, 20), (16, 16), options)) == expected


def test_reflection_mirrors_the_image_at_its_edge() -> None:
    options = FitOptions(fit="letterbox", padding="reflect")
    fitted_HWC = np.asarray(fit_image(noise(16, 8), (16, 16), options))
    np.testing.assert_array_equal(fitted_HWC[:4], fitted_HWC[4:8][::-1])
    np.testing.assert_array_equal(fitted_HWC[12:], fitted_HWC[8:12][::-1])
    assert fit_image(noise(16, 1), (16, 16), options).size == (16, 16)  # many mirrors of a single row


def test_noise_around_an_image_is_its_own_and_the_same_every_time() -> None:
    options = FitOptions(fit="letterbox", padding="noise")
    first, again, other = (np.asarray(fit_image(noise(32, 16, seed), (16, 16), options)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:4], other[:4])
    assert 100 < first[:4].mean() < 155


def test_made_images_get_margins_of_the_share_asked_for() -> None:
    options = SyntheticFitOptions(fit="letterbox", margin_probability=1.0, margin_share=(0.2, 0.3))
    kept = []
    for seed in range(60):
        fitted_HWC = np.asarray(fit_made_image(one_colour(100, 100), (100, 100), options, seed))
        kept.append(int((fitted_HWC == RED).all(axis=2)[:, 50].sum()))
        assert corner(Image.fromarray(fitted_HWC)) == (0, 0, 0)
    assert 40 <= min(kept) < 45
    assert 55 < max(kept) <= 60


def test_margins_can_be_at_either_side_and_of_another_colour() -> None:
    options = SyntheticFitOptions(
        fit="letterbox", padding="black", margin_probability=1.0, margin_sides="either", margin_padding="white"
    )
    seen = set()
    for seed in range(20):
        fitted_HWC = np.asarray(fit_made_image(one_colour(64, 64), (32, 32), options, seed))
        seen.add("top" if (fitted_HWC[0, 16] == 255).all() else "side")
        assert (fitted_HWC[0, 0] == 255).all()
    assert seen == {"top", "side"}
    never = options.model_copy(update={"margin_probability": 0.0})
    wide = fit_made_image(one_colour(64, 32), (32, 32), never, 0)
    assert corner(wide) == (0, 0, 0)  # no margin was cut: the padding of all


def test_grey_scale_and_noise_are_drawn_for_each_image() -> None:
    grey = SyntheticFitOptions(greyscale_probability=0.5)
    greys = [len(set(corner(fit_made_image(noise(4, 4, seed), (4, 4), grey, 0)))) == 1 for seed in range(100)]
    assert 35 <= sum(greys) <= 65  # of 100 at a half: 3 standard deviations
    noisy = SyntheticFitOptions(noise_levels=10.0)
    image = one_colour(64, 64, (128, 128, 128))
    deviation = np.asarray(fit_made_image(image, (64, 64), noisy, 0)).astype(float) - 128
    assert abs(deviation.std() - 10.0) < 0.3  # 12,288 draws, and rounding adds 1/12 to the variance


def test_without_options_of_their_own_made_images_are_fitted_as_real_ones_are() -> None:
    for options in (SyntheticFitOptions(), SyntheticFitOptions(fit="letterbox", padding="noise")):
        np.testing.assert_array_equal(
            np.asarray(fit_made_image(noise(20, 10), (8, 8), options, 3)),
            np.asarray(fit_image(noise(20, 10), (8, 8), options, 3)),
        )


def test_pixels_are_in_colour_or_in_pillows_grey() -> None:
    image = noise(5, 4)
    np.testing.assert_array_equal(pixels_CHW(image, 3), np.asarray(image).transpose(2, 0, 1))
    np.testing.assert_array_equal(pixels_CHW(image, 1), np.asarray(image.convert("L"))[None])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin_probability": 0.5}, 'needs fit = "letterbox"'),
        ({"margin_share": (0.3, 0.2)}, "least and the largest"),
        ({"margin_share": (0.1, 0.5)}, "less than 0.5"),
        ({"greyscale_probability": 1.5}, "less than or equal to 1"),
    ],
)
def test_margins_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SyntheticFitOptions.model_validate(options)
