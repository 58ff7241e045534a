"""Rows are summarised, compared with floor and ceiling, gated by their images, and ranked; checked on paper."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.export import json_text
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import Task
from balancebench.suite.bound import PublishedNumbers


def the_table(suite, cells):
    (table,) = build_leaderboard(suite, cells).tables
    return table


def rows_of(suite, cells):
    return {row.balancer: row for row in the_table(suite, cells).rows}


def test_mean_and_standard_deviation_are_over_seeds_with_n_minus_1(small):
    summary = rows_of(small.suite, small.cells)["smote"].metrics["accuracy"]
    assert summary.values == {"0": 0.70, "1": 0.73, "2": 0.70}
    assert summary.over_seeds.n == 3
    assert summary.over_seeds.mean == pytest.approx(0.71)
    # deviations -0.01, 0.02, -0.01: sqrt(0.0006 / 2)
    assert summary.over_seeds.std == pytest.approx(math.sqrt(0.0003))


def test_one_seed_has_a_mean_and_no_standard_deviation(make):
    summary = rows_of(make.suite(), [make.cell("smote", 0, 0.7)])["smote"].metrics["accuracy"]
    assert (summary.over_seeds.mean, summary.over_seeds.std, summary.over_seeds.n) == (0.7, None, 1)


def test_the_difference_from_the_floor_is_paired_by_seed(small):
    difference = rows_of(small.suite, small.cells)["smote"].metrics["accuracy"].difference
    # 0.10, 0.11, 0.06: mean 0.09, deviations 0.01, 0.02, -0.03
    assert difference.mean == pytest.approx(0.09)
    assert difference.std == pytest.approx(math.sqrt(0.0014 / 2))
    assert difference.n == 3


def test_the_difference_uses_only_seeds_that_both_have(make, small):
    cells = [cell for cell in small.cells if not (cell.role == "floor" and cell.seeds.subset == 0)]
    difference = rows_of(small.suite, cells)["smote"].metrics["accuracy"].difference
    assert (difference.n, difference.mean) == (2, pytest.approx((0.11 + 0.06) / 2))


def test_the_gap_closed_is_the_share_of_the_way_from_floor_to_ceiling(small):
    rows = rows_of(small.suite, small.cells)
    assert rows["smote"].metrics["accuracy"].gap_closed == pytest.approx((0.71 - 0.62) / (0.90 - 0.62))
    assert rows["none"].metrics["accuracy"].gap_closed == 0
    assert rows["no imbalance"].metrics["accuracy"].gap_closed == 1


def test_the_gap_closed_is_positive_for_a_better_row_where_lower_is_better(make):
    suite = make.suite((("loss", "", False),))
    cells = [
        make.cell("none", 0, 1.0, role="floor", metric="loss"),
        make.cell("smote", 0, 0.7, metric="loss"),
        make.cell("worse", 0, 1.1, metric="loss"),
        make.cell("no imbalance", 0, 0.5, role="ceiling", metric="loss"),
    ]
    rows = rows_of(suite, cells)
    assert rows["smote"].metrics["loss"].gap_closed == pytest.approx(0.6)
    assert rows["worse"].metrics["loss"].gap_closed == pytest.approx(-0.2)
    assert [rows[name].rank for name in ("smote", "none", "worse")] == [1, 2, 3]


@pytest.mark.parametrize("ceiling", [0.6, 0.5])
def test_there_is_no_gap_where_the_ceiling_is_no_better_than_the_floor(make, ceiling):
    cells = [
        make.cell("none", 0, 0.6, role="floor"),
        make.cell("smote", 0, 0.7),
        make.cell("no imbalance", 0, ceiling, role="ceiling"),
    ]
    summary = rows_of(make.suite(), cells)["smote"].metrics["accuracy"]
    assert summary.gap_closed is None
    assert "no better than the floor" in summary.gap_reason


@pytest.mark.parametrize(("accuracy", "closed"), [(0.7, 10.0), (0.5, -10.0), (0.701, None), (0.499, None)])
def test_a_gap_that_is_a_tenth_of_the_way_to_a_row_is_no_measure(make, accuracy, closed):
    cells = [
        make.cell("none", 0, 0.6, role="floor"),
        make.cell("smote", 0, accuracy),
        make.cell("no imbalance", 0, 0.61 - 1e-12 if closed is None else 0.61 + 1e-12, role="ceiling"),
    ]
    summary = rows_of(make.suite(), cells)["smote"].metrics["accuracy"]
    assert summary.gap_closed == (closed and pytest.approx(closed))
    assert ("so close" in summary.gap_reason) == (closed is None)


def test_a_metric_that_the_ceiling_lacks_says_so_in_the_gap(make):
    cells = [
        make.cell("none", 0, 0.6, role="floor"),
        make.cell("smote", 0, 0.7),
        make.cell("no imbalance", 0, {"accuracy": "no class has few images"}, role="ceiling"),
    ]
    summary = rows_of(make.suite(), cells)["smote"].metrics["accuracy"]
    assert summary.gap_reason == "accuracy of the ceiling has no value: no class has few images"
    assert summary.difference.mean == pytest.approx(0.1)


def test_a_suite_without_floor_or_ceiling_says_so_instead_of_a_difference(make):
    summary = rows_of(make.suite(), [make.cell("smote", 0, 0.7)])["smote"].metrics["accuracy"]
    assert summary.difference.mean is None
    assert "no floor" in summary.difference.reason
    assert summary.gap_closed is None


def test_rows_are_ranked_best_first_the_floor_among_them_and_the_ceiling_unranked(small):
    table = the_table(small.suite, small.cells)
    assert [(row.balancer, row.rank) for row in table.rows] == [
        ("smote", 1),
        ("random_oversampling", 2),
        ("none", 3),
        ("no imbalance", None),
    ]


def test_equal_means_share_a_rank_and_the_next_rank_is_left_out(make):
    suite = make.suite(axes={"dataset": (), "imbalancer": (), "classifier": (), "balancer": ("b", "a", "c")})
    cells = [*make.row("a", [0.1, 0.3]), *make.row("b", [0.3, 0.1]), *make.row("c", [0.1, 0.1])]
    assert [(row.balancer, row.rank) for row in the_table(suite, cells).rows] == [("b", 1), ("a", 1), ("c", 3)]


def test_the_first_metric_that_is_a_number_with_a_better_direction_ranks(make):
    suite = make.suite((("confusion", "", None), ("recall", "%", True), ("loss", "", False), ("accuracy", "%", True)))
    values = {"confusion": [[1.0, 2.0], [3.0, 4.0]], "recall": [0.5, None]}
    cells = [
        make.cell("a", 0, {**values, "loss": 0.5, "accuracy": 0.1}),
        make.cell("b", 0, {**values, "loss": 0.6, "accuracy": 0.9}),
    ]
    table = the_table(suite, cells)
    assert table.ranked_by == "loss"
    assert [row.balancer for row in table.rows] == ["a", "b"]
    assert [metric.label for metric in table.metrics] == ["loss", "accuracy"]
    assert [metric.label for metric in table.class_metrics] == ["recall"]
    assert table.rows[0].per_class["recall"].mean_K == (0.5, None)
    assert table.rows[0].matrices["confusion"] == {"0": [[1.0, 2.0], [3.0, 4.0]]}


def test_the_mean_of_a_class_is_over_the_seeds_where_it_is_defined(make):
    suite = make.suite((("recall", "%", True),))
    cells = [make.cell("a", 0, {"recall": [0.5, None, None]}), make.cell("a", 1, {"recall": [0.7, 0.2, None]})]
    recall = the_table(suite, cells).rows[0].per_class["recall"]
    assert recall.mean_K == (pytest.approx(0.6), 0.2, None)
    assert recall.values_K == {"0": (0.5, None, None), "1": (0.7, 0.2, None)}


def test_an_undefined_value_is_left_out_of_the_mean_and_its_reason_kept(make):
    cells = [make.cell("a", 0, 0.5), make.cell("a", 1, {"accuracy": "no such class"})]
    row = rows_of(make.suite(), cells)["a"]
    summary = row.metrics["accuracy"]
    assert (summary.over_seeds.mean, summary.over_seeds.n) == (0.5, 1)
    assert summary.undefined == {"1": "no such class"}
    assert row.done == 2


def test_a_row_whose_ranking_metric_is_undefined_everywhere_is_not_ranked(make):
    cells = [make.cell("a", 0, {"accuracy": "no such class"}), make.cell("b", 0, 0.2)]
    rows = rows_of(make.suite(), cells)
    assert rows["b"].rank == 1
    assert rows["a"].rank is None
    assert "no such class" in rows["a"].unranked_because


def test_failed_and_missing_cells_are_counted_with_their_reasons(make, small):
    cells = [
        *small.cells,
        make.cell("half", 0, 0.9),
        make.cell("half", 1, status="failed", message="it broke"),
        make.cell("half", 2, status="failed", message="it broke"),
        make.cell("never", 0, status="missing", message="it has not been run"),
    ]
    board = build_leaderboard(small.suite, cells)
    rows = {row.balancer: row for row in board.tables[0].rows}
    assert (rows["half"].done, rows["half"].planned, rows["half"].rank) == (1, 3, None)
    (problem,) = rows["half"].problems
    assert (problem.status, problem.message, problem.seeds) == ("failed", "it broke", ("1", "2"))
    assert board.tables[0].rows[-1].balancer == "never"
    assert rows["never"].rank is None
    assert board.counts == {"done": 13, "failed": 2, "missing": 1}


def test_cells_that_share_a_score_are_one_measurement(make):
    shared = make.key("the same score")
    floor = [
        make.cell("none", (0, generator, 0), 0.6, role="floor", steps={"score": shared}) for generator in (0, 1, 2)
    ]
    row = [make.cell("smote", (0, generator, 0), value) for generator, value in enumerate((0.7, 0.7, 0.8))]
    rows = rows_of(make.suite(), [*floor, *row])
    floor_row = rows["none"]
    assert (floor_row.planned, floor_row.done) == (1, 1)
    assert floor_row.metrics["accuracy"].over_seeds.n == 1
    assert floor_row.metrics["accuracy"].over_seeds.std is None
    assert set(floor_row.metrics["accuracy"].values) == {"0", "0/1/0", "0/2/0"}  # kept, for pairing
    assert rows["smote"].metrics["accuracy"].difference.n == 3
    assert rows["smote"].metrics["accuracy"].difference.mean == pytest.approx(0.4 / 3)


def test_shared_scores_on_both_sides_make_one_pair(make):
    cells = [
        make.cell(name, (0, generator, 0), value, role=role, steps={"score": make.key(name)})
        for name, value, role in (("none", 0.6, "floor"), ("weights", 0.7, "entry"))
        for generator in (0, 1)
    ]
    assert rows_of(make.suite(), cells)["weights"].metrics["accuracy"].difference.n == 1


@pytest.mark.parametrize(
    ("counts_K", "names", "said"),
    [
        ((100, 50, 12), ("zero", "one", "bag"), "class 'bag' has 12 images instead of 10"),
        ((100, 50, 10), ("zero", "one", "bag"), "same counts, other images"),
        ((100, 50, 10), ("zero", "one", "shirt"), "class 2 is 'shirt' instead of 'bag'"),
        ((100, 50), ("zero", "one"), "2 classes instead of 3"),
    ],
)
def test_a_row_of_other_images_is_not_ranked_and_told_which_class_differs(make, small, counts_K, names, said):
    strange = make.cell("strange", 1, 0.99, subset=make.subset(1, counts_K, names, salt="other"))
    rows = rows_of(small.suite, [*small.cells, make.cell("strange", 0, 0.99), strange])
    assert rows["strange"].rank is None
    assert "seed 1" in rows["strange"].unranked_because
    assert said in rows["strange"].unranked_because
    assert rows["smote"].rank == 1
    summary = rows["strange"].metrics["accuracy"]
    assert summary.over_seeds.mean == 0.99
    assert summary.difference.mean is None
    assert summary.gap_closed is None


def test_without_a_floor_the_images_that_most_rows_share_decide(make):
    strange = make.cell("strange", 0, 0.9, subset=make.subset(0, salt="other"))
    rows = rows_of(make.suite(), [strange, make.cell("a", 0, 0.5), make.cell("b", 0, 0.6)])
    assert rows["strange"].rank is None
    assert (rows["b"].rank, rows["a"].rank) == (1, 2)


def test_the_ceiling_has_other_images_by_design_and_is_not_gated(small):
    rows = rows_of(small.suite, small.cells)
    assert rows["no imbalance"].unranked_because == ""


def test_marks_are_carried_by_the_row_and_do_not_change_its_rank(make, small):
    marked = [
        *make.row("clairvoyant", [0.99], used_withheld_data=True),
        *make.row("pretrained", [0.98], outside_data=("ImageNet-1k weights",)),
    ]
    rows = rows_of(small.suite, [*small.cells, *marked])
    assert (rows["clairvoyant"].rank, rows["clairvoyant"].used_withheld_data) == (1, True)
    assert (rows["pretrained"].rank, rows["pretrained"].outside_data) == (2, ("ImageNet-1k weights",))
    assert not rows["smote"].used_withheld_data


def test_the_optimism_of_the_best_test_epoch_is_paired_with_the_last(make):
    suite = make.suite(reports=("last", "best_test"))
    cells = [
        make.cell("a", seed, reports={"last": last, "best_test": best})
        for seed, (last, best) in enumerate([(0.60, 0.62), (0.70, 0.74)])
    ]
    last, best = build_leaderboard(suite, cells).tables
    assert last.rows[0].optimism is None
    assert best.rows[0].optimism.mean == pytest.approx(0.03)
    assert best.rows[0].optimism.std == pytest.approx(math.sqrt(2 * 0.01**2))


def test_published_numbers_stand_beside_the_rows_and_reports_they_are_of(make):
    published = (
        PublishedNumbers(labels={"balancer": ("smote",)}, values={"accuracy": 0.70}, source="Table 1"),
        PublishedNumbers(labels={"balancer": None}, values={"accuracy": 0.95}, source="Table 2", ceiling=True),
        PublishedNumbers(labels={"dataset": ("another",)}, values={"accuracy": 0.1}, source="Table 3"),
    )
    cells = [
        *make.row("none", [0.60], role="floor"),
        *make.row("smote", [0.71]),
        *make.row("no imbalance", [0.9], role="ceiling"),
    ]
    rows = rows_of(make.suite(published=published), cells)
    (ours,) = rows["smote"].metrics["accuracy"].published
    assert (ours.value, ours.source) == (0.70, "Table 1")
    assert ours.difference == pytest.approx(0.01)
    assert rows["none"].metrics["accuracy"].published == ()
    assert [number.value for number in rows["no imbalance"].metrics["accuracy"].published] == [0.95]


def test_tasks_come_in_the_order_of_the_suite(make):
    suite = make.suite(
        axes={"dataset": ("z", "a"), "imbalancer": ("lt",), "classifier": ("net",), "balancer": ("smote",)}
    )
    cells = [
        make.cell("smote", 0, 0.5, task=Task(dataset=dataset, imbalancer="lt", classifier="net"))
        for dataset in ("a", "z", "unheard_of")
    ]
    assert [table.task.dataset for table in build_leaderboard(suite, cells).tables] == ["z", "a", "unheard_of"]


def test_two_results_of_one_cell_are_an_error(make):
    with pytest.raises(LeaderboardError, match="two results of digits / long_tail / small_cnn / smote / seed 0"):
        build_leaderboard(make.suite(), [make.cell("smote", 0, 0.5), make.cell("smote", 0, 0.6)])


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=5),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_results_does_not_matter(make, values, shuffle: random.Random):
    cells = [cell for number, row in enumerate(values) for cell in make.row(f"b{number}", row)]
    cells += make.row("none", [0.5, 0.5, 0.5], role="floor")
    shuffled = list(cells)
    shuffle.shuffle(shuffled)
    assert json_text(build_leaderboard(make.suite(), shuffled)) == json_text(build_leaderboard(make.suite(), cells))


@settings(max_examples=25, deadline=None)
@given(
    means=st.lists(st.integers(0, 100).map(lambda hundredths: hundredths / 100), min_size=1, max_size=8),
    higher=st.booleans(),
)
def test_a_rank_is_one_more_than_the_number_of_better_rows(make, means, higher):
    suite = make.suite((("accuracy", "%", higher),))
    cells = [make.cell(f"b{number}", 0, mean) for number, mean in enumerate(means)]
    for row in the_table(suite, cells).rows:
        own = row.metrics["accuracy"].over_seeds.mean
        better = sum(mean > own if higher else mean < own for mean in means)
        assert row.rank == 1 + better


def test_ten_thousand_cells_build_in_seconds(make):
    import time

    drawn = random.Random(0)
    cells = [
        make.cell(f"b{balancer}", seed, drawn.random(), task=Task(dataset=f"d{task}", imbalancer="i", classifier="c"))
        for task in range(20)
        for balancer in range(100)
        for seed in range(5)
    ]
    start = time.perf_counter()
    board = build_leaderboard(make.suite(), cells)
    assert time.perf_counter() - start < 10  # 0.5 s on an idle core
    assert board.counts == {"done": 10_000}


def with_exposure(make, images_seen, **changes):
    """Return a cost with these images seen, all of them by the classifier unless told otherwise."""
    cost = make.cell("any").cost
    return replace(cost, **{"images_seen": images_seen, "classifier_images_seen": images_seen, **changes})


def test_exposure_is_what_the_classifiers_saw_against_the_floor(make):
    cells = [
        *make.row("none", [0.6, 0.6], role="floor", cost=with_exposure(make, 1000)),
        *make.row("oversampled", [0.7, 0.7], cost=with_exposure(make, 2900)),
        *make.row("generated", [0.7, 0.7], cost=with_exposure(make, 50_000, classifier_images_seen=1050)),
    ]
    rows = rows_of(make.suite(), cells)
    assert [rows[name].exposure for name in ("none", "oversampled", "generated")] == [1, 2.9, 1.05]


def test_exposure_is_unknown_without_a_floor(make):
    assert rows_of(make.suite(), [make.cell("smote", 0, 0.7, cost=with_exposure(make, 10))])["smote"].exposure is None


def test_records_that_do_not_tell_the_classifiers_images_from_a_generators_give_no_exposure(make):
    steps = make.cell("generated").steps | {"synthesise": make.key("synthesise")}
    cells = [
        make.cell("none", 0, 0.6, role="floor"),
        make.cell("reweighted", 0, 0.7, cost=with_exposure(make, 3200, classifier_images_seen=None)),
        make.cell("generated", 0, 0.7, steps=steps, cost=with_exposure(make, 3200, classifier_images_seen=None)),
    ]
    rows = rows_of(make.suite(), cells)
    assert (rows["reweighted"].exposure, rows["generated"].exposure) == (2, None)
