"""How well images fit the name of their class: cosine similarity of CLIP's features (Radford et al. 2021).

A vague name ("Ginger") gives images that are as near to other classes' names as to their own.
Axis suffixes: B images, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from balancebench import BalancerError

__all__ = ["ClassSimilarity", "vague_classes"]


class ClassSimilarity:
    """Compares images with the names of all classes."""

    def __init__(self, folder: Path, class_names: Sequence[str], device: torch.device) -> None:
        """Load CLIP from `folder`; raises BalancerError where transformers cannot."""
        transformers: Any = import_module("transformers")
        try:
            self._model: Any = transformers.CLIPModel.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
            tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
            self._processor: Any = transformers.CLIPImageProcessor.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BalancerError(f"transformers cannot load CLIP from {folder}: {error}") from error
        self._model = self._model.to(device).eval()
        self._device = device
        texts = tokenizer([f"a photo of a {name}" for name in class_names], padding=True, return_tensors="pt")
        with torch.no_grad():
            projected = self._model.text_projection(
                self._model.text_model(**{name: tensor.to(device) for name, tensor in texts.items()}).pooler_output
            )
        self._texts_KD = torch.nn.functional.normalize(projected, dim=1)

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return similarities_BK in -1..1."""
        pixels: Any = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"].to(self._device)
        projected = self._model.visual_projection(self._model.vision_model(pixel_values=pixels).pooler_output)
        images_BD = torch.nn.functional.normalize(projected, dim=1)
        return (images_BD @ self._texts_KD.T).float().cpu().numpy()


def vague_classes(mean_KK: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, str]:
    """Return class -> the other class whose name its images fit as well or better.

    mean_KK: mean similarity of the images of a class (row) to the names of all classes; NaN rows have no images.
    """
    vague: dict[str, str] = {}
    for label, name in enumerate(class_names):
        if np.isnan(mean_KK[label]).any() or len(class_names) < 2:
            continue
        others_K = np.where(np.arange(len(class_names)) == label, -np.inf, mean_KK[label])
        nearest = int(others_K.argmax())
        if others_K[nearest] >= mean_KK[label, label]:
            vague[name] = class_names[nearest]
    return vague
