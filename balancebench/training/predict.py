"""Logits and features of a network for uint8 images, in chunks on the device.

Axis suffixes: N images, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from balancebench.errors import ClassifierError
from balancebench.training.model import ImageModel, adjusted_head
from balancebench.training.normalise import Normaliser
from balancebench.training.reproducibility import backend_settings
from balancebench.training.saved import Description, write_saved

__all__ = ["ModelPredictor"]

Adjust = Callable[[Tensor], Tensor]

# Pixel values sent through the network at a time: enough to fill a GPU, few enough for a processor's caches.
CHUNK_VALUES = {"cuda": 2**23, "cpu": 2**20, "mps": 2**21}
FEWEST_IMAGES = 16
# Wide networks on small images leave the caches long before their input does.
MOST_IMAGES = {"cuda": 1024, "cpu": 128, "mps": 1024}


class ModelPredictor:
    """Predicts with a model as it is at the moment of the call; leaves its weights and modes as they were."""

    def __init__(
        self,
        model: ImageModel,
        normaliser: Normaliser,
        *,
        image_shape: tuple[int, int, int],
        device: torch.device,
        precision: Literal["fp32", "bf16"],
        deterministic: bool,
        adjust_head: Adjust | None,
        adjust_logits: Adjust | None,
    ) -> None:
        self._model = model
        self._normaliser = normaliser
        self._image_shape = image_shape
        self._device = device
        self._precision: Literal["fp32", "bf16"] = precision
        self._deterministic = deterministic
        self._adjust_head = adjust_head
        self._adjust_logits = adjust_logits

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits_NK float32; images may be memory-mapped and have any number of rows, 0 included."""
        head = self._model.head
        if self._adjust_head is not None:
            head = adjusted_head(head, self._adjust_head)
        autocast = torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16")

        def logits_of(chunk_NCHW: Tensor) -> Tensor:
            with autocast:
                chunk_NK = head(self._model.features(chunk_NCHW))
            chunk_NK = chunk_NK.float()
            return chunk_NK if self._adjust_logits is None else self._adjust_logits(chunk_NK)

        return self._in_chunks(images_NCHW, logits_of, len(head.weight))

    def features(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return features_ND float32, what the head reads, computed in float32 whatever the training's precision."""
        return self._in_chunks(images_NCHW, self._model.features, self._model.head.weight.shape[1])

    def differentiable(self) -> ImageModel:
        """Return the network itself, in evaluation mode, for gradients: normalised images_NCHW float -> logits_NK.

        `normalised` gives such images. Raises ClassifierError where the plan adjusts the head or the logits.
        """
        if self._adjust_head is not None or self._adjust_logits is not None:
            raise ClassifierError("a classifier whose plan adjusts its head or its logits cannot be explained")
        return self._model.eval()

    def normalised(self, images_NCHW: NDArray[np.uint8]) -> Tensor:
        """Return images_NCHW as the network takes them, float32 on its device."""
        return self._normaliser(torch.from_numpy(np.array(images_NCHW)).to(self._device))

    def save(self, folder: Path) -> None:
        """Write the model to an existing folder, for `NetworkClassifier.restore`.

        Raises ClassifierError where the plan adjusts the head or the logits: functions cannot be written.
        """
        if self._adjust_head is not None or self._adjust_logits is not None:
            raise ClassifierError("a classifier whose plan adjusts its head or its logits cannot be saved")
        channels, rows, columns = self._image_shape
        description = Description(
            channels=channels,
            image_size=(rows, columns),
            class_count=len(self._model.head.weight),
            head=self._model.head.kind,
            precision=self._precision,
            deterministic=self._deterministic,
        )
        state = {f"model.{name}": tensor for name, tensor in self._model.state_dict().items()}
        normaliser = {"scale_1C11": self._normaliser.scale_1C11, "shift_1C11": self._normaliser.shift_1C11}
        write_saved(folder, description, {**state, **normaliser})

    def _in_chunks(
        self, images_NCHW: NDArray[np.uint8], compute: Callable[[Tensor], Tensor], width: int
    ) -> NDArray[np.float32]:
        """Return compute(normalised images), (N, width)."""
        device = self._device.type
        values = max(1, int(np.prod(images_NCHW.shape[1:])))
        rows = min(MOST_IMAGES[device], max(FEWEST_IMAGES, CHUNK_VALUES[device] // values))
        results_NX = np.empty((len(images_NCHW), width), dtype=np.float32)
        with backend_settings(deterministic=self._deterministic), evaluating(self._model), torch.inference_mode():
            for begin in range(0, len(images_NCHW), rows):
                # np.array copies: torch refuses to share read-only memory quietly.
                chunk_NCHW = torch.from_numpy(np.array(images_NCHW[begin : begin + rows])).to(self._device)
                chunk_NX = compute(self._normaliser(chunk_NCHW)).float()
                results_NX[begin : begin + rows] = chunk_NX.cpu().numpy()
        return results_NX


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
