"""margins: another balancer's images with random margins, grey-scale and noise, so that they look as photographs do.

Generators make square images; photographs are letterboxed. A network that was trained on the former alone has never
seen a margin. What is drawn depends on the image and the seed: `balancebench.synthesis.image_fit`.

Axis suffixes: C channels, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from balancebench import Balancer, LabelledImages, Origin, SynthesisContext
from balancebench.synthesis.image_fit import fit_made_image, pixels_CHW
from balancebench_datasynth.options import MarginsOptions
from balancebench_datasynth.wrapped import base_images

__all__ = ["Margins"]


class Margins(Balancer[MarginsOptions]):
    """Returns the base's images, fitted anew."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return as many images as the base made, of the same labels, as synthetic ones.

        Raises BalancerError where the base made none.
        """
        generated = base_images("margins", context.base)
        channels, rows, columns = train.images_NCHW.shape[1:]
        fitted_NCHW = np.empty((len(generated), channels, rows, columns), dtype=np.uint8)
        for index in range(len(generated)):
            image_HWC = np.asarray(generated.images_NCHW[index]).transpose(1, 2, 0)
            picture = Image.fromarray(np.broadcast_to(image_HWC, (*image_HWC.shape[:2], 3)).copy())
            fitted = fit_made_image(picture, (rows, columns), self.options, context.seed)
            fitted_NCHW[index] = pixels_CHW(fitted, channels)
        return LabelledImages(
            images_NCHW=fitted_NCHW,
            labels_N=generated.labels_N.copy(),
            class_names=generated.class_names,
            superclass_K=generated.superclass_K,
            origin_N=np.full(len(generated), Origin.SYNTHETIC, dtype=np.uint8),
            parents=generated.parents,
        )
