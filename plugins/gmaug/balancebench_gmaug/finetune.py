"""Fine-tuning of a pre-trained model as MAE does (He et al. 2022, appendix A.1, table 9).

AdamW with a learning rate in proportion to the batch, warm-up and a cosine that ends above 0; each layer's rate is
`layer_decay` times that of the layer above it; stochastic depth; mixup or CutMix on each batch, label smoothing; the
head of vision transformers reads the mean of the tokens, normalised. RandAugment and random erasing are left out: as
all images here, these are cropped and flipped on the device.

A plan comes first: a transform of its batches replaces mixup and CutMix, a loss replaces label smoothing.

Axis suffixes: N images, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balancebench import ClassifierError, FeaturePredictor, FitContext, TrainingPlan, nearest
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.model import ImageModel
from balancebench.training.optimiser_step import ParameterGroup
from balancebench.training.options import ChannelStatistics
from balancebench_gmaug.finetune_mixing import mixup_or_cutmix
from balancebench_gmaug.finetune_options import FinetuneOptions

__all__ = ["Finetune", "backbone", "learning_rate_scales"]


class Finetune:
    """Any model of timm, with the recipe added to what the plan says."""

    def __init__(self, options: FinetuneOptions) -> None:
        self.options = options

    def fit(self, plan: TrainingPlan, context: FitContext) -> FeaturePredictor:
        """Train from the weights asked for.

        Raises ClassifierError for unknown models, weights that do not fit, and images of another size than patches do.
        """
        channels = plan.phases[0].images.images_NCHW.shape[1]
        return self._network(channels).fit(self._with_recipe(plan), context)

    def restore(self, folder: Path, device: str) -> FeaturePredictor:
        """Return the predictor that was saved to `folder`."""
        unread = self.options.model_copy(update={"weights": "none", "weights_file": None})
        return Finetune(unread)._network(channels=3).restore(folder, device)

    def _network(self, channels: int) -> NetworkClassifier:
        options = self.options
        normalisation = options.normalisation
        if isinstance(normalisation, ChannelStatistics) and channels == 1 < len(normalisation.mean):
            grey = ChannelStatistics(
                mean=(sum(normalisation.mean) / len(normalisation.mean),),
                std=(sum(normalisation.std) / len(normalisation.std),),
            )
            options = options.model_copy(update={"normalisation": grey})
        return NetworkClassifier(
            lambda _channels, image_size: backbone(self.options, image_size),
            options,
            parameter_groups=self._groups,
        )

    def _groups(self, model: ImageModel) -> list[ParameterGroup]:
        """Return a group for each learning rate and weight decay; vectors, tokens and positions do not decay."""
        scales, undecayed = learning_rate_scales(self.options)
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, parameter in model.named_parameters():
            own_name = name.removeprefix("backbone.model.")
            scale = scales[own_name] if own_name != name else 1.0
            decay = 0.0 if parameter.ndim <= 1 or own_name in undecayed else self.options.weight_decay
            groups.setdefault((scale, decay), []).append(parameter)
        return [
            ParameterGroup(params=parameters, weight_decay=decay, learning_rate_scale=scale)
            for (scale, decay), parameters in groups.items()
        ]

    def _with_recipe(self, plan: TrainingPlan) -> TrainingPlan:
        options = self.options
        mixing = mixup_or_cutmix(options.mixup, options.cutmix)
        smoothed = _smoothed_cross_entropy(options.label_smoothing)
        phases = [
            replace(
                phase,
                batch_transform=phase.batch_transform or mixing,
                loss=smoothed if phase.loss is None and phase.feature_loss is None else phase.loss,
            )
            for phase in plan.phases
        ]
        return replace(plan, phases=tuple(phases))


def _smoothed_cross_entropy(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    def losses(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, labels_N, label_smoothing=share, reduction="none")

    return losses


class _Resized(nn.Module):
    """A model over images resized on the device; grey ones go in as three equal channels."""

    def __init__(self, model: nn.Module, image_size: int | None) -> None:
        super().__init__()
        self.model = model
        self.image_size = image_size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        images_NCHW = images_NCHW.expand(-1, 3, -1, -1)
        if self.image_size is not None and images_NCHW.shape[-2:] != (self.image_size, self.image_size):
            size = (self.image_size, self.image_size)
            images_NCHW = F.interpolate(images_NCHW, size=size, mode="bilinear", align_corners=False, antialias=True)
        return self.model(images_NCHW)


def backbone(options: FinetuneOptions, image_size: tuple[int, int]) -> nn.Module:
    """Return the model, with its weights, without its classifier: images_NCHW -> features_ND.

    Raises ClassifierError where timm has no such model, where the weights are of another, and where images are no whole
    number of patches: a transformer would leave the rest of their pixels out without a word.
    """
    import timm

    if not timm.is_model(options.name):
        raise ClassifierError(
            f"timm has no model {options.name!r}{nearest(options.name, timm.list_models(pretrained=True))}"
        )
    size = image_size if options.image_size is None else (options.image_size, options.image_size)
    overlay = {"file": str(options.weights_file)} if options.weights == "file" else None
    try:
        model = _created(
            options.name,
            size,
            pretrained=options.weights != "none",
            drop_path_rate=options.drop_path,
            num_classes=0,
            overlay=overlay,
        )
    except RuntimeError as error:
        raise ClassifierError(f"the weights are not those of {options.name}: {str(error).splitlines()[0]}") from error
    patches = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patches is not None and any(side % patch for side, patch in zip(size, patches, strict=True)):
        fitting = size[0] // patches[0] * patches[0]
        raise ClassifierError(
            f"{options.name} cuts images into patches of {patches[0]} pixels, which {size[0]} is no multiple of: say "
            f"image_size = {fitting} or {fitting + patches[0]}"
        )
    return _Resized(model, options.image_size)


def _created(
    name: str,
    size: tuple[int, int],
    *,
    pretrained: bool,
    drop_path_rate: float,
    num_classes: int,
    overlay: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return timm's model; of vision transformers one for images of this size that gives the mean of its tokens."""
    import timm

    arguments: dict[str, Any] = {"num_classes": num_classes, "global_pool": "avg", "drop_path_rate": drop_path_rate}
    if pretrained:
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": dict(overlay) if overlay else None}
    try:
        return timm.create_model(name, img_size=size, **arguments)
    except TypeError:  # a network that takes images of any size
        return timm.create_model(name, **arguments)


def learning_rate_scales(options: FinetuneOptions) -> tuple[dict[str, float], set[str]]:
    """Return (parameter name -> what its learning rate is multiplied by, names of those that do not decay).

    By timm's own order of layers, the head being the last: scale = layer_decay^(layers above). Nothing is computed: the
    model that is asked has no memory.
    """
    from timm.optim import param_groups_layer_decay  # pyright: ignore[reportPrivateImportUsage] - it is documented

    with torch.device("meta"):
        size = options.image_size or 224
        model = _created(options.name, (size, size), pretrained=False, drop_path_rate=0.0, num_classes=1)
    groups: Any = param_groups_layer_decay(model, layer_decay=options.layer_decay)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scales = {names[id(parameter)]: float(group["lr_scale"]) for group in groups for parameter in group["params"]}
    ask: Any = getattr(model, "no_weight_decay", set)
    return scales, set(ask())
