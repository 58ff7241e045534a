"""What the stages of a row were made by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from balancebench.leaderboard.page.page_data import Identity
from balancebench.leaderboard.results import CellResult

__all__ = ["identities_of"]

KEY_DIGITS = 12  # of a key's 64: enough to find a step by
STAGES_OF_A_ROW = ("train_generator", "synthesise", "train")


def identities_of(cells: Sequence[CellResult]) -> tuple[Identity, ...]:
    """Return what the stages of a row were made by; seeds that differ in their keys alone are one."""
    identities: list[Identity] = []
    for stage in STAGES_OF_A_ROW:
        keys = {str(cell.seeds): cell.steps[stage][:KEY_DIGITS] for cell in cells if stage in cell.steps}
        identity = next((cell.identities[stage] for cell in cells if stage in cell.identities), {})
        for of_stage, reference in cast("dict[str, Any]", identity.get("components", {})).items():
            distribution, _, component = str(reference.get("component", "")).rpartition(":")
            identities.append(
                Identity(
                    stage=stage if of_stage == "component" else f"{stage}, {of_stage}",
                    component=component,
                    distribution=distribution,
                    revision=str(reference.get("revision", "")),
                    options={
                        name: json.dumps(value, sort_keys=True)
                        for name, value in sorted(reference.get("options", {}).items())
                    },
                    keys=keys,
                )
            )
    return tuple(identities)
