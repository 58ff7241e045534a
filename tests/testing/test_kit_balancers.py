"""A sound balancer passes the kit; every check has a broken one that it catches."""

from dataclasses import replace
from unittest import SkipTest

import numpy as np
import pytest
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
from balancebench.testing import collect_checks
from balancebench.testing.balancers import BALANCER_CHECKS
from balancebench.testing.subject import described
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


SOUND = {
    "plain": component(Balancer, seeded=False),
    "mirroring": component(Mirroring, synthesises=True),
    "weighting": component(Weighting),
    "wrapping": component(Wrapping, options=WrappingOptions, smoke={"base": {"use": "none"}}),
    "asking": component(AsksAClassifier, synthesises=True, requires=frozenset({"classifier"})),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_balancer_passes_every_check(name):
    for check in collect_checks(balancers=[SOUND[name]]):
        if check.kind:
            check()


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


BROKEN = [
    ("plans training on its classes", component(PlansNothing), "NoneType, not a TrainingPlan"),
    ("plans training on its classes", component(RenamesClasses), "CLASS 0"),
    ("plans training on its classes", component(Crops), r"shape \(1, 16, 4\)"),
    ("makes images that fit", component(MakesRealImages, synthesises=True), "3 of its images are marked REAL"),
    ("makes images that fit", component(NamesOtherParents, synthesises=True), "names training image 52 as a parent"),
    ("makes images that fit", component(MakesAnArray, synthesises=True), "ndarray"),
    ("makes images that fit", component(MakesAnEmptySet, synthesises=True), "return None instead"),
    ("declares whether it synthesises", component(Mirroring), "nobody would ask"),
    ("declares whether it synthesises", component(Balancer, synthesises=True), "makes no images"),
    ("declares whether it trains a generator", component(HasAGenerator), "nobody would call it"),
    ("declares whether it trains a generator", component(Balancer, trains_generator=True), "has no train_generator"),
    ("trains on the images it makes", component(ForgetsWhatItMade, synthesises=True), "no phase of its plan"),
    ("tells real images from made ones", component(RepeatsAsReal), "calls 3 images REAL"),
    ("tells real images from made ones", component(ChangesWhatItCallsRepeated), "REPEATED that are no training"),
    ("gives losses and transforms that fit", component(planning(loss=scalar_loss)), "one value an image"),
    ("gives losses and transforms that fit", component(planning(loss=double_loss)), "not float32"),
    ("gives losses and transforms that fit", component(planning(loss=unmoved_loss)), "does not depend on the logits"),
    (
        "gives losses and transforms that fit",
        component(planning(batch_transform=transposing)),
        "batch transform of phase 0",
    ),
    ("gives losses and transforms that fit", component(planning(batch_transform=half_mixing)), "only one of"),
    (
        "gives losses and transforms that fit",
        component(planning(adjust_logits=lambda z: z[:, :1])),
        "adjust_logits changes",
    ),
    ("gives losses and transforms that fit", component(planning(adjust_head=lambda w: w / 0)), "not finite"),
    ("same seed gives the same result", component(DrawsFromNowhere), "differ in the images of phase 0"),
    ("same seed gives the same result", component(DrawsFromNumPy), "differ in the images of phase 0"),
    ("only a seeded one depends on the seed", component(DrawsFromThePlansGenerator, seeded=False), "seeded=False"),
    ("plans the same whatever it did before", component(RemembersWhatItMade, synthesises=True), "images of phase 0"),
    ("plans the same whatever it did before", component(CountsItsCalls), "settings of phase 0"),
    ("leaves its inputs alone", component(Writes), "writes to an array"),
    ("leaves its inputs alone", component(WritesThroughTorch), "changes the training images"),
    ("leaves its inputs alone", component(WritesToWhatItMade, synthesises=True), "writes to an array"),
    ("leaves global random state alone", component(DrawsFromNumPy), "NumPy"),
    ("leaves global random state alone", component(SeedsNumPy), "NumPy"),
    ("leaves global random state alone", component(DrawsFromTorch, synthesises=True), "torch"),
    ("leaves global random state alone", component(planning(batch_transform=globally_mixing)), "torch"),
    ("handles or refuses a class without images", component(WeighsByInverseCounts), "loss of phase 0 is not finite"),
    ("handles colour images", component(KnowsGreyOnly), "reshape"),
    ("handles or refuses images that are not square", component(KnowsSquaresOnly), "reshape"),
    ("handles or refuses a class of one image", component(stumbling_where(lambda n: 1 in n)), "did not think"),
    ("handles or refuses a class of two images", component(stumbling_where(lambda n: 2 in n)), "did not think"),
    ("handles or refuses a class without images", component(stumbling_where(lambda n: 0 in n)), "did not think"),
    ("handles or refuses a balanced set", component(stumbling_where(lambda n: len(set(n)) == 1)), "did not think"),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_broken_balancer_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(broken, name, "balancer")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_balancers_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in BALANCER_CHECKS}


def test_a_balancer_that_needs_what_is_not_there_is_skipped_with_its_reason(run_check):
    needing = component(Balancer, requires=frozenset({"network"}))
    with pytest.raises(SkipTest, match="network"):
        run_check(needing, "handles colour images", "balancer")


def test_a_balancer_may_refuse_tiny_classes_but_must_say_why(run_check):
    from balancebench import BalancerError

    def refusing(message):
        class Refusing(Balancer):
            def plan(self, train, synthetic, context):
                if train.counts_K.min() < 3:
                    raise BalancerError(message)
                return super().plan(train, synthetic, context)

        return component(Refusing)

    name = "handles or refuses a class of one image"
    run_check(refusing("class 'x' has 1 image, and 3 are needed"), name, "balancer")
    with pytest.raises(AssertionError, match="says nothing"):
        run_check(refusing(""), name, "balancer")
    with pytest.raises(AssertionError, match="3 lines"):
        run_check(refusing("a\nb\nc"), name, "balancer")
