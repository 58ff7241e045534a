"""Pipelines other than Stable Diffusion 1, of random weights: SDXL, its turbo, SD3 and Flux, through diffusers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
import transformers

from balancebench import BalancerError, LabelledImages
from balancebench.testing import synthesis_context
from balancebench_imagegen.pipeline import Pipeline
from balancebench_imagegen.stable_diffusion import StableDiffusion
from balancebench_imagegen.stable_diffusion_options import StableDiffusionOptions, model_folder, model_identity
from balancebench_imagegen.tiny_pipeline import tiny_tokenizer

HIDDEN, LATENTS = 16, 4
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vae(**scaling):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 8), norm_num_groups=2, latent_channels=LATENTS, **blocks, **scaling
    )


def flow_vae():
    return vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5)


def text_encoder(tokenizer, kind):
    vocabulary = tokenizer.get_vocab()
    config = transformers.CLIPTextConfig(
        hidden_size=HIDDEN,
        intermediate_size=HIDDEN,
        projection_dim=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(vocabulary),
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    return kind(config)


def t5():
    """Return T5's tokenizer, of single letters, and an encoder as wide as what two CLIPs say together."""
    pieces = ["\N{LOWER ONE EIGHTH BLOCK}", *LETTERS]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0), *((piece, -3.0) for piece in pieces)]
    tokenizer = transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=64)
    config = transformers.T5Config(
        vocab_size=len(vocabulary), d_model=2 * HIDDEN, d_kv=4, d_ff=HIDDEN, num_layers=1, num_heads=2
    )
    return tokenizer, transformers.T5EncoderModel(config)


def sdxl(folder, scheduler=None):
    tokenizer = tiny_tokenizer(folder / "tokenizer_files")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * HIDDEN,
        attention_head_dim=4,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=HIDDEN + 6 * 4,
        use_linear_projection=True,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=text_encoder(tokenizer, transformers.CLIPTextModel),
        text_encoder_2=text_encoder(tokenizer, transformers.CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler or diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
    )


def turbo(folder):
    return sdxl(folder, diffusers.EulerAncestralDiscreteScheduler(timestep_spacing="trailing"))


def sd3(folder):
    tokenizer = tiny_tokenizer(folder / "tokenizer_files")
    tokenizer_3, text_encoder_3 = t5()
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=LATENTS,
        out_channels=LATENTS,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * HIDDEN,
        caption_projection_dim=16,
        pooled_projection_dim=2 * HIDDEN,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=flow_vae(),
        text_encoder=text_encoder(tokenizer, transformers.CLIPTextModelWithProjection),
        text_encoder_2=text_encoder(tokenizer, transformers.CLIPTextModelWithProjection),
        text_encoder_3=text_encoder_3,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=tokenizer_3,
    )


def flux(folder):
    tokenizer = tiny_tokenizer(folder / "tokenizer_files")
    tokenizer_2, text_encoder_2 = t5()
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENTS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=2 * HIDDEN,
        pooled_projection_dim=HIDDEN,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return diffusers.FluxPipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=flow_vae(),
        text_encoder=text_encoder(tokenizer, transformers.CLIPTextModel),
        text_encoder_2=text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
    )


SETTINGS = {
    sdxl: {"steps": 2, "guidance": 5.0},
    turbo: {"steps": 1, "guidance": 0.0},
    sd3: {"steps": 2, "guidance": 7.0},
    flux: {"steps": 2, "guidance": 3.5},
}


@pytest.fixture(scope="module", params=list(SETTINGS), ids=lambda build: build.__name__)
def model(request, tmp_path_factory):
    """A pipeline saved to a folder, and the options that it is meant to be used with."""
    folder = tmp_path_factory.mktemp("pipelines") / request.param.__name__
    with torch.random.fork_rng():
        torch.manual_seed(0)
        request.param(folder).save_pretrained(folder, safe_serialization=True)
    return {"folder": folder, "preset": "tiny_random", **SETTINGS[request.param]}


@pytest.fixture
def train():
    labels_N = np.repeat(np.array([0, 1]), [4, 1])
    images_NCHW = np.random.default_rng(0).integers(0, 256, (5, 3, 12, 12), dtype=np.uint8)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("dog", "cat"))


@pytest.fixture
def synthesise(model, train, tmp_path):
    runs = iter(range(100))

    def run(data=train, **options):
        folder = tmp_path / f"run{next(runs)}"
        folder.mkdir()
        context = synthesis_context(folder, seed=5)
        synthetic = StableDiffusion(StableDiffusionOptions(**{**model, **options})).synthesise(data, context)
        return synthetic.images_NCHW.astype(int), json.loads((context.artefacts / "generation.json").read_text())

    return run


def test_images_are_drawn_that_depend_on_prompt_and_seed_and_on_no_batch(synthesise):
    three, told = synthesise(batch_size=3)
    assert three.shape == (3, 3, 12, 12)
    assert (told["requested"], told["flagged"]) == (3, 0)  # these models have no safety checker
    assert len({image.tobytes() for image in three}) == 3
    assert np.abs(synthesise(batch_size=1)[0] - three).max() <= 1
    other, _ = synthesise(batch_size=3, templates={"*": "quite another prompt"})
    assert np.abs(other - three).max() > 1


def test_images_are_led_away_from_real_ones_of_the_size_that_is_asked_for(synthesise, train, monkeypatch):
    sizes, real_call = [], Pipeline.__call__

    def call(*inputs):
        images_BCHW, flagged = real_call(*inputs)
        sizes.append(tuple(images_BCHW.shape[2:]))
        return images_BCHW, flagged

    monkeypatch.setattr(Pipeline, "__call__", call)
    options = {"source": "kept", "strength": 0.5, "steps": 2, "batch_size": 3}
    drawn = [
        synthesise(data=replace(train, images_NCHW=np.full_like(train.images_NCHW, level)), **options)[0]
        for level in (0, 255)
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 1
    assert set(sizes) == {(16, 16)}


def test_guidance_costs_a_second_pass_only_where_there_is_some(model, synthesise, monkeypatch):
    batches, name = [], model["folder"].name
    networks = {"sd3": diffusers.SD3Transformer2DModel, "flux": diffusers.FluxTransformer2DModel}
    kind = networks.get(name, diffusers.UNet2DConditionModel)
    real_forward = kind.forward

    def forward(self, *inputs, **named):
        images = inputs[0] if inputs else named["hidden_states"]
        batches.append(len(images))
        return real_forward(self, *inputs, **named)

    monkeypatch.setattr(kind, "forward", forward)
    synthesise(batch_size=3)
    passes = {"sdxl": [6, 6], "turbo": [3], "sd3": [6, 6], "flux": [3, 3]}  # Flux is told its guidance as a number
    assert batches == passes[name]


def test_a_sampler_of_noise_in_steps_is_refused_for_flows_and_works_for_others(model, synthesise):
    if model["folder"].name in ("sd3", "flux"):
        with pytest.raises(BalancerError, match=r"scheduler = 'ddim' is of noise in steps, and .* follows a flow"):
            synthesise(scheduler="ddim")
    else:
        assert np.abs(synthesise(scheduler="ddim", steps=2)[0] - synthesise(steps=2)[0]).max() > 1


def test_safetensors_alone_are_read_and_the_identity_knows_all_tokenizers(model, tmp_path):
    options = StableDiffusionOptions(**model)
    assert model_folder(options) == model["folder"]
    copied = tmp_path / "copied"
    shutil.copytree(model["folder"], copied)
    unfinished = StableDiffusionOptions(**{**model, "folder": copied})
    assert model_identity(unfinished) == model_identity(options)
    (copied / "spiece.model").write_bytes(b"other pieces")
    assert model_identity(unfinished) != model_identity(options)
    network = copied / ("unet" if (copied / "unet").is_dir() else "transformer")
    weights = network / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BalancerError, match="has no weights as safetensors"):
        model_folder(unfinished)


class Editor:
    """A pipeline that starts from an image, but not with a strength."""

    def __call__(self, prompt, image, guidance_scale):
        raise AssertionError("called")


def test_a_pipeline_that_cannot_be_led_away_from_an_image_is_refused_when_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(diffusers.AutoPipelineForImage2Image, "from_pretrained", lambda *_, **__: Editor())
    options = StableDiffusionOptions(preset="tiny_random", source="kept")
    with pytest.raises(BalancerError, match='Editor cannot be led away from an image by a strength: source = "text"'):
        Pipeline(tmp_path, options, torch.device("cpu"))
