"""Disturbs runs and stores in every way that was thought of, and says which promises were kept.

uv run python tests/campaign                      minutes
uv run python tests/campaign --rounds 1000        of each disturbance: hours
uv run python tests/campaign --only killed --seed 7
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from disturbances import DISTURBANCES
from scene import chance_of, set_scene


def main() -> int:
    """Run the campaign; returns 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python tests/campaign", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help="of each disturbance; by default those of a campaign of minutes")
    parser.add_argument("--seed", type=int, default=0, help="the same seed disturbs in the same way")
    parser.add_argument("--only", choices=sorted(DISTURBANCES), action="append", help="these alone; may come twice")
    asked = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="campaign-"))
    scene = set_scene(root)
    broken = 0
    for name, (disturb, rounds) in DISTURBANCES.items():
        if asked.only and name not in asked.only:
            continue
        start, ends = time.monotonic(), Counter[str]()
        for number in range(asked.rounds or rounds):
            try:
                ends[disturb(scene, chance_of(asked.seed, name, number))] += 1
            except Exception:  # noqa: BLE001 - the round is said, and the next one goes on
                ends["BROKEN"] += 1
                broken += 1
                print(f"{name} {number}: broken\n{traceback.format_exc()}", flush=True)
            for folder in root.glob("tmp*"):
                shutil.rmtree(folder, ignore_errors=True)
        summary = ", ".join(f"{count} x {end}" for end, count in sorted(ends.items()))
        print(f"{name}: {ends.total()} rounds in {time.monotonic() - start:.0f} s: {summary}", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
