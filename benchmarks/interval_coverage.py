"""How often the intervals of a leaderboard cover the difference that they are of, on a convolutional suite.

Forty paired seeds of three rows are the population. Again and again a few seeds, and some of the test images, are drawn
from it; the interval over seeds and test images is made of what was drawn, and covers where it holds the difference of
the whole population. The seeds drawn are a part of forty, so that all intervals cover a little more than they would.

    python -m benchmarks.interval_coverage --store DIR      (trains what DIR lacks: some ten minutes on two cores)
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.scores import read_outcomes
from balancebench.artefacts.splits import read_test_labels
from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.intervals import Estimates, half_widths, seeds_half_widths
from balancebench.plan import Plan, expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite
from benchmarks.report import describe_machine

SUITE = Path(__file__).with_suffix(".toml")
SEEDS, IMAGES = (3, 5, 10), (300, 1000, 10_000)


def main() -> None:
    """Train what is missing, then draw and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="folder of step results, made where there is none")
    parser.add_argument("--draws", type=int, default=1000, help="draws of seeds and test images (1000)")
    arguments = parser.parse_args()
    plan = expand(bind_suite(SUITE, load_registry(), None))
    store = Store.open(arguments.store)
    outcome = run_plan(plan, store, device="cpu")
    if outcome.failed:
        raise SystemExit(f"{len(outcome.failed)} steps failed: {outcome.failed[0].message}")
    right_SRN, labels_N = _correctness(plan, store)
    print(describe_machine()["processor"])
    print(f"{right_SRN.shape[0]} seeds, {right_SRN.shape[1]} rows, {arguments.draws} draws\n")
    print("| test images | seeds | covered, seeds and images | covered, seeds alone | median width (points) |")
    print("|---:|---:|---:|---:|---:|")
    for images in IMAGES:
        for seeds in SEEDS:
            print(_line(right_SRN, labels_N, images, seeds, arguments.draws), flush=True)


def _correctness(plan: Plan, store: Store) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which of N test images each of R rows predicts rightly under each of S seeds, and the labels."""
    rows = list(dict.fromkeys(cell.balancer for cell in plan.cells))
    labels_N = read_test_labels(store, plan.cells[0].steps["load"])
    seeds = list(dict.fromkeys(str(cell.seeds) for cell in plan.cells))
    right_SRN = np.zeros((len(seeds), len(rows), len(labels_N)), dtype=bool)
    for cell in plan.cells:
        of_cell = read_outcomes(store, cell.steps["score"])["last"].correct_N(len(labels_N))
        right_SRN[seeds.index(str(cell.seeds)), rows.index(cell.balancer)] = of_cell
    return right_SRN, labels_N


def _line(right_SRN: NDArray[np.bool_], labels_N: NDArray[np.int64], images: int, seeds: int, draws: int) -> str:
    rng = np.random.default_rng([images, seeds])
    classes = int(labels_N.max()) + 1
    weights_WK = np.full((1, classes), 1 / classes)
    pairs = list(combinations(range(right_SRN.shape[1]), 2))
    first_P, second_P = np.array(pairs).T
    truth_R = _scores(right_SRN, labels_N, classes).mean(axis=0)
    truth_P = truth_R[first_P] - truth_R[second_P]
    full, alone, widths = [], [], []
    for _ in range(draws):
        seeds_s = rng.choice(len(right_SRN), seeds, replace=False)
        images_n = np.sort(rng.choice(len(labels_N), images, replace=False))
        drawn_SRN, drawn_labels_N = right_SRN[seeds_s][:, :, images_n], labels_N[images_n]
        moments = image_moments(np.packbits(drawn_SRN, axis=2), drawn_labels_N, weights_WK)
        scores_SR = _scores(drawn_SRN, drawn_labels_N, classes)
        differences_SP = scores_SR[:, first_P] - scores_SR[:, second_P]
        estimates = Estimates(
            mean_P=differences_SP.mean(axis=0),
            seeds_variance_P=differences_SP.var(axis=0, ddof=1) / seeds,
            df_P=np.full(len(pairs), seeds - 1.0),
            image_variance_P=moments.image_variance_WRR[0, first_P, second_P],
            residual_variance_P=moments.residual_variance_WRR[0, first_P, second_P],
        )
        error_P = np.abs(estimates.mean_P - truth_P)
        full.append(error_P <= half_widths(estimates))
        alone.append(error_P <= seeds_half_widths(estimates))
        widths.append(2 * half_widths(estimates))
    shown: list[Any] = [
        images,
        seeds,
        f"{np.mean(full):.3f}",
        f"{np.mean(alone):.3f}",
        f"{100 * np.median(widths):.2f}",
    ]
    return f"| {' | '.join(map(str, shown))} |"


def _scores(right_SRN: NDArray[np.bool_], labels_N: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return balanced accuracies, (S, R)."""
    recall_SRK = [right_SRN[:, :, labels_N == label].mean(axis=2) for label in range(classes)]
    return np.mean(recall_SRK, axis=0)


if __name__ == "__main__":
    main()
