"""A plugin that declares something which is no component."""

from balancebench import hookimpl


@hookimpl
def balancebench_balancers():
    """Declare a name instead of a BalancerComponent."""
    return ["my_balancer"]
