"""A sound classifier passes the kit; every check has a broken one that it catches."""

from contextlib import suppress
from unittest import SkipTest

import numpy as np
import pytest

from balancebench import ClassifierError, Component, Options
from balancebench.testing import collect_checks
from balancebench.testing.classifiers import CLASSIFIER_CHECKS
from balancebench.testing.subject import DEVICE_VARIABLE, described
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def component(classifier):
    return Component(name="mine", summary="Mine.", options=NoOptions, build=path_of(lambda _: classifier()))


class Means:
    """Sound: nearest class mean; refuses what a plan asks of networks alone."""

    def fit(self, plan, context):
        self.refuse(plan)
        images = plan.phases[-1].images
        pixels_ND = images.images_NCHW.reshape(len(images), -1) / 255
        jitter_D = self.noise(context, pixels_ND.shape[1])
        means_KD = np.stack(
            [self.mean(pixels_ND[images.labels_N == label]) + jitter_D for label in range(images.class_count)]
        )
        predictor = self.predictor(means_KD)
        context.count(len(images), 1)
        context.epoch_finished(0, predictor, {"loss": 0.5})
        return predictor

    def refuse(self, plan):
        networks_only = any(
            phase.loss
            or phase.feature_loss
            or phase.batch_transform
            or phase.trainable == "head"
            or phase.sampling_weight_N is not None
            for phase in plan.phases
        )
        if networks_only and not all(self.weights_are_even(phase) for phase in plan.phases):
            raise ClassifierError("class means know no losses, transforms, weights or heads")
        if plan.adjust_head or plan.adjust_logits or plan.head != "linear" or plan.phases[-1].reset_head:
            raise ClassifierError("class means have no head and adjust nothing")

    def weights_are_even(self, phase):
        plain = not (phase.loss or phase.feature_loss or phase.batch_transform or phase.trainable == "head")
        return plain and (phase.sampling_weight_N is None or np.ptp(phase.sampling_weight_N) == 0)

    def noise(self, context, size):
        return np.random.default_rng(context.seed).normal(0, 1e-3, size)

    def mean(self, pixels_ND):
        return pixels_ND.mean(axis=0) if len(pixels_ND) else np.full(pixels_ND.shape[1], 10.0)

    def predictor(self, means_KD):
        return Distances(means_KD)


class Distances:
    def __init__(self, means_KD):
        self.means_KD = means_KD

    def predict_logits(self, images_NCHW):
        pixels_ND = images_NCHW.reshape(len(images_NCHW), -1) / 255
        return -((pixels_ND[:, None] - self.means_KD[None]) ** 2).sum(axis=2).astype(np.float32)


def test_a_sound_classifier_passes_every_check():
    for check in collect_checks(classifiers=[component(Means)]):
        if check.kind:
            check()


def predicting(change):
    """Return a classifier whose logits are changed."""

    class Changed(Distances):
        def predict_logits(self, images_NCHW):
            return change(super().predict_logits(images_NCHW))

    class Predicting(Means):
        def predictor(self, means_KD):
            return Changed(means_KD)

    return Predicting


class Tensors(Means):
    def predictor(self, means_KD):
        class Listed(Distances):
            def predict_logits(self, images_NCHW):
                return super().predict_logits(images_NCHW).tolist()

        return Listed(means_KD)


class KnowsGreyOnly(Means):
    def fit(self, plan, context):
        plan.phases[0].images.images_NCHW.reshape(-1, 16, 16, 1).reshape(len(plan.phases[0].images), 16, 16)
        return super().fit(plan, context)


class KnowsOneSizeOnly(Means):
    def fit(self, plan, context):
        plan.phases[0].images.images_NCHW.reshape(len(plan.phases[0].images), -1, 16, 16)
        return super().fit(plan, context)


class Drifts(Means):
    def predictor(self, means_KD):
        class Drifting(Distances):
            def predict_logits(self, images_NCHW):
                self.means_KD = self.means_KD + 1e-3
                return super().predict_logits(images_NCHW)

        return Drifting(means_KD)


class DrawsFromNowhere(Means):
    def noise(self, context, size):
        return np.random.default_rng().normal(0, 1e-3, size)


class DrawsFromTorch(Means):
    def noise(self, context, size):
        import torch

        return torch.randn(size).numpy() * 1e-3


class DrawsFromPython(Means):
    def noise(self, context, size):
        import random

        return np.full(size, random.random())


def reporting(counts, epochs):
    """Return a classifier that reports these counts and epochs."""

    class Reporting(Means):
        def fit(self, plan, context):
            from dataclasses import replace

            unheard = replace(context, count=lambda images, steps: None, epoch_finished=lambda *said: None)
            predictor = super().fit(plan, unheard)
            context.count(*counts)
            for epoch, values in epochs:
                context.epoch_finished(epoch, predictor, values)
            return predictor

    return Reporting


class Writes(Means):
    def fit(self, plan, context):
        plan.phases[0].images.images_NCHW[0] = 0
        return super().fit(plan, context)


class WritesWeights(Means):
    def fit(self, plan, context):
        weight_N = plan.phases[0].sampling_weight_N
        if weight_N is not None:
            weight_N /= weight_N.sum()
        return super().fit(plan, context)


class HasNoMeanOfNothing(Means):
    def mean(self, pixels_ND):
        return pixels_ND.sum(axis=0) / np.float64(len(pixels_ND))


class RefusesNothing(Means):
    def refuse(self, plan):
        pass


class CallsLosses(Means):
    """Calls the losses it is given on some images, in some order."""

    def __init__(self, phases, by_weight):
        self.phases, self.by_weight = phases, by_weight

    def refuse(self, plan):
        import torch

        for number in self.phases:
            phase = plan.phases[min(number, len(plan.phases) - 1)]
            if phase.loss is None:
                continue
            weight_N = phase.sampling_weight_N if self.by_weight else np.ones(len(phase.images))
            labels_N = torch.tensor(phase.images.labels_N[weight_N > 0])
            phase.loss(torch.zeros(len(labels_N), phase.images.class_count), labels_N)


class CallsItsFeatureLossWithPixels(Means):
    def refuse(self, plan):
        import torch

        from balancebench import LossContext

        for phase in plan.phases:
            if phase.feature_loss is not None:
                images, labels_N = phase.images, torch.tensor(phase.images.labels_N)
                context = LossContext(
                    features_ND=torch.zeros(len(labels_N), *images.images_NCHW.shape[1:]), generator=torch.Generator()
                )
                with suppress(RuntimeError):  # of shapes that do not add up
                    phase.feature_loss(torch.zeros(len(labels_N), images.class_count), labels_N, context)


class StumblesOverHeads(Means):
    def refuse(self, plan):
        if plan.head == "cosine":
            raise KeyError("cosine")


BROKEN = [
    ("predicts logits of every class", predicting(lambda z: z.astype(np.float64)), "float64"),
    ("predicts logits of every class", predicting(lambda z: z[:, :2]), r"shape \(1, 2\)"),
    ("predicts logits of every class", predicting(lambda z: z * np.nan), "not finite"),
    ("predicts logits of every class", Tensors, "list, not an array"),
    ("predicts logits for colour images", KnowsGreyOnly, "reshape"),
    ("handles or refuses small and oblong images", KnowsOneSizeOnly, "reshape"),
    ("predicts each image by itself", predicting(lambda z: z - z.mean(axis=0)), "an image alone"),
    ("predicts each image by itself", Drifts, "again gives other logits|an image alone"),
    ("same seed gives the same result", DrawsFromNowhere, "two fits with one seed"),
    ("same seed gives the same result", DrawsFromTorch, "two fits with one seed"),
    ("counts what it spends", reporting((0, 1), []), "counts no images"),
    ("counts what it spends", reporting((5, 0), []), "counts no optimiser steps"),
    ("reports every epoch", reporting((5, 1), []), "never calls"),
    ("reports every epoch", reporting((5, 1), [(1, {})]), r"numbered \[1\]"),
    ("reports every epoch", reporting((5, 1), [(0, {"loss": float("nan")})]), "loss = nan"),
    ("says when a phase starts", RefusesNothing, r"that \[\] start"),
    ("leaves its inputs alone", Writes, "writes to an array"),
    ("leaves its inputs alone", WritesWeights, "writes to an array"),
    ("leaves global random state alone", DrawsFromTorch, "torch"),
    ("leaves global random state alone", DrawsFromPython, "Python"),
    ("trains where a class has no images", HasNoMeanOfNothing, "not finite"),
    ("follows losses and sampling weights", RefusesNothing, "it calls those of"),
    ("follows losses and sampling weights", lambda: CallsLosses([1], True), "it calls those of"),
    ("follows losses and sampling weights", lambda: CallsLosses([0, 1, 0], True), "one after the other"),
    ("follows losses and sampling weights", lambda: CallsLosses([0, 1], False), r"sees classes \[0, 1, 2\]"),
    ("follows losses that read features", RefusesNothing, "does not call the plan's feature_loss"),
    ("follows losses that read features", CallsItsFeatureLossWithPixels, "does not call the plan's feature_loss"),
    ("follows batch transforms and adjustments", RefusesNothing, "batch_transform"),
    ("trains a second phase on the head alone", StumblesOverHeads, "cosine"),
]


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_classifier_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(component(broken), name, "classifier")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_classifiers_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in CLASSIFIER_CHECKS}


@pytest.mark.parametrize("ignored", ["adjust_head", "adjust_logits"])
def test_an_adjustment_that_is_ignored_is_caught(run_check, ignored):
    class Ignores(Means):
        def refuse(self, plan):
            if getattr(plan, ignored) is None:
                super().refuse(plan)

    with pytest.raises(AssertionError, match=f"does not apply the plan's {ignored}"):
        run_check(component(Ignores), "follows batch transforms and adjustments", "classifier")


def test_the_environment_points_all_checks_at_another_device(monkeypatch):
    devices = set()

    class Watching(Means):
        def fit(self, plan, context):
            devices.add(context.device)
            return super().fit(plan, context)

    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:1")
    for body in CLASSIFIER_CHECKS[:3]:
        with suppress(Exception):
            body(component(Watching))
    assert devices == {"cuda:1"}
