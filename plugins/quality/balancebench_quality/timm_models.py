"""Any pre-trained model of timm as an extractor.

Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balancebench import DataError, nearest

__all__ = ["Network", "timm_features", "timm_network"]

Network = Callable[[Tensor], Tensor]
"""images_NCHW uint8 on the device -> features_ND float32."""


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
    """Return what resizes and normalises images as a model of timm was trained, and gives its pooled features.

    Grey images go in as three equal channels.
    """
    from timm.data.config import resolve_model_data_config

    configuration: dict[str, Any] = resolve_model_data_config(model)
    size = cast("tuple[int, int, int]", configuration["input_size"])[1:]
    parameter = next(model.parameters())

    def per_channel(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=parameter.device).view(1, -1, 1, 1)

    mean_1C11, std_1C11 = per_channel(configuration["mean"]), per_channel(configuration["std"])

    def features(images_NCHW: Tensor) -> Tensor:
        scaled_NCHW = images_NCHW.expand(-1, 3, -1, -1).float() / 255
        resized_NCHW = F.interpolate(scaled_NCHW, size=size, mode="bilinear", align_corners=False, antialias=True)
        return model((resized_NCHW - mean_1C11) / std_1C11)

    return features
