"""The options of `finetune`, and what it needs from outside. Light."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, JsonValue, model_validator

from balancebench import JSON, ClassifierError
from balancebench.training.options import (
    AdamBetas,
    Augmentation,
    BatchSize,
    ChannelStatistics,
    Epochs,
    Normalisation,
    Optimiser,
    TrainingOptions,
    Warmup,
    WeightDecay,
)

__all__ = ["FinetuneOptions", "outside_weights", "weights_are_there", "weights_identity"]

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
IMAGENET = ChannelStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SECONDS_TO_ANSWER = 10.0


class FinetuneOptions(TrainingOptions):
    """The options of `finetune`; the defaults are MAE's for ViT-B/16, over 50 epochs."""

    name: str = Field(default="vit_base_patch16_224.mae", min_length=1, description="a model of timm")
    weights: Literal["hub", "file", "none"] = Field(
        default="hub",
        description="hub: timm's on the Hugging Face hub; file: `weights_file`; none: random ones, for tests",
    )
    weights_file: Path | None = Field(
        default=None, json_schema_extra=NOT_IDENTITY, description="safetensors file of the model's weights"
    )
    image_size: int | None = Field(
        default=128,
        ge=8,
        le=1024,
        description="rows and columns that images are resized to on the device; none: as they are",
    )
    base_learning_rate: float = Field(
        default=5e-4,
        gt=0,
        description="learning rate for a batch of 256; learning_rate is in proportion where left out",
    )
    lowest: float = Field(default=1e-6, ge=0, description="learning rate that the cosine falls to")
    layer_decay: float = Field(
        default=0.65, gt=0, le=1, description="what the learning rate of each layer is of that of the layer above"
    )
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="share of residual branches left out in training")
    mixup: float = Field(default=0.8, ge=0, description="alpha of mixup's Beta; 0: no mixup")
    cutmix: float = Field(
        default=1.0, ge=0, description="alpha of CutMix's Beta; 0: no CutMix; with both, half the batches"
    )
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="share of each label spread over all classes, where the plan names no loss"
    )
    epochs: Epochs = 50
    warmup: Warmup = 0.1
    optimiser: Optimiser = "adamw"
    betas: AdamBetas = (0.9, 0.999)
    weight_decay: WeightDecay = 0.05
    batch_size: BatchSize = 128
    augmentation: Augmentation = "crop_flip"
    normalisation: Normalisation = IMAGENET

    @property
    def lowest_learning_rate(self) -> float:
        """What the cosine falls to."""
        return self.lowest

    @model_validator(mode="before")
    @classmethod
    def _rate_in_proportion_to_the_batch(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "learning_rate" in data:
            return data
        given = cast("dict[str, Any]", data)
        fields = cls.model_fields
        base, batch = (given.get(name, fields[name].default) for name in ("base_learning_rate", "batch_size"))
        if isinstance(base, int | float) and isinstance(batch, int):
            return {**given, "learning_rate": base * batch / 256}
        return given

    @model_validator(mode="after")
    def _file_where_it_is_read(self) -> Self:
        if (self.weights == "file") != (self.weights_file is not None):
            raise ValueError('weights_file goes with weights = "file", and with no other')
        return self


def outside_weights(options: FinetuneOptions) -> str | None:
    """Say which weights come from outside."""
    match options.weights:
        case "none":
            return None
        case "hub":
            return f"timm's pre-trained weights of {options.name}"
        case "file":
            return f"pre-trained weights of {options.name} from a file"


def weights_identity(options: FinetuneOptions) -> JSON:
    """Return the SHA-256 of a file of weights; None for others. Raises ClassifierError where the file is not there."""
    if options.weights_file is None:
        return None
    _refuse_other_files(options.weights_file)
    with options.weights_file.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_are_there(options: FinetuneOptions) -> None:
    """Raise ClassifierError, with what to do, where the weights can be had neither from disk nor from the hub."""
    if options.weights_file is not None:
        _refuse_other_files(options.weights_file)
    if options.weights != "hub":
        return
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    repository = f"timm/{options.name}"
    if isinstance(try_to_load_from_cache(repository, "model.safetensors"), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(repository, "model.safetensors"), timeout=SECONDS_TO_ANSWER)
    except Exception as error:
        # The hub's client, its transport and offline mode each have errors of their own.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ClassifierError(
            f"finetune: the weights of {options.name!r} can be had neither from the cache nor from the hub, as "
            f"model.safetensors of {repository}: {reason}. Fetch them where there is a network (`hf download "
            f'{repository} model.safetensors`) and say weights = "file", weights_file = "model.safetensors"; names '
            "carry the tag of the weights, as in vit_base_patch16_224.mae"
        ) from error


def _refuse_other_files(path: Path) -> None:
    if not path.is_file():
        raise ClassifierError(f"finetune: there is no file {path} to read weights from")
    if path.suffix != ".safetensors":
        raise ClassifierError(
            f"finetune: {path.name} is no safetensors file; others are not opened, as they can hold code"
        )
