"""Which steps run side by side on one GPU: those that are known to fit into its memory together.

What a step takes is known once one of its kind (the same stage, data set and component, whatever the seeds) has
finished; until then a kind runs alone on its GPU. But of measuring and scoring, which are short and small, as much is
assumed as they hardly ever take, and where there is no room for them nothing else starts until there is: a run that is
stopped has scored what it has trained. A step that runs out of memory beside others says nothing of itself: it is run
again, alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from balancebench.config import canonical_json
from balancebench.stage import STAGES, Stage
from balancebench.step import Step

__all__ = ["GpuMemory", "GpuRoom", "StepKind", "kind_of"]

GIB = 2**30
PROCESS_BYTES = GIB  # CUDA's own memory in each process, which torch does not count
USED_SHARE = 0.9  # of a GPU's memory: the rest is for fragments and for other programs
SHORT_STAGES = frozenset[Stage]({"measure", "score"})
ASSUMED_BYTES = 4 * GIB  # of a short stage's kind until one has finished: features of an Inception take 2 to 3


@dataclass(frozen=True, slots=True)
class StepKind:
    """What steps of like memory have in common: their stage, and what they compute on and with."""

    stage: Stage
    subject: str


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What a finished step says of its GPU: its peak, as torch reserved it, and the size of the whole, in bytes.

    Both are 0 for a step that did not use it.
    """

    peak: int
    total: int


@dataclass(slots=True)
class GpuRoom:
    """The kinds of steps that run on one GPU now, and what each kind took at most when one of it finished."""

    _running: dict[str, StepKind] = field(default_factory=dict[str, StepKind])  # by step key
    _peaks: dict[StepKind, int] = field(default_factory=dict[StepKind, int])
    _total: int = 0
    _crowded: set[str] = field(default_factory=set[str])  # keys that have had company
    _waiting: StepKind | None = None  # a kind of a short stage that found no room

    def admits(self, kind: StepKind | None) -> bool:
        """Whether a step of this kind may start now; None is a step that uses no GPU.

        A short one that may not is kept room for.
        """
        if kind is None or not self._running:
            return True
        fits = self._fits(kind)
        if kind.stage in SHORT_STAGES and not fits:
            self._waiting = self._waiting or kind
        return fits and self._waiting in (None, kind)

    def _fits(self, kind: StepKind) -> bool:
        needs = [self._need(other) for other in (*self._running.values(), kind)]
        measured = [need + PROCESS_BYTES for need in needs if need is not None]
        return len(measured) == len(needs) and sum(measured) <= USED_SHARE * self._total

    def _need(self, kind: StepKind) -> int | None:
        """Return the bytes that a step of this kind takes, or None where that is not known."""
        return self._peaks.get(kind, ASSUMED_BYTES if kind.stage in SHORT_STAGES else None)

    def waits_no_more(self, kind: StepKind | None) -> None:
        """Note that a step of this kind starts, here or on another GPU."""
        if kind == self._waiting:
            self._waiting = None

    def start(self, key: str, kind: StepKind | None) -> None:
        """Note that a step starts."""
        if kind is None:
            return
        if not self._running:
            self._waiting = None  # what waited was asked first, and is gone
        self._running[key] = kind
        if len(self._running) > 1:
            self._crowded |= self._running.keys()

    def finish(self, key: str, memory: GpuMemory | None) -> None:
        """Note that a step ended, and what it took where that is known."""
        self._crowded.discard(key)
        kind = self._running.pop(key, None)
        if kind is not None and memory is not None:
            self._total = max(memory.total, self._total)
            self._peaks[kind] = max(memory.peak, self._peaks.get(kind, 0))

    def retry_alone(self, key: str) -> bool:
        """Whether a step that ran out of memory had company; its kind then runs alone from now on."""
        if key not in self._crowded:
            return False
        self._crowded.discard(key)
        kind = self._running.pop(key)
        self._peaks[kind] = self._total
        return True


def kind_of(step: Step) -> StepKind | None:
    """Return what steps of like memory have in common; None for steps that use no GPU.

    The classifier decides where there is one; else the balancer, or whatever there is.
    """
    if not STAGES[step.stage].uses_device:
        return None
    deciding = step.components.get("classifier") or step.components.get("component")
    return StepKind(step.stage, canonical_json([step.dataset, "" if deciding is None else deciding.identity]))
