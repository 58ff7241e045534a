"""The command that writes leaderboards, and checks committed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.picture_progress import PicturesFlag, draw_pictures, write_with_pictures
from balancebench.cli.run import OutputOption, results_folder
from balancebench.cli.shared import JsonFlag, ProfileOption, SetOption, StoreOption, bound_plan, console, print_json
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE

if TYPE_CHECKING:
    from balancebench.leaderboard.board import Leaderboard
    from balancebench.leaderboard.results import CellResult, SuiteHeader

__all__ = ["leaderboard"]

COMMITTED = Path("leaderboard")
LONG = "leaderboard_long.csv"


def leaderboard(
    suite: Annotated[
        Path | None,
        typer.Argument(
            help="The suite file; with --check or --rewrite a folder of committed leaderboards (leaderboard/).",
            metavar="SUITE",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            help="Write records, outcomes, page, tables and pictures to DIR/NAME of the suite, to be committed.",
            metavar="DIR",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check that committed pages, tables and pictures are what their records say; runs nothing."
        ),
    ] = False,
    rewrite: Annotated[
        bool,
        typer.Option("--rewrite", help="Write committed tables again from their records, in today's words."),
    ] = False,
    pictures: PicturesFlag = True,
    long: Annotated[
        bool,
        typer.Option(
            "--long",
            help="Write leaderboard_long.csv too: a line for each value, by seed and by class.",
        ),
    ] = False,
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub",
            help="Write the values by seed and class to a folder in the Hugging Face hub's format, which "
            "datasets.load_from_disk reads.",
            metavar="DIR",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page, leaderboard.html, in the browser.")] = False,
    json: JsonFlag = False,
) -> None:
    """Write a suite's leaderboard from the store as a page, Markdown with pictures, CSV and JSON; trains nothing.

    Example: [bold]balancebench leaderboard suites/quickstart.toml --open[/bold]

    Every value by seed and class, for pandas: [bold]balancebench leaderboard quickstart --long[/bold]

    To commit results: [bold]balancebench leaderboard suites/quickstart.toml --records leaderboard[/bold]

    To check what is committed: [bold]balancebench leaderboard --check[/bold]
    """
    if check:
        _check(suite or COMMITTED)
        return
    if rewrite:
        _rewrite(suite or COMMITTED)
        return
    if suite is None:
        raise BalancebenchError("name a suite file, for example suites/quickstart.toml, or give --check or --rewrite")
    from balancebench.leaderboard.export import json_value
    from balancebench.leaderboard.files import write_records
    from balancebench.leaderboard.outcomes import collect_outcomes
    from balancebench.leaderboard.results import describe_suite
    from balancebench.leaderboard.results_in_store import read_results
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.leaderboard.terminal import print_leaderboard
    from balancebench.leaderboard.training_curves import curves_in_store
    from balancebench.store import Store

    planned = bound_plan(suite, profile, settings)
    opened = Store.open(store, create=False)
    out = console()
    which = "changed" if pictures else "none"
    folder = output or results_folder(planned)

    def draw(to_folder: Path, of_board: Leaderboard) -> None:
        draw_pictures(planned, opened, to_folder, of_board, which)

    with read_results(planned, opened) as (results, outcomes):
        board = build_leaderboard(planned.suite, results, outcomes)
        if json:
            print_json(json_value(board))
        if records is not None:
            curves = curves_in_store(results, opened)
            path = write_records(records, planned.suite, results, draw, collect_outcomes(results, opened), curves)
            if not json:
                out.print(f"Records, outcomes, page, tables and pictures: {path.parent}", markup=False, soft_wrap=True)
            if show and output is None:
                _open(path.parent)
        described = describe_suite(planned.suite)
        for written in _write_values(described, results, folder / LONG if long else None, hub):
            if not json:
                out.print(written, markup=False, soft_wrap=True)
        if json or (records is not None and output is None):
            return
        markdown, _ = write_with_pictures(planned, opened, folder, board, (results, outcomes), which)
    print_leaderboard(out, board)
    out.print(f"Leaderboard: {markdown}, with .html, pictures, .csv and .json beside it", markup=False, soft_wrap=True)
    if show:
        _open(folder)


def _write_values(
    suite: SuiteHeader, cells: Sequence[CellResult], csv_path: Path | None, hub_folder: Path | None
) -> Iterator[str]:
    """Write every value by seed and class where asked, and yield a line on each file or folder."""
    if csv_path is not None:
        from balancebench.leaderboard.long_table import write_long_csv

        yield f"Values by seed and class: {csv_path}, {write_long_csv(csv_path, suite, cells)} lines"
    if hub_folder is not None:
        from balancebench.leaderboard.hub_format import write_hub_folder

        count = write_hub_folder(hub_folder, suite, cells)
        yield f"Values by seed and class for the hub: {hub_folder}, {count} rows"


def _open(folder: Path) -> None:
    import webbrowser

    page = (folder / "leaderboard.html").resolve()
    if not webbrowser.open(page.as_uri()):
        raise BalancebenchError(f"there is no browser to open {page} with; open it yourself, or copy it elsewhere")


def _check(folder: Path) -> None:
    from balancebench.leaderboard.files import check_leaderboards

    suites = check_leaderboards(folder)
    console().print(
        f"{folder}: {', '.join(suites) or 'no suites'}; every table and picture is what its records say", markup=False
    )


def _rewrite(folder: Path) -> None:
    from balancebench.leaderboard.files import rewrite_leaderboards

    names = rewrite_leaderboards(folder)
    console().print(f"{folder}: wrote the tables of {', '.join(names)} again", markup=False)
