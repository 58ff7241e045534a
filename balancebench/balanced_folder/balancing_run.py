"""Balances a folder: reads its images, runs the balancer, writes the result. Raises BalancebenchError only.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass

import numpy as np

from balancebench.balanced_folder.image_writer import write_folder
from balancebench.balanced_folder.make import balanced_images
from balancebench.balanced_folder.request import BalanceRequest, claim_folder, is_finished, refuse_other_contents
from balancebench.contracts import LoadContext, Progress
from balancebench.data import LabelledImages, class_counts
from balancebench.errors import BalancebenchError
from balancebench.folders import data_root
from balancebench.loading.decode import BATCH_SIZE, EncodedImage, EncodedImages, decode_splits
from balancebench.loading.options import FileImageOptions
from balancebench.synthesis.target import wanted_counts

__all__ = ["BalanceEstimate", "balance_folder", "estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceEstimate:
    """What a request would make: images of each class now and then (None where the balancer alone knows).

    bytes_unpacked: of all images as arrays, an upper bound of their files. trainings: generators to be trained.
    """

    class_names: tuple[str, ...]
    before_K: tuple[int, ...]
    after_K: tuple[int, ...] | None
    bytes_unpacked: int | None
    trainings: tuple[str, ...]


def estimate(request: BalanceRequest) -> BalanceEstimate:
    """Return what the request would make; no image is read."""
    labels_N = np.array([file.label for file in request.tree.files["train"]], dtype=np.int64)
    names = request.tree.class_names
    before_K = class_counts(labels_N, len(names))
    target = getattr(request.balancer.options, "target", None)
    after_K = None
    if target is not None:
        counted = LabelledImages(
            images_NCHW=np.zeros((len(labels_N), 1, 1, 1), dtype=np.uint8), labels_N=labels_N, class_names=names
        )
        after_K = np.maximum(before_K, wanted_counts(target, counted))
    trainings: list[str] = []
    level = request.balancer
    while True:
        if getattr(level.component, "trains_generator", False):
            trainings.append(level.component.name)
        if level.base is None:
            break
        level = level.base
    pixel_bytes = None if request.size is None else 3 * request.size**2
    return BalanceEstimate(
        class_names=names,
        before_K=tuple(before_K.tolist()),
        after_K=None if after_K is None else tuple(after_K.tolist()),
        bytes_unpacked=None if after_K is None or pixel_bytes is None else int(after_K.sum()) * pixel_bytes,
        trainings=tuple(trainings),
    )


def balance_folder(
    request: BalanceRequest, *, device: str, provenance: str, progress: Progress
) -> LabelledImages | None:
    """Write the balanced images; returns them, or None where all of them were there already.

    Raises BalancebenchError where the output folder holds something else, an image cannot be read, or the balancer
    cannot work on these images. A second call goes on where the first one was interrupted.
    """
    refuse_other_contents(request)
    if is_finished(request):
        return None
    claim_folder(request)
    train = _read(request, progress)
    balanced = balanced_images(
        request.balancer, train, request.work / "balancer", seed=request.seed, device=device, progress=progress
    )
    if balanced.class_names != train.class_names:
        raise BalancebenchError(f"{request.component.name} made images of other classes than the folder's")
    files = [file.path for file in request.tree.files["train"]]
    write_folder(request, train, files, balanced, provenance, progress)
    return balanced


def _read(request: BalanceRequest, progress: Progress) -> LabelledImages:
    files = request.tree.files["train"]
    batches = [
        [EncodedImage(file.path, request.folder / file.path) for file in files[start : start + BATCH_SIZE]]
        for start in range(0, len(files), BATCH_SIZE)
    ]
    scratch = request.work / "decoded"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    context = LoadContext(
        data_root=data_root(), scratch=scratch, progress=progress, logger=logging.getLogger("balancebench.balance")
    )
    options = FileImageOptions.model_validate({**request.fit.model_dump(), "size": request.size})
    decoded = decode_splits({"train": EncodedImages(count=len(files), batches=batches)}, options, context)["train"]
    return LabelledImages(
        images_NCHW=decoded.images_NCHW,
        labels_N=np.array([file.label for file in files], dtype=np.int64),
        class_names=request.tree.class_names,
    )
