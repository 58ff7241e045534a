"""A classifier from any network: what the core's own classifiers are made of, and a plugin's can be.

def build(options: PaperNetOptions) -> Classifier:
    from balancebench.training.classifier import NetworkClassifier
    from balancebench_paper.net import PaperNet

    return NetworkClassifier(lambda channels, image_size: PaperNet(channels, options.width), options)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] - the base has no public name

from balancebench.contracts import FitContext
from balancebench.errors import ClassifierError
from balancebench.training.loop import GroupParameters, ImageSets, Run, train
from balancebench.training.model import BackboneBuilder, HeadBeginning, build_model, memory_format_for
from balancebench.training.normalise import Normaliser, make_normaliser
from balancebench.training.options import TrainingOptions
from balancebench.training.predict import ModelPredictor
from balancebench.training.repeatable_pooling import pool_repeatably
from balancebench.training.reproducibility import backend_settings, explaining_determinism, run_seeds, seeded_globals
from balancebench.training.saved import read_saved
from balancebench.training_plan import TrainingPlan

__all__ = ["NetworkClassifier"]


class NetworkClassifier:
    """Trains a network of a backbone and a linear (or cosine) head as a plan says.

    build_backbone: (channels, (rows, columns)) -> a module that maps normalised images_NCHW to features_ND; plain
    torch initialisation in it is seeded. The head over the D features is added here, as the plan wants it.
    output: applied to logits_NK before the loss, in training only, for networks whose published training feeds
    something else to the loss (the softmax's probabilities, say). Predictions are the logits themselves, so that
    their softmax is the network's probability.
    parameter_groups: the model -> its parameters in groups with a weight decay and a multiple of the learning rate of
    their own, for layer decay; all alike where left out.
    head_begins: how a linear head's weights are drawn; left out, as the options' recipe has it.
    """

    def __init__(
        self,
        build_backbone: BackboneBuilder,
        options: TrainingOptions,
        *,
        output: Callable[[Tensor], Tensor] | None = None,
        parameter_groups: GroupParameters | None = None,
        head_begins: HeadBeginning | None = None,
    ) -> None:
        self._build_backbone = build_backbone
        self._options = options
        self._output = output
        self._parameter_groups = parameter_groups
        self._head_begins: HeadBeginning = head_begins or ("kaiming" if options.recipe == "cao2019" else "uniform")

    def fit(self, plan: TrainingPlan, context: FitContext) -> ModelPredictor:
        """Train from scratch and return the trained classifier.

        The same seed, plan, options and machine give the same logits: always on a processor, on CUDA where the
        context is deterministic. Global random states and backend settings are left as they were found.

        Raises ClassifierError where the network cannot take the images, where batch normalisation would get batches
        of one image, where the network has no deterministic form that the context asks for, and where training
        diverges; BalancerError where a plan's loss or weights are malformed.
        """
        image_shape = _common_shape(plan)
        device = torch.device(context.device)
        seeds = run_seeds(context.seed)
        with backend_settings(deterministic=context.deterministic), seeded_globals(seeds.network, device):
            model = build_model(
                self._build_backbone,
                channels=image_shape[0],
                image_size=image_shape[1:],
                class_count=len(plan.class_names),
                head=plan.head,
                head_begins=self._head_begins,
            )
            pool_repeatably(model, device, deterministic=context.deterministic)
            _refuse_single_images(model, plan, self._options)
            memory_format = memory_format_for(model, device)
            model.to(device).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue] - torch leaves it out
            image_sets = ImageSets(plan.phases, device)
            normaliser = replace(
                make_normaliser(self._options.normalisation, image_sets.pixels(plan.normalising_images)),
                memory_format=memory_format,
            )
            predictor = ModelPredictor(
                model,
                normaliser,
                image_shape=image_shape,
                device=device,
                precision=context.precision,
                deterministic=context.deterministic,
                adjust_head=plan.adjust_head,
                adjust_logits=plan.adjust_logits,
            )
            run = Run(
                model=model,
                options=self._options,
                context=context,
                image_sets=image_sets,
                normaliser=normaliser,
                generator=torch.Generator(device).manual_seed(seeds.batches),
                predictor=predictor,
                output=self._output,
                parameter_groups=self._parameter_groups,
            )
            with explaining_determinism(ClassifierError):
                train(run, plan.phases)
        return predictor

    def restore(self, folder: Path, device: str) -> ModelPredictor:
        """Return the predictor that `ModelPredictor.save` wrote: on the same device the same logits, bit for bit.

        Raises ClassifierError where the files are not there or broken, or are of another network than the options'.
        """
        saved, tensors = read_saved(folder)
        torch_device = torch.device(device)
        with seeded_globals(0, torch_device):  # the weights drawn here are overwritten
            model = build_model(
                self._build_backbone,
                channels=saved.channels,
                image_size=saved.image_size,
                class_count=saved.class_count,
                head=saved.head,
            )
        pool_repeatably(model, torch_device, deterministic=saved.deterministic)
        scale_1C11, shift_1C11 = (tensors.pop(name).to(torch_device) for name in ("scale_1C11", "shift_1C11"))
        try:
            model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
        except RuntimeError as error:
            raise ClassifierError(
                f"the weights in {folder} are of another network than the options describe"
            ) from error
        memory_format = memory_format_for(model, torch_device)
        model.to(torch_device).to(memory_format=memory_format)  # pyright: ignore[reportCallIssue] - torch leaves it out
        return ModelPredictor(
            model,
            Normaliser(scale_1C11=scale_1C11, shift_1C11=shift_1C11, memory_format=memory_format),
            image_shape=(saved.channels, *saved.image_size),
            device=torch_device,
            precision=saved.precision,
            deterministic=saved.deterministic,
            adjust_head=None,
            adjust_logits=None,
        )


def _common_shape(plan: TrainingPlan) -> tuple[int, int, int]:
    channels, rows, columns = plan.phases[0].images.images_NCHW.shape[1:]
    normalising_channels = plan.normalising_images.images_NCHW.shape[1]
    if normalising_channels != channels:
        raise ClassifierError(f"normalise_on has images of {normalising_channels} channels, the phases of {channels}")
    for index, phase in enumerate(plan.phases[1:], start=2):
        if phase.images.images_NCHW.shape[1:] != (channels, rows, columns):
            raise ClassifierError(
                f"all phases need images of one shape: phase 1 has {channels}x{rows}x{columns}, phase {index} has "
                f"{'x'.join(str(axis) for axis in phase.images.images_NCHW.shape[1:])}"
            )
    return channels, rows, columns


def _refuse_single_images(model: nn.Module, plan: TrainingPlan, options: TrainingOptions) -> None:
    """Batch normalisation in training cannot tell one image from its mean."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    for phase in plan.phases:
        if phase.trains_batch_norm and min(options.batch_size, len(phase.images)) == 1:
            cause = "the training set has 1 image" if len(phase.images) == 1 else "batch_size is 1"
            raise ClassifierError(f"{cause}, but batch normalisation needs at least 2 images in a batch")
