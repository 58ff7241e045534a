"""A Stable Diffusion pipeline of a few thousand random weights: every part of a real one, and images of noise.

With it a suite can be tried whole, and the real code tested, in seconds and without a download.
"""

from __future__ import annotations

import json
import string
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

__all__ = ["save_tiny_pipeline", "tiny_tokenizer"]

START, END = "<|startoftext|>", "<|endoftext|>"
HIDDEN = 16


def save_tiny_pipeline(folder: Path, *, concept_threshold: float = 2.0) -> None:
    """Write the pipeline to `folder`, as safetensors; the weights come from torch's global generator.

    concept_threshold: the cosine similarity above which its safety checker flags an image; 2 flags none, -2 all.
    """
    # As modules of any content: their types are narrower than what they take.
    diffusers: Any = import_module("diffusers")
    checkers: Any = import_module("diffusers.pipelines.stable_diffusion.safety_checker")
    transformers: Any = import_module("transformers")

    tokenizer = tiny_tokenizer(folder / "tokenizer_files")
    vocabulary = tokenizer.get_vocab()
    sizes = {"hidden_size": HIDDEN, "intermediate_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2}
    text_encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            **sizes,
            vocab_size=len(vocabulary),
            bos_token_id=vocabulary[START],
            eos_token_id=vocabulary[END],
            pad_token_id=vocabulary[END],
        )
    )
    vision = transformers.CLIPVisionConfig(**sizes, image_size=16, patch_size=8)
    safety_checker = checkers.StableDiffusionSafetyChecker(
        transformers.CLIPConfig(
            vision_config=vision.to_dict(),
            text_config=transformers.CLIPTextConfig(**sizes).to_dict(),
            projection_dim=HIDDEN,
        )
    )
    with torch.no_grad():
        safety_checker.concept_embeds.normal_()
        safety_checker.concept_embeds_weights.fill_(concept_threshold)
        safety_checker.special_care_embeds_weights.fill_(2.0)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=2,
        ),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=HIDDEN,
            attention_head_dim=4,
            norm_num_groups=4,
        ),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=safety_checker,
        feature_extractor=transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16),
        requires_safety_checker=True,
    )
    pipeline.save_pretrained(str(folder), safe_serialization=True)


def tiny_tokenizer(folder: Path) -> Any:
    """Return CLIP's tokenizer with letters, digits and punctuation for its words; its files are written to `folder`."""
    transformers: Any = import_module("transformers")
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)
