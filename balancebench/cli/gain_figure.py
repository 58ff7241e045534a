"""Draws, from committed leaderboards, gains by made images over how alike the training images were."""

from __future__ import annotations

from pathlib import Path

from balancebench.cli.shared import console
from balancebench.errors import BalancebenchError
from balancebench.registry import Registry

__all__ = ["draw_gains"]


def draw_gains(source: Path, figure: Path, registry: Registry) -> None:
    """Write the chart of the leaderboards in `source` (NAME/records.json), or of the one that lies there.

    Raises BalancebenchError where no plugin brings a measure, none of the boards has it, or the file exists.
    """
    from balancebench.leaderboard.files import read_suite, read_suites
    from balancebench.leaderboard.gains import gains_of
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.pictures.gain_chart import gain_drawing

    if figure.exists():
        raise BalancebenchError(f"{figure} exists already, and is not written over: name another file")
    if figure.suffix != ".svg":
        raise BalancebenchError(f"--figure writes SVG: name the file {figure.with_suffix('.svg')}")
    relations = [one for advisor in registry.advisors if (one := advisor.published_relation()) is not None]
    if not relations:
        raise BalancebenchError("no plugin here brings a published relation; balancebench-gmaug has one")
    relation = relations[0]
    is_one_board = (source / "records.json").is_file()
    suites = {source.resolve().name: read_suite(source)} if is_one_board else read_suites(source)
    tasks, left_out = [], []
    for name, suite in suites.items():
        board = build_leaderboard(suite.records.suite, suite.records.cells, suite.outcomes)
        gains = gains_of(board, suite.records.cells, relation.metric)
        tasks += gains
        left_out += [] if gains else [name]
    if not tasks:
        raise BalancebenchError(
            f"none of {', '.join(suites)} has {relation.metric} among its metrics and a ranked row of made images: "
            f'add "{relation.metric}" to `metrics` of a suite, run it and record it'
        )
    drawing = gain_drawing(tasks, relation)
    figure.write_bytes(drawing.content)
    out = console()
    out.print(f"{figure}: {len(tasks)} task{'s' * (len(tasks) != 1)}. {drawing.caption}", markup=False, soft_wrap=True)
    if left_out:
        out.print(
            f"Left out, without {relation.metric} or without ranked rows of made images: {', '.join(left_out)}.",
            markup=False,
            soft_wrap=True,
        )
