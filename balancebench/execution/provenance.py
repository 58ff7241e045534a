"""What a record says of the software and machine that made it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from balancebench.config import JSON
from balancebench.registry import Registry

__all__ = ["COMMIT_VARIABLE", "describe_environment", "versions"]

COMMIT_VARIABLE = "BALANCEBENCH_GIT_COMMIT"
"""The environment says the commit of files that travelled without their history: 40 hex digits, "+" where changed."""
COMMIT = re.compile("[0-9a-f]{40}[+]?")

NAMED_PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "torchmetrics")


def describe_environment(registry: Registry) -> dict[str, JSON]:
    """Return versions, plugin distributions, git commit and machine; no names of hosts, users or folders."""
    return {**_machine(), "plugins": dict(sorted(registry.versions.items()))}


@cache
def _machine() -> dict[str, JSON]:
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "versions": versions(),
        "git_commit": _git_commit(),
    }


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that results may depend on."""
    installed: dict[str, str] = {}
    for name in NAMED_PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git_commit() -> str | None:
    """Return the commit of balancebench's own checkout ("+" where files were changed).

    Outside of one, what the environment says in BALANCEBENCH_GIT_COMMIT, or None where that is no commit.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        said = os.environ.get(COMMIT_VARIABLE, "")
        return said if COMMIT.fullmatch(said) else None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603
