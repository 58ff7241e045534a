"""Class-balancing diffusion (Qin, Zheng, Yao, Zhou and Zhang, CVPR 2023): a DDPM whose classes lean on each other.

With x_t an image of class y with noise e of step t, h = e(x_t, y) the network's prediction, h' = e(x_t, y') that for
another label and sg the stop of gradients, the loss is the mean over images and pixels of

    (h - e)^2 + w [ (h - sg h')^2 + 1/4 (sg h - h')^2 ],      w = tau t / T

so that w is tau at the most noise (the paper writes tau t, and its tau is the code's over T). Both passes see the same
dropout: with y' = y the regulariser is 0. It is off where the label is hidden, as in the code.

`tail_to_head` (Zhang et al., Long-tailed Diffusion Models with Oriented Calibration, ICLR 2024): e is replaced by that
of leading x_t back to an image j of the batch, drawn in proportion to exp(-|x_t / sqrt(a) - x_j|^2 / (2 (1 / a - 1)))
among those of classes at least as large; not where the label is hidden.

Axis suffixes: B images of a batch, K classes, C channels, H rows, W columns, P pixels (channels * rows * columns).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from balancebench import LabelledImages, SynthesisContext
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import seeded_run
from balancebench.training.reproducibility import global_states, set_global_states
from balancebench.training.resident import cumulative_weights, indices_at
from balancebench_gmaug.cbdm_options import CbdmOptions, SteppedOptions
from balancebench_gmaug.diffusion_drawing import (
    DiffusionGenerator,
    Learnt,
    NoiseStreams,
    check_classes,
    restored_network,
    with_guidance,
)
from balancebench_gmaug.diffusion_network import LabelledUNet
from balancebench_gmaug.diffusion_options import shape_of
from balancebench_gmaug.diffusion_steps import (
    NOISE_STEPS,
    Noised,
    Predict,
    kept_shares,
    noised,
    sample_steps,
    trailing_times,
)
from balancebench_gmaug.diffusion_training import Loss, drop_labels, train_network

__all__ = ["Cbdm", "cbdm_loss", "noise_predictor", "other_labels", "regulariser", "tail_to_head"]


class Cbdm(GeneratorBalancer[CbdmOptions]):
    """Fills classes with images of a class-balancing diffusion model."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Keep curves.json, generator.json, and the moving average of the weights in generator.safetensors.

        Raises BalancerError where a class has no images, where images are too large or fewer than a batch, and where
        training diverges.
        """
        check_classes(train)
        _, channels, rows, columns = train.images_NCHW.shape
        shape = shape_of(self.options.preset, rows, columns)
        with seeded_run(context) as random:
            network = LabelledUNet(shape, channels, train.class_count, self.options.dropout)
            loss = cbdm_loss(self.options, train.counts_K, random.device, context.precision)
            train_network(
                network,
                loss,
                train,
                self.options.recipe,
                context,
                random,
                divisor=shape.divisor,
                mirror=self.options.mirror,
            )
        Learnt.of(train, context).save(context.artefacts, network)

    def restore_generator(self, folder: Path, device: str) -> DiffusionGenerator:
        """Return the generator in evaluation mode."""
        learnt, options = Learnt.read(folder), self.options
        network, unet_shape = restored_network(folder, learnt, options.preset, torch.device(device))

        def sample(labels_B: Tensor, noise: NoiseStreams, shape: tuple[int, int, int]) -> Tensor:
            predictor = noise_predictor(network, labels_B, learnt.precision, options)
            return sample_steps(predictor, lambda: noise.normal(shape), trailing_times(options.passes), options.sampler)

        return DiffusionGenerator(learnt, sample, unet_shape.divisor)


def cbdm_loss(
    options: CbdmOptions, counts_K: NDArray[np.int64], device: torch.device, precision: Literal["fp32", "bf16"]
) -> Loss[LabelledUNet]:
    """Return the loss of a batch. counts_K: training images of each class. With tau 0 it is DDPM's, draws included."""
    frequencies_K = cumulative_weights(counts_K.astype(np.float64), device)
    sizes_K = torch.from_numpy(counts_K).to(device)
    kept_T = kept_shares(device)

    def loss(network: LabelledUNet, images_BCHW: Tensor, labels_B: Tensor, random: Generator) -> Tensor:
        seen_B = _hidden(labels_B, len(counts_K), options, random)
        batch = noised(images_BCHW, kept_T, random)
        is_told_B = seen_B != len(counts_K)
        target_BCHW = batch.noise_BCHW
        if options.tail_to_head:
            target_BCHW = tail_to_head(images_BCHW, batch, sizes_K.index_select(0, labels_B), is_told_B, random)
        states = global_states(device)
        predicted_BCHW = _predicted(network, batch, seen_B, precision)
        value = (predicted_BCHW - target_BCHW).square().mean()
        if options.tau == 0:
            return value
        others_B = other_labels(options.other_label, frequencies_K, labels_B, random)
        set_global_states(device, states)  # the same dropout, or the two would differ by that alone
        of_others_BCHW = _predicted(network, batch, others_B, precision)
        weight_B = options.tau * batch.times_B / NOISE_STEPS * is_told_B
        return value + regulariser(predicted_BCHW, of_others_BCHW, weight_B)

    return loss


def regulariser(predicted_BCHW: Tensor, of_others_BCHW: Tensor, weight_B: Tensor) -> Tensor:
    """Return the mean of w [(h - sg h')^2 + 1/4 (sg h - h')^2]."""
    towards_others = (predicted_BCHW - of_others_BCHW.detach()).square().mean(dim=(1, 2, 3))
    towards_own = (predicted_BCHW.detach() - of_others_BCHW).square().mean(dim=(1, 2, 3))
    return (weight_B * (towards_others + towards_own / 4)).mean()


def other_labels(
    source: Literal["data", "uniform", "none"], frequencies_K: Tensor, labels_B: Tensor, random: Generator
) -> Tensor:
    """Return y', one for each label. frequencies_K: cumulative shares of the classes."""
    if source == "none":
        return torch.full_like(labels_B, len(frequencies_K))
    if source == "uniform":
        return torch.randint(len(frequencies_K), labels_B.shape, generator=random, device=labels_B.device)
    uniform_B = torch.rand(labels_B.shape, generator=random, dtype=frequencies_K.dtype, device=labels_B.device)
    return indices_at(frequencies_K, uniform_B)


def tail_to_head(images_BCHW: Tensor, batch: Noised, sizes_B: Tensor, is_told_B: Tensor, random: Generator) -> Tensor:
    """Return the noise between each noisy image and the image that it is to lead back to.

    sizes_B: training images of each image's class. is_told_B: whether its label is not hidden.
    """
    flat_BP = images_BCHW.flatten(1)
    kept_B = batch.kept_B[:, None]
    distance_BB = torch.cdist(batch.images_BCHW.flatten(1) / kept_B.sqrt(), flat_BP)
    score_BB = -distance_BB.square() / (2 * (1 / kept_B - 1))
    is_candidate_BB = sizes_B[None] >= sizes_B[:, None]
    # The largest of scores with Gumbel noise is a draw in proportion to their exponentials.
    gumbel_BB = -torch.empty_like(score_BB).exponential_(generator=random).log()
    chosen_B = torch.where(is_candidate_BB, score_BB + gumbel_BB, -torch.inf).argmax(dim=1)
    share = batch.kept_B[:, None, None, None]
    led_back_BCHW = (batch.images_BCHW - share.sqrt() * images_BCHW.index_select(0, chosen_B)) / (1 - share).sqrt()
    return torch.where(is_told_B[:, None, None, None], led_back_BCHW, batch.noise_BCHW)


def noise_predictor(
    network: LabelledUNet, labels_B: Tensor, precision: Literal["fp32", "bf16"], options: SteppedOptions
) -> Predict:
    """Return predict(images_BCHW, t) -> noise_BCHW, guided as the options say."""

    def predict(images_BCHW: Tensor, time: int) -> Tensor:
        def plain(noisy_BCHW: Tensor, of_B: Tensor) -> Tensor:
            times_B = torch.full((len(noisy_BCHW),), float(time), device=noisy_BCHW.device)
            with torch.autocast(noisy_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                return network(noisy_BCHW.float(), times_B, of_B).to(noisy_BCHW.dtype)

        return with_guidance(plain, images_BCHW, labels_B, network.null_label, options.guidance)

    return predict


def _predicted(network: LabelledUNet, batch: Noised, labels_B: Tensor, precision: Literal["fp32", "bf16"]) -> Tensor:
    with torch.autocast(batch.images_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        return network(batch.images_BCHW, batch.times_B.float(), labels_B).float()


def _hidden(labels_B: Tensor, null_label: int, options: CbdmOptions, random: Generator) -> Tensor:
    """Return the labels that the network is shown."""
    if options.label_dropout_by == "image":
        return drop_labels(labels_B, null_label, options.label_dropout, random)
    is_dropped = torch.rand(1, generator=random, device=labels_B.device) < options.label_dropout
    return torch.where(is_dropped, null_label, labels_B)
