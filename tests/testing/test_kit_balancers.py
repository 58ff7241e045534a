"""A sound balancer passes the kit; every check has a broken one that it catches."""

from unittest import SkipTest

import pytest

from balancebench import Balancer
from balancebench.testing import collect_checks
from balancebench.testing.balancers import BALANCER_CHECKS
from balancebench.testing.subject import described
from tests.testing import example_balancers as examples
from tests.testing.example_balancers import component

SOUND = {
    "plain": component(Balancer, seeded=False),
    "mirroring": component(examples.Mirroring, synthesises=True),
    "weighting": component(examples.Weighting),
    "wrapping": component(examples.Wrapping, options=examples.WrappingOptions, smoke={"base": {"use": "none"}}),
    "asking": component(examples.AsksAClassifier, synthesises=True, requires=frozenset({"classifier"})),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_balancer_passes_every_check(name):
    for check in collect_checks(balancers=[SOUND[name]]):
        if check.kind:
            check()


BROKEN = [
    ("plans training on its classes", component(examples.PlansNothing), "NoneType, not a TrainingPlan"),
    ("plans training on its classes", component(examples.RenamesClasses), "CLASS 0"),
    ("plans training on its classes", component(examples.Crops), r"shape \(1, 16, 4\)"),
    ("makes images that fit", component(examples.MakesRealImages, synthesises=True), "3 of its images are marked REAL"),
    (
        "makes images that fit",
        component(examples.NamesOtherParents, synthesises=True),
        "names training image 52 as a parent",
    ),
    ("makes images that fit", component(examples.MakesAnArray, synthesises=True), "ndarray"),
    ("makes images that fit", component(examples.MakesAnEmptySet, synthesises=True), "return None instead"),
    ("declares whether it synthesises", component(examples.Mirroring), "nobody would ask"),
    ("declares whether it synthesises", component(Balancer, synthesises=True), "makes no images"),
    ("declares whether it trains a generator", component(examples.HasAGenerator), "nobody would call it"),
    ("declares whether it trains a generator", component(Balancer, trains_generator=True), "has no train_generator"),
    ("trains on the images it makes", component(examples.ForgetsWhatItMade, synthesises=True), "no phase of its plan"),
    ("tells real images from made ones", component(examples.RepeatsAsReal), "calls 3 images REAL"),
    (
        "tells real images from made ones",
        component(examples.ChangesWhatItCallsRepeated),
        "REPEATED that are no training",
    ),
    (
        "gives losses and transforms that fit",
        component(examples.planning(loss=examples.scalar_loss)),
        "one value an image",
    ),
    ("gives losses and transforms that fit", component(examples.planning(loss=examples.double_loss)), "not float32"),
    (
        "gives losses and transforms that fit",
        component(examples.planning(loss=examples.unmoved_loss)),
        "does not depend on the logits",
    ),
    (
        "gives losses and transforms that fit",
        component(examples.planning(batch_transform=examples.transposing)),
        "batch transform of phase 0",
    ),
    (
        "gives losses and transforms that fit",
        component(examples.planning(batch_transform=examples.half_mixing)),
        "only one of",
    ),
    (
        "gives losses and transforms that fit",
        component(examples.planning(adjust_logits=lambda z: z[:, :1])),
        "adjust_logits changes",
    ),
    ("gives losses and transforms that fit", component(examples.planning(adjust_head=lambda w: w / 0)), "not finite"),
    ("same seed gives the same result", component(examples.DrawsFromNowhere), "differ in the images of phase 0"),
    ("same seed gives the same result", component(examples.DrawsFromNumPy), "differ in the images of phase 0"),
    (
        "only a seeded one depends on the seed",
        component(examples.DrawsFromThePlansGenerator, seeded=False),
        "seeded=False",
    ),
    (
        "plans the same whatever it did before",
        component(examples.RemembersWhatItMade, synthesises=True),
        "images of phase 0",
    ),
    ("plans the same whatever it did before", component(examples.CountsItsCalls), "settings of phase 0"),
    ("leaves its inputs alone", component(examples.Writes), "writes to an array"),
    ("leaves its inputs alone", component(examples.WritesThroughTorch), "changes the training images"),
    ("leaves its inputs alone", component(examples.WritesToWhatItMade, synthesises=True), "writes to an array"),
    ("leaves global random state alone", component(examples.DrawsFromNumPy), "NumPy"),
    ("leaves global random state alone", component(examples.SeedsNumPy), "NumPy"),
    ("leaves global random state alone", component(examples.DrawsFromTorch, synthesises=True), "torch"),
    (
        "leaves global random state alone",
        component(examples.planning(batch_transform=examples.globally_mixing)),
        "torch",
    ),
    (
        "handles or refuses a class without images",
        component(examples.WeighsByInverseCounts),
        "loss of phase 0 is not finite",
    ),
    ("handles colour images", component(examples.KnowsGreyOnly), "reshape"),
    ("handles or refuses images that are not square", component(examples.KnowsSquaresOnly), "reshape"),
    ("handles or refuses a class of one image", component(examples.stumbling_where(lambda n: 1 in n)), "did not think"),
    (
        "handles or refuses a class of two images",
        component(examples.stumbling_where(lambda n: 2 in n)),
        "did not think",
    ),
    (
        "handles or refuses a class without images",
        component(examples.stumbling_where(lambda n: 0 in n)),
        "did not think",
    ),
    (
        "handles or refuses a balanced set",
        component(examples.stumbling_where(lambda n: len(set(n)) == 1)),
        "did not think",
    ),
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
