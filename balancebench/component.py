"""What a plugin declares: components, each with its options and the path of what does the work.

Declaring is light: nothing that `build` names is imported before it is built, inside the step that needs it, in a
worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, Literal, TypeVar

from balancebench.config import JSON, Options
from balancebench.contracts import Balancer, Dataset
from balancebench.errors import PluginError
from balancebench.evaluation import MeanOver, Metric, SubsetMetric

__all__ = ["KINDS", "BalancerComponent", "Component", "DatasetComponent", "Kind", "MetricComponent", "Requirement"]

Kind = Literal["dataset", "imbalancer", "balancer", "classifier", "metric"]
KINDS: tuple[Kind, ...] = ("dataset", "imbalancer", "balancer", "classifier", "metric")

Requirement = Literal["cuda", "network", "classifier"]
"""What a component cannot do without: a CUDA device, the network, or (balancers) a classifier to train."""

OptionsT = TypeVar("OptionsT", bound=Options)
ContractT = TypeVar("ContractT")


def _nothing_outside(_options: Any) -> str | None:
    return None


def _quick(_options: Any) -> str | None:
    return None


def _no_fewest(_options: Any) -> int:
    return 0


def _no_extractor(_options: Any) -> bool:
    return False


def _no_validation(_options: Any) -> bool:
    return False


def _no_mean(_options: Any) -> MeanOver | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(Generic[OptionsT, ContractT]):
    """One thing a suite can name with `use`: a dataset, an imbalancer or a classifier; the others have subclasses.

    name: lower_snake_case, unique among components of its kind.
    summary: one line for `balancebench list`.
    options: the model its options are validated by.
    build: "package.module:Name" of the class (or function) that is called with the options and returns what fulfils
    the contract of the kind; imported only when it is built.
    revision: raise it whenever its outputs change; results made before count as missing.
    citation: the paper, one line, or "".
    requires: see `Requirement`.
    smoke: options that make it small enough for a test of seconds.
    seeded: False where the outcome never depends on the cell's seed, so that seeds share the step (imbalancers and
    balancers).
    outside_data: options -> a description of data from outside the suite that it brings in ("ImageNet-1k
    weights"), or None; shown as a mark on every row it touches.
    identity: options -> what tells its outside files apart where options cannot (a folder's file list, the revision
    of a model), part of the step's key. It is called while a suite is planned: it must be quick and import nothing
    heavy, and raises DataError (datasets) or the error of its kind where the files are not there.
    ready: options -> nothing; raises a BalancebenchError where something it needs from outside (weights of a model, a
    folder) is not to be had, and says how to get it. A run asks it for the components of the steps that are to run,
    before any of them does: it must be quick, and import nothing heavy where nothing from outside is needed.
    slow_on_cpu: options -> why it takes hours on a processor ("500 epochs of each class"), or None. Where there is no
    GPU, `balancebench plan` and the start of a run say so.
    check: "package.module:function" of what is called with the options, and raises the error of its kind where they
    name what no library has (a model of timm). `balancebench validate` and the start of a run ask it; it may import
    what it needs.
    """

    name: str
    summary: str
    options: type[OptionsT]
    build: str
    revision: int = 1
    citation: str = ""
    requires: frozenset[Requirement] = frozenset()
    seeded: bool = True
    smoke: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    outside_data: Callable[[OptionsT], str | None] = _nothing_outside
    identity: Callable[[OptionsT], JSON] | None = None
    ready: Callable[[OptionsT], None] | None = None
    slow_on_cpu: Callable[[OptionsT], str | None] = _quick
    check: str = ""

    def create(self, options: OptionsT) -> ContractT:
        """Import what `build` names and call it with `options`; raise PluginError where it is not there."""
        return self._imported(self.build)(options)

    def run_check(self, options: OptionsT) -> None:
        """Import and call what `check` names; raise the error of its kind where the options name what is not there."""
        if self.check:
            self._imported(self.check)(options)

    def _imported(self, path: str) -> Callable[[OptionsT], Any]:
        module_name, _, attribute = path.partition(":")
        try:
            return getattr(import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise PluginError(f"{self.name} cannot be built from {path!r}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetComponent(Component[OptionsT, Dataset], Generic[OptionsT]):
    """A dataset. brings_validation: options -> whether its splits have validation images of their own.

    A dataset may be declared as a plain `Component`: whether it brings any is then known when it is loaded.
    """

    brings_validation: Callable[[OptionsT], bool] = _no_validation


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerComponent(Component[OptionsT, Balancer[Any]], Generic[OptionsT]):
    """A balancer.

    synthesises: its `synthesise` makes images, which become a cached step of their own.
    trains_generator: it is a `GeneratorBalancer`, whose generator is trained in a step of its own. Options whose field
    carries `json_schema_extra={"trains": False}` say only how many images are drawn, or which: they are not in that
    step's key.
    draws_from_base: it draws from the generator of the balancer it wraps, whose own images are then not made; a base
    without a generator makes its images as ever.
    fewest_images: options -> the images that a class which is to grow must have, below which it is refused.
    """

    synthesises: bool = False
    trains_generator: bool = False
    draws_from_base: bool = False
    fewest_images: Callable[[OptionsT], int] = _no_fewest


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComponent(Component[OptionsT, Metric | SubsetMetric], Generic[OptionsT]):
    """A metric.

    of: what it reads, which is all that its value depends on and is computed once for. "predictions": of a cell, and
    what that cost. "images": those of a cell; its evaluation has no predictions. "subset": the training subset alone;
    the value is shown with the task instead of in its rows.
    higher_is_better: None where it ranks nothing (a confusion matrix).
    unit: "%" shows 0..1 as per cent, "" shows the plain number, anything else stands behind the number ("s", "images").
    mean_over: options -> what it is a mean over, where it is a mean of which test images are predicted right; intervals
    of its differences then count the test images too.
    needs_extractor: options -> whether it calls `EvaluationImages.extractor`; the plan then trains that classifier
    first.
    """

    of: Literal["predictions", "images", "subset"] = "predictions"
    higher_is_better: bool | None = True
    unit: str = ""
    mean_over: Callable[[OptionsT], MeanOver | None] = _no_mean
    needs_extractor: Callable[[OptionsT], bool] = _no_extractor
