"""The syntheses of a suite: what balancers that make images left in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from balancebench.pictures.scene import Scene
from balancebench.stage import Stage

__all__ = ["Synthesis", "syntheses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """A balancer's finished syntheses for one dataset and imbalancer.

    classifier: None unless the images depend on it. steps: seeds -> key of its images, or of its generator's training
    (the stage `of`), each key once.
    """

    dataset: str
    imbalancer: str
    classifier: str | None
    balancer: str
    steps: Mapping[str, str]

    @property
    def label(self) -> str:
        """Where it belongs, in words."""
        parts = (self.dataset, self.imbalancer, self.classifier, self.balancer)
        return " / ".join(part for part in parts if part is not None)


def syntheses(scene: Scene, of: Stage = "synthesise") -> list[Synthesis]:
    """Return them in the order of the suite; those that classifiers share stand once."""
    by_balancer: dict[tuple[str, str, str], dict[str, dict[str, str]]] = {}
    for cell in scene.plan.cells:
        key = cell.steps.get(of)
        if key is None or scene.digest(key) is None:
            continue
        by_classifier = by_balancer.setdefault((cell.task.dataset, cell.task.imbalancer, cell.balancer), {})
        if not any(key in steps.values() for steps in by_classifier.values()):
            by_classifier.setdefault(cell.task.classifier, {})[str(cell.seeds)] = key
    return [
        Synthesis(
            dataset=dataset,
            imbalancer=imbalancer,
            classifier=classifier if len(by_classifier) > 1 else None,
            balancer=balancer,
            steps=steps,
        )
        for (dataset, imbalancer, balancer), by_classifier in by_balancer.items()
        for classifier, steps in by_classifier.items()
    ]
