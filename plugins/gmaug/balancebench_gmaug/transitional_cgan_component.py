"""Declares `transitional_cgan`."""

from __future__ import annotations

from balancebench import BalancerComponent
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, transitional_cgan_ready

__all__ = ["TRANSITIONAL_CGAN"]

TRANSITIONAL_CGAN = BalancerComponent(
    name="transitional_cgan",
    summary="Fill classes with images of a StyleGAN2-ADA that learns without labels first.",
    options=TransitionalCganOptions,
    build="balancebench_gmaug.transitional_cgan:TransitionalCgan",
    citation="Shahbazi, Danelljan, Paudel, Van Gool, Collapse by Conditioning: Training Class-conditional GANs "
    "with Limited Data, ICLR 2022; Karras et al., Training Generative Adversarial Networks with Limited Data, "
    "NeurIPS 2020",
    smoke={"preset": "micro", "kimg": 0.032, "transition_start_kimg": 0.008, "transition_end_kimg": 0.016},
    outside_data=lambda options: (
        "Inception-v3 weights (ImageNet-1k), to choose the generator's snapshot" if options.needs_inception else None
    ),
    ready=transitional_cgan_ready,
    slow_on_cpu=lambda options: (
        f'preset "{options.preset}" takes days; "small" is for two cores'
        if options.preset in ("cifar", "auto")
        else None
    ),
    synthesises=True,
    trains_generator=True,
    fewest_images=lambda _options: 1,
)
