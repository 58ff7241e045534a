"""pretrain_synthetic: training on another balancer's images first and on the real ones then, the slides' proposal.

Pixels are normalised by the real images in both phases: the network that is tuned has seen one scale.
"""

from __future__ import annotations

from balancebench import Balancer, LabelledImages, Phase, PlanContext, Restart, TrainingPlan
from balancebench_datasynth.options import PretrainSyntheticOptions
from balancebench_datasynth.wrapped import base_images

__all__ = ["PretrainSynthetic"]


class PretrainSynthetic(Balancer[PretrainSyntheticOptions]):
    """Trains on synthetic images, then with a new optimiser on real ones; both within the classifier's budget."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Return the two phases. Raises BalancerError where the base made no images."""
        generated = base_images("pretrain_synthetic", context.base)
        share = self.options.pretrain_share
        return TrainingPlan(
            phases=(
                Phase(images=generated, share=share),
                Phase(images=train, share=1 - share, restart=Restart(learning_rate=self.options.learning_rate)),
            ),
            normalise_on=train,
        )
