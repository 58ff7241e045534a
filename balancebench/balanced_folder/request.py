"""What is to be balanced and how, and the folder that it goes to: checked before anything is written.

OUT/CLASS/real_00001.png ...     the images
OUT/manifest.csv                 one row an image
OUT/README.md                    the data card
OUT/.balance/request.json        what was asked, so that the same command goes on and another one is refused
OUT/.balance/work/               checkpoints and a trained generator, until all is done
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancebench.component import BalancerComponent
from balancebench.config import JSON
from balancebench.errors import BalancebenchError
from balancebench.loading.image_files import ImageTree, list_image_tree
from balancebench.registry import Registry
from balancebench.suite.bind import bind_balancer
from balancebench.suite.bound import BoundComponent
from balancebench.synthesis.fit_options import FitOptions

__all__ = ["BalanceRequest", "claim_folder", "is_finished", "refuse_other_contents", "request_of"]

OWN_FOLDER = ".balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRequest:
    """What to balance, with what, and where to.

    fit, size: how images are brought to size; size None: all have one already. component: of the outermost balancer.
    """

    folder: Path
    output: Path
    tree: ImageTree
    balancer: BoundComponent
    component: BalancerComponent[Any]
    fit: FitOptions
    size: int | None
    seed: int

    @property
    def work(self) -> Path:
        """The folder of what is needed until all is done."""
        return self.output / OWN_FOLDER / "work"

    @property
    def file_of_request(self) -> Path:
        """Where the output folder says what was asked."""
        return self.output / OWN_FOLDER / "request.json"

    @property
    def identity(self) -> dict[str, JSON]:
        """What decides the images written."""
        return {
            "images": self.tree.digest(),
            "balancer": json.loads(self.balancer.reference.identity),
            "fit": self.fit.model_dump(mode="json"),
            "size": self.size,
            "seed": self.seed,
        }


def request_of(
    folder: Path,
    output: Path,
    use: str,
    options: dict[str, JSON],
    registry: Registry,
    *,
    fit: FitOptions,
    size: int | None,
    seed: int,
) -> BalanceRequest:
    """Return the request, checked as far as names and files go; raises BalancebenchError with what would be right."""
    if folder.is_dir():
        inside = {entry.name.lower(): entry.name for entry in folder.iterdir() if entry.is_dir()}
        if "train" in inside:
            raise BalancebenchError(
                f"{folder} holds splits: name {folder / inside['train']}, as test images are not balanced"
            )
    tree = list_image_tree(folder, superclass_level=False, one_tree=True)
    balancer = bind_balancer(use, options, registry, Path.cwd())
    component = balancer.component
    assert isinstance(component, BalancerComponent)  # noqa: S101 - the registry gave a balancer
    level: BoundComponent | None = balancer
    while level is not None:
        if "classifier" in level.component.requires:
            raise BalancebenchError(f"{level.component.name} trains a classifier, which a suite names: use `run`")
        if level.component.ready is not None:
            level.component.ready(level.options)
        level = level.base
    if output.resolve().is_relative_to(folder.resolve()):
        raise BalancebenchError(f"{output} lies in {folder}: written images would be read as a class the next time")
    return BalanceRequest(
        folder=folder,
        output=output,
        tree=tree,
        balancer=balancer,
        component=component,
        fit=fit,
        size=size,
        seed=seed,
    )


def refuse_other_contents(request: BalanceRequest) -> None:
    """Raise BalancebenchError where the output folder holds anything but what this very request began."""
    there = _names(request.output)
    if there and OWN_FOLDER not in there:
        raise BalancebenchError(
            f"{request.output} is not empty ({', '.join(there[:3])}): name a new folder, nothing is written over"
        )
    if there == [OWN_FOLDER] or not there:
        return  # not an image was written yet: what went wrong may be put right with other options
    different = _different(request)
    if different:
        raise BalancebenchError(
            f"{request.output} was begun with other {', '.join(different)}: name a new folder, or delete this one"
        )


def claim_folder(request: BalanceRequest) -> None:
    """Write into the output folder what was asked; work that was begun for something else is dropped."""
    if request.file_of_request.exists() and _different(request):
        shutil.rmtree(request.work, ignore_errors=True)
    request.work.mkdir(parents=True, exist_ok=True)
    temporary = request.file_of_request.with_suffix(".unfinished")
    temporary.write_text(json.dumps(request.identity, indent=1), encoding="utf-8")
    temporary.replace(request.file_of_request)


def is_finished(request: BalanceRequest) -> bool:
    """Say whether the output folder holds all images of this very request."""
    return (request.output / "README.md").exists() and not request.work.exists()


def _different(request: BalanceRequest) -> list[str]:
    """Return the names of what the folder was begun with and this request asks otherwise."""
    asked = json.loads(request.file_of_request.read_text(encoding="utf-8"))
    return sorted(name for name, value in request.identity.items() if asked.get(name) != value)


def _names(folder: Path) -> Sequence[str]:
    if folder.exists() and not folder.is_dir():
        raise BalancebenchError(f"{folder} is a file: name a folder")
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
