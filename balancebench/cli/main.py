"""The `balancebench` command and its subcommands."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import Annotated

import typer

from balancebench.cli.advise import advise
from balancebench.cli.balance import balance
from balancebench.cli.check import check
from balancebench.cli.compare import claims, compare, seeds, variance
from balancebench.cli.explain import explain
from balancebench.cli.inspect import doctor, list_components, schema, show
from balancebench.cli.leaderboard import leaderboard
from balancebench.cli.log import log
from balancebench.cli.new import new
from balancebench.cli.planning import plan, validate
from balancebench.cli.plot import plot
from balancebench.cli.regress import regress
from balancebench.cli.run import rescore, run
from balancebench.cli.shared import DEBUGGING, SOME_FAILED, USAGE, errors_console
from balancebench.cli.site import site
from balancebench.cli.store import app as store
from balancebench.cli.streams import PatientStream, finish_streams, open_closed_streams
from balancebench.errors import BalancebenchError, SuiteError
from balancebench.plain_text import visible

__all__ = ["main"]

app = typer.Typer(
    name="balancebench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Compare methods for imbalanced image data on one footing.\n\n"
        "Start with [bold]balancebench run suites/quickstart.toml[/bold]; "
        "[bold]balancebench list[/bold] names what a suite can use."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from balancebench import __version__

        PatientStream(sys.stdout).write(f"balancebench {__version__}\n")
        raise typer.Exit


@app.callback()
def options_of_all(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold what stands before a subcommand."""


app.command()(run)
app.command()(plan)
app.command()(validate)
app.command()(advise)
app.command("list")(list_components)
app.command()(show)
app.command()(leaderboard)
app.command()(plot)
app.command()(rescore)
app.command()(regress)
app.command()(compare)
app.command()(claims)
app.command()(seeds)
app.command()(variance)
app.command()(site)
app.command()(balance)
app.command()(explain)
app.add_typer(store, name="store")
app.command()(schema)
app.command()(doctor)
app.command()(log)
app.command()(new)
app.command()(check)


def main() -> None:
    """Run the command line; what a user can cause ends in a message and exit code 2, without a traceback."""
    # Plans and leaderboards are millions of objects and hardly a cycle: looking for some takes a third of the time.
    gc.set_threshold(100_000, 50, 100)
    open_closed_streams()
    code = _exit_code()
    if (problem := finish_streams()) is not None:
        errors_console().print(problem, style="red", markup=False, soft_wrap=True)
        finish_streams()
    sys.exit(code or (SOME_FAILED if problem else 0))


def _exit_code() -> int:
    """Run a command and return its exit code; typer ends every command with SystemExit."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BalancebenchError as error:
        if DEBUGGING.is_on:
            traceback.print_exception(error)
        prefix = "" if isinstance(error, SuiteError) else "Error: "
        errors_console().print(f"{prefix}{error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return USAGE
    except BrokenPipeError:  # `balancebench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # what no layer below could put in its own words
        where = "a file" if error.filename is None else visible(os.fsdecode(error.filename))
        message = f"Error: {where} cannot be used: {error.strerror or error}; is there room, and the right to it?"
        errors_console().print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        return USAGE
    return 0
