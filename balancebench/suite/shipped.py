"""The suites that ship with balancebench, which are run by name from any folder: they need no file and no download.

They stand in `suites/` of the repository. A wheel carries copies of them inside the package; an editable install reads
the repository's.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "is_bare_name", "shipped_name", "suite_file"]

SHIPPED = ("quickstart", "regression")
PACKAGE = Path(__file__).resolve().parents[1]
IN_WHEEL, IN_REPOSITORY = PACKAGE / "suites", PACKAGE.parent / "suites"


def suite_file(path: Path) -> Path:
    """Return the file that is meant by a path, or by the bare name of a shipped suite; a file called so comes first."""
    if not is_bare_name(path) or path.name not in SHIPPED or path.is_file():
        return path
    folder = IN_WHEEL if IN_WHEEL.is_dir() else IN_REPOSITORY
    return folder / f"{path.name}.toml"


def is_bare_name(path: Path) -> bool:
    """Return whether a path has neither a slash nor a suffix."""
    return len(path.parts) == 1 and not path.suffix


def shipped_name(path: Path) -> str | None:
    """Return the name of a suite file that lies inside the installed package, or None for every other file."""
    return path.stem if path.resolve().parent == IN_WHEEL else None
