"""Features of images by a named extractor, computed once for all metrics of a cell.

    classifier    what the last layer of the suite's own classifier reads, trained on all training images
    inception     the 2,048 pooled features of Inception-v3, as in FID
    timm:NAME     the pooled features of a model of timm
    pixels        the pixels themselves, in 0..1

Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench import JSON, EvaluationImages, LabelledImages, Origin
from balancebench.synthesis.inception import load_inception
from balancebench.training.reproducibility import backend_settings
from balancebench_quality.timm_models import Network, timm_network

__all__ = ["features_of"]

REVISION = 1
"""Raise it whenever features of the same images change."""

CHUNK_IMAGES = {"cuda": 256, "cpu": 32, "mps": 128}


def features_of(
    images: EvaluationImages, extractor: str, source: LabelledImages, indices_N: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return features_ND float32 of the images of `source` at `indices_N`.

    Those of real images are computed once for the whole store, those of synthetic ones once for a cell. Always in
    float32 arithmetic with deterministic kernels and without TF32: Frechet distances move with all of these.
    Raises DataError or ClassifierError where the extractor cannot be had.
    """
    chosen_NCHW = np.ascontiguousarray(source.images_NCHW[indices_N])
    if extractor == "pixels":
        return chosen_NCHW.reshape(len(chosen_NCHW), -1).astype(np.float32) / np.float32(255)

    def compute() -> NDArray[np.float32]:
        with backend_settings(deterministic=True):
            if extractor == "classifier":
                return images.extractor().features(chosen_NCHW)
            network = images.once(("quality", "network", extractor), lambda: _network(extractor, images.device))
            return _in_chunks(network, chosen_NCHW, torch.device(images.device))

    shape = "x".join(map(str, chosen_NCHW.shape))
    digest = f"{shape}:{hashlib.sha256(chosen_NCHW.data).hexdigest()}"
    is_real = bool((source.origins_N[indices_N] == Origin.REAL).all())
    if not is_real or (extractor == "classifier" and images.extractor_key is None):
        return images.once(("quality", "features", extractor, digest), compute)
    identity: dict[str, JSON] = {
        "extractor": extractor,
        "trained_by": images.extractor_key if extractor == "classifier" else None,
        "images": digest,
        "device": torch.device(images.device).type,
        "versions": [torch.__version__, version("timm")],
        "revision": REVISION,
    }
    return images.once(("quality", "features", extractor, digest), lambda: images.cached("features", identity, compute))


def _network(extractor: str, device: str) -> Network:
    if extractor == "inception":
        return load_inception(torch.device(device))
    return timm_network(extractor.removeprefix("timm:"), torch.device(device))


def _in_chunks(network: Network, images_NCHW: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    rows = CHUNK_IMAGES.get(device.type, 32)
    with torch.inference_mode():
        chunks = [
            network(torch.from_numpy(images_NCHW[begin : begin + rows]).to(device)).float().cpu().numpy()
            for begin in range(0, len(images_NCHW), rows)
        ]
    return np.concatenate(chunks)
