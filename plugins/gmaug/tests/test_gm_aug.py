"""GM-augCls keeps what its classifier takes for the intended class, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from balancebench import Balancer, BalancerError, Base, LabelledImages, Options, Origin, PlanContext
from balancebench.testing import synthesis_context
from balancebench_gmaug.gm_aug import GmAug
from balancebench_gmaug.selection_options import GmAugOptions

LEVELS = 100  # a stub image of level v has probability v / LEVELS of being what it should be


class StubGenerator:
    """Draws flat images whose levels count up within each call: 0, 1, ... 99, 0, ..."""

    def __init__(self, levels=tuple(range(LEVELS))):
        self.levels = levels
        self.drawn = []

    def draw(self, labels_B, random):
        self.drawn.append(labels_B.tolist())
        levels_B = np.resize(np.array(self.levels, dtype=np.uint8), len(labels_B))
        return np.broadcast_to(levels_B[:, None, None, None], (len(labels_B), 1, 4, 4)).copy()


class StubPredictor:
    """Gives every class but the first the probability that the image's level says, of two classes exactly that."""

    def __init__(self, shift=0, class_count=2):
        self.shift = shift
        self.class_count = class_count

    def predict_logits(self, images_NCHW):
        p_N1 = np.clip((images_NCHW[:, 0, 0, :1].astype(float) - self.shift) / LEVELS, 1e-6, 1 - 1e-6)
        others_NK = np.repeat(np.log(p_N1), self.class_count - 1, axis=1)
        return np.concatenate([np.log(1 - p_N1), others_NK], axis=1).astype(np.float64)


def training_set(counts):
    labels_N = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return LabelledImages(
        images_NCHW=np.full((len(labels_N), 1, 4, 4), 200, dtype=np.uint8),
        labels_N=labels_N,
        class_names=tuple("abc"[: len(counts)]),
    )


class Trainings:
    """Hands out stub predictors and keeps the plans they were asked for."""

    def __init__(self, *predictors):
        self.predictors = predictors or (StubPredictor(),)
        self.plans = []

    def __call__(self, plan):
        self.plans.append(plan)
        return self.predictors[min(len(self.plans), len(self.predictors)) - 1]


def base_of(generator=None, synthetic=None):
    extra = {} if generator is None else {"generator": lambda: generator}
    return Base(balancer=Balancer(Options()), synthetic=synthetic, **extra)


def chosen(tmp_path, train, base, trainings=None, validation=None, **options):
    context = synthesis_context(
        tmp_path, train_classifier=trainings or Trainings(), base=base, validation=validation and (lambda: validation)
    )
    balancer = GmAug(GmAugOptions(base={"use": "stub"}, **options))
    return balancer.synthesise(train, context), context


def levels_of(images):
    return images.images_NCHW[:, 0, 0, 0].tolist()


def test_the_kept_set_is_exact(tmp_path):
    generator = StubGenerator(levels=(10, 95, 50, 90, 91, 89))
    synthetic, _ = chosen(tmp_path, training_set([12, 6]), base_of(generator), alpha=0.895, surplus=10)
    assert levels_of(synthetic) == [95, 90, 91, 95, 90, 91]
    assert synthetic.labels_N.tolist() == [1] * 6
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_each_round_trains_one_classifier_beside_the_cells_own(tmp_path, rounds):
    trainings = Trainings()
    chosen(tmp_path, training_set([12, 6]), base_of(StubGenerator((99,))), trainings, rounds=rounds)
    assert len(trainings.plans) == rounds
    sizes = [len(plan.phases[0].images) for plan in trainings.plans]
    assert sizes == [18, 24, 24][:rounds]


def test_a_later_round_judges_the_same_candidates_again_with_its_own_classifier(tmp_path):
    generator = StubGenerator(levels=(60, 95, 50, 90, 70, 80))
    trainings = Trainings(StubPredictor(), StubPredictor(shift=20))
    synthetic, context = chosen(
        tmp_path, training_set([12, 6]), base_of(generator), trainings, alpha=0.65, rounds=2, surplus=10
    )
    assert levels_of(synthetic) == [95, 90, 95, 90, 95, 90]
    assert trainings.plans[1].phases[0].images.images_NCHW[18:, 0, 0, 0].tolist() == [95, 90, 70, 80, 95, 90]
    rounds = json.loads((context.artefacts / "acceptance_by_class.json").read_text())["rounds"]
    assert [entry["classes"][0]["judged"] for entry in rounds] == [12, 18]
    assert [entry["classes"][0]["passed"] for entry in rounds] == [8, 6]
    assert len(generator.drawn) == 3  # a third chunk for the second round; the first two were kept
    curves = json.loads((context.artefacts / "curves.json").read_text())["curves"]
    assert [row["accepted_share_of_all"] for row in curves] == pytest.approx([8 / 12, 6 / 18])


def test_a_class_that_is_short_is_filled_with_the_most_probable_of_the_others(tmp_path, caplog):
    generator = StubGenerator(levels=(10, 95, 50, 40, 30, 20))
    synthetic, context = chosen(
        tmp_path, training_set([12, 6]), base_of(generator), alpha=0.9, surplus=1, shortage="top"
    )
    assert levels_of(synthetic) == [95, 10, 50, 40, 30, 20]
    assert "5 of the 6 images that are added lie below alpha 0.9" in caplog.text
    (entry, _) = json.loads((context.artefacts / "acceptance_by_class.json").read_text())["rounds"]
    assert entry["classes"] == [{"class_name": "b", "missing": 6, "judged": 6, "passed": 1, "filled": 5}]


@pytest.mark.parametrize(("shortage", "levels"), [("top", (10, 95, 20)), ("short", (10, 95, 20))])
def test_no_warning_where_an_image_of_each_class_passed(tmp_path, shortage, levels):
    assert warnings_of(tmp_path, levels, shortage) == []


def test_readers_are_warned_where_nothing_of_a_class_passed_and_all_of_it_was_filled(tmp_path):
    assert warnings_of(tmp_path, (10, 85, 20), "top") == [
        "no image of 1 of 1 filled classes reached alpha 0.9 ('b'): all that were added there lie below it"
    ]


def warnings_of(tmp_path, levels, shortage):
    warned = []
    context = synthesis_context(tmp_path, train_classifier=Trainings(), base=base_of(StubGenerator(levels)))
    context = replace(context, warn=warned.append)
    options = GmAugOptions(base={"use": "stub"}, alpha=0.9, surplus=2, rounds=1, shortage=shortage)
    GmAug(options).synthesise(training_set([12, 6]), context)
    return warned


def test_the_fill_takes_the_most_probable(tmp_path):
    generator = StubGenerator(levels=(10, 95, 50, 40, 30, 20))
    synthetic, _ = chosen(tmp_path, training_set([12, 6]), base_of(generator), alpha=0.9, surplus=2, shortage="top")
    assert levels_of(synthetic) == [95, 95, 50, 40, 50, 40]


def test_a_class_may_stay_short_and_holds_nothing_below_alpha(tmp_path):
    generator = StubGenerator(levels=(10, 95, 50, 40, 30, 20))
    synthetic, _ = chosen(tmp_path, training_set([12, 6]), base_of(generator), alpha=0.9, surplus=2, shortage="short")
    assert levels_of(synthetic) == [95, 95]


def test_alpha_that_nothing_passes_is_an_error_with_the_highest_probability(tmp_path):
    with pytest.raises(BalancerError, match=r"reaches alpha 0\.9: the highest probability is 0\.4 in class 'b'"):
        chosen(
            tmp_path, training_set([12, 6]), base_of(StubGenerator((10, 40))), alpha=0.9, surplus=2, shortage="short"
        )


def test_alpha_0_keeps_the_first_and_trains_no_classifier(tmp_path):
    trainings = Trainings()
    synthetic, _ = chosen(tmp_path, training_set([12, 6]), base_of(StubGenerator((3, 1, 2))), trainings, alpha=0)
    assert levels_of(synthetic) == [3, 1, 2, 3, 1, 2]
    assert not trainings.plans


def test_a_class_has_its_images_whatever_other_classes_are_short_of(tmp_path):
    class Noise:
        def draw(self, labels_B, random):
            import torch

            return torch.randint(0, 256, (len(labels_B), 1, 4, 4), generator=random).numpy().astype(np.uint8)

    class Sure:
        def predict_logits(self, images_NCHW):
            return np.zeros((len(images_NCHW), 3), dtype=np.float32)

    train = training_set([12, 6, 6])
    sets = [
        chosen(tmp_path / name, train, base_of(Noise()), Trainings(Sure()), alpha=0.2, target=target)[0]
        for name, target in (("few", {"c": 12}), ("many", {"b": 40, "c": 12}))
        if (tmp_path / name).mkdir() is None
    ]
    of_c = [images.images_NCHW[images.labels_N == 2] for images in sets]
    assert len(of_c[0]) == 6
    np.testing.assert_array_equal(*of_c)


def test_images_that_a_base_made_once_are_chosen_from_as_they_are(tmp_path):
    pool = training_set([0, 8])
    pool.images_NCHW[:] = np.array([10, 95, 90, 20, 93, 99, 98, 97], dtype=np.uint8)[:, None, None, None]
    pool = pool.take(np.arange(8), origin=Origin.AUGMENTED)
    synthetic, _ = chosen(tmp_path, training_set([10, 6]), base_of(synthetic=pool), alpha=0.895)
    assert levels_of(synthetic) == [95, 90, 93, 99]
    assert (synthetic.origins_N == Origin.AUGMENTED).all()


def test_a_base_without_images_of_a_class_is_refused_by_the_name_of_the_class(tmp_path):
    pool = training_set([0, 8, 0]).take(np.arange(8), origin=Origin.SYNTHETIC)
    with pytest.raises(BalancerError, match="the base made no image of class 'c', which is short of 4"):
        chosen(tmp_path, training_set([10, 6, 6]), base_of(synthetic=pool), Trainings(StubPredictor(class_count=3)))


def test_a_base_that_makes_nothing_is_refused_before_any_classifier_is_trained(tmp_path):
    trainings = Trainings()
    with pytest.raises(BalancerError, match="made no images to choose from and has no generator"):
        chosen(tmp_path, training_set([10, 6]), base_of(), trainings)
    assert not trainings.plans


class ByAccuracy(StubPredictor):
    """Right of all images of the first class, and of a share of the others."""

    def __init__(self, accuracy):
        super().__init__()
        self.accuracy = accuracy

    def predict_logits(self, images_NCHW):
        if images_NCHW[0, 0, 0, 0] != 200:
            return super().predict_logits(images_NCHW)
        right = round(self.accuracy * len(images_NCHW))
        predicted_N = np.where(np.arange(len(images_NCHW)) < right, 0, 1)
        return np.eye(2, dtype=np.float32)[predicted_N]


@pytest.mark.parametrize(
    ("accuracies", "rounds_made"),
    [((0.5, 0.6, 0.605, 0.9), 2), ((0.5, 0.6, 0.7, 0.8), 3), ((0.5, 0.4), 1)],
)
def test_rounds_end_where_validation_accuracy_gains_less_than_epsilon(tmp_path, accuracies, rounds_made):
    validation = training_set([1000, 0])
    trainings = Trainings(*map(ByAccuracy, accuracies))
    _, context = chosen(
        tmp_path,
        training_set([12, 6]),
        base_of(StubGenerator((99,))),
        trainings,
        validation=validation,
        rounds=3,
        epsilon_points=1.0,
    )
    assert len(trainings.plans) == rounds_made + 1
    assert len(json.loads((context.artefacts / "acceptance_by_class.json").read_text())["rounds"]) == rounds_made


def test_without_validation_images_a_tenth_of_each_class_is_held_out_of_the_judges_training(tmp_path):
    trainings = Trainings(StubPredictor(class_count=3))
    chosen(
        tmp_path,
        training_set([60, 20, 4]),
        base_of(StubGenerator((99,))),
        trainings,
        rounds=1,
        epsilon_points=0.5,
        shortage="top",
    )
    assert trainings.plans[0].phases[0].images.counts_K.tolist() == [54, 18, 4]
    assert trainings.plans[1].phases[0].images.counts_K.tolist() == [54, 58, 60]


def test_logit_adjustment_takes_the_class_sizes_off(tmp_path):
    class Prior:
        """Says nothing but how large the classes are."""

        def predict_logits(self, images_NCHW):
            return np.tile(np.log([30.0, 10.0]), (len(images_NCHW), 1)).astype(np.float32)

    train, generator = training_set([30, 10]), StubGenerator()
    synthetic, _ = chosen(
        tmp_path, train, base_of(generator), Trainings(Prior()), alpha=0.5, rounds=1, logit_adjusted=True
    )
    assert len(synthetic) == 20
    (tmp_path / "plain").mkdir()
    with pytest.raises(BalancerError, match=r"highest probability is 0\.25"):
        chosen(tmp_path / "plain", train, base_of(generator), Trainings(Prior()), alpha=0.5, shortage="short")


def test_the_base_says_how_the_chosen_images_are_trained_on(tmp_path):
    class SyntheticFirst(Balancer):
        def plan(self, train, synthetic, context):
            from balancebench import Phase, TrainingPlan

            return TrainingPlan(phases=(Phase(images=synthetic), Phase(images=train)), normalise_on=train)

    train, generated = training_set([12, 6]), training_set([0, 6])
    base = Base(balancer=SyntheticFirst(Options()), synthetic=None)
    context = PlanContext(rng=np.random.default_rng(0), base=base)
    plan = GmAug(GmAugOptions(base={"use": "stub"})).plan(train, generated, context)
    assert [phase.images for phase in plan.phases] == [generated, train]
