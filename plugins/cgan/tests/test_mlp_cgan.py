"""The conditional GAN against a plain training loop, and what it does with a training set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from balancebench import BalancerError, Origin
from balancebench.testing import plan_context, synthesis_context, trained_and_drawn
from balancebench_cgan.mlp_cgan import AdversarialStep, Draw, MlpCgan, make_networks, oversampled_indices
from balancebench_cgan.options import MlpCganOptions

CPU = torch.device("cpu")


class PlainDiscriminator(nn.Module):
    """The discriminator as a researcher writes it: a concatenation, layers in a row, a sigmoid."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(weights["embedding.weight"].clone(), freeze=False)
        names = ["first", "layers.2", "layers.5", "layers.8"]
        modules: list[nn.Module] = []
        for name in names:
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.load_state_dict({"weight": weight, "bias": bias})
            modules += [linear, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*modules[:-1], nn.Sigmoid())

    def forward(self, images, labels):
        return self.layers(torch.cat([images.reshape(len(images), -1), self.embedding(labels)], dim=1)).view(-1)


def plain_losses(options, networks, batches) -> list[list[float]]:
    """Train copies of the networks with nn.BCELoss and unfused Adam; return generator and discriminator losses."""
    generator, discriminator = networks.generator, PlainDiscriminator(networks.discriminator.state_dict())
    bce = nn.BCELoss()
    adam_g = torch.optim.Adam(generator.parameters(), lr=options.learning_rate, betas=options.betas, foreach=False)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=options.learning_rate, betas=options.betas, foreach=False)
    losses = []
    for pixels, labels, first, second in batches:
        ones, zeros = torch.ones(len(labels)), torch.zeros(len(labels))
        adam_d.zero_grad()
        generated = generator(first.noise_BZ, first.labels_B)
        d_loss = bce(discriminator(pixels, labels), ones) + bce(
            discriminator(generated.detach(), first.labels_B), zeros
        )
        if options.variant == "code":
            d_loss = d_loss / 2
        d_loss.backward()
        adam_d.step()
        adam_g.zero_grad()
        g_loss = bce(discriminator(generator(second.noise_BZ, second.labels_B), second.labels_B), ones)
        g_loss.backward()
        adam_g.step()
        losses.append([g_loss.item(), d_loss.item()])
    return losses


@pytest.mark.parametrize("variant", ["text", "code"])
@pytest.mark.parametrize("generator", ["mlp_leaky", "mlp_relu", "big_mlp_leaky", "convolutional"])
def test_a_step_is_that_of_a_plain_loop(make_train, generator, variant):
    options = MlpCganOptions(generator=generator, variant=variant, dropout=0, learning_rate=5e-4)
    train = make_train(20, 6, 3)
    torch.manual_seed(11)
    ours, theirs = (make_networks(options, train.images_NCHW.shape[1:], train.class_count, CPU) for _ in range(2))
    theirs.generator.load_state_dict(ours.generator.state_dict())
    theirs.discriminator.load_state_dict(ours.discriminator.state_dict())

    def draw() -> Draw:
        return Draw(torch.randn(8, 100), torch.randint(0, 3, (8,)))

    batches = []
    for _ in range(5):
        first = draw()
        second = first if variant == "code" else draw()
        batches.append((torch.rand(8, 64) * 2 - 1, torch.randint(0, 3, (8,)), first, second))

    expected = plain_losses(options, theirs, batches)
    step = AdversarialStep.begin(ours, options)
    actual = [step(*batch).tolist() for batch in batches]

    np.testing.assert_allclose(actual, expected, atol=1e-4)
    for mine, plain in zip(ours.generator.buffers(), theirs.generator.buffers(), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-3, rtol=1e-3)
    assert np.ptp(expected, axis=0).min() > 0.005  # the losses moved, so that equal ones mean something


def test_steps_in_bf16_come_near_those_in_full_precision(make_train):
    options, train = MlpCganOptions(dropout=0.3), make_train(20, 6, 3)
    torch.manual_seed(3)
    initial = make_networks(options, train.images_NCHW.shape[1:], train.class_count, CPU)
    drawn = Draw(torch.randn(8, 100), torch.randint(0, 3, (8,)))
    losses = {}
    for precision in ("fp32", "bf16"):
        networks = make_networks(options, train.images_NCHW.shape[1:], train.class_count, CPU)
        for network, start in zip(networks, initial, strict=True):
            network.load_state_dict(start.state_dict())
        torch.manual_seed(4)  # the same dropout
        step = AdversarialStep.begin(networks, options, precision)
        losses[precision] = [step(torch.zeros(8, 64), torch.zeros(8).long(), drawn, drawn).tolist() for _ in range(4)]
        assert all(parameter.dtype == torch.float32 for network in networks for parameter in network.parameters())
        assert all(parameter.requires_grad for network in networks for parameter in network.parameters())
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], atol=0.02)
    assert losses["bf16"] != losses["fp32"]


def test_the_training_set_is_oversampled_in_order_round_and_round(make_train):
    train = make_train(5, 0, 2)
    chosen = oversampled_indices(train)
    of_first, of_last = np.flatnonzero(train.labels_N == 0), np.flatnonzero(train.labels_N == 2)
    assert chosen.tolist() == [*of_first, *of_last[[0, 1, 0, 1, 0]]]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 6, 11), (3, 5, 9)], ids=str)
@pytest.mark.parametrize("generator", ["small_mlp_leaky", "big_mlp_leaky", "convolutional"])
def test_each_class_is_filled_to_the_largest_whatever_the_shape(make_train, tmp_path, generator, shape):
    train = make_train(9, 4, 1, shape=shape)
    balancer = MlpCgan(MlpCganOptions(generator=generator, epochs=1, batch_size=500))  # a batch larger than the set
    synthetic = trained_and_drawn(balancer, train, tmp_path)
    assert synthetic is not None
    assert synthetic.counts_K.tolist() == [0, 5, 8]
    assert synthetic.images_NCHW.shape[1:] == shape
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()

    (phase,) = balancer.plan(train, synthetic, plan_context()).phases
    assert phase.images.counts_K.tolist() == [9, 9, 9]
    assert np.array_equal(phase.images.images_NCHW[:14], train.images_NCHW)


def test_generated_images_take_after_their_class(make_train, tmp_path):
    train = make_train(64, 16, 16)
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=20, batch_size=32, betas=(0.5, 0.999), latent_size=10)
    synthetic = trained_and_drawn(MlpCgan(options), train, tmp_path)
    assert synthetic is not None
    rows_NH = synthetic.images_NCHW.mean(axis=(1, 3))
    right = rows_NH.argmax(axis=1) == synthetic.labels_N  # the bright row is the class's
    assert right.mean() > 0.9


def test_curves_weights_and_cost_are_kept(make_train, tmp_path):
    counted = []
    context = synthesis_context(tmp_path, count=lambda images, steps: counted.append((images, steps)))
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=3, batch_size=8)
    MlpCgan(options).train_generator(make_train(10, 2), context)

    curves = json.loads((context.artefacts / "curves.json").read_text())["curves"]
    assert [row["epoch"] for row in curves] == [0, 1, 2]
    assert all(0 < row["generator_loss"] < 5 and 0 < row["discriminator_loss"] < 5 for row in curves)
    # 20 oversampled images are batches of 8, 8 and 4; either network takes a step on each.
    assert counted == [(20, 6)] * 3
    generator = load_file(context.artefacts / "generator.safetensors")
    assert generator["layers.0.weight"].shape == (256, 110)
    assert load_file(context.artefacts / "discriminator.safetensors")["first.weight"].shape == (1024, 74)


@pytest.mark.parametrize("variant", ["text", "code"])
def test_fewer_epochs_are_the_beginning_of_more_so_that_an_earlier_save_can_be_asked_for(
    make_train, tmp_path, variant, monkeypatch
):
    from balancebench_cgan import mlp_cgan

    generators, after_epoch = [], []
    real_make, real_add = mlp_cgan.make_networks, mlp_cgan.Curves.add

    def make(*arguments):
        networks = real_make(*arguments)
        generators.append(networks.generator)
        return networks

    def add(self, epoch, **values):
        real_add(self, epoch, **values)
        after_epoch.append({name: tensor.clone() for name, tensor in generators[-1].state_dict().items()})

    monkeypatch.setattr(mlp_cgan, "make_networks", make)
    monkeypatch.setattr(mlp_cgan.Curves, "add", add)
    for epochs in (5, 3):
        (tmp_path / str(epochs)).mkdir()
        options = MlpCganOptions(generator="small_mlp_leaky", variant=variant, epochs=epochs, batch_size=16)
        MlpCgan(options).train_generator(make_train(20, 9), synthesis_context(tmp_path / str(epochs)))
    weights = load_file(tmp_path / "3" / "artefacts" / "generator.safetensors")
    assert all(torch.equal(weights[name], after_epoch[2][name]) for name in weights)
    assert not all(torch.equal(weights[name], after_epoch[4][name]) for name in weights)


def test_a_single_image_left_over_is_no_batch(make_train, tmp_path):
    counted = []
    context = synthesis_context(tmp_path, count=lambda images, steps: counted.append(steps))
    options = MlpCganOptions(generator="big_mlp_leaky", epochs=1, batch_size=5)  # batch normalisation in it
    MlpCgan(options).train_generator(make_train(8, 3), context)  # 16 images: 5, 5, 5 and 1
    assert counted == [6]


def test_a_balanced_set_needs_no_images(make_train, tmp_path):
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=1, batch_size=8)
    assert trained_and_drawn(MlpCgan(options), make_train(4, 4), tmp_path) is None


def test_a_class_that_was_never_seen_cannot_be_drawn(make_train, tmp_path):
    balancer = MlpCgan(MlpCganOptions(generator="small_mlp_leaky", epochs=1, batch_size=8))
    context = synthesis_context(tmp_path)
    balancer.train_generator(make_train(9, 0, 4), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    with pytest.raises(BalancerError, match="class 'class 1' had no images for the GAN to learn from"):
        generator.draw(np.array([0, 1]), torch.Generator())


def test_a_class_without_images_is_left_out_by_a_table(make_train, tmp_path):
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=1, batch_size=8, target={"class 2": 6})
    synthetic = trained_and_drawn(MlpCgan(options), make_train(9, 0, 4), tmp_path)
    assert synthetic is not None
    assert synthetic.counts_K.tolist() == [0, 0, 2]


def test_one_image_in_all_is_refused(make_train, tmp_path):
    with pytest.raises(BalancerError, match="at least 2 training images"):
        MlpCgan(MlpCganOptions()).train_generator(make_train(1), synthesis_context(tmp_path))


def test_a_training_that_diverges_says_which_loss_and_when(make_train, tmp_path):
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=50, batch_size=8, learning_rate=1e30)
    with pytest.raises(BalancerError, match=r"diverged: (generator|discriminator) loss is (nan|inf) in epoch \d+"):
        MlpCgan(options).train_generator(make_train(16, 4), synthesis_context(tmp_path))


def test_progress_names_epoch_and_losses(make_train, tmp_path):
    said = []
    context = synthesis_context(tmp_path)
    object.__setattr__(context, "progress", lambda done, total, message="": said.append((done, total, message)))
    options = MlpCganOptions(generator="small_mlp_leaky", epochs=2, batch_size=8)
    MlpCgan(options).train_generator(make_train(10, 2), context)
    assert [line[:2] for line in said][:2] == [(3, 6), (6, 6)]
    assert said[1][2].startswith("epoch 2/2 generator loss 0.")
