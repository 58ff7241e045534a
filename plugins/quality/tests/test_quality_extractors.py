"""Extractors beyond the classifier: how images reach them, and what is said where their weights are not there."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from balancebench import DataError, Origin
from balancebench_quality import networks, plugin
from balancebench_quality.inception_weights import FILE, check_hash, inception_weights
from balancebench_quality.networks import as_rgb, inception, inception_features, timm_features, timm_network

CPU = torch.device("cpu")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def random_inception():
    """Inception-v3 with drawn weights, from a file as the published one: everything but the numbers is the same."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    class Untrained(NoTrainInceptionV3):
        def load_state_dict(self, _state_dict, **_):
            return None

    before = torch.get_rng_state()
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: {})
        network = Untrained("inception-v3-compat", ["2048"], "unread")
    torch.set_rng_state(before)
    return network


def test_missing_inception_weights_say_where_to_get_them_before_anything_runs(empty_cache):
    options = plugin.FrechetOptions(extractor="inception")
    with pytest.raises(
        DataError, match=r"curl -L --create-dirs -o .*checkpoints/weights-inception.*https://github"
    ) as e:
        plugin.ready(options)
    assert str(empty_cache / FILE) in str(e.value)
    assert len(str(e.value).splitlines()) == 1
    plugin.ready(plugin.FrechetOptions())  # the others need nothing


def test_a_file_that_is_not_the_published_one_is_refused(empty_cache):
    empty_cache.mkdir(parents=True)
    (empty_cache / FILE).write_bytes(b"something else")
    assert inception_weights() == empty_cache / FILE
    with pytest.raises(DataError, match=r"its SHA-256 begins with \w{8}, not 6726825d; delete it"):
        check_hash(inception_weights())
    with pytest.raises(DataError, match="is not the published file"):
        inception(CPU)


def test_inception_is_loaded_from_the_file_and_from_tensors_alone(empty_cache, monkeypatch, random_inception):
    empty_cache.mkdir(parents=True)
    torch.save(random_inception.state_dict(), empty_cache / FILE)
    monkeypatch.setattr(networks, "check_hash", lambda _: None)
    images_NCHW = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found_ND = inception(CPU)(images_NCHW)
        assert found_ND.shape == (2, 2048)
        twin_ND = inception(CPU)(images_NCHW.repeat(1, 3, 1, 1))
    assert torch.equal(found_ND, twin_ND), "a grey image is the colour image of three equal channels"

    torch.save({"weights": PurePosixPath("any object")}, empty_cache / FILE)
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        inception(CPU)


def test_fid_can_look_through_inception(evaluate, make_images, random_inception, monkeypatch):
    monkeypatch.setattr(
        "balancebench_quality.features.inception", lambda device: inception_features(random_inception.to(device))
    )
    kept, made = make_images([6, 6]), make_images([0, 4], seed=1, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept, synthetic=made)
    kid = plugin.build_kid(plugin.PairOptions(extractor="inception"))(evaluation)
    assert isinstance(kid, float)
    fid = plugin.build_fid(plugin.FrechetOptions(extractor="inception"))(evaluation)
    assert fid.reason.startswith("2048 features need 2049 images a side")


def test_models_of_timm_get_images_as_they_were_trained():
    import timm

    seen = []
    model = timm.create_model("resnet10t", pretrained=False, num_classes=0).eval()
    model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    images_NCHW = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    with torch.inference_mode():
        features_ND = timm_features(model)(images_NCHW)
    assert features_ND.shape == (2, model.num_features)
    size = model.pretrained_cfg["input_size"][1:]
    assert seen[0].shape == (2, 3, *size)
    mean, std = model.pretrained_cfg["mean"][0], model.pretrained_cfg["std"][0]
    assert float(seen[0][0, 0, 0, 0]) == pytest.approx((1 - mean) / std, rel=1e-5)


def test_unknown_models_and_missing_weights_of_timm_are_named(monkeypatch):
    import timm

    with pytest.raises(DataError, match=r"timm has no model 'resnett18' \(did you mean 'resnet18'\?\)"):
        timm_network("resnett18", CPU)

    def unreachable(*_, **__):
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        DataError, match=r"weights of resnet18 cannot be had: the hub cannot be reached\nfetch them"
    ) as e:
        timm_network("resnet18", CPU)
    assert "timm.create_model('resnet18', pretrained=True, num_classes=0)" in str(e.value)


def test_colour_images_stay_as_they_are():
    images_NCHW = torch.arange(24, dtype=torch.uint8).reshape(1, 3, 2, 4)
    assert torch.equal(as_rgb(images_NCHW), images_NCHW)


def test_arithmetic_settings_are_put_back(evaluate, make_images):
    from balancebench_quality.features import features_of

    class Watching:
        settings = None

        def features(self, images_NCHW):
            type(self).settings = (torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled())
            return np.zeros((len(images_NCHW), 2), dtype=np.float32)

    before = torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()
    kept = make_images([4])
    images = evaluate(kept=kept, test=kept, synthetic=None, extractor=Watching()).images
    features_of(images, "classifier", "kept", kept, np.arange(4))
    assert Watching.settings == (False, True)
    assert (torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()) == before
