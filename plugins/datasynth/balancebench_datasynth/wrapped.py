"""What balancers that use another one's images ask of it.

Axis suffixes: N images, M images chosen, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from balancebench import BalancerError, Base, LabelledImages

__all__ = ["base_images", "refuse_shortfall"]

NAMED_AT_MOST = 5


def base_images(name: str, base: Base | None) -> LabelledImages:
    """Return the images that the wrapped balancer made; raises BalancerError where it made none."""
    if base is None:
        raise BalancerError(f'{name} wraps another balancer: base = {{ use = "image_pool", ... }}')
    if base.synthetic is None:
        raise BalancerError(
            f"{name} found no synthetic images: its base made none. Raise the base's `target` above the real images of "
            "each class, or name a base that makes images"
        )
    return base.synthetic


def refuse_shortfall(
    what: str, remedy: str, class_names: Sequence[str], wanted_K: NDArray[np.int64], there_K: NDArray[np.int64]
) -> None:
    """Raise BalancerError, naming classes and numbers, where there are fewer images than are wanted."""
    short = [
        f"{name!r} needs {wanted} and has {there}"
        for name, wanted, there in zip(class_names, wanted_K.tolist(), there_K.tolist(), strict=True)
        if wanted > there
    ]
    if short:
        more = f"; and {len(short) - NAMED_AT_MOST} more classes" if len(short) > NAMED_AT_MOST else ""
        raise BalancerError(f"too few {what}: {'; '.join(short[:NAMED_AT_MOST])}{more}: {remedy}")
