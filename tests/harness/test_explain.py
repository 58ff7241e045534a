"""`balancebench explain`: heat-maps of the kept networks of a suite, side by side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from balancebench.pictures.explanations import ExplainedRow, explanation_picture, typical_images

pytest.importorskip("captum", reason="heat-maps need the extra `explain`")

SUITE = """
schema = 1
name = "digits"
metrics = ["accuracy"]

[run]
KEEP

[[dataset]]
use = "digits"
images_per_class = 6

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 2

[[balancer]]
use = "none"

[[classifier]]
use = "small_cnn"
steps = 3
width = 4
"""


@pytest.fixture
def suite(tmp_path):
    def write(keep):
        path = tmp_path / f"suite_{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(SUITE.replace("KEEP", keep))
        return path

    return write


def test_kept_networks_are_explained_and_others_are_not(call, suite, tmp_path):
    path = suite("keep_weights = true\nceiling = false")
    assert call("run", path, "--jobs", "0", "--no-pictures")[0] == 0
    for method in ("integrated_gradients", "grad_cam"):
        code, out, err = call("explain", path, "--method", method, "--device", "cpu")
        assert code == 0, err
        (written,) = out.split()
        with Image.open(tmp_path / written) as picture:
            assert picture.height > 10 * 100  # a line of at least 100 pixels for each class
    code, out, err = call("explain", path, "--image", "3", "--image", "5", "--device", "cpu")
    assert code == 0, err
    with Image.open(tmp_path / out.split()[0]) as picture:
        assert picture.height < 5 * 160
    forgetful = suite("ceiling = false")
    call("run", forgetful, "--jobs", "0", "--no-pictures", "--store", "other")
    code, _, err = call("explain", forgetful, "--store", "other", "--device", "cpu")
    assert code == 2
    assert "set keep_weights = true in [run]" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "gradcam"), "--method gradcam: there is no such method (did you mean 'grad_cam'?)"),
        (("--row", "nobody"), "--row nobody: the suite has no such row"),
        (("--image", "100000"), "--image 100000: there are test images 0 to"),
    ],
)
def test_what_cannot_be_explained_is_one_line(call, suite, arguments, message):
    path = suite("keep_weights = true\nceiling = false")
    call("run", path, "--jobs", "0", "--no-pictures")
    code, out, err = call("explain", path, "--device", "cpu", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in out + err


def test_typical_images_are_those_nearest_to_the_mean_of_their_class():
    levels = np.array([0, 100, 60, 55, 200, 10], dtype=np.uint8)
    labels_N = np.array([0, 0, 0, 0, 1, 1])
    images_NCHW = levels[:, None, None, None].repeat(4, axis=2).repeat(4, axis=3)
    assert typical_images(images_NCHW, labels_N, 3, per_class=1).tolist() == [3, 4]  # the mean of 0, 100, 60 and 55: 54
    assert typical_images(images_NCHW, labels_N, 3, per_class=2).tolist() == [3, 2, 4, 5]


def test_what_speaks_for_a_class_is_red_and_what_speaks_against_it_blue():
    maps_NHW = np.zeros((1, 16, 16), dtype=np.float32)
    maps_NHW[0, :8], maps_NHW[0, 8:] = 1.0, -1.0
    row = ExplainedRow(
        name="floor",
        maps_NHW=maps_NHW,
        probability_N=np.array([0.5], dtype=np.float32),
        predicted_N=np.array([1]),
    )
    images_NCHW = np.full((1, 1, 16, 16), 100, dtype=np.uint8)
    content = explanation_picture(images_NCHW, np.array([0]), ["cat", "dog"], [row], "title", "subject")
    pixels_HWC = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    red = (pixels_HWC[..., 0] > pixels_HWC[..., 2] + 80).sum()
    blue = (pixels_HWC[..., 2] > pixels_HWC[..., 0] + 80).sum()
    assert red == blue == 128 * 64


def test_a_network_that_cannot_be_saved_loses_no_training(tmp_path):
    from types import SimpleNamespace

    from balancebench.errors import ClassifierError
    from balancebench.stages.train import _keep

    class Adjusted:
        def save(self, folder):
            (folder / "model.json").write_text("{}")
            raise ClassifierError("its plan adjusts the head")

    notes = {}
    _keep(SimpleNamespace(results=tmp_path, note=notes.__setitem__), Adjusted())
    assert notes == {"weights_not_kept": "its plan adjusts the head"}
    assert list(tmp_path.iterdir()) == []  # no half of a network stays
