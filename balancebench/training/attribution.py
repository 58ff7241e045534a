"""Which pixels a trained network's answer rests on, by Captum.

    integrated_gradients   Sundararajan, Taly and Yan 2017, from a black image, 32 steps: the sum over channels, signed
    grad_cam               Selvaraju et al. 2017, of the last convolution: what speaks for the class, no sign
    occlusion              Zeiler and Fergus 2014: how far the logit falls where a square (side / 8) is black

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from balancebench.errors import BalancebenchError, ClassifierError
from balancebench.training.predict import ModelPredictor

__all__ = ["METHODS", "Method", "attributions"]

Method = Literal["integrated_gradients", "grad_cam", "occlusion"]
METHODS: tuple[Method, ...] = ("integrated_gradients", "grad_cam", "occlusion")
STEPS = 32


def attributions(
    predictor: ModelPredictor, images_NCHW: NDArray[np.uint8], labels_N: NDArray[np.int64], method: Method
) -> NDArray[np.float32]:
    """Return maps_NHW float32, above 0 where a pixel speaks for the class of `labels_N`, of no agreed scale.

    Raises ClassifierError where grad_cam finds no convolution, or the plan adjusts the head; BalancebenchError without
    Captum.
    """
    captum = _captum()
    network = predictor.differentiable()
    images = predictor.normalised(images_NCHW)
    black = predictor.normalised(np.zeros_like(images_NCHW))
    targets = torch.from_numpy(labels_N).to(images.device)
    match method:
        case "integrated_gradients":
            maps: Tensor = captum.IntegratedGradients(network).attribute(
                images, baselines=black, target=targets, n_steps=STEPS, internal_batch_size=max(len(images), 64)
            )
        case "grad_cam":
            coarse = captum.LayerGradCam(network, _last_convolution(network)).attribute(
                images, target=targets, relu_attributions=True
            )
            maps = nn.functional.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
        case "occlusion":
            side = max(1, min(images.shape[2:]) // 8)
            with torch.no_grad():
                maps = captum.Occlusion(network).attribute(
                    images,
                    sliding_window_shapes=(images.shape[1], side, side),
                    strides=(images.shape[1], max(1, side // 2), max(1, side // 2)),
                    baselines=black,
                    target=targets,
                )
            maps = maps[:, :1]  # the window takes all channels, which get one value
    return maps.detach().sum(1).float().cpu().numpy()


def _captum() -> Any:
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise BalancebenchError("heat-maps need the library Captum: pip install 'balancebench[explain]'") from error


def _last_convolution(network: nn.Module) -> nn.Module:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise ClassifierError("grad_cam needs a network with a convolution: take integrated_gradients or occlusion")
    return convolutions[-1]
