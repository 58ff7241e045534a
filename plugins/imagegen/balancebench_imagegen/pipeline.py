"""Loads a diffusers pipeline and makes batches of images with it.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from balancebench import BalancerError
from balancebench_imagegen.stable_diffusion_options import StableDiffusionOptions

__all__ = ["Pipeline", "as_pictures", "repeatable"]

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm_solver": "DPMSolverMultistepScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "lcm": "LCMScheduler",
}


class Pipeline:
    """A text-to-image or image-to-image pipeline on a device."""

    def __init__(self, folder: Path, options: StableDiffusionOptions, device: torch.device) -> None:
        """Load it; raises BalancerError where diffusers cannot, or the pipeline cannot do what the options ask."""
        diffusers: Any = import_module("diffusers")  # it exports its names late, which its types do not tell
        loader = (
            diffusers.AutoPipelineForText2Image if options.source == "text" else diffusers.AutoPipelineForImage2Image
        )
        half = options.half_precision and device.type == "cuda"
        try:
            loaded: Any = loader.from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BalancerError(f"diffusers cannot load the pipeline at {folder}: {error}") from error
        kind = type(loaded).__name__
        accepted = signature(type(loaded).__call__).parameters
        if options.source == "kept" and "strength" not in accepted:
            raise BalancerError(
                f'{kind} cannot be led away from an image by a strength: source = "text", or another model'
            )
        if options.pipeline_scheduler != "own":
            if "FlowMatch" in type(loaded.scheduler).__name__:
                raise BalancerError(
                    f"scheduler = {options.pipeline_scheduler!r} is of noise in steps, and {kind} follows a flow: "
                    'leave scheduler out, or "own"'
                )
            scheduler = getattr(diffusers, SCHEDULERS[options.pipeline_scheduler])
            loaded.scheduler = scheduler.from_config(loaded.scheduler.config)
        loaded.set_progress_bar_config(disable=True)
        if hasattr(loaded, "watermark"):
            loaded.watermark = None  # SDXL's would be in every image where its package is installed, and nowhere else
        # Transformers (SD3, Flux) overflow in float16; they are trained in bfloat16.
        halved = torch.bfloat16 if hasattr(loaded, "transformer") else torch.float16
        if hasattr(loaded, "vae"):
            loaded.vae.enable_slicing()  # decoded one by one: the decoder's memory would otherwise set the batch size
        # Here and not at loading: diffusers is renaming the argument, and warns of one name or fails at the other.
        loaded.to(device, halved if half else torch.float32)
        if device.type == "cuda" and hasattr(loaded, "unet"):
            loaded.unet.to(memory_format=torch.channels_last)
        self._pipeline = loaded
        self._options = options
        # Some that start from images take a size nevertheless, and make images of their own size where it is left out.
        self._takes_size = "height" in accepted

    @torch.no_grad()
    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], sources_BCHW: Tensor | None
    ) -> tuple[Tensor, list[bool]]:
        """Return images_BCHW, RGB float32 in 0..1 on the device, and which the safety checker flagged (black there).

        Each image's noise comes from a generator of its own, on the CPU: it is the same in any batch, on any device.
        sources_BCHW: RGB in 0..1, what image-to-image starts from.
        """
        rows, columns = self._options.pipeline_size
        start: dict[str, Any] = {"height": rows, "width": columns} if self._takes_size else {}
        if sources_BCHW is not None:
            start |= {"image": sources_BCHW, "strength": self._options.strength}
        output = self._pipeline(
            prompt=list(prompts),
            num_inference_steps=self._options.pipeline_steps,
            guidance_scale=self._options.pipeline_guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="pt",
            **start,
        )
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(prompts)
        return output.images.float(), [bool(flag) for flag in flagged]


def as_pictures(images_BCHW: Tensor) -> list[Image.Image]:
    """Return RGB images of 0..1 as pictures of 8 bits, rounded."""
    pixels_BHWC = images_BCHW.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(pixels_HWC) for pixels_HWC in pixels_BHWC]


@contextmanager
def repeatable(deterministic: bool) -> Generator[None]:
    """Ask torch for deterministic kernels where there are any; some operations of some pipelines have none."""
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    try:
        torch.set_deterministic_debug_mode("warn" if deterministic else "default")
        torch.backends.cudnn.benchmark = not deterministic
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
