"""Balancers that the conformance kit is tried on: sound ones, and broken ones that each break one promise."""

from dataclasses import replace

import numpy as np
from pydantic import Field

from balancebench import (
    Balancer,
    BalancerComponent,
    BalancerReference,
    LabelledImages,
    Options,
    Origin,
    Parents,
    Phase,
    TrainingPlan,
    concatenate,
)
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def component(balancer, **changes):
    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": path_of(balancer)}
    return BalancerComponent(**{**settings, **changes})


class Mirroring(Balancer):
    """Sound: mirrors images of the smallest class."""

    def synthesise(self, train, context):
        smallest = np.flatnonzero(train.labels_N == train.counts_K.argmin())
        if len(smallest) == 0:
            return None
        chosen = train.take(context.rng.choice(smallest, 4), origin=Origin.AUGMENTED)
        return LabelledImages(
            images_NCHW=chosen.images_NCHW[..., ::-1].copy(),
            labels_N=chosen.labels_N,
            class_names=chosen.class_names,
            origin_N=chosen.origin_N,
        )


class Weighting(Balancer):
    """Sound: a second phase with a loss, weights, mixing and adjustments."""

    def plan(self, train, synthetic, context):
        import torch

        def loss(logits_NK, labels_N):
            return torch.nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")

        def mix(batch, source):
            other = source.draw(len(batch.labels_N))
            weight_N = torch.rand(len(batch.labels_N), generator=source.generator)
            return type(batch)(
                images_NCHW=(batch.images_NCHW + other.images_NCHW) / 2,
                labels_N=batch.labels_N,
                second_labels_N=other.labels_N,
                first_weight_N=weight_N,
            )

        weight_N = 1 / train.counts_K[train.labels_N]
        return TrainingPlan(
            phases=(
                Phase(images=train, batch_transform=mix),
                Phase(images=train, loss=loss, sampling_weight_N=weight_N),
            ),
            adjust_head=lambda weight_KD: weight_KD / weight_KD.norm(dim=1, keepdim=True),
            adjust_logits=lambda logits_NK: logits_NK - 1,
        )


class WrappingOptions(Options):
    base: BalancerReference = Field(description="the balancer it wraps")


class Wrapping(Balancer):
    """Sound: plans as the balancer it wraps."""

    def plan(self, train, synthetic, context):
        return context.base.plan(train, context.rng)


class AsksAClassifier(Balancer):
    """Sound: adds an image of the withheld ones that a classifier gets wrong."""

    def synthesise(self, train, context):
        predictor = context.train_classifier(TrainingPlan(phases=(Phase(images=train),)))
        withheld = context.withheld()
        wrong = np.flatnonzero(predictor.predict_logits(withheld.images_NCHW).argmax(axis=1) != withheld.labels_N)
        (context.artefacts / "wrong.txt").write_text(str(len(wrong)))
        return (
            withheld.take(wrong[:1], origin=Origin.REPEATED)
            if len(wrong)
            else withheld.take(np.arange(1), Origin.REPEATED)
        )


class HasAGenerator(Balancer):
    def train_generator(self, train, context):
        pass

    def restore_generator(self, folder, device):
        pass


class PlansNothing(Balancer):
    def plan(self, train, synthetic, context):
        return None


class RenamesClasses(Balancer):
    def plan(self, train, synthetic, context):
        names = tuple(name.upper() for name in train.class_names)
        images = LabelledImages(images_NCHW=train.images_NCHW, labels_N=train.labels_N, class_names=names)
        return TrainingPlan(phases=(Phase(images=images),))


class Crops(Balancer):
    def plan(self, train, synthetic, context):
        images = LabelledImages(
            images_NCHW=train.images_NCHW[..., :4], labels_N=train.labels_N, class_names=train.class_names
        )
        return TrainingPlan(phases=(Phase(images=images),))


class MakesRealImages(Balancer):
    def synthesise(self, train, context):
        return train.take(np.arange(3))


class NamesOtherParents(Balancer):
    def synthesise(self, train, context):
        made = train.take(np.arange(3), origin=Origin.AUGMENTED)
        return replace(made, parents=Parents.single(np.arange(3) + len(train) - 2))


class MakesAnEmptySet(Balancer):
    def synthesise(self, train, context):
        return train.take(np.arange(0))


class MakesAnArray(Balancer):
    def synthesise(self, train, context):
        return train.images_NCHW[:3]


class ForgetsWhatItMade(Mirroring):
    def plan(self, train, synthetic, context):
        return TrainingPlan(phases=(Phase(images=train),))


class RepeatsAsReal(Balancer):
    def plan(self, train, synthetic, context):
        return TrainingPlan(phases=(Phase(images=concatenate([train, train.take(np.arange(3))])),))


class ChangesWhatItCallsRepeated(Balancer):
    def plan(self, train, synthetic, context):
        changed = LabelledImages(
            images_NCHW=255 - train.images_NCHW,
            labels_N=train.labels_N,
            class_names=train.class_names,
            origin_N=np.full(len(train), Origin.REPEATED, dtype=np.uint8),
        )
        return TrainingPlan(phases=(Phase(images=changed),))


def planning(**parts):
    """Return a balancer whose one phase, or plan, has these parts."""

    class Planning(Balancer):
        def plan(self, train, synthetic, context):
            of_plan = {name: part for name, part in parts.items() if name.startswith("adjust")}
            of_phase = {name: part for name, part in parts.items() if name not in of_plan}
            return TrainingPlan(phases=(Phase(images=train, **of_phase),), **of_plan)

    return Planning


def scalar_loss(logits_NK, labels_N):
    return logits_NK.mean()


def double_loss(logits_NK, labels_N):
    return logits_NK.double().mean(dim=1)


def unmoved_loss(logits_NK, labels_N):
    return logits_NK.detach().mean(dim=1)


def transposing(batch, source):
    return type(batch)(images_NCHW=batch.images_NCHW[:-1], labels_N=batch.labels_N)


def half_mixing(batch, source):
    return type(batch)(images_NCHW=batch.images_NCHW, labels_N=batch.labels_N, second_labels_N=batch.labels_N)


class DrawsFromNowhere(Balancer):
    def plan(self, train, synthetic, context):
        kept = np.random.default_rng().permutation(len(train))[:20]
        return TrainingPlan(phases=(Phase(images=train.take(kept)),))


class DrawsFromNumPy(Balancer):
    def plan(self, train, synthetic, context):
        kept = np.random.permutation(len(train))[:20]  # noqa: NPY002 - what the kit is to catch
        return TrainingPlan(phases=(Phase(images=train.take(kept)),))


class SeedsNumPy(Balancer):
    def plan(self, train, synthetic, context):
        np.random.seed(0)  # noqa: NPY002 - what the kit is to catch
        return TrainingPlan(phases=(Phase(images=train),))


class DrawsFromTorch(Mirroring):
    def synthesise(self, train, context):
        import torch

        torch.rand(1)
        return super().synthesise(train, context)


class DrawsFromThePlansGenerator(Balancer):
    def plan(self, train, synthetic, context):
        return TrainingPlan(phases=(Phase(images=train.take(context.rng.permutation(len(train))[:20])),))


class RemembersWhatItMade(Mirroring):
    def __init__(self, options):
        self.synthetic = None

    def synthesise(self, train, context):
        self.synthetic = super().synthesise(train, context)
        return self.synthetic

    def plan(self, train, synthetic, context):
        return super().plan(train, self.synthetic, context)


class CountsItsCalls(Balancer):
    def __init__(self, options):
        self.calls = 0

    def plan(self, train, synthetic, context):
        self.calls += 1
        return TrainingPlan(phases=(Phase(images=train, share=self.calls),))


class Writes(Balancer):
    def plan(self, train, synthetic, context):
        train.images_NCHW[0] = 0
        return super().plan(train, synthetic, context)


class WritesThroughTorch(Balancer):
    def plan(self, train, synthetic, context):
        import torch

        torch.from_numpy(train.images_NCHW).zero_()
        return super().plan(train, synthetic, context)


class WritesToWhatItMade(Mirroring):
    def plan(self, train, synthetic, context):
        synthetic.images_NCHW[0] = 0
        return super().plan(train, synthetic, context)


class KnowsGreyOnly(Balancer):
    def plan(self, train, synthetic, context):
        train.images_NCHW.reshape(len(train), 16, 16)
        return super().plan(train, synthetic, context)


class KnowsSquaresOnly(Balancer):
    def plan(self, train, synthetic, context):
        train.images_NCHW.reshape(len(train), -1, 16, 16)
        return super().plan(train, synthetic, context)


def stumbling_where(stumbles):
    class Stumbling(Balancer):
        def plan(self, train, synthetic, context):
            if stumbles(train.counts_K):
                raise IndexError("it did not think of that")
            return super().plan(train, synthetic, context)

    return Stumbling


def globally_mixing(batch, source):
    import torch

    return type(batch)(images_NCHW=batch.images_NCHW * torch.rand(1), labels_N=batch.labels_N)


class WeighsByInverseCounts(Balancer):
    """Its weights are NaN as soon as one class has no images."""

    def plan(self, train, synthetic, context):
        import torch

        with np.errstate(divide="ignore", invalid="ignore"):
            weight_K = 1 / train.counts_K
            weight_K = torch.tensor(weight_K / weight_K.sum(), dtype=torch.float32)

        def loss(logits_NK, labels_N):
            return weight_K.mean() * torch.nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")

        return TrainingPlan(phases=(Phase(images=train, loss=loss),))
