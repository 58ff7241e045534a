"""Which of this repository's distributions brings which component, for suites that name one that is not installed.

Only what an error says depends on it: a distribution that is missing here works, and is never suggested.
"""

from __future__ import annotations

from collections.abc import Mapping

from balancebench.component import Kind

__all__ = ["distribution_with"]

COMPONENTS: Mapping[str, Mapping[Kind, tuple[str, ...]]] = {
    "balancebench-cgan": {"balancer": ("mlp_cgan",), "classifier": ("fashion_cnn",)},
    "balancebench-imagegen": {
        "balancer": ("augmentation", "dcgan", "image_pool", "stable_diffusion"),
        "classifier": ("resnet18_imagegen",),
    },
    "balancebench-longtail": {
        "balancer": (
            "balanced_softmax",
            "class_balanced_loss",
            "class_balanced_sampling",
            "cmo",
            "crt",
            "cutmix",
            "drs",
            "drw",
            "focal",
            "ldam",
            "ldam_drw",
            "logit_adjustment",
            "mixup",
            "posterior_recalibration",
            "progressive_sampling",
            "remix",
            "square_root_sampling",
            "tau_norm",
            "weighted_cross_entropy",
        )
    },
    "balancebench-quality": {
        "metric": (
            "coverage",
            "density",
            "fid",
            "generative_precision",
            "generative_recall",
            "kid",
            "memorisation",
            "nearest_neighbour_distance",
        )
    },
    "balancebench-resampling": {"balancer": ("adasyn", "random_oversampling", "random_undersampling", "smote")},
}


def distribution_with(kind: Kind, name: str) -> str | None:
    """Return the distribution of this repository that brings a component, or None."""
    return next((ours for ours, components in COMPONENTS.items() if name in components.get(kind, ())), None)
