"""The classifier `finetune` as it is declared. Light."""

from __future__ import annotations

from balancebench import Classifier, Component
from balancebench_gmaug.finetune_options import FinetuneOptions, outside_weights, weights_are_there, weights_identity

__all__ = ["FINETUNE"]

FINETUNE: Component[FinetuneOptions, Classifier] = Component(
    name="finetune",
    summary="Any pre-trained model of timm, fine-tuned as MAE does: layer decay, drop path, mixup and CutMix.",
    options=FinetuneOptions,
    build="balancebench_gmaug.finetune:Finetune",
    citation="He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022",
    smoke={"name": "resnet10t", "weights": "none", "image_size": 16, "epochs": 1, "base_learning_rate": 0.01},
    outside_data=outside_weights,
    identity=weights_identity,
    ready=weights_are_there,
)
