"""The form of a suite file, before its components are known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from balancebench.config import JSON
from balancebench.evaluation import Report

__all__ = [
    "AXES",
    "FOLDER_NAME",
    "Axis",
    "ComponentTable",
    "FolderName",
    "PublishedTable",
    "RunTable",
    "SeedStreams",
    "SelectionTable",
    "SuiteFile",
    "ValidationTable",
]

Axis = Literal["dataset", "imbalancer", "balancer", "classifier"]
FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What names of suites and profiles are: they name folders, and lead into no other."""
AXES: tuple[Axis, ...] = ("dataset", "imbalancer", "balancer", "classifier")
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[list[Seed], Field(min_length=1)]


FolderName = Annotated[str, Field(pattern=FOLDER_NAME, max_length=100)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class SeedStreams(_Table):
    """Seeds given for each stream: every combination of the three is run."""

    subset: Seeds = Field([0], description="which images the imbalancer keeps")
    generator: Seeds = Field([0], description="what a balancer draws, its synthetic images included")
    classifier: Seeds = Field([0], description="initial weights, shuffling and augmentation")


class ValidationTable(_Table):
    """Where validation images come from, for datasets that bring none."""

    source: Literal["kept", "withheld"] = Field(
        "kept", description="carve them from the kept training images, or (this marks every row) from the removed ones"
    )
    fraction: float = Field(0.1, gt=0, lt=1, description="share of each class's images of that source")


def _seeds_form(value: object) -> str:
    return "table" if isinstance(value, (dict, SeedStreams)) else "list"


def _entry_form(value: object) -> str:
    return "table" if isinstance(value, (dict, ComponentTable)) else "name"


class RunTable(_Table):
    """How the cells are run."""

    seeds: Annotated[
        Annotated[Seeds, Tag("list")] | Annotated[SeedStreams, Tag("table")], Discriminator(_seeds_form)
    ] = Field([0], description="a list, or a table of lists for each stream")
    report: Annotated[list[Report], Field(min_length=1)] = Field(
        ["last"], description="which epoch's predictions are scored"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="arithmetic of training")
    deterministic: bool = Field(True, description="bit-for-bit repeatable kernels, somewhat slower on CUDA")
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="CPU threads of each step; another count changes the last digits, so it is part of every result",
    )
    floor: bool = Field(True, description="add the imbalanced baseline (balancer none) to every task")
    ceiling: bool = Field(True, description="add training on all images (no imbalance) to every task")
    jobs_per_gpu: int = Field(
        1,
        ge=1,
        le=64,
        description="steps side by side on one GPU, as memory allows, where --jobs does not say; no result changes",
    )
    keep_weights: bool = Field(
        False, description="keep every trained network in the store, for `balancebench explain`; no result changes"
    )
    validation: ValidationTable | None = Field(None, description="validation images, for best_validation")

    @model_validator(mode="after")
    def _unique(self) -> RunTable:
        lists = [self.report]
        lists += [self.seeds] if isinstance(self.seeds, list) else list(self.seeds.__dict__.values())
        for values in lists:
            if len(set(values)) != len(values):
                raise ValueError(f"{values} names one value twice")
        return self


class ComponentTable(BaseModel):
    """One entry of an axis: which component, under which label, with which options; `sweep` makes several."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    use: Annotated[str, Field(min_length=1)] = Field(description="a component's name, or distribution:name")
    label: Annotated[str, Field(min_length=1)] | None = Field(None, description="its name in tables; default: use")
    sweep: dict[str, Annotated[list[JSON], Field(min_length=1)]] = Field(
        default_factory=dict, description="options with a list of values each; every combination becomes an entry"
    )

    @property
    def options(self) -> dict[str, JSON]:
        """The keys that are options of the component."""
        return dict(self.model_extra or {})


class SelectionTable(_Table):
    """Cells chosen by their labels; an axis that is not named matches all."""

    dataset: str | None = None
    imbalancer: str | None = None
    balancer: str | None = None
    classifier: str | None = None


class PublishedTable(BaseModel):
    """A paper's numbers for the cells it selects, shown beside ours; its other keys are labels of metrics."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    dataset: str | None = None
    imbalancer: str | None = None
    balancer: str | None = None
    classifier: str | None = None
    report: Report = "last"
    ceiling: bool = Field(False, description="the numbers are of training without imbalance")
    source: str = Field(description="where the numbers stand: paper, table")
    protocol: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="how the protocol of these numbers differs from the suite's, where it does: one line"
    )

    @property
    def values(self) -> dict[str, JSON]:
        """Metric label -> the published value."""
        return dict(self.model_extra or {})


class SuiteFile(_Table):
    """A whole suite file."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    name: FolderName = Field(description="names output folders")
    title: str = Field("", description="one line for headings")
    description: str = Field("", description="a paragraph for the top of the leaderboard")
    metrics: Annotated[
        list[
            Annotated[Annotated[str, Tag("name")] | Annotated[ComponentTable, Tag("table")], Discriminator(_entry_form)]
        ],
        Field(min_length=1),
    ] = Field(description="metrics, the first one ranks")
    run: RunTable = Field(default_factory=lambda: RunTable.model_validate({}))
    dataset: Annotated[list[ComponentTable], Field(min_length=1)]
    imbalancer: Annotated[list[ComponentTable], Field(min_length=1)]
    balancer: Annotated[list[ComponentTable], Field(min_length=1)]
    classifier: Annotated[list[ComponentTable], Field(min_length=1)]
    exclude: list[SelectionTable] = Field(default_factory=list[SelectionTable])
    include: list[SelectionTable] = Field(default_factory=list[SelectionTable])
    published: list[PublishedTable] = Field(default_factory=list[PublishedTable])
    profile: dict[FolderName, dict[str, JSON]] = Field(
        default_factory=dict, description='overrides by name: "balancer.*.epochs" = 1, "run.seeds" = [0]'
    )
