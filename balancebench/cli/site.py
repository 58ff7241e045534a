"""The command that makes a web site of committed leaderboards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balancebench.cli.shared import console

__all__ = ["site"]


def site(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of committed leaderboards: FOLDER/NAME/records.json.", metavar="FOLDER"),
    ] = Path("leaderboard"),
    output: Annotated[
        Path, typer.Option("--output", help="Folder of the site; made where there is none.", metavar="DIR")
    ] = Path("site"),
) -> None:
    """Write an index of all committed leaderboards, and the page of each, for any host of static files.

    Example: [bold]balancebench site leaderboard --output site[/bold]
    """
    from balancebench.leaderboard.files import read_suites
    from balancebench.leaderboard.page.site_index import write_site

    suites = read_suites(folder)
    index = write_site(output, suites)
    console().print(
        f"{index}: {len(suites)} {'suite' if len(suites) == 1 else 'suites'}, a folder each beside it",
        markup=False,
        soft_wrap=True,
    )
