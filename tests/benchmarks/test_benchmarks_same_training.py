"""What the benchmarks compare computes the same: the plain loop's losses are those of balancebench."""

import pytest
import torch

from balancebench import Phase, TrainingPlan
from balancebench.builtin.classifiers.options import ResNet18CifarOptions, SmallCNNOptions
from balancebench.builtin.classifiers.resnets import ResNet18Cifar
from balancebench.builtin.classifiers.small_cnn import SmallCNN
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.normalise import channel_statistics
from balancebench.training.reproducibility import run_seeds
from benchmarks.plain import ImageDataset, make_loader, make_sgd, make_transform, train_epoch
from benchmarks.training import Case, fit_context, new_model, synthetic_images

SEED, EPOCHS = 3, 5  # differences of rounding grow from step to step: at the sixth they pass 1e-4 with one thread
RECIPE = {"epochs": EPOCHS, "schedule": "constant", "warmup": 0.0, "augmentation": "none", "learning_rate": 0.02}


def small_cnn(batch_size, steps):
    options = SmallCNNOptions.model_validate({**RECIPE, "width": 4, "batch_size": batch_size})
    return Case(
        title="small_cnn",
        build_backbone=lambda channels, size: SmallCNN(channels, size, width=4),
        options=options,
        image_shape=(1, 28, 28),
        steps=steps,
    )


def resnet18(batch_size, steps):
    options = ResNet18CifarOptions.model_validate({**RECIPE, "width": 4, "batch_size": batch_size})
    return Case(
        title="resnet18_cifar",
        build_backbone=lambda channels, _size: ResNet18Cifar(channels, width=4),
        options=options,
        image_shape=(3, 16, 16),
        steps=steps,
    )


def our_losses(case, images):
    """The mean loss of each epoch."""
    losses = []
    context = fit_context(
        "cpu",
        "fp32",
        deterministic=True,
        epoch_finished=lambda _epoch, values: losses.append(values["loss"]),
        seed=SEED,
    )
    NetworkClassifier(case.build_backbone, case.options).fit(TrainingPlan(phases=(Phase(images=images),)), context)
    return losses


def plain_losses(case, images, orders):
    """The mean loss of each epoch, the images of each epoch in the order given."""
    statistics = channel_statistics(torch.from_numpy(images.images_NCHW))
    dataset = ImageDataset(images, make_transform("none", statistics, case.image_shape[1:]))
    model = new_model(case, "cpu", SEED)
    optimiser = make_sgd(model, case.options)
    losses = []
    for order in orders:
        loader = make_loader(dataset, case.options.batch_size, workers=0, device="cpu", order=order)
        of_steps = train_epoch(model, loader, optimiser, "cpu")
        losses.append(sum(of_steps) / len(of_steps))
    return losses


@pytest.mark.parametrize("case", [small_cnn(32, 1), resnet18(32, 1)], ids=["small_cnn", "resnet18"])
def test_the_same_batches_and_weights_give_the_same_loss_at_every_step(case):
    images = synthetic_images(case.epoch_images, case.image_shape)
    # One batch of all images: every epoch is one step, and its loss knows no order.
    ours = our_losses(case, images)
    assert ours == pytest.approx(plain_losses(case, images, [range(len(images))] * EPOCHS), abs=1e-4)
    assert abs(ours[-1] - ours[0]) > 0.01  # the weights moved: more than one step was compared


def test_the_same_order_of_several_batches_gives_the_same_losses():
    case = small_cnn(8, 4)
    images = synthetic_images(case.epoch_images, case.image_shape)
    generator = torch.Generator().manual_seed(run_seeds(SEED).batches)
    orders = [torch.randperm(len(images), generator=generator).tolist() for _ in range(EPOCHS)]
    ours = our_losses(case, images)
    assert ours == pytest.approx(plain_losses(case, images, orders), abs=1e-4)
    in_turn = plain_losses(case, images, [range(len(images))] * EPOCHS)
    assert ours != pytest.approx(in_turn, abs=1e-4)  # so the order matters, and it was the same


@pytest.mark.parametrize(("augmentation", "count"), [("none", 2), ("crop", 3), ("crop_flip", 4)])
def test_the_plain_transform_does_what_the_option_says(augmentation, count):
    images = synthetic_images(4, (3, 16, 16))
    statistics = channel_statistics(torch.from_numpy(images.images_NCHW))
    transform = make_transform(augmentation, statistics, (16, 16))
    image_CHW, label = ImageDataset(images, transform)[1]
    assert len(transform.transforms) == count
    assert (image_CHW.shape, label) == ((3, 16, 16), 1)


def test_plain_images_are_normalised_to_mean_zero_and_deviation_one():
    images = synthetic_images(20, (3, 16, 16))
    statistics = channel_statistics(torch.from_numpy(images.images_NCHW))
    dataset = ImageDataset(images, make_transform("none", statistics, (16, 16)))
    pixels_NCHW = torch.stack([dataset[index][0] for index in range(20)])
    assert pixels_NCHW.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert pixels_NCHW.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("noise", [False, True])
def test_the_plain_loops_generator_makes_the_images_of_transitional_cgans(noise):
    pytest.importorskip("balancebench_gmaug")
    from balancebench_gmaug.stylegan2 import Generator, Shape
    from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, recipe_of
    from benchmarks.transitional_cgan import plain_generator

    options = TransitionalCganOptions(preset="auto" if noise else "micro", channel_base=64)
    torch.manual_seed(SEED)
    generator = Generator(recipe_of(options, 16), Shape(side=16, channels=1, class_count=3), "transitional")
    for layer in generator.synthesis.convolutions:
        layer.bias_O.data.normal_()
        if noise:
            layer.noise_strength.data.normal_()
    random = torch.Generator().manual_seed(SEED)
    latents_BLD = generator.latents(torch.randn(4, generator.latent_size), torch.arange(4) % 3, torch.ones(()))
    noise_levels = generator.noise(4, random)
    images_BCHW = generator.synthesis(latents_BLD, noise_levels).images_BCHW
    plain_BCHW = plain_generator(generator).synthesis(latents_BLD, noise_levels).images_BCHW
    assert torch.allclose(images_BCHW, plain_BCHW, atol=1e-4)
    assert images_BCHW.std() > 0.1
