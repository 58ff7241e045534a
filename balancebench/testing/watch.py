"""Notices what a component must leave alone: global random state, and the arrays it is given."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# NumPy's legacy functions are used here because their global state is what is watched.
__all__ = ["expect_untouched", "global_random_state_untouched", "other_global_seeds"]


@contextmanager
def global_random_state_untouched() -> Generator[None]:
    """Fail where Python's, NumPy's or torch's global random state changes inside the block."""
    before = _global_states()
    yield
    after = _global_states()
    if "torch" in after and "torch" not in before:  # imported meanwhile: it starts as every new generator does
        before["torch"] = sys.modules["torch"].Generator().get_state().numpy().tobytes()
    for library, state in after.items():
        assert state == before.get(library, state), (
            f"it draws from or seeds the global random state of {library}; use the generators of the context"
        )


@contextmanager
def other_global_seeds(seed: int) -> Generator[None]:
    """Seed every global generator inside the block, and put back what they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - see above
    torch: Any = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - see above
    if torch:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - see above
        if torch:
            torch.set_rng_state(torch_state)


@contextmanager
def expect_untouched(arrays: Mapping[str, NDArray[Any]]) -> Generator[None]:
    """Fail where any of the named arrays, which should be read-only, is changed or written to inside the block."""
    before = {name: _digest(array) for name, array in arrays.items()}
    try:
        yield
    except ValueError as error:
        if "read-only" in str(error):
            raise AssertionError(f"it writes to an array it was given: {error}") from error
        raise
    for name, array in arrays.items():
        assert _digest(array) == before[name], f"it changes {name}, which it was given"


def _global_states() -> dict[str, object]:
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - see above
    states: dict[str, object] = {
        "Python (random)": random.getstate(),
        "NumPy (np.random)": (kind, np.asarray(key).tobytes(), *rest),
    }
    torch: Any = sys.modules.get("torch")
    if torch:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    if torch and torch.cuda.is_initialized():
        states["torch on CUDA"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return states


def _digest(array: NDArray[Any]) -> tuple[str, tuple[int, ...], str]:
    return array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
