"""docs/plugins.md is the reference: every hook, contract, field and check stands there as it is in the code."""

import ast
import inspect
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import balancebench
from balancebench import (
    BalancerComponent,
    Evaluation,
    MetricComponent,
    Origin,
    Phase,
    Restart,
    TrainingPlan,
    concatenate,
    contracts,
    evaluation,
    hookspecs,
)
from balancebench.contracts import Base, FitContext, LoadContext, PlanContext, SynthesisContext
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.evaluation import Cost, EvaluationImages, SubsetEvaluation
from balancebench.registry import load_registry
from balancebench.testing import plan_context, tiny_training_set
from balancebench.testing.declaration import DECLARATION_CHECKS, KIND_CHECKS
from balancebench.testing.generators import GENERATOR_CHECKS
from balancebench.testing.parametrize import CHECKS
from balancebench.testing.subject import described
from balancebench.testing.subset_metrics import SUBSET_METRIC_CHECKS
from balancebench.training_plan import Batch

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


def signatures(tree):
    """Return name -> the signature of every function in a module's or class's body, in one line."""
    return {
        node.name: f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns
    }


BLOCKS = [ast.parse(block) for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)]
DOCUMENTED = [pair for block in BLOCKS for pair in signatures(block).items()]
HOOKS = signatures(ast.parse(inspect.getsource(hookspecs)))
NOT_FOR_PLUGINS = ("Progress",)  # called by plugins, never written by them
CONTRACTS = {
    node.name: signatures(node)
    for module in (contracts, evaluation)
    for node in ast.parse(inspect.getsource(module)).body
    if isinstance(node, ast.ClassDef)
    and node.name not in NOT_FOR_PLUGINS
    and any(ast.unparse(base).startswith(("Protocol", "Generic")) for base in node.bases)
}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook):
    assert (hook, HOOKS[hook]) in DOCUMENTED


def test_every_documented_hook_exists():
    assert {name for name, _ in DOCUMENTED if name.startswith("balancebench_")} == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_user(hook):
    from balancebench.cli.console import ConsoleReporter

    declaring = getattr(load_registry().hooks.hook, hook).get_hookimpls()
    assert declaring or hasattr(ConsoleReporter, hook)


@pytest.mark.parametrize(
    ("contract", "method"),
    [(contract, method) for contract, methods in CONTRACTS.items() for method in methods if method != "__init__"],
)
def test_every_contract_is_documented_with_its_exact_signature(contract, method):
    assert (method, CONTRACTS[contract][method]) in DOCUMENTED


@pytest.mark.parametrize(
    "described_type",
    [
        Base, Batch, BalancerComponent, Cost, DatasetSplits, Evaluation, EvaluationImages, FitContext,
        LabelledImages, LoadContext, MetricComponent, Phase, PlanContext, SubsetEvaluation, SynthesisContext,
        TrainingPlan,
    ],
)  # fmt: skip
def test_every_field_is_documented(described_type):
    words = set(re.findall(r"`([^`\n]+)`", PAGE))
    named = {re.match(r"\w*", word).group(0) for word in words}
    missing = {field.name for field in fields(described_type)} - named
    assert not missing, f"{described_type.__name__}: {sorted(missing)}"


PLANS = dict(re.findall(r"^\| ([^|]+) \| `((?:TrainingPlan|replace)\(.*?\))`", PAGE, flags=re.MULTILINE))


def test_the_table_of_plans_is_read_whole():
    table = PAGE[PAGE.index("| method | plan |") :].split("\n\n")[0]
    assert len(PLANS) == len(table.splitlines()) - 2 >= 15


@pytest.mark.parametrize("method", PLANS)
def test_every_plan_of_the_table_can_be_built(method):
    train = tiny_training_set()
    names = {
        "train": train,
        "synthetic": tiny_training_set(seed=1).take(np.arange(5), origin=Origin.SYNTHETIC),
        "repeated": np.arange(3),
        "kept": np.arange(20),
        "inverse_frequency_N": 1 / train.counts_K[train.labels_N],
        "tau": 1.0,
        "log_prior_K": np.log(train.counts_K / len(train)),
        "context": plan_context(),
        "base_plan": TrainingPlan(phases=(Phase(images=train),)),
        **dict.fromkeys(("weighted_loss", "balanced_loss", "ldam_loss", "influence_loss", "mixup"), lambda *_: None),
        **{used.__name__: used for used in (TrainingPlan, Phase, Restart, Origin, concatenate, replace)},
    }
    assert isinstance(eval(PLANS[method], names), TrainingPlan)


LISTED = {
    "every component": (*KIND_CHECKS, *DECLARATION_CHECKS),
    "a balancer that trains a generator": GENERATOR_CHECKS,
    "a metric of the training subset": SUBSET_METRIC_CHECKS,
    **{f"{'an' if kind == 'imbalancer' else 'a'} {kind}": checks for kind, checks in CHECKS.items()},
}


@pytest.mark.parametrize("subject", LISTED)
def test_every_check_of_the_kit_is_listed(subject):
    (row,) = re.findall(rf"^\| {subject} \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert row.split("; ") == [described(check) for check in LISTED[subject]]


def test_every_public_name_the_page_uses_exists():
    used = set(re.findall(r"\b(?:from balancebench import|balancebench\.)\s?([A-Za-z]\w+)\b", PAGE))
    modules = {"synthesis", "training", "testing", "errors"}
    assert used - modules <= set(balancebench.__all__), used - modules - set(balancebench.__all__)
