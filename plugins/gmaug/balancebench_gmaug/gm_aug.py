"""GM-augCls: of the images that a generator makes, those are added that a classifier takes for their class.

Guo, Benitez-Quiroz, Feng and Martinez, section 3.4. With the generator trained once on the imbalanced set X,

    C_0 is trained on X;  X_r is X and the candidates x of class y with softmax(C_(r-1)(x))[y] >= alpha,
    as many as each class is short of;  C_r is trained on X_r;  r = 1 .. rounds.

The last classifier is the cell's own: what this module trains are C_0 .. C_(rounds-1), and with `epsilon_points` the
classifier of each round, whose validation accuracy says whether another is worth it. Every round judges all candidates
again, so that X_r replaces X_(r-1). With alpha = 0 nothing is judged and nothing trained: the paper's cGAN-aug.

Left open by the paper and chosen here: the first candidates that pass are taken, in the order in which they are made;
where fewer pass than a class needs, the most probable of the others fill it, or it stays short (`shortage`).

An interrupted step goes on from the rounds it finished: what they chose, and all candidates drawn so far, are kept with
its checkpoints.

Axis suffixes: N images, B candidates of a chunk, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from balancebench import (
    Balancer,
    BalancerError,
    Base,
    LabelledImages,
    PlanContext,
    Predictor,
    SynthesisContext,
    TrainingPlan,
    concatenate,
)
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.target import missing_counts
from balancebench_gmaug.candidates import CHUNK, Candidates, candidates_of
from balancebench_gmaug.finished_rounds import Acceptance, FinishedRounds, Round
from balancebench_gmaug.hold_out import balanced_accuracy, hold_out
from balancebench_gmaug.selection_options import GmAugOptions

__all__ = ["GmAug", "Judge"]

BY_CLASS = "acceptance_by_class.json"
NAMED = 4  # classes in a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A classifier, and what its logits are adjusted by: log_prior_K, 0 where they are taken as they are."""

    predictor: Predictor
    log_prior_K: NDArray[np.float64]

    def probabilities(self, images: LabelledImages, label: int) -> NDArray[np.float64]:
        """Return the probability that each image is of class `label`, float64 (B,)."""
        logits_BK = self.predictor.predict_logits(np.ascontiguousarray(images.images_NCHW)) - self.log_prior_K
        exponential_BK = np.exp(logits_BK - logits_BK.max(axis=1, keepdims=True))
        return exponential_BK[:, label] / exponential_BK.sum(axis=1)


class GmAug(Balancer[GmAugOptions]):
    """Fills classes with those of another balancer's images that a classifier takes for what they should be."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the images of the last round, or None where no class is short of any.

        Keeps curves.json (a point a round) and acceptance_by_class.json. Raises BalancerError where the
        base has nothing to choose from or offers no image of a class that is to grow, and where not one image passes
        and none is to be added otherwise.
        """
        missing_K = missing_counts(self.options.target, train, from_elsewhere=True)
        if not missing_K.any():
            return None
        base = context.base
        candidates = candidates_of(base, train, context)
        if self.options.alpha == 0 or base is None:
            return self._chosen(candidates, train, missing_K, None)[0]
        return self._rounds(candidates, train, missing_K, base, context)

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, on the images that were chosen."""
        if context.base is None:
            return super().plan(train, synthetic, context)
        return replace(context.base, synthetic=synthetic).plan(train, context.rng)

    def _rounds(
        self,
        candidates: Candidates,
        train: LabelledImages,
        missing_K: NDArray[np.int64],
        base: Base,
        context: SynthesisContext,
    ) -> LabelledImages:
        options, learnt, validation = self.options, train, None
        if options.epsilon_points is not None:
            validation = context.validation()
            if validation is None:
                learnt, validation = hold_out(train, context.rng)
        curves = Curves(context.artefacts)
        finished = self._go_on(train, curves, context)
        while True:
            judge = self._judge(learnt, finished.chosen, base, context)
            accuracy = None if validation is None else balanced_accuracy(judge.predictor, validation)
            if finished.chosen is not None and self._is_over(finished, accuracy, context):
                return self._told(finished.chosen, finished.rounds[-1], context)
            count = len(finished.rounds) + 1
            context.progress(count - 1, options.rounds, f"round {count}/{options.rounds}")
            chosen, acceptances = self._chosen(candidates, train, missing_K, judge)
            rounds = (*finished.rounds, Round(validation_accuracy=accuracy, classes=tuple(acceptances)))
            _write_acceptance(options.alpha, rounds, context)
            curves.add(count - 1, **_shares(rounds[-1]))
            if count == options.rounds and validation is None:
                return self._told(chosen, rounds[-1], context)
            finished = FinishedRounds(
                rounds=rounds,
                chosen=chosen,
                random=dict(context.rng.bit_generator.state),
                counted=context.counted(),
            )
            context.checkpoints.save(finished.write)

    def _go_on(self, train: LabelledImages, curves: Curves, context: SynthesisContext) -> FinishedRounds:
        """Return the rounds that an earlier attempt finished, written down again; none where there was none."""
        saved = context.checkpoints.latest()
        if saved is None:
            return FinishedRounds(rounds=(), chosen=None, random={}, counted=(0, 0))
        finished = FinishedRounds.read(saved, train)
        context.rng.bit_generator.state = finished.random
        context.count(*finished.counted)
        _write_acceptance(self.options.alpha, finished.rounds, context)
        for index, finished_round in enumerate(finished.rounds):
            curves.add(index, **_shares(finished_round))
        return finished

    def _is_over(self, finished: FinishedRounds, accuracy: float | None, context: SynthesisContext) -> bool:
        """Say whether the last round was the last. accuracy: on validation images, of the classifier trained on it."""
        before, count = finished.rounds[-1].validation_accuracy, len(finished.rounds)
        if accuracy is None or before is None or self.options.epsilon_points is None:
            return False
        is_over = count == self.options.rounds or 100 * (accuracy - before) < self.options.epsilon_points
        if is_over:
            context.logger.info("round %d: validation accuracy %.4f after %.4f", count, accuracy, before)
        return is_over

    def _told(self, chosen: LabelledImages, last: Round, context: SynthesisContext) -> LabelledImages:
        """Return what is added, after saying what of it lies below alpha."""
        alpha = self.options.alpha
        if filled := sum(acceptance.filled for acceptance in last.classes):
            context.logger.warning(
                "%d of the %d images that are added lie below alpha %g, as too few reach it", filled, len(chosen), alpha
            )
        without = [acceptance.class_name for acceptance in last.classes if acceptance.passed == 0]
        if without and self.options.shortage == "top":
            context.warn(
                f"no image of {len(without)} of {len(last.classes)} filled classes reached alpha {alpha:g} "
                f"({_named(without)}): all that were added there lie below it"
            )
        return chosen

    def _judge(
        self, train: LabelledImages, chosen: LabelledImages | None, base: Base, context: SynthesisContext
    ) -> Judge:
        """Return a classifier trained on `train`, and on the chosen images as the base would train on them."""
        plan = Balancer.plan(self, train, None, PlanContext(rng=context.rng))
        if chosen is not None:
            plan = replace(base, synthetic=chosen).plan(train, context.rng)
        predictor = context.train_classifier(plan)
        log_prior_K = np.zeros(train.class_count)
        if self.options.logit_adjusted:
            images = train if chosen is None else concatenate([train, chosen])
            log_prior_K = np.log(np.maximum(images.counts_K, 1))
        return Judge(predictor=predictor, log_prior_K=log_prior_K)

    def _chosen(
        self, candidates: Candidates, train: LabelledImages, missing_K: NDArray[np.int64], judge: Judge | None
    ) -> tuple[LabelledImages, list[Acceptance]]:
        """Return what is added to all classes, and how that came about, of the classes that are short."""
        chosen: list[LabelledImages] = []
        acceptances: list[Acceptance] = []
        highest: list[tuple[float, str]] = []
        for label in map(int, np.flatnonzero(missing_K)):
            missing, name = int(missing_K[label]), train.class_names[label]
            images, probability_M = self._judged(candidates, label, missing, judge)
            if images is None:
                raise BalancerError(
                    f"the base made no image of class {name!r}, which is short of {missing}: give the base a target "
                    "with more of it, or this balancer a target table without it"
                )
            highest.append((float(probability_M.max()), name))
            passing = np.flatnonzero(probability_M >= self.options.alpha)
            added = passing[:missing]
            filled = np.empty(0, dtype=np.int64)
            if self.options.shortage == "top" and len(added) < missing:
                others = np.flatnonzero(probability_M < self.options.alpha)
                filled = np.sort(others[np.argsort(-probability_M[others], kind="stable")][: missing - len(added)])
            chosen.append(images.take(np.concatenate([added, filled])))
            acceptances.append(
                Acceptance(
                    class_name=name,
                    missing=missing,
                    judged=len(images),
                    passed=len(passing),
                    filled=len(filled),
                )
            )
        if not any(map(len, chosen)):
            best, name = max(highest)
            raise BalancerError(
                f"no candidate of any class reaches alpha {self.options.alpha:g}: the highest probability is "
                f'{best:.3g} in class {name!r}; lower alpha, train the generator longer, or say shortage = "top"'
            )
        return concatenate(chosen), acceptances

    def _judged(
        self, candidates: Candidates, label: int, missing: int, judge: Judge | None
    ) -> tuple[LabelledImages | None, NDArray[np.float64]]:
        """Return candidates of a class in their order, until enough pass or there are no more, and their probabilities.

        Without a judge all pass.
        """
        parts: list[LabelledImages] = []
        probabilities: list[NDArray[np.float64]] = [np.empty(0)]
        passed = 0
        for part in candidates.chunks(label, min(CHUNK, missing), int(np.ceil(self.options.surplus * missing))):
            parts.append(part)
            probabilities.append(np.ones(len(part)) if judge is None else judge.probabilities(part, label))
            passed += int((probabilities[-1] >= self.options.alpha).sum())
            if passed >= missing:
                break
        return (concatenate(parts) if parts else None), np.concatenate(probabilities)


def _write_acceptance(alpha: float, rounds: Sequence[Round], context: SynthesisContext) -> None:
    """Write what became of each class's candidates, in the rounds so far."""
    rows = [{"round": number, **asdict(one)} for number, one in enumerate(rounds, start=1)]
    text = json.dumps({"alpha": alpha, "rounds": rows}, indent=1)
    (context.artefacts / BY_CLASS).write_text(text, encoding="utf-8")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:NAMED]))
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def _shares(finished_round: Round) -> dict[str, float]:
    """Return the share of judged candidates that passed: of all together, and of the classes at either end."""
    acceptances = finished_round.classes
    shares = [acceptance.share for acceptance in acceptances]
    judged = sum(acceptance.judged for acceptance in acceptances)
    return {
        "accepted_share_of_all": sum(acceptance.passed for acceptance in acceptances) / judged,
        "accepted_share_of_the_lowest_class": min(shares),
        "accepted_share_of_the_middle_class": float(np.median(shares)),
        "accepted_share_of_the_highest_class": max(shares),
    }
