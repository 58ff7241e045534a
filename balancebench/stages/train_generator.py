"""Stage `train_generator`: the network that a balancer's images come from, trained once and drawn from often."""

from __future__ import annotations

from balancebench.artefacts.subset import Subset
from balancebench.contracts import TrainsGenerator
from balancebench.errors import BalancerError
from balancebench.stages.balancing import synthesis_context
from balancebench.stages.input_files import handed_out
from balancebench.stages.workplace import Workplace
from balancebench.step import BalancingInputs

__all__ = ["run_train_generator"]


def run_train_generator(workplace: Workplace) -> None:
    """Let the balancer train its generator and leave it among its artefacts."""
    inputs = workplace.inputs(BalancingInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    balancer = workplace.build("balancer", "component")
    if not isinstance(balancer.object, TrainsGenerator):
        raise BalancerError(f"{balancer.component.name} says trains_generator, but has no train_generator")
    context = synthesis_context(workplace, balancer, subset, inputs.balancer)
    train = subset.train
    with handed_out(balancer.component.name, train):
        balancer.object.train_generator(train, context)
