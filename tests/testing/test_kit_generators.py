"""A sound balancer that trains a generator passes the kit; every check has a broken one that it catches."""

from typing import Literal
from unittest import SkipTest

import numpy as np
import pytest
from pydantic import Field
from safetensors.numpy import load_file, save_file

from balancebench import Balancer, BalancerComponent, BalancerError, LabelledImages, Options, Origin
from balancebench.testing import collect_checks
from balancebench.testing.generators import GENERATOR_CHECKS
from balancebench.testing.subject import described
from tests.testing.conftest import path_of

DRAWING = {"trains": False}


class MeansOptions(Options):
    wanted: Literal["two"] | int = Field(2, json_schema_extra=DRAWING, description="images of each class")
    brightest: bool = Field(False, json_schema_extra=DRAWING, description="keep the brightest alone")
    noise: float = Field(3.0, ge=0, description="grey levels")


def component(balancer, **changes):
    settings = {"name": "mine", "summary": "Mine.", "options": MeansOptions, "build": path_of(balancer)}
    return BalancerComponent(**{**settings, "synthesises": True, "trains_generator": True, **changes})


class NoisyMeans:
    def __init__(self, means_KCHW, noise):
        self.means_KCHW = means_KCHW
        self.noise = noise

    def draw(self, labels_B, random):
        import torch

        means_BCHW = self.means_KCHW[labels_B]
        noise_BCHW = torch.randn(means_BCHW.shape, generator=random).numpy() * self.noise
        return (means_BCHW + noise_BCHW).clip(0, 255).astype(np.uint8)


class Means(Balancer[MeansOptions]):
    """Sound: learns class means, and draws them with noise."""

    generator = NoisyMeans

    def train_generator(self, train, context):
        if train.counts_K.min() == 0:
            raise BalancerError("a class without images has no mean")
        means = [train.images_NCHW[train.labels_N == label].mean(axis=0) for label in range(train.class_count)]
        save_file({"means": np.stack(means)}, self.file(context))

    def file(self, context):
        return context.artefacts / "means.safetensors"

    def restore_generator(self, folder, device):
        return self.generator(load_file(folder / "means.safetensors")["means"], self.options.noise)

    def synthesise(self, train, context):
        wanted = 2 if self.options.wanted == "two" else self.options.wanted
        labels_M = np.repeat(np.arange(train.class_count), wanted)
        return LabelledImages(
            images_NCHW=self.images(train, labels_M, context),
            labels_N=labels_M,
            class_names=train.class_names,
            origin_N=np.full(len(labels_M), Origin.SYNTHETIC, dtype=np.uint8),
        )

    def images(self, train, labels_M, context):
        return context.generator().draw(labels_M, context.torch_generator())


def test_a_sound_balancer_with_a_generator_passes_every_check():
    for check in collect_checks(balancers=[component(Means)]):
        check()


def test_a_generator_that_only_others_draw_from_passes_every_check():
    class Lending(Means):
        def synthesise(self, train, context):
            return None

    for check in collect_checks(balancers=[component(Lending, synthesises=False)]):
        check()


@pytest.mark.parametrize("name", ["generating", "choosing"])
def test_a_generator_and_a_balancer_that_draws_from_its_base_pass_every_check(fakes, name):
    for check in collect_checks(balancers=[fakes.find("balancer", name).component]):
        check()


def test_what_a_balancer_wraps_makes_no_images_where_it_draws_from_its_generator(fakes, run_check, monkeypatch):
    import balancebench_fakes

    choosing = fakes.find("balancer", "choosing").component
    monkeypatch.setattr(balancebench_fakes.Generating, "synthesise", None)
    run_check(choosing, "makes images that fit", "balancer")


def test_only_a_balancer_that_trains_a_generator_is_checked_for_it():
    plain = component(Balancer, synthesises=False, trains_generator=False)
    names = {check.name for check in collect_checks(balancers=[plain])}
    assert names.isdisjoint(map(described, GENERATOR_CHECKS))


class DrawsTheBrightest(Means):
    def restore_generator(self, folder, device):
        generator = super().restore_generator(folder, device)
        return NoisyMeans(generator.means_KCHW + 20, generator.noise) if self.options.brightest else generator


def test_an_option_that_changes_what_is_drawn_but_not_the_training_passes(run_check):
    run_check(component(DrawsTheBrightest), TRAINS_THE_SAME, "balancer")


class WritesToScratch(Means):
    def file(self, context):
        return context.scratch / "means.safetensors"


class WritesToCheckpoints(Means):
    def file(self, context):
        return context.checkpoints.folder / "means.safetensors"


class RemembersItsMeans(Means):
    def train_generator(self, train, context):
        self.means_KCHW = np.zeros((train.class_count, *train.images_NCHW.shape[1:]))

    def restore_generator(self, folder, device):
        return NoisyMeans(self.means_KCHW, self.options.noise)


class RestoresAnArray(Means):
    def restore_generator(self, folder, device):
        return load_file(folder / "means.safetensors")["means"]


def having(generator_class):
    """Return a balancer that restores generators of this class."""
    return type("Having", (Means,), {"generator": generator_class})


def drawing(change):
    """Return a balancer whose generator's images are changed."""

    class Changed(NoisyMeans):
        def draw(self, labels_B, random):
            return change(super().draw(labels_B, random))

    return having(Changed)


class DrawsFromNumPy(NoisyMeans):
    def draw(self, labels_B, random):
        return np.random.default_rng().integers(0, 255, self.means_KCHW[labels_B].shape, dtype=np.uint8)


class DrawsFromTorch(NoisyMeans):
    def draw(self, labels_B, random):
        return super().draw(labels_B, None)


class DrawsWhatComesNext(NoisyMeans):
    def draw(self, labels_B, random):
        self.means_KCHW = self.means_KCHW + 1
        return super().draw(labels_B, random)


class TrainsFromNowhere(Means):
    def train_generator(self, train, context):
        means_KCHW = np.random.default_rng().uniform(0, 255, (train.class_count, *train.images_NCHW.shape[1:]))
        save_file({"means": means_KCHW}, self.file(context))


class TrainsForWhatIsWanted(Means):
    def train_generator(self, train, context):
        if self.options.wanted == "two":
            raise BalancerError("two images of a class are too few to train for")
        super().train_generator(train, context)


class TrainsOnTheBrightest(Means):
    def train_generator(self, train, context):
        brightness_N = train.images_NCHW.mean(axis=(1, 2, 3))
        least = np.median(brightness_N) if self.options.brightest else 0
        kept = np.flatnonzero((brightness_N > least) | (train.labels_N == 2))
        super().train_generator(train.take(kept), context)


class MakesImagesWithoutIt(Means):
    def images(self, train, labels_M, context):
        return np.full((len(labels_M), *train.images_NCHW.shape[1:]), 7, dtype=np.uint8)


LEAVES, FIT = "leaves all that its generator needs", "draws images that fit"
SAME_STATE, SAME_SEED = "same random state draws the same images", "same seed trains the same generator"
TRAINS_THE_SAME = "trains the same whatever is drawn"
BROKEN = [
    (LEAVES, WritesToScratch, "means.safetensors"),
    (LEAVES, WritesToCheckpoints, "means.safetensors"),
    (LEAVES, RemembersItsMeans, "means_KCHW"),
    (LEAVES, RestoresAnArray, "restore_generator returns ndarray"),
    (FIT, drawing(lambda images: images / 255), "it draws float64"),
    (FIT, drawing(lambda images: images.tolist()), "it draws list"),
    (FIT, drawing(lambda images: images[:1]), r"shape \(1, 1, 16, 16\); give uint8 \(8, 1, 16, 16\)"),
    (FIT, drawing(lambda images: images[:, :1]), r"shape \(1, 1, 16, 16\); give uint8 \(1, 3, 16, 16\)"),
    (SAME_STATE, having(DrawsFromNumPy), "from one random state differ"),
    (SAME_STATE, having(DrawsFromTorch), "global random state of torch"),
    (SAME_STATE, having(DrawsWhatComesNext), "from one random state differ"),
    (SAME_SEED, TrainsFromNowhere, "two trainings with one seed"),
    (TRAINS_THE_SAME, TrainsForWhatIsWanted, "too few to train for"),
    (TRAINS_THE_SAME, TrainsOnTheBrightest, "another brightest or wanted changes the generator"),
    ("makes its images with the generator it trained", MakesImagesWithoutIt, "without drawing from context.generator"),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_generator_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(component(broken), name, "balancer")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_generators_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in GENERATOR_CHECKS}


def test_an_option_that_the_kit_cannot_change_is_named(run_check):
    class WordOptions(MeansOptions):
        word: str = Field("dark", json_schema_extra=DRAWING, description="what to draw")

    with pytest.raises(SkipTest, match="no other value for the option 'word'"):
        run_check(component(Means, options=WordOptions), TRAINS_THE_SAME, "balancer")
