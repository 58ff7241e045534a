"""One function runs a suite, from its file to its leaderboard."""

from __future__ import annotations

from pathlib import Path

from balancebench.config import Compilation
from balancebench.execution.executor import Limits
from balancebench.execution.run_plan import Reporter, run_plan
from balancebench.folders import DEFAULT_STORE
from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.results_in_store import read_results
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

__all__ = ["run_suite"]


def run_suite(
    path: str | Path,
    *,
    profile: str | None = None,
    store: str | Path = DEFAULT_STORE,
    executor: str = "processes",
    ray_address: str = "auto",
    device: str = "auto",
    jobs: int | None = None,
    limits: Limits | None = None,
    compilation: Compilation = "auto",
    data_folder: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Leaderboard:
    """Run what is missing of the suite at `path`, and return its leaderboard; nothing else is written than the store.

    The name of a suite that ships with balancebench ("quickstart") will do for its path.

    What went wrong stands in the leaderboard's rows. Worker processes import the main module anew, so that a script
    calls this below `if __name__ == "__main__":`; a notebook need not.

    profile: of the suite file. store: folder of step results, made where there is none. executor: "processes",
    "ray" or "inline". ray_address: of the cluster, "auto" or HOST:PORT, with the executor "ray". device: "auto",
    "cuda", "mps" or "cpu". jobs: steps side by side; None is as many as the devices take. limits: of one step, not
    with the executor "inline". data_folder: where downloads lie; None is the user's. reporter: shows how far the run
    is.

    Raises SuiteError with every mistake of the file, and another BalancebenchError where something that the suite needs
    from outside is not there. KeyboardInterrupt is passed on once every worker has ended; a rerun continues.
    """
    plan = expand(bind_suite(Path(path), load_registry(), profile))
    opened = Store.open(Path(store))
    outcome = run_plan(
        plan,
        opened,
        reporter=reporter,
        executor=executor,
        ray_address=ray_address,
        device=device,
        jobs=jobs,
        limits=limits,
        compilation=compilation,
        data_folder=None if data_folder is None else Path(data_folder),
    )
    if outcome.interrupted:
        raise KeyboardInterrupt
    with read_results(plan, opened) as (results, outcomes):
        return build_leaderboard(plan.suite, results, outcomes)
