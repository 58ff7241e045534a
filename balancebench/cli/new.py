"""The command that writes skeletons: a suite, or a plugin that passes its own tests."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from balancebench.cli.shared import console
from balancebench.component import KINDS
from balancebench.errors import BalancebenchError, nearest

__all__ = ["new"]

PLUGIN = "plugin"  # the word for a balancer, which is what most plugins bring
SUITE = "suite"
WHAT = (SUITE, PLUGIN, *KINDS)
ON_DIGITS = {
    "dataset": "digits",
    "imbalancer": "long_tail",
    "balancer": "smote",
    "classifier": "small_cnn",
    "metric": "balanced_accuracy",
}


def new(
    what: Annotated[str, typer.Argument(help=f"{', '.join(WHAT)}; a plugin is one of a balancer.", metavar="WHAT")],
    name: Annotated[str, typer.Argument(help="Its name in suites, lower_snake_case: my_method.", metavar="NAME")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The folder to make; default NAME, or NAME.toml of a suite.", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Write a skeleton: a suite file, or a plugin to install that passes its own tests and runs in its own suite.

    Example: [bold]balancebench new balancer my_method[/bold], then [bold]pip install -e 'my_method\\[test]'[/bold]
    """
    if what not in WHAT:
        raise BalancebenchError(f"there is no skeleton of a {what!r}{nearest(what, WHAT)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise BalancebenchError(f"{name!r} is not lower_snake_case: write my_method")
    if what == SUITE:
        path = output or Path(f"{name}.toml")
        _write({path: _suite(SUITE, name)})
        console().print(f"{path}: try balancebench run {path} --profile smoke", markup=False, soft_wrap=True)
        return
    folder = output or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BalancebenchError(f"{folder} is there already and not empty: name another folder with --output")
    kind = "balancer" if what == PLUGIN else what
    package = folder / f"balancebench_{name}"
    written = {
        folder / "pyproject.toml": _filled("pyproject.txt", kind, name),
        folder / "README.md": _filled("readme.txt", kind, name),
        folder / "suite.toml": _suite(kind, name),
        package / "__init__.py": _filled("init.txt", kind, name),
        package / "options.py": _filled(f"{kind}/options.txt", kind, name),
        package / f"{name}.py": _filled(f"{kind}/method.txt", kind, name),
        package / "plugin.py": _filled(f"{kind}/plugin.txt", kind, name),
        folder / "tests" / f"test_{name}.py": _filled(f"{kind}/test.txt", kind, name),
    }
    _write(written)
    out = console()
    for path in written:
        out.print(f"{path}", markup=False)
    out.print(f"Next: pip install -e '{folder}[test]', then balancebench check {name}", markup=False, soft_wrap=True)


def _suite(kind: str, name: str) -> str:
    chosen = {**ON_DIGITS, **({} if kind == SUITE else {kind: name})}
    metrics = f'"{ON_DIGITS["metric"]}"' + (f', "{name}"' if kind == "metric" else "")
    return _filled(
        "suite.txt", kind, name, imbalance=_imbalance(chosen["imbalancer"]), **{**chosen, "metrics": metrics}
    )


def _imbalance(imbalancer: str) -> str:
    return "imbalance_ratio = 20\n" if imbalancer == "long_tail" else ""


def _filled(template: str, kind: str, name: str, **more: str) -> str:
    from balancebench import __version__

    text = files("balancebench.cli").joinpath("skeletons", template).read_text(encoding="utf-8")
    return Template(text).substitute(
        name=name,
        Name="".join(part.capitalize() for part in name.split("_")),
        dashed=name.replace("_", "-"),
        kind=kind,
        version=".".join(__version__.split(".")[:2]),
        **more,
    )


def _write(contents: dict[Path, str]) -> None:
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise BalancebenchError(f"{path} is there already, and nothing is written over it") from None
