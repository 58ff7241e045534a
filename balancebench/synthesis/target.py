"""How many images each class is to have: the one meaning of the option `target`.

Axis suffix: K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from balancebench.errors import BalancerError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancebench.data import LabelledImages

__all__ = [
    "DrawnTarget",
    "ImageCount",
    "OversamplingTarget",
    "Target",
    "UndersamplingTarget",
    "missing_counts",
    "wanted_counts",
]

ImageCount = Annotated[int, Field(ge=1, strict=True)]
OversamplingTarget = Literal["largest"] | ImageCount | dict[str, ImageCount]
MEANING = (
    "images each class gets: as many as the largest class, a number, or a table class name -> number; classes that "
    "have more keep them"
)
Target = Annotated[OversamplingTarget, Field(description=MEANING)]
"""The type of the option `target`."""
DrawnTarget = Annotated[OversamplingTarget, Field(description=MEANING, json_schema_extra={"trains": False})]
"""The type of the option `target` of balancers that train a generator: it retrains nothing."""
UndersamplingTarget = Literal["smallest"] | ImageCount | dict[str, ImageCount]


def wanted_counts(target: OversamplingTarget | UndersamplingTarget, train: LabelledImages) -> NDArray[np.int64]:
    """Return the images each class is to have, int64 of shape (K,).

    "largest" and "smallest" go by the classes that have images; classes a table leaves out are to have what they
    have. Raises BalancerError where a table names a class that does not exist.
    """
    wanted_K = train.counts_K
    match target:
        case "largest":
            wanted_K[:] = wanted_K.max()
        case "smallest":
            wanted_K[:] = wanted_K[wanted_K > 0].min()
        case int(count):
            wanted_K[:] = count
        case table:
            for name, count in table.items():
                if name not in train.class_names:
                    raise BalancerError(
                        f"target names no class of this set: {name!r}{nearest(name, train.class_names)}"
                    )
                wanted_K[train.class_names.index(name)] = count
    return wanted_K


def missing_counts(
    target: OversamplingTarget, train: LabelledImages, *, from_elsewhere: bool = False
) -> NDArray[np.int64]:
    """Return the images each class is short of its target, int64 of shape (K,); 0 where it has enough.

    from_elsewhere: new images come from more than the class's own (a pool, a model, withheld images). Otherwise raises
    BalancerError where a class that is to grow has no image to start from.
    """
    counts_K = train.counts_K
    missing_K = (wanted_counts(target, train) - counts_K).clip(min=0)
    for name, count, missing in zip(train.class_names, counts_K, missing_K, strict=True):
        if count == 0 and missing > 0 and not from_elsewhere:
            raise BalancerError(
                f"class {name!r} has no images to make more of: keep some of it, or give a target table without it"
            )
    return missing_K
