"""Guidance by a classifier moves samples by what theory says, and both networks go on where they were interrupted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from balancebench import BalancerError, LabelledImages
from balancebench.checkpoints import Checkpoints
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench_gmaug.cbdm import Cbdm
from balancebench_gmaug.cbdm_options import CbdmOptions
from balancebench_gmaug.diffusion_options import MICRO
from balancebench_gmaug.diffusion_steps import KEPT_T, sample_steps, trailing_times
from balancebench_gmaug.guided_diffusion import GuidedDiffusion, NoisyClassifier, gradient_of
from balancebench_gmaug.guided_diffusion_options import GuidedDiffusionOptions

SMALL = {"preset": "micro", "batch_size": 4, "sampler_steps": 3}
MEAN, VARIANCE = 0.6, 0.04  # two classes: N(-0.6, 0.04) and N(0.6, 0.04), equally likely


def spread(time):
    """Return the standard deviation of a class's noisy images."""
    return (KEPT_T[time] * VARIANCE + 1 - KEPT_T[time]) ** 0.5


def noise_of_both(images, time):
    """The ideal prediction for the mixture of both classes, from its score: -sqrt(1 - a) grad log p(x_t)."""
    centre = KEPT_T[time] ** 0.5 * MEAN
    share = torch.tanh(images * centre / spread(time) ** 2)  # p(second) - p(first)
    return (1 - KEPT_T[time]) ** 0.5 * (images - share * centre) / spread(time) ** 2


def exact_classifier(images, times_B):
    """Logits of the true p(y | x_t)."""
    centre, deviation = KEPT_T[int(times_B[0])] ** 0.5 * MEAN, spread(int(times_B[0]))
    along = 2 * images[:, 0, 0, 0] * centre / deviation**2
    return torch.stack([torch.zeros_like(along), along], dim=1)


def test_the_exact_classifier_turns_samples_of_two_gaussians_into_those_of_one_by_the_closed_form():
    start = torch.linspace(-2, 2, 9, dtype=torch.float64).view(9, 1, 1, 1)
    labels_B = torch.ones(9, dtype=torch.int64)
    gradient = gradient_of(exact_classifier, labels_B, 1.0)
    times = trailing_times(1000)
    guided = sample_steps(noise_of_both, lambda: start, times, "ddim", gradient=gradient, clips=False)
    unguided = sample_steps(noise_of_both, lambda: start, times, "ddim", clips=False)
    last = KEPT_T[999]
    expected = MEAN + VARIANCE**0.5 * (start - last**0.5 * MEAN) / spread(999)
    assert torch.allclose(guided, expected, atol=5e-3)
    assert guided.mean() > 0.59 > 0.01 > unguided.mean().abs()


def test_ancestral_sampling_is_moved_to_the_class_too():
    random = torch.Generator().manual_seed(0)
    labels_B = torch.zeros(4000, dtype=torch.int64)
    generated = sample_steps(
        noise_of_both,
        lambda: torch.randn(4000, 1, 1, 1, generator=random, dtype=torch.float64),
        trailing_times(1000),
        "ancestral",
        gradient=gradient_of(exact_classifier, labels_B, 1.0),
        clips=False,
    )
    assert generated.mean().item() == pytest.approx(-MEAN, abs=0.02)
    assert generated.std().item() == pytest.approx(VARIANCE**0.5, rel=0.1)


def test_the_gradient_is_that_of_the_log_probability_times_its_scale():
    images_BCHW = torch.tensor([0.1, -0.4], dtype=torch.float64).view(2, 1, 1, 1)
    gradient = gradient_of(exact_classifier, torch.tensor([1, 0]), 2.5)(images_BCHW, 400)

    def log_probability(value, label):
        logits = exact_classifier(torch.full((1, 1, 1, 1), value, dtype=torch.float64), torch.tensor([400]))
        return logits.log_softmax(1)[0, label].item()

    for row, (value, label) in enumerate(((0.1, 1), (-0.4, 0))):
        slope = (log_probability(value + 1e-5, label) - log_probability(value - 1e-5, label)) / 2e-5
        assert gradient[row].item() == pytest.approx(2.5 * slope, rel=1e-4)


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_scale_0_is_unguided_bit_for_bit(tmp_path, sampler):
    context = synthesis_context(tmp_path)
    options = {**SMALL, "steps": 10, "sampler": sampler}
    GuidedDiffusion(GuidedDiffusionOptions(**options)).train_generator(tiny_training_set(height=8, width=8), context)
    labels_B = np.array([0, 1, 2])

    def drawn(balancer):
        return balancer.restore_generator(context.artefacts, "cpu").draw(labels_B, torch.Generator().manual_seed(0))

    unguided = drawn(Cbdm(CbdmOptions(**options, guidance=1.0)))  # the same network, and nothing of a classifier
    assert np.array_equal(drawn(GuidedDiffusion(GuidedDiffusionOptions(**options, classifier_scale=0))), unguided)
    assert not np.array_equal(drawn(GuidedDiffusion(GuidedDiffusionOptions(**options, classifier_scale=50))), unguided)


def test_the_classifier_is_the_encoder_half_and_says_one_logit_a_class():
    classifier = NoisyClassifier(MICRO, 3, 5)
    assert classifier(torch.randn(2, 3, 8, 8), torch.tensor([0.0, 999.0])).shape == (2, 5)
    names = {name.split(".")[0] for name, _ in classifier.named_parameters()}
    assert names == {"time_embedding", "conv_in", "down_blocks", "mid_block", "norm", "head"}


def test_the_trained_classifier_tells_classes_and_its_gradient_leads_to_them(tmp_path):
    rng = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], [40, 20])
    levels_N = np.array([60, 190])[labels_N] + rng.integers(-8, 9, 60)
    images_NCHW = np.broadcast_to(levels_N[:, None, None, None], (60, 1, 8, 8)).astype(np.uint8)
    train = LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("dark", "bright"))
    context = synthesis_context(tmp_path)
    options = GuidedDiffusionOptions(preset="micro", batch_size=16, steps=1, classifier_steps=60)
    GuidedDiffusion(options).train_generator(train, context)
    from balancebench.synthesis.seeded_run import load_weights

    classifier = NoisyClassifier(MICRO, 1, 2).eval().requires_grad_(False)
    load_weights(context.artefacts, "classifier", classifier)
    noisy_BCHW = torch.from_numpy(images_NCHW).float() / 127.5 - 1
    noisy_BCHW = KEPT_T[100] ** 0.5 * noisy_BCHW
    noisy_BCHW = noisy_BCHW + (1 - KEPT_T[100]) ** 0.5 * torch.randn(
        60, 1, 8, 8, generator=torch.Generator().manual_seed(0)
    )
    predicted_N = classifier(noisy_BCHW, torch.full((60,), 100.0)).argmax(dim=1).numpy()
    assert (predicted_N == labels_N).mean() > 0.9
    towards_bright = gradient_of(classifier, torch.ones(60, dtype=torch.int64), 1.0)(noisy_BCHW, 100)
    assert towards_bright.mean() > 0


class Interrupted(Exception):
    """Ends a training as a crash does."""


@pytest.mark.parametrize("stop_after", [3, 8, 10])  # in the denoiser, before the classifier's first state, after it
def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have(tmp_path, stop_after):
    balancer = GuidedDiffusion(GuidedDiffusionOptions(**SMALL, steps=8, classifier_steps=4, dropout=0.2))
    (tmp_path / "kept").mkdir()

    def train(name, fail_after=None):
        (tmp_path / name).mkdir()
        calls = []

        def count(images, steps):
            calls.append(steps)
            if len(calls) == fail_after:
                raise Interrupted

        context = synthesis_context(tmp_path / name, count=count)
        if name != "whole":
            context = replace(context, checkpoints=Checkpoints(folder=tmp_path / "kept", seconds=0.0))
        balancer.train_generator(tiny_training_set((12, 5, 2), height=8, width=8), context)
        return calls, {path.name: path.read_bytes() for path in context.artefacts.iterdir()}

    _, whole = train("whole")
    with pytest.raises(Interrupted):
        train("broken", fail_after=stop_after + 1)
    calls, resumed = train("resumed")
    assert sum(calls) == 12
    assert calls[0] == min(stop_after, 8)  # nothing that was done is done again
    assert resumed == whole
    assert {"curves_denoiser.json", "curves_classifier.json", "classifier.safetensors"} < set(whole)


def test_what_each_class_lacks_is_drawn(tmp_path):
    train = tiny_training_set((6, 3, 1), channels=3, height=12, width=10)
    synthetic = trained_and_drawn(GuidedDiffusion(GuidedDiffusionOptions(**SMALL, steps=2)), train, tmp_path)
    assert synthetic.counts_K.tolist() == [0, 3, 5]
    assert synthetic.images_NCHW.shape == (8, 3, 12, 10)


def test_the_classifier_takes_a_quarter_of_the_steps_unless_told_otherwise():
    assert GuidedDiffusionOptions(preset="tiny", steps=100).classifier_recipe.steps == 25
    assert GuidedDiffusionOptions(preset="tiny", steps=100, classifier_steps=7).classifier_recipe.steps == 7


def test_bad_input_is_refused_before_anything_is_trained(tmp_path):
    balancer = GuidedDiffusion(GuidedDiffusionOptions(**{**SMALL, "batch_size": 64}, steps=10**9))
    context = synthesis_context(tmp_path)
    with pytest.raises(BalancerError, match="17 training images are fewer than a batch of 64"):
        balancer.train_generator(tiny_training_set((12, 5)), context)
    with pytest.raises(BalancerError, match="class 'class 1' has no images for a diffusion model"):
        balancer.train_generator(tiny_training_set((120, 0)), context)
