"""The options of `stable_diffusion`, its presets, and where a model lies on this machine. Light."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from balancebench import JSON, BalancerError
from balancebench.synthesis.fit_options import SyntheticFitOptions
from balancebench.synthesis.target import Target
from balancebench_imagegen.pool_files import digest_of_files
from balancebench_imagegen.prompts import CAT_WORDS, TEMPLATES, Prompts, read_prompts, read_words

__all__ = ["PRESETS", "StableDiffusionOptions", "model_folder", "model_identity", "model_ready", "outside_data"]

Scheduler = Literal["own", "ddim", "dpm_solver", "euler_ancestral", "lcm"]
Side = Annotated[int | None, Field(ge=16, le=2048, multiple_of=8)]
EDGE_BYTES = 2**16
TINY = "tiny_random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model on the hub, pinned to a commit, and the settings it is meant for."""

    model: str
    revision: str
    steps: int
    guidance: float
    side: int = 512
    scheduler: Scheduler = "own"


PRESETS: Mapping[str, Preset] = {
    # The paper's code: 30 steps, guidance 7.5, 512x512.
    "sd14": Preset(
        model="CompVis/stable-diffusion-v1-4",
        revision="133a221b8aa7292a167afc5127cb63fb5005638b",
        steps=30,
        guidance=7.5,
    ),
    # The model and settings of "Effectiveness of Data Synthesized by Generative AI": the pipeline's own.
    "sd15": Preset(
        model="stable-diffusion-v1-5/stable-diffusion-v1-5",
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        steps=50,
        guidance=7.5,
    ),
    # Luo et al. 2023, Latent Consistency Models: 4 steps, guidance 8 through an embedding.
    "lcm_dreamshaper": Preset(
        model="SimianLuo/LCM_Dreamshaper_v7",
        revision="a85df6a8bd976cdd08b4fd8f3b73f229c9e54df5",
        steps=4,
        guidance=8.0,
    ),
    # Sauer et al. 2023, Adversarial Diffusion Distillation: 1 step without guidance.
    "sd_turbo": Preset(
        model="stabilityai/sd-turbo", revision="b261bac6fd2cf515557d5d0707481eafa0485ec2", steps=1, guidance=0.0
    ),
    # Podell et al. 2023, SDXL.
    "sdxl": Preset(
        model="stabilityai/stable-diffusion-xl-base-1.0",
        revision="462165984030d82259a11f4367a4eed129e94a7b",
        steps=50,
        guidance=5.0,
        side=1024,
    ),
    "sdxl_turbo": Preset(
        model="stabilityai/sdxl-turbo", revision="71153311d3dbb46851df1931d3ca6e939de83304", steps=1, guidance=0.0
    ),
    TINY: Preset(model=TINY, revision="", steps=2, guidance=7.5, side=16),
}


class StableDiffusionOptions(SyntheticFitOptions):
    """The options of `stable_diffusion`; the defaults are those of the paper's code."""

    target: Target = "largest"
    preset: Literal["sd14", "sd15", "lcm_dreamshaper", "sd_turbo", "sdxl", "sdxl_turbo", "tiny_random"] = Field(
        default="sd14",
        description="model, steps, guidance and size together; tiny_random is a network of a few thousand random "
        "weights whose images are noise, for trying out a suite",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$",
        description="hub id (owner/name) instead of the preset's model",
    )
    revision: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}$",
        description="commit of `model`, 40 hexadecimal digits, as its page on the hub lists them",
    )
    folder: Path | None = Field(
        default=None,
        json_schema_extra={"identity": False},
        description="folder of a pipeline saved by diffusers, instead of the preset's model",
    )
    steps: int | None = Field(default=None, ge=1, le=1000, description="denoising steps, instead of the preset's")
    guidance: float | None = Field(
        default=None, ge=0, le=50, description="classifier-free guidance, instead of the preset's"
    )
    height: Side = Field(
        default=None, description="rows of the images before they are resized, instead of the preset's"
    )
    width: Side = Field(
        default=None, description="columns of the images before they are resized, instead of the preset's"
    )
    scheduler: Scheduler | None = Field(default=None, description="sampler; own: the one that the model comes with")
    templates: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default={**TEMPLATES},
        description='class name -> prompt with {names of word lists} and {class_name}, or several to draw from; "*": '
        "all others",
    )
    prompts_file: Path | None = Field(
        default=None,
        json_schema_extra={"identity": False},
        description="TOML or JSON file, class name -> prompt or list of prompts, instead of `templates`; every class "
        "that gets images must be in it",
    )
    words: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default=CAT_WORDS, description="name -> list of words that a prompt draws from"
    )
    words_file: Path | None = Field(
        default=None,
        json_schema_extra={"identity": False},
        description="TOML or JSON file with the word lists, instead of `words`",
    )
    source: Literal["text", "kept"] = Field(
        default="text", description="text: from noise and prompt; kept: from a real image of the class and prompt"
    )
    strength: float = Field(
        default=0.6, gt=0, le=1, description="source kept: how far images are led away from the real one; 1 forgets it"
    )
    pool: Path | None = Field(
        default=None,
        json_schema_extra={"identity": False},
        description="folder that keeps every image as the pipeline made it, with a manifest; what lies there already "
        "is not made again, and `image_pool` reads it too",
    )
    clip_folder: Path | None = Field(
        default=None,
        json_schema_extra={"identity": False},
        description="folder of a CLIP model saved by transformers: how well images fit their class's name is reported, "
        "and classes whose images fit another name better",
    )
    least_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="CLIP similarity to the class's name below which images are dropped"
    )
    half_precision: bool = Field(default=True, description="float16 on CUDA, as in the paper's code")
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, strict=True)] = Field(
        default="auto",
        json_schema_extra={"identity": False},
        description="images made at once; auto: as many as memory holds",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model is not None and self.folder is not None:
            raise ValueError("give model or folder, not both")
        if self.model is not None and self.revision is None and self.model != PRESETS[self.preset].model:
            raise ValueError(
                f"model needs a revision: the commit listed at https://huggingface.co/{self.model}/commits/main"
            )
        if self.model is None and self.revision is not None:
            raise ValueError("revision is of `model`, which is not given")
        if self.source == "kept" and int(self.pipeline_steps * self.strength) < 1:
            raise ValueError(f"strength {self.strength} of {self.pipeline_steps} steps leaves none: raise one of them")
        if self.pool is not None and self.source != "text":
            raise ValueError('a pool keeps images made from text alone: leave it out, or source = "text"')
        if self.least_similarity is not None and self.clip_folder is None:
            raise ValueError("least_similarity wants a CLIP model: give its clip_folder")
        if self.words_file is None and self.prompts_file is None:
            try:
                self.prompts()
            except BalancerError as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def pipeline_steps(self) -> int:
        """Denoising steps."""
        return self.steps or PRESETS[self.preset].steps

    @property
    def pipeline_guidance(self) -> float:
        """Classifier-free guidance."""
        return PRESETS[self.preset].guidance if self.guidance is None else self.guidance

    @property
    def pipeline_size(self) -> tuple[int, int]:
        """Rows and columns of the images that the pipeline makes."""
        side = PRESETS[self.preset].side
        return self.height or side, self.width or side

    @property
    def pipeline_scheduler(self) -> Scheduler:
        """The sampler."""
        return self.scheduler or PRESETS[self.preset].scheduler

    @property
    def hub_model(self) -> tuple[str, str] | None:
        """Hub id and commit, or None for a local folder and for the tiny random pipeline."""
        preset = PRESETS[self.preset]
        if self.folder is not None or (self.model is None and self.preset == TINY):
            return None
        return self.model or preset.model, self.revision or preset.revision

    def prompts(self) -> Prompts:
        """Return what prompts are drawn from; raises BalancerError where a template and the words do not fit."""
        templates = self.templates if self.prompts_file is None else read_prompts(self.prompts_file)
        return Prompts(templates, self.words if self.words_file is None else read_words(self.words_file))

    @property
    def model_names(self) -> tuple[str, str]:
        """Hub id and commit; of a local folder the digest of its files, and of the random pipeline its name."""
        if self.hub_model is not None:
            return self.hub_model
        return (TINY if self.folder is None else f"sha256:{_digest_of_model(self.folder)}"), ""


def model_folder(options: StableDiffusionOptions) -> Path | None:
    """Return the folder that the pipeline is loaded from; None for the tiny random one.

    Raises BalancerError, with the command that fetches the model, where a part of it is not on this machine.
    """
    if options.hub_model is None:
        if options.folder is not None:
            _check_complete(options.folder, "save a pipeline there with diffusers' save_pretrained")
        return options.folder
    model, revision = options.hub_model
    folder = _hub_cache() / f"models--{model.replace('/', '--')}" / "snapshots" / revision
    command = f"hf download {model} --revision {revision}"
    _check_complete(folder, f"fetch {model} beforehand with `{command}`, or name a `folder`")
    return folder


def model_ready(options: StableDiffusionOptions) -> None:
    """Raise BalancerError where a part of the model is not on this machine: nothing is downloaded inside a run."""
    model_folder(options)
    if options.clip_folder is not None and not (options.clip_folder / "config.json").is_file():
        raise BalancerError(
            f"there is no CLIP model at {options.clip_folder}: fetch one beforehand, for example `hf download "
            "openai/clip-vit-base-patch32`, and name its folder"
        )


def model_identity(options: StableDiffusionOptions) -> JSON:
    """Return what decides the images besides the options as written: the model, the settings, the words of a file."""
    model: JSON = options.hub_model or TINY
    if options.folder is not None:
        model_folder(options)
        model = _digest_of_model(options.folder)
    prompts = options.prompts()
    return {
        "model": model,
        "steps": options.pipeline_steps,
        "guidance": options.pipeline_guidance,
        "size": options.pipeline_size,
        "scheduler": options.pipeline_scheduler,
        "words": {name: list(words) for name, words in prompts.words.items()},
        "prompts": None
        if options.prompts_file is None
        else {name: one if isinstance(one, str) else list(one) for name, one in prompts.templates.items()},
        "clip": None if options.clip_folder is None else _digest_of_model(options.clip_folder),
    }


def _digest_of_model(folder: Path) -> str:
    """Return a digest of the files that a model is loaded from."""
    files = [path for path in folder.rglob("*") if path.suffix in (".json", ".txt", ".model", ".safetensors")]
    return digest_of_files(folder, files, edge_bytes=EDGE_BYTES)


def outside_data(options: StableDiffusionOptions) -> str | None:
    """Say what the model was trained on."""
    if options.hub_model is None and options.folder is None:
        return None
    named = options.folder.name if options.folder is not None else (options.hub_model or ("",))[0]
    return f"{named}, trained on text-image pairs from the web"


def _hub_cache() -> Path:
    """Return the folder that Hugging Face's tools keep models in, as their documentation says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _check_complete(folder: Path, remedy: str) -> None:
    """Raise BalancerError unless every part that the pipeline names is there, with its weights as safetensors."""
    index = folder / "model_index.json"
    try:
        parts = cast("dict[str, JSON]", json.loads(index.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BalancerError(f"there is no diffusion pipeline at {folder}: {remedy}") from None
    except (OSError, ValueError) as error:
        raise BalancerError(f"{index} cannot be read: {error}") from error
    code = sorted(path.name for path in folder.rglob("*.py"))
    if code:
        raise BalancerError(f"{folder} brings code of its own ({code[0]}), which is never run: use another model")
    for name, value in parts.items():
        if name.startswith("_") or not isinstance(value, list) or None in value:
            continue
        if not (folder / name).is_dir():
            raise BalancerError(f"{folder} is incomplete, {name} is missing: {remedy}")
        if (folder / name / "config.json").exists() and not any((folder / name).glob("*.safetensors")):
            raise BalancerError(f"{folder / name} has no weights as safetensors: {remedy}")
