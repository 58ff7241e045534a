"""The command that draws a suite's pictures again."""

from __future__ import annotations

from balancebench.cli.picture_progress import write_with_pictures
from balancebench.cli.run import OutputOption, results_folder
from balancebench.cli.shared import (
    JsonFlag,
    ProfileOption,
    SetOption,
    StoreOption,
    SuiteArgument,
    bound_plan,
    console,
    print_json,
)
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE

__all__ = ["plot"]


def plot(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    json: JsonFlag = False,
) -> None:
    """Draw all pictures of a suite again from the store, with the leaderboard that shows them; trains nothing.

    Class distributions, samples, training curves, scores by epoch, confusion matrices; see docs/pictures.md.

    Example: [bold]balancebench plot suites/quickstart.toml --output results/quickstart[/bold]
    """
    from balancebench.leaderboard.picture_manifest import FOLDER
    from balancebench.leaderboard.results_in_store import read_results
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.store import Store

    planned = bound_plan(suite, profile, settings)
    opened = Store.open(store, create=False)
    with read_results(planned, opened) as (results, outcomes):
        board = build_leaderboard(planned.suite, results, outcomes)
        if not board.counts.get("done"):
            named = f" --profile {profile}" if profile else ""
            raise BalancebenchError(
                f"no cell of {suite} is done in {store}: there is nothing to draw before "
                f"balancebench run {suite}{named}"
            )
        folder = output or results_folder(planned)
        markdown, gallery = write_with_pictures(planned, opened, folder, board, (results, outcomes), "all")
    if json:
        print_json(
            {
                "folder": str(folder / FOLDER),
                "pictures": [entry.model_dump(mode="json") for entry in gallery.pictures],
                "problems": list(gallery.problems),
            }
        )
    else:
        console().print(
            f"{len(gallery.pictures)} pictures in {folder / FOLDER}, shown in {markdown}", markup=False, soft_wrap=True
        )
