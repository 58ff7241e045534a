"""Inception-v3 for FID: what is said where its weights are missing or wrong, and what it makes of images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
import torch

from balancebench import DataError
from balancebench.synthesis import inception
from balancebench.synthesis.inception import FILE, check_hash, inception_weights, load_inception
from balancebench.training.pretrained import tensors_only

CPU = torch.device("cpu")
VARIABLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder where the weights belong, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def fidelity():
    """Return torch-fidelity's module of the network, which plugins bring."""
    return pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def home_of_drawn_weights(fidelity, tmp_path_factory):
    """Return a TORCH_HOME with drawn weights for the published ones: everything but the numbers is the same."""

    class Untrained(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, _state_dict, **_):
            return None

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(torch, "load", lambda *_, **__: {})
        network = Untrained("inception-v3-compat", ["2048"], "unread")
    home = tmp_path_factory.mktemp("torch")
    path = home / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    yield home
    path.unlink()  # 95 MB, which pytest would keep for three runs


@pytest.fixture
def drawn(home_of_drawn_weights, monkeypatch):
    """Let drawn weights pass for the published ones."""
    monkeypatch.setenv("TORCH_HOME", str(home_of_drawn_weights))
    monkeypatch.setattr(inception, "check_hash", lambda _: None)


def images(channels=3, size=(8, 8)):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, channels, *size), dtype=torch.uint8, generator=generator)


def test_missing_weights_say_in_one_line_where_they_belong_and_how_to_get_them(cache):
    with pytest.raises(DataError, match=r"curl -L --create-dirs -o .*weights-inception.* https://github") as caught:
        inception_weights()
    assert str(cache / FILE) in str(caught.value)
    assert '"pixels"' in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DataError, match="needs the weights"):
        load_inception(CPU)


def test_looking_for_the_weights_imports_no_torch():
    code = "import sys, balancebench.synthesis.inception; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_is_not_the_published_one_is_refused(cache):
    (cache / FILE).write_bytes(b"something else")
    assert inception_weights() == cache / FILE
    with pytest.raises(DataError, match=r"its SHA-256 begins with \w{8}, not 6726825d; delete it"):
        check_hash(inception_weights())
    with pytest.raises(DataError, match="is not the published file"):
        load_inception(CPU)


@pytest.mark.usefixtures("drawn")
def test_images_of_any_size_give_2048_numbers_and_grey_ones_those_of_three_equal_channels():
    features = load_inception(CPU)
    with torch.inference_mode():
        grey_ND = features(images(channels=1))
        assert torch.equal(features(images(channels=1).repeat(1, 3, 1, 1)), grey_ND)
        assert grey_ND.dtype == torch.float32
        assert grey_ND.shape == features(images(size=(20, 31))).shape == (2, 2048)


@pytest.mark.usefixtures("drawn")
def test_features_are_those_of_torch_fidelity_which_resizes_as_the_first_fid_did(fidelity):
    reference = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(inception_weights()))
    with torch.inference_mode():
        (expected_ND,) = reference(images(size=(28, 20)))
        assert torch.equal(load_inception(CPU)(images(size=(28, 20))), expected_ND)


@pytest.mark.usefixtures("fidelity")
def test_weights_are_read_as_tensors_alone(cache, monkeypatch):
    torch.save({"weights": PurePosixPath("any object")}, cache / FILE)
    monkeypatch.setattr(inception, "check_hash", lambda _: None)
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load_inception(CPU)


@pytest.mark.parametrize("before", [None, "0"])
def test_tensors_only_holds_within_its_context_and_no_longer(tmp_path, monkeypatch, before):
    torch.save(PurePosixPath("any object"), tmp_path / "objects.pt")
    torch.save(torch.ones(2), tmp_path / "tensors.pt")
    monkeypatch.delenv(VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    with tensors_only():
        assert torch.equal(torch.load(tmp_path / "tensors.pt", weights_only=False), torch.ones(2))
        with pytest.raises(Exception, match=r"(?i)weights.only"):
            torch.load(tmp_path / "objects.pt", weights_only=False)
    assert os.environ.get(VARIABLE) == before
    assert torch.load(tmp_path / "objects.pt", weights_only=False) == PurePosixPath("any object")
