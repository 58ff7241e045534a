"""Logits of a network for uint8 images, in chunks on the device.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from balancebench.training.model import ImageModel, adjusted_head
from balancebench.training.normalise import Normaliser
from balancebench.training.reproducibility import backend_settings

__all__ = ["ModelPredictor"]

Adjust = Callable[[Tensor], Tensor]

# Pixel values sent through the network at a time: enough to fill a GPU, few enough for a processor's caches.
CHUNK_VALUES = {"cuda": 2**23, "cpu": 2**20, "mps": 2**21}
CHUNK_IMAGES = (16, 1024)  # never fewer, never more, for networks that enlarge their images


class ModelPredictor:
    """Predicts with a model as it is at the moment of the call; leaves its weights and modes as they were."""

    def __init__(
        self,
        model: ImageModel,
        normaliser: Normaliser,
        *,
        device: torch.device,
        precision: Literal["fp32", "bf16"],
        deterministic: bool,
        adjust_head: Adjust | None,
        adjust_logits: Adjust | None,
    ) -> None:
        self._model = model
        self._normaliser = normaliser
        self._device = device
        self._precision = precision
        self._deterministic = deterministic
        self._adjust_head = adjust_head
        self._adjust_logits = adjust_logits

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits_NK float32; images may be memory-mapped and have any number of rows, 0 included."""
        head = self._model.head
        if self._adjust_head is not None:
            head = adjusted_head(head, self._adjust_head)
        fewest, most = CHUNK_IMAGES
        values = max(1, int(np.prod(images_NCHW.shape[1:])))
        rows = min(most, max(fewest, CHUNK_VALUES[self._device.type] // values))
        logits_NK = np.empty((len(images_NCHW), len(head.weight)), dtype=np.float32)
        autocast = torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16")
        with backend_settings(deterministic=self._deterministic), evaluating(self._model), torch.inference_mode():
            for begin in range(0, len(images_NCHW), rows):
                # np.array copies: torch refuses to share read-only memory quietly.
                chunk_NCHW = torch.from_numpy(np.array(images_NCHW[begin : begin + rows])).to(self._device)
                with autocast:
                    chunk_NK = head(self._model.features(self._normaliser(chunk_NCHW)))
                chunk_NK = chunk_NK.float()
                if self._adjust_logits is not None:
                    chunk_NK = self._adjust_logits(chunk_NK)
                logits_NK[begin : begin + rows] = chunk_NK.cpu().numpy()
        return logits_NK


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Put every module into evaluation mode, and back into the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
