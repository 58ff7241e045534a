"""The command that runs the conformance kit on a plugin."""

from __future__ import annotations

import traceback
from importlib import import_module, metadata
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any
from unittest import SkipTest

import typer

from balancebench.cli.presentation import progress_bar
from balancebench.cli.shared import SOME_FAILED, DebugFlag, JsonFlag, console, print_json
from balancebench.errors import BalancebenchError, nearest

if TYPE_CHECKING:
    from balancebench.testing import Check

__all__ = ["check"]

GROUP = "balancebench"


def check(
    package: Annotated[
        str,
        typer.Argument(
            help="An installed plugin: its distribution (balancebench-mine), entry point (mine) or module "
            "(balancebench_mine.plugin).",
            metavar="PACKAGE",
        ),
    ],
    only: Annotated[
        str | None, typer.Option("--only", help="Only the component of this name.", metavar="COMPONENT")
    ] = None,
    debug: DebugFlag = False,
    json: JsonFlag = False,
) -> None:
    """Check that a plugin keeps what the harness relies on: shapes, seeds, inputs left alone, tiny classes and more.

    Example: [bold]balancebench check balancebench-mine --only my_method[/bold]
    """
    from balancebench.testing import collect_checks

    checks = [
        entry for plugin in _plugins(package) for entry in collect_checks(plugin) if only in (None, entry.component)
    ]
    if not checks:
        names = sorted({entry.component for plugin in _plugins(package) for entry in collect_checks(plugin)})
        raise BalancebenchError(f"{package} brings no component {only!r}{nearest(str(only), names)}")
    start = monotonic()
    findings: list[dict[str, Any]] = []
    with progress_bar("Checking") as bar:
        task = bar.add_task("", total=len(checks))
        for entry in checks:
            bar.update(task, description=f"{entry.component}"[:40], advance=1)
            findings.append(_finding(entry, debug=debug))
    failed = [finding for finding in findings if finding["status"] == "failed"]
    if json:
        print_json({"package": package, "checks": findings})
    else:
        _print(findings, monotonic() - start)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _plugins(package: str) -> list[object]:
    """Return the modules that a distribution's entry points name, or the module of that name."""
    entries = [entry for entry in metadata.entry_points(group=GROUP) if entry.dist is not None]
    matching = [entry for entry in entries if entry.dist is not None and package in (entry.dist.name, entry.name)]
    if matching:
        return [entry.load() for entry in matching]
    try:
        return [import_module(package)]
    except ModuleNotFoundError:
        known = {entry.dist.name for entry in entries if entry.dist is not None}
        raise BalancebenchError(f"there is no plugin {package!r}; is it installed?{nearest(package, known)}") from None


def _finding(entry: Check, *, debug: bool) -> dict[str, Any]:
    """Run one check. What is wrong is told by the check's own words; anything else is told with its type."""
    status, message = "passed", ""
    try:
        entry()
    except SkipTest as skipped:
        status, message = "skipped", str(skipped)
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
        known = isinstance(error, AssertionError | BalancebenchError)
        status, message = "failed", str(error) if known else f"{type(error).__name__}: {error}"
        if debug:
            message += "\n" + "".join(traceback.format_exception(error))
    return {
        "kind": entry.kind,
        "component": entry.component,
        "check": entry.name,
        "status": status,
        "message": message.strip(),
    }


def _print(findings: list[dict[str, Any]], seconds: float) -> None:
    out = console()
    styles = {"failed": "red", "skipped": "yellow"}
    for finding in findings:
        if finding["status"] in styles:
            subject = " ".join(str(part) for part in (finding["kind"], finding["component"]) if part)
            text = f"{finding['status']}  {subject}: {finding['check']}\n    {finding['message']}"
            out.print(text, style=styles[finding["status"]], markup=False, soft_wrap=True)
    counts = {status: sum(finding["status"] == status for finding in findings) for status in ("passed", *styles)}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    out.print(f"{len(findings)} checks in {seconds:.1f} s: {told}", markup=False)
