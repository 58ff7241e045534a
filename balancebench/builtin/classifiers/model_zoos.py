"""Backbones from torchvision and timm, by name.

Pre-trained weights come as safetensors (timm) or are loaded by torch's weights-only reader after their hash is
checked (torchvision): no file that could run code is opened.
Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from balancebench.builtin.classifiers.options import TimmModelOptions, TorchvisionModelOptions
from balancebench.errors import ClassifierError, nearest
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.pretrained import tensors_only

__all__ = [
    "check_timm_model",
    "check_torchvision_model",
    "timm_backbone",
    "timm_model",
    "timm_weights_file",
    "torchvision_backbone",
    "torchvision_model",
]


def torchvision_model(options: TorchvisionModelOptions) -> NetworkClassifier:
    """Return the classifier `torchvision_model`."""
    return NetworkClassifier(
        lambda channels, _image_size: torchvision_backbone(
            options.name, channels, weights=options.weights, image_size=options.image_size
        ),
        options,
    )


def timm_model(options: TimmModelOptions) -> NetworkClassifier:
    """Return the classifier `timm_model`."""
    return NetworkClassifier(
        lambda channels, _image_size: timm_backbone(
            options.name, channels, pretrained=options.pretrained, image_size=options.image_size
        ),
        options,
    )


def check_torchvision_model(options: TorchvisionModelOptions) -> None:
    """Raise ClassifierError where torchvision has no such model, or no such weights of it."""
    _check_torchvision_names(options.name, options.weights)


def check_timm_model(options: TimmModelOptions) -> None:
    """Raise ClassifierError where timm has no such model."""
    _check_timm_name(options.name)


def _check_torchvision_names(name: str, weights: str | None) -> None:
    from torchvision import models

    model_names = models.list_models(module=models)
    if name not in model_names:
        raise ClassifierError(f"torchvision has no classification model {name!r}{nearest(name, model_names)}")
    weights_names = [*models.get_model_weights(name).__members__, "DEFAULT"]
    if weights is not None and weights not in weights_names:
        raise ClassifierError(f"torchvision's {name} has no weights {weights!r}{nearest(weights, weights_names)}")


def _check_timm_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        raise ClassifierError(f"timm has no model {name!r}{nearest(name, timm.list_models())}")


def torchvision_backbone(name: str, channels: int, *, weights: str | None, image_size: int | None) -> nn.Module:
    """Return the model of torchvision.models called `name`, without its last layer: images_NCHW -> features_ND.

    Grey images go in as three equal channels. weights: the name of a set of weights, such as "IMAGENET1K_V1" or
    "DEFAULT", or None for random ones. image_size: rows and columns that images are resized to, or None.

    Raises ClassifierError for unknown names and where the weights cannot be had.
    """
    from torchvision import models

    _check_torchvision_names(name, weights)
    # The auxiliary heads of these two make training return more than logits.
    extra = {"aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
    if weights is None:
        if extra:
            extra["init_weights"] = True
        model = models.get_model(name, weights=None, **extra)
    else:
        with tensors_only():
            try:
                model = models.get_model(name, weights=weights, **extra)
            except (OSError, RuntimeError) as error:
                raise _unreachable(f"torchvision's weights {weights} of {name}", error) from error
    layers: list[nn.Module] = [_GreyToRGB()] if channels == 1 else []
    return nn.Sequential(*_resizing(image_size), *layers, _without_last_layer(name, model))


def timm_backbone(name: str, channels: int, *, pretrained: bool, image_size: int | None) -> nn.Module:
    """Return the model of timm called `name`, without its classifier: images_NCHW -> features_ND.

    pretrained: start from the weights that timm names for the model, which must be a safetensors file on the Hugging
    Face hub; for grey images timm sums the first layer over the channels. image_size: as in `torchvision_backbone`.

    Raises ClassifierError for unknown names and where the weights cannot be had.
    """
    import timm

    _check_timm_name(name)
    overlay = {"file": timm_weights_file(name)} if pretrained else None
    model = timm.create_model(
        name, pretrained=pretrained, pretrained_cfg_overlay=overlay, in_chans=channels, num_classes=0
    )
    return nn.Sequential(*_resizing(image_size), model)


def timm_weights_file(name: str) -> str:
    """Return the path of timm's weights of a model, fetched where they are not here; raise ClassifierError else."""
    import timm
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    configuration = timm.get_pretrained_cfg(name)
    repository = configuration.hf_hub_id if configuration is not None else None
    if not repository:
        raise ClassifierError(f"timm has no pre-trained weights of {name!r} on the Hugging Face hub")
    try:
        return hf_hub_download(repository, "model.safetensors")
    except (OSError, HfHubHTTPError) as error:
        raise _unreachable(f"timm's weights of {name}, model.safetensors in {repository}", error) from error


def _unreachable(what: str, error: Exception) -> ClassifierError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ClassifierError(f"{what}, cannot be loaded: {reason}")


def _without_last_layer(name: str, model: nn.Module) -> nn.Module:
    """Replace the last linear layer by nothing; SqueezeNet ends in a convolution instead, and keeps its pooling."""
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        if not name.startswith("squeezenet"):
            raise ClassifierError(f"torchvision's {name} ends in no linear layer that could be replaced")
        model.set_submodule("classifier", nn.Sequential(nn.Dropout(), nn.AdaptiveAvgPool2d(1)))
        return model
    model.set_submodule(linear[-1], nn.Identity())
    return model


class _GreyToRGB(nn.Module):
    def forward(self, images_NCHW: Tensor) -> Tensor:
        return images_NCHW.expand(-1, 3, -1, -1)


class _Resize(nn.Module):
    """Bilinear resizing with anti-aliasing, on the device; images are augmented and mixed at their own size before."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        size = (self.image_size, self.image_size)
        return F.interpolate(images_NCHW, size=size, mode="bilinear", align_corners=False, antialias=True)


def _resizing(image_size: int | None) -> list[nn.Module]:
    return [] if image_size is None else [_Resize(image_size)]
