"""The command that looks at a data set before anything is trained: advise."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancebench.cli.gain_figure import draw_gains
from balancebench.cli.run import RunOptions, carry_out
from balancebench.cli.shared import SOME_FAILED, JsonFlag, StoreOption, bound_plan, console, errors_console, print_json
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE

if TYPE_CHECKING:
    from balancebench.advice import Advice
    from balancebench.evaluation import SubsetEvaluation
    from balancebench.plan import Plan
    from balancebench.registry import Registry
    from balancebench.store import Store

__all__ = ["advise"]

MOST_CLASSES = 8
SIMILARITY = "similarity"
SIMILARITY_BROUGHT_BY = "balancebench-gmaug"

SourceArgument = Annotated[
    Path,
    typer.Argument(
        help="A folder of images (CLASS/*.jpg, or train/CLASS/*.jpg and test/CLASS/*.jpg), or a suite file; with "
        "--figure a folder of leaderboards.",
        metavar="FOLDER_OR_SUITE",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the suite to start from to a new file, of a folder.", metavar="FILE"),
]
SizeOption = Annotated[
    int, typer.Option("--size", min=8, max=1024, help="Side that a folder's images get.", metavar="PIXELS")
]
FractionOption = Annotated[
    float,
    typer.Option(
        "--test-fraction",
        min=0.01,
        max=0.9,
        help="Share of each class held out, of a folder without test/.",
        metavar="SHARE",
    ),
]
SuperclassFlag = Annotated[
    bool, typer.Option("--superclass-level", help="Class folders lie in super-class folders: SUPERCLASS/CLASS/*.jpg.")
]
FigureOption = Annotated[
    Path | None,
    typer.Option(
        "--figure",
        help="Draw what made images gained in committed leaderboards over how alike the images were (SVG), instead.",
        metavar="FILE",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subset:
    """A training subset of a plan, by the keys of its steps."""

    label: str
    dataset: str
    subset: str


def advise(
    source: SourceArgument,
    output: OutputOption = None,
    size: SizeOption = 64,
    test_fraction: FractionOption = 0.25,
    superclass_level: SuperclassFlag = False,
    store: StoreOption = DEFAULT_STORE,
    figure: FigureOption = None,
    json: JsonFlag = False,
) -> None:
    """Say what a data set is like, and what is known of generated images on such data, before anything is trained.

    Class sizes, near-duplicates of test images, methods that some class is too small for, how alike the images are with
    what published results say of that, and a suite file to start from.

    Example: [bold]balancebench advise photographs -o photographs.toml[/bold]
    """
    from balancebench.registry import load_registry
    from balancebench.store import Store

    registry = load_registry()
    if figure is not None:
        draw_gains(source, figure, registry)
        return
    if output is not None and output.exists():
        raise BalancebenchError(f"{output} exists already, and is not written over: name another file")
    if output is not None and not source.is_dir():
        raise BalancebenchError(f"--output is for folders of images: {source} is a suite to start from already")
    starter = None
    if source.is_dir():
        is_split = (source / "train").is_dir()
        starter = _Starter(
            source=source,
            size=size,
            test_fraction=None if is_split else test_fraction,
            superclass_level=superclass_level,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "starter.toml"
            path.write_text(starter.text(registry, source.resolve()), encoding="utf-8")
            planned = bound_plan(path, None)
    else:
        planned = bound_plan(source, None)
    opened = Store.open(store)
    outcome = carry_out(planned, opened, RunOptions(jobs=0, stages=frozenset({"load", "imbalance"})))
    if outcome.failed:
        for entry in outcome.failed:
            errors_console().print(f"{entry.step.label}: {entry.message}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(SOME_FAILED)
    said = {subset.label: _advice(opened, subset, registry) for subset in _subsets(planned)}
    suite_text = None
    if starter is not None:
        suite_folder = Path() if output is None else output.parent
        suite_text = starter.text(registry, Path(os.path.relpath(source.resolve(), suite_folder.resolve())))
    if output is not None and suite_text is not None:
        output.write_text(suite_text, encoding="utf-8")
    if json:
        figures = {
            label: {
                advice.heading: {"figures": dict(advice.figures), "text": list(advice.paragraphs)} for advice in all_
            }
            for label, all_ in said.items()
        }
        print_json({"subsets": figures, "suite": suite_text})
        return
    _print(said, suite_text, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Starter:
    """What a suite of a folder of images is written from."""

    source: Path
    size: int
    test_fraction: float | None
    superclass_level: bool

    def text(self, registry: Registry, root: Path) -> str:
        """Return the suite, with the images in `root`, absolute or as seen from the suite's folder."""
        from balancebench.suite.starter import starter_suite

        return starter_suite(
            registry,
            name=_suite_name(self.source),
            root=root,
            size=self.size,
            test_fraction=self.test_fraction,
            superclass_level=self.superclass_level,
        )


def _suite_name(source: Path) -> str:
    """Return a name for a suite: a folder's, of lower-case letters, digits and underscores."""
    letters = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in source.resolve().name)
    return letters.strip("_").lower() or "images"


def _subsets(planned: Plan) -> Iterator[_Subset]:
    """Yield each training subset once: of each dataset and imbalancer that of the first seed."""
    seen: set[tuple[str, str]] = set()
    for cell in planned.cells:
        task = cell.task.dataset, cell.task.imbalancer
        if cell.role != "ceiling" and task not in seen:
            seen.add(task)
            yield _Subset(
                label=planned.steps[cell.steps["imbalance"]].label,
                dataset=cell.steps["load"],
                subset=cell.steps["imbalance"],
            )


def _advice(store: Store, subset: _Subset, registry: Registry) -> list[Advice]:
    from balancebench.artefacts.subset import Subset
    from balancebench.evaluation import SubsetEvaluation
    from balancebench.execution.devices import slot_devices

    read = Subset.read(store, subset.subset, subset.dataset)
    evaluation = SubsetEvaluation(
        train=read.train,
        test_images_NCHW=read.test_images_NCHW,
        device=slot_devices("auto", 1)[0],
        cached=store.cached,
    )
    said = [advisor.create()(evaluation) for advisor in registry.advisors]
    said.append(_too_small(evaluation, registry))
    if SIMILARITY not in {advisor.name for advisor in registry.advisors}:
        said.append(_similarity_is_missing())
    return said


def _too_small(evaluation: SubsetEvaluation, registry: Registry) -> Advice:
    """Say which methods would refuse a class, with their default options."""
    from pydantic import ValidationError

    from balancebench.advice import Advice
    from balancebench.component import BalancerComponent

    counts = dict(zip(evaluation.train.class_names, evaluation.train.counts_K.tolist(), strict=True))
    largest = max(counts.values())
    refused: dict[str, dict[str, Any]] = {}
    for registered in registry.all("balancer"):
        component = registered.component
        if not isinstance(component, BalancerComponent):
            continue
        try:
            fewest = component.fewest_images(component.options())
        except ValidationError:  # options without which it cannot be: a base, a folder
            continue
        small = [name for name, count in counts.items() if count < min(fewest, largest)]
        if small:
            refused[component.name] = {"fewest_images": fewest, "classes": small}
    if not refused:
        return Advice(
            heading="Methods that refuse a class",
            paragraphs=("None, with their default options.",),
            figures={"too_small": {}},
        )
    paragraphs = tuple(
        f"{name} needs {entry['fewest_images']} images of a class that is to grow; {_named(entry['classes'])} fewer."
        for name, entry in refused.items()
    )
    return Advice(heading="Methods that refuse a class", paragraphs=paragraphs, figures={"too_small": refused})


def _named(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} has"
    shown = ", ".join(names[:MOST_CLASSES]) + (f" and {len(names) - MOST_CLASSES} more" * (len(names) > MOST_CLASSES))
    return f"{shown} have"


def _similarity_is_missing() -> Advice:
    from balancebench.advice import Advice

    return Advice(
        heading="How alike the images are",
        paragraphs=(f"Not measured: that comes with {SIMILARITY_BROUGHT_BY}, which is not installed here.",),
    )


def _print(said: dict[str, list[Advice]], suite_text: str | None, output: Path | None) -> None:
    out = console()
    for label, all_advice in said.items():
        out.print(f"[bold]{label}[/bold]")
        for advice in all_advice:
            out.print(f"\n[underline]{advice.heading}[/underline]")
            for paragraph in advice.paragraphs:
                out.print(paragraph, markup=False)
        out.print()
    if suite_text is None:
        return
    if output is not None:
        out.print(
            f"A suite to start from was written to {output}: balancebench run {output}", markup=False, soft_wrap=True
        )
        return
    out.print("[underline]A suite to start from[/underline] (-o FILE writes it)\n")
    out.print(suite_text, markup=False, soft_wrap=True)
