"""Arrays computed once for the whole store: what a plugin is handed to ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from balancebench.config import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cached", "cached_nowhere"]


class Cached(Protocol):
    """Arrays computed once for the whole store, whatever step asks for them first."""

    def __call__(self, name: str, identity: JSON, compute: Callable[[], NDArray[Any]], /) -> NDArray[Any]:
        """Return compute(), or what it returned when it was last asked for under this name and identity.

        name: lower_snake_case, what it is ("inception_features"). identity: JSON of everything that decides it, the
        revision of the code and the digest of the images included. The array may be read-only.
        """
        ...


def cached_nowhere(_name: str, _identity: JSON, compute: Callable[[], NDArray[Any]], /) -> NDArray[Any]:
    """Compute anew each time: for evaluations that belong to no store."""
    return compute()
