"""The script's statistics against Python's: tails, quantiles, p, and everything that pairs of rows are judged by."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from balancebench.leaderboard.intervals import Estimates, full_intervals, half_widths, p_values, seeds_intervals
from balancebench.leaderboard.page import image_counts
from balancebench.leaderboard.page.build import page_html
from balancebench.leaderboard.priors import class_weights
from balancebench.leaderboard.separation import adjusted, holm

SOURCES = Path(__file__).parents[3] / "balancebench" / "leaderboard" / "page"
PRECISION = 1e-9
CASES = 1000


@pytest.fixture(scope="module")
def evaluate(chromium):
    """Evaluate an expression of one argument where numbers.js, estimates.js, mixes.js and tables.js are loaded."""
    page = chromium.new_page()
    for name in ("numbers.js", "estimates.js", "mixes.js", "tables.js"):
        page.add_script_tag(content=(SOURCES / name).read_text(encoding="utf-8"))
    yield page.evaluate
    page.close()


def test_quantiles_and_tails_of_t_are_scipys(evaluate):
    rng = np.random.default_rng(1)
    tails = np.concatenate([10.0 ** rng.uniform(-12, np.log10(0.5), CASES // 2), rng.uniform(0.001, 0.999, CASES // 2)])
    dfs = np.concatenate([rng.integers(1, 30, CASES // 2), 10 ** rng.uniform(0, 3, CASES // 2)])
    quantiles = evaluate(
        "cases => cases.map(([tail, df]) => tQuantile(tail, df))", [*map(list, zip(tails, dfs, strict=True))]
    )
    expected = stats.t.isf(tails, dfs)
    assert quantiles == pytest.approx(expected.tolist(), rel=PRECISION, abs=1e-12)
    back = evaluate("cases => cases.map(([t, df]) => tTail(t, df))", [*map(list, zip(expected, dfs, strict=True))])
    assert back == pytest.approx(stats.t.sf(expected, dfs).tolist(), rel=PRECISION)


def test_quantiles_and_tails_of_the_normal_distribution_are_scipys(evaluate):
    rng = np.random.default_rng(2)
    tails = np.concatenate([10.0 ** rng.uniform(-200, np.log10(0.5), CASES // 2), rng.uniform(0, 1, CASES // 2)])
    quantiles = evaluate("cases => cases.map(normalQuantile)", tails.tolist())
    expected = stats.norm.isf(tails)
    assert quantiles == pytest.approx(expected.tolist(), rel=PRECISION, abs=1e-12)
    back = evaluate("cases => cases.map(normalTail)", expected.tolist())
    assert back == pytest.approx(stats.norm.sf(expected).tolist(), rel=PRECISION)


def test_p_and_half_widths_are_pythons(evaluate):
    rng = np.random.default_rng(3)
    seeds, images, rest = (10.0 ** rng.uniform(-7, -3, (3, CASES))) * (rng.random((3, CASES)) > 0.15)
    df = rng.integers(1, 12, CASES).astype(float)
    mean = np.sqrt(seeds + images + rest) * rng.normal(0, 4, CASES)
    estimates = Estimates(
        mean_P=mean, seeds_variance_P=seeds, df_P=df, image_variance_P=images, residual_variance_P=rest
    )
    cases = [
        [float(m), {"seeds": float(s), "df": float(d), "images": float(i), "rest": float(r)}]
        for m, s, d, i, r in zip(mean, seeds, df, images, rest, strict=True)
    ]
    assert evaluate("cases => cases.map(([, v]) => halfWidth(v))", cases) == pytest.approx(
        half_widths(estimates).tolist(), rel=PRECISION
    )
    assert evaluate("cases => cases.map(([m, v]) => pValue(m, v))", cases) == pytest.approx(
        p_values(estimates).tolist(), rel=PRECISION, abs=1e-15
    )


def test_adjusted_p_are_pythons(evaluate):
    p = np.random.default_rng(4).random(200) ** 3
    assert evaluate("benjaminiHochberg", p.tolist()) == pytest.approx(adjusted(p).tolist(), rel=1e-12)
    assert evaluate("holm", p.tolist()) == pytest.approx(holm(p.tolist()), rel=1e-12)


def test_differences_from_the_floor_are_the_boards(evaluate, measured, parts):
    for table, data in zip(measured.board.tables, parts(measured.html).tables.values(), strict=True):
        for index, row in enumerate(table.rows):
            if index == data["floor"]:
                continue
            for metric, label in enumerate(["balanced accuracy", "accuracy", "few-shot accuracy"]):
                mean, full, seeds, p = evaluate(
                    "([c, a, b, w]) => { const d = differenceOf(c, a, b, normalised(w, c));"
                    " return [d.mean, intervalOf(d), seedsIntervalOf(d), pOf(d)]; }",
                    [data["counts"], index, data["floor"], data["counts"]["weights_MK"][metric]],
                )
                difference = row.metrics[label].difference
                assert mean == pytest.approx(difference.mean, rel=PRECISION, abs=1e-15)
                assert p == pytest.approx(difference.p, rel=1e-6)
                full_interval, seeds_interval = difference.full_interval, difference.seeds_interval
                assert full == pytest.approx([full_interval.low, full_interval.high], rel=1e-7)
                assert seeds == pytest.approx([seeds_interval.low, seeds_interval.high], rel=1e-7)


def test_ranks_and_ranges_under_the_mix_that_was_scored_are_the_boards(evaluate, measured, parts):
    for table, data in zip(measured.board.tables, parts(measured.html).tables.values(), strict=True):
        standings = evaluate(
            "(table) => { const under = standingsUnder(table, mixWeights('0', table));"
            " const of = [...under.standings].map(([row, standing]) => [table.rows.indexOf(row), standing]);"
            " return [of, under.separated, under.pairs]; }",
            data,
        )
        of_rows = dict(standings[0])
        for index, row in enumerate(table.rows):
            standing = of_rows[index]
            assert standing["rank"] == row.rank
            assert standing["range"] == (None if row.rank_range is None else list(row.rank_range))
            assert standing["level"] == bool(row.level_with_first)
        assert standings[1:] == [len(table.separated.pairs), table.separated.tested]


def test_classes_that_pay_are_those_of_python(evaluate, measured, parts):
    from balancebench.leaderboard.class_differences import class_differences

    table, data = measured.board.tables[0], next(iter(parts(measured.html).tables.values()))
    of_task = measured.outcomes[measured.cells[0].steps["load"]]
    position = [row.balancer for row in table.rows].index("trader")
    pair = [table.rows[position], table.rows[data["floor"]]]
    packed = np.array(
        [
            [np.packbits(of_task.cells[row.score_keys[seed]]["last"].correct_N(len(of_task.labels_N))) for row in pair]
            for seed in data["counts"]["seeds"]
        ]
    )
    expected = class_differences(packed, of_task.labels_N, 3)
    shown = evaluate("([c, a, b]) => classDifferences(c, a, b)", [data["counts"], position, data["floor"]])
    assert [of["label"] for of in shown] == [of.label for of in expected]
    for of_page, of_python in zip(shown, expected, strict=True):
        assert of_page["mean"] == pytest.approx(of_python.mean, rel=PRECISION)
        assert of_page["interval"] == pytest.approx([of_python.interval.low, of_python.interval.high], rel=1e-7)
        assert of_page["verdict"] == (of_python.verdict or "")
    assert [of["verdict"] for of in shown] == ["pays", "", "gains"]


def test_mixes_are_weights_that_sum_to_one(evaluate, measured, parts):
    data = next(iter(parts(measured.html).tables.values()))
    mixes = {
        mix: evaluate("([mix, table]) => mixWeights(mix, table)", [mix, data]) for mix in ("0", "100", "reversed", "50")
    }
    train = [100 / 160, 50 / 160, 10 / 160]
    assert mixes["0"] == pytest.approx([1 / 3] * 3)
    assert mixes["100"] == pytest.approx(train)
    assert mixes["reversed"] == pytest.approx(train[::-1])
    assert mixes["50"] == pytest.approx([(1 / 3 + share) / 2 for share in train])


def test_own_weights_score_rows_as_python_does(evaluate, measured, parts):
    data = next(iter(parts(measured.html).tables.values()))
    weights_K = class_weights(np.array([3.0, 0.0, 1.5]))
    of_task = measured.outcomes[measured.cells[0].steps["load"]]
    scores = evaluate(
        "table => { const of = standingsUnder(table, mixWeights('w3~0~1.5', table)).standings;"
        " return Object.fromEntries([...of].map(([row, standing]) => [row.name, standing.scores])); }",
        data,
    )
    for row in measured.board.tables[0].rows:
        for seed, score in zip(data["counts"]["seeds"], scores[row.balancer], strict=True):
            right_N = of_task.cells[row.score_keys[seed]]["last"].correct_N(len(of_task.labels_N))
            recalls_K = [right_N[of_task.labels_N == label].mean() for label in range(3)]
            assert score == pytest.approx(float(weights_K @ recalls_K), rel=PRECISION)


def test_own_weights_of_many_classes_are_of_groups_and_shared_out_evenly(evaluate):
    table = {
        "counts": {"test_K": [5] * 24 + [0]},
        "train_K": [200] * 4 + [50] * 10 + [3] * 11,
        "class_names": [str(label) for label in range(25)],
    }
    names = ["many (4 classes)", "medium (10 classes)", "few (10 classes)"]
    assert evaluate("table => weighedParts(table).map(({ name }) => name)", table) == names
    weights = evaluate("table => mixWeights('w1~2~1', table)", table)
    assert weights == pytest.approx([0.25 / 4] * 4 + [0.5 / 10] * 10 + [0.25 / 10] * 10 + [0])
    assert evaluate("table => ownMix('0', table)", table) == "w16.67~41.67~41.67"


@pytest.mark.parametrize(
    "mix",
    ["w1~1", "w1~1~1~1", "w0~0~0", "w", "w1~~1", "w-1~1~1", "w1e9~1~1", "w1~1~__proto__", "7", "1e9", "w1~1~1.12345"],
)
def test_a_mix_that_is_none_is_not_taken(evaluate, measured, parts, mix):
    data = next(iter(parts(measured.html).tables.values()))
    assert evaluate("([mix, table]) => isMix(mix, table)", [mix, data]) is False
    assert evaluate("table => isMix('w1~0~2.5', table) && isMix('35', table) && isMix('reversed', table)", data) is True


@pytest.mark.parametrize("most_pair_numbers", [60_000, 0])
def test_counts_that_python_packed_are_read_again(evaluate, measured, parts, monkeypatch, most_pair_numbers):
    monkeypatch.setattr(image_counts, "MOST_PAIR_NUMBERS", most_pair_numbers)
    page = parts(page_html(measured.board, measured.cells, measured.outcomes))
    for name, data in page.tables.items():
        counts = data["counts"]
        assert len(counts["squares_PK"]) == (21 if most_pair_numbers else 6)
        packed = {key: value for key, value in counts.items() if not key.endswith(("SK", "KK", "PK"))}
        content = list(page.blocks[f"counts-{name}"])
        read = evaluate("([counts, bytes]) => countsOf(counts, Uint8Array.from(bytes))", [packed, content])
        assert read == {key: counts[key] for key in read}
        assert sorted(read) == ["confusion_RKK", "right_RSK", "squares_PK", "sums_PK"]


def test_one_seed_and_hand_worked_classes_give_the_numbers_worked_by_hand(evaluate):
    a = [[[1, 1, 1, 0], [1, 1, 0, 1]], [[1, 1, 1, 1], [1, 1, 1, 1]], [[1, 1, 0, 1], [1, 1, 0, 1]]]
    b = [[[1, 0, 1, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [0, 0, 1, 1]], [[1, 0, 0, 1], [1, 0, 0, 1]]]
    d_SKn = np.array(a) - np.array(b)
    counts = {
        "test_K": [4, 4],
        "rows": [0, 1],
        "seeds": ["0", "1", "2"],
        "right_RSK": [np.array(a).sum(axis=2).tolist(), np.array(b).sum(axis=2).tolist()],
        "pair_with": None,
        "squares_PK": [(d_SKn**2).sum(axis=(0, 2)).tolist()],
        "sums_PK": [(d_SKn.sum(axis=0) ** 2).sum(axis=1).tolist()],
    }
    difference = evaluate(
        "c => { const d = differenceOf(c, 0, 1, [0.5, 0.5]); return {...d, p: pOf(d), half: halfWidth(d.variance)}; }",
        counts,
    )
    assert difference["values"] == pytest.approx([0.25, 0.375, 0.25])
    assert difference["variance"]["images"] == 0
    assert difference["variance"]["rest"] == pytest.approx(0.0109954, rel=1e-5)
    assert difference["half"] == pytest.approx(0.2055, abs=5e-5)
    assert difference["p"] == pytest.approx(0.0198, abs=5e-5)


def test_means_are_of_no_interval_with_one_seed_unless_images_are_known(evaluate):
    estimates = Estimates.of_one(0.1, float("nan"), 1.0)
    assert full_intervals(estimates) == [None]
    assert seeds_intervals(estimates) == [None]
    variance = {"seeds": 0, "df": 1, "images": 0.01, "rest": 0}
    one = {"mean": 0.1, "values": [0.1], "variance": variance}
    assert evaluate("d => intervalOf(d)", {**one, "covers": "seeds"}) is None
    assert evaluate("d => intervalOf(d)", {**one, "covers": "run"}) == pytest.approx(
        [0.1 - 0.195996, 0.1 + 0.195996], abs=1e-5
    )
