"""Whether the processor would rather compute in another precision than the suite asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from balancebench.execution.devices import on_processor, processor_has_bf16
from balancebench.step import Step

__all__ = ["PrecisionAdvice", "precision_advice"]

GAIN = (
    'This processor has bf16: precision = "bf16" in [run] trains convolutional networks 1.2 to 1.8 times as fast, '
    "as results of their own (docs/suites.md)"
)
LOSS = (
    'This processor has no bf16 in hardware: precision = "bf16" takes 2 to 8 times as long here as "fp32", the default '
    "of [run] (docs/suites.md)"
)


@dataclass(frozen=True, slots=True)
class PrecisionAdvice:
    """One line for the user; a warning where the run takes longer than it need."""

    text: str
    is_warning: bool


def precision_advice(steps: Iterable[Step], device: str) -> PrecisionAdvice | None:
    """Return what to say of steps that will run on `device`, or None: on GPUs, and where the processor is unknown."""
    has_bf16 = processor_has_bf16()
    if has_bf16 is None or not on_processor(device):
        return None
    precisions = {step.settings.get("precision") for step in steps}
    if has_bf16 and "fp32" in precisions:
        return PrecisionAdvice(GAIN, is_warning=False)
    if not has_bf16 and "bf16" in precisions:
        return PrecisionAdvice(LOSS, is_warning=True)
    return None
