from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import WeightsEnum

from balancebench import ClassifierError
from balancebench.builtin.classifiers.model_zoos import timm_backbone, torchvision_backbone


def features(backbone: nn.Module, channels: int, size: int) -> torch.Tensor:
    with torch.no_grad():
        return backbone.eval()(torch.randn(2, channels, size, size))


@pytest.mark.parametrize(
    ("name", "size", "feature_count"),
    [
        ("resnet18", 32, 512),
        ("mobilenet_v3_small", 32, 1024),
        ("efficientnet_b0", 32, 1280),
        ("squeezenet1_1", 32, 512),
        ("googlenet", 64, 1024),
        ("shufflenet_v2_x0_5", 32, 1024),
        ("mnasnet0_5", 32, 1280),
        ("regnet_y_400mf", 32, 440),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_models_lose_their_last_layer_alone(name, size, feature_count, channels):
    backbone = torchvision_backbone(name, channels, weights=None, image_size=None)

    assert features(backbone, channels, size).shape == (2, feature_count)
    assert isinstance(backbone.train()(torch.randn(2, channels, size, size)), torch.Tensor)


def test_features_and_the_layer_that_was_cut_off_give_torchvisions_logits():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    whole = resnet18().eval()
    backbone = torchvision_backbone("resnet18", 3, weights=None, image_size=None)
    backbone[0].load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")})
    images = torch.randn(2, 3, 64, 64)

    with torch.no_grad():
        torch.testing.assert_close(whole.fc(backbone.eval()(images)), whole(images))


def test_grey_images_enter_a_torchvision_model_as_three_equal_channels():
    backbone = torchvision_backbone("resnet18", 1, weights=None, image_size=None).eval()
    grey = torch.randn(2, 1, 32, 32)

    with torch.no_grad():
        assert torch.equal(backbone(grey), backbone[1](grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_timm_models_take_grey_and_rgb_images(channels):
    backbone = timm_backbone("resnet10t", channels, pretrained=False, image_size=None)

    assert features(backbone, channels, 32).shape == (2, 512)


def test_image_size_resizes_as_torchvision_does():
    from torchvision.transforms.v2.functional import resize

    backbone = timm_backbone("resnet10t", 3, pretrained=False, image_size=48)
    images = torch.randn(2, 3, 32, 64)

    torch.testing.assert_close(backbone[0](images), resize(images, [48, 48], antialias=True))


def test_weights_of_timm_are_read_from_safetensors(tmp_path, monkeypatch):
    import timm

    torch.manual_seed(1)
    source = timm.create_model("resnet18")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    downloads = []

    def download(repository, filename):
        downloads.append((repository, filename))
        return str(tmp_path / filename)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    backbone = timm_backbone("resnet18.a1_in1k", 3, pretrained=True, image_size=None)

    assert downloads == [("timm/resnet18.a1_in1k", "model.safetensors")]
    loaded = backbone[0].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in source.state_dict().items() if name in loaded)


def test_weights_of_timm_that_cannot_be_reached_are_a_clear_error(monkeypatch):
    def download(repository, filename):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

    with pytest.raises(ClassifierError, match=r"weights of resnet18, model.safetensors in timm/.*no route to host"):
        timm_backbone("resnet18", 3, pretrained=True, image_size=None)


def test_weights_of_torchvision_are_loaded_without_pickled_objects(monkeypatch):
    from torchvision.models import resnet18

    source = resnet18().state_dict()
    seen = []

    def get_state_dict(self, *args, **settings):
        seen.append((self.name, settings.get("check_hash"), os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")))
        return source

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    backbone = torchvision_backbone("resnet18", 3, weights="DEFAULT", image_size=None)

    assert seen == [("IMAGENET1K_V1", True, "1")]
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    loaded = backbone[0].state_dict()
    assert all(torch.equal(loaded[name], source[name]) for name in loaded)


def test_weights_of_torchvision_that_cannot_be_reached_are_a_clear_error(monkeypatch):
    def get_state_dict(self, *args, **settings):
        raise OSError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)

    with pytest.raises(ClassifierError, match=r"weights DEFAULT of resnet18, cannot be loaded: no route to host"):
        torchvision_backbone("resnet18", 3, weights="DEFAULT", image_size=None)


def test_unknown_weights_of_torchvision_are_refused_with_the_known_ones():
    with pytest.raises(ClassifierError, match=r"no weights 'IMAGENET1K_V9' \(did you mean 'IMAGENET1K_V1'\?\)"):
        torchvision_backbone("resnet18", 3, weights="IMAGENET1K_V9", image_size=None)
