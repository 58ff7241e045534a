"""Interleaved timing: contestants take turns, round by round, so that a machine whose speed drifts is fair to all.

    plain = Contestant("plain loop", plain_steps, units=steps * batch_size)
    ours = Contestant("balancebench", our_steps, units=steps * batch_size)
    timed = take_turns([plain, ours], rounds=7, device="cpu")

`balancebench`'s ratio to the plain loop is taken round by round: `ratios(timed[1], timed[0])`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Contestant", "Timed", "median", "quartiles", "ratios", "synchronise", "take_turns"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something to time.

    work: does `units` units of it (images, steps) at a call. It returns None, or the seconds that those took where
    it does more than should count.
    """

    name: str
    work: Callable[[], float | None]
    units: float


@dataclass(frozen=True, slots=True)
class Timed:
    """The seconds that each round of a contestant took, without the warm-up."""

    name: str
    units: float
    seconds: tuple[float, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """Units a second, one for each round."""
        return tuple(self.units / seconds for seconds in self.seconds)


def take_turns(contestants: Sequence[Contestant], *, rounds: int, warm_up: int = 1, device: str = "cpu") -> list[Timed]:
    """Time every contestant once a round, in turn; every other round goes in reverse order.

    The `warm_up` rounds before are not counted. A round ends when `device` has done its work. Says on standard error
    how far it is.
    """
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(-warm_up, rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            synchronise(device)
            begin = time.perf_counter()
            own_clock = contestant.work()
            synchronise(device)
            taken = time.perf_counter() - begin if own_clock is None else own_clock
            stage = f"round {number + 1}/{rounds}" if number >= 0 else "warm-up"
            print(f"{stage}: {contestant.name}: {contestant.units / taken:,.1f} a second", file=sys.stderr, flush=True)
            if number >= 0:
                seconds[contestant.name].append(taken)
    return [Timed(contestant.name, contestant.units, tuple(seconds[contestant.name])) for contestant in contestants]


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cpu":
        return
    import torch

    torch.accelerator.synchronize(device)


def ratios(timed: Timed, baseline: Timed) -> tuple[float, ...]:
    """Return how many times as fast as the baseline it was, round by round."""
    return tuple(ours / plain for ours, plain in zip(timed.rates, baseline.rates, strict=True))


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and upper quartile: half of the values lie between them."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper
