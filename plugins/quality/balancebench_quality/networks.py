"""The pre-trained networks that can serve as extractors: Inception-v3 as FID uses it, and any model of timm.

Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balancebench import DataError, nearest
from balancebench_quality.inception_weights import check_hash, inception_weights

__all__ = ["Network", "as_rgb", "inception", "inception_features", "timm_features", "timm_network"]

Network = Callable[[Tensor], Tensor]
"""images_NCHW uint8 on the device -> features_ND float32."""


def inception(device: torch.device) -> Network:
    """Return Inception-v3 with the weights of the original FID, its 2,048 pooled features.

    torchmetrics' network, which is torch-fidelity's: it resizes to 299x299 itself, as FID's first implementation did.
    """
    path = inception_weights()
    check_hash(path)
    from torchmetrics.image.fid import NoTrainInceptionV3

    with _tensors_only():
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    return inception_features(network.to(device))


def inception_features(network: nn.Module) -> Network:
    """Return what feeds colour images to torch-fidelity's network and takes the one feature it was made for."""
    return lambda images_NCHW: network(as_rgb(images_NCHW)).reshape(len(images_NCHW), -1)


def timm_network(name: str, device: torch.device) -> Network:
    """Return a pre-trained model of timm without its classifier.

    Raises DataError for unknown names and where the weights cannot be had, saying how to get them beforehand.
    """
    import timm

    if not timm.is_model(name):
        raise DataError(f"timm has no model {name!r}{nearest(name, timm.list_models())}")
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        # The hub, its cache and timm each have their own errors for weights that are not there.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"timm's weights of {name} cannot be had: {reason}\nfetch them beforehand, where there is a network, with "
            f"`python -c \"import timm; timm.create_model('{name}', pretrained=True, num_classes=0)\"`"
        ) from error
    return timm_features(model.eval().to(device))


def timm_features(model: nn.Module) -> Network:
    """Return what resizes and normalises images as a model of timm was trained, and gives its pooled features."""
    from timm.data.config import resolve_model_data_config

    configuration: dict[str, Any] = resolve_model_data_config(model)
    size = cast("tuple[int, int, int]", configuration["input_size"])[1:]
    parameter = next(model.parameters())

    def per_channel(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=parameter.device).view(1, -1, 1, 1)

    mean_1C11, std_1C11 = per_channel(configuration["mean"]), per_channel(configuration["std"])

    def features(images_NCHW: Tensor) -> Tensor:
        scaled_NCHW = as_rgb(images_NCHW).float() / 255
        resized_NCHW = F.interpolate(scaled_NCHW, size=size, mode="bilinear", align_corners=False, antialias=True)
        return model((resized_NCHW - mean_1C11) / std_1C11)

    return features


def as_rgb(images_NCHW: Tensor) -> Tensor:
    """Return grey images with their channel three times, colour images as they are."""
    return images_NCHW.expand(-1, 3, -1, -1) if images_NCHW.shape[1] == 1 else images_NCHW


@contextmanager
def _tensors_only() -> Generator[None]:
    """Make torch.load refuse pickled objects other than tensors, which torch-fidelity does not ask for."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
