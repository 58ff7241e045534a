"""Two rows compared in words, claims checked, seeds planned, variance shown."""

import json

import numpy as np
import pytest

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.claims import check_claims, read_claims
from balancebench.leaderboard.compare_text import comparison_lines, seeds_lines, seeds_wanted
from balancebench.leaderboard.evidence import Evidence, evidence_of_records
from balancebench.leaderboard.files import write_records
from balancebench.leaderboard.table import contests
from balancebench.leaderboard.two_rows import compare_rows, p_of_verdict
from balancebench.leaderboard.variance import variances
from balancebench.plan import Task

LABELS_N = np.repeat([0, 1, 2], [400, 240, 160])
SHARES = {"none": 0.5, "good": 0.8, "near": 0.795, "bad": 0.3}


def right(shares, seeds=3, noise=0.05):
    rng = np.random.default_rng(0)
    difficulty_N = rng.random(len(LABELS_N))
    return {name: difficulty_N + rng.normal(0, noise, (seeds, len(LABELS_N))) < share for name, share in shares.items()}


def evidence_of(tested, with_images=True):
    outcomes = tested.outcomes if with_images else {}
    return Evidence(suite=tested.suite, contests=tuple(contests(tested.suite, tested.cells, outcomes)), source="here")


@pytest.fixture(scope="module")
def tested(make):
    return make.tested(right(SHARES), LABELS_N)


@pytest.fixture(scope="module")
def evidence(tested):
    return evidence_of(tested)


def compared(evidence, first, second, **options):
    return compare_rows(evidence, evidence.contests[0], first, second, **options)


def test_a_comparison_says_who_is_better_by_how_much_and_how_sure_that_is(evidence):
    comparison = compared(evidence, "good", "none")
    assert comparison.verdict == "better"
    text = "\n".join(comparison_lines(comparison))
    assert "good is better than none: +" in text
    assert "points, 3 seeds, p " in text
    assert "Confidence that good is ahead over all seeds and test images" in text
    assert "12.0 s and 1,600 images seen, against 12.0 s and 1,600" in text
    assert comparison.confidence == pytest.approx(1 - comparison.difference.p / 2)


def test_swapping_the_rows_turns_the_word_and_the_sign_and_nothing_else(evidence):
    there, back = compared(evidence, "good", "none"), compared(evidence, "none", "good")
    assert (back.verdict, back.difference.mean) == ("worse", -there.difference.mean)
    assert (back.difference.p, back.next_seed_ahead) == (there.difference.p, there.next_seed_ahead)
    assert [(of.label, -of.mean) for of in back.classes] == [(of.label, of.mean) for of in there.classes]


def test_classes_that_gain_are_named(evidence):
    text = "\n".join(comparison_lines(compared(evidence, "good", "bad")))
    assert "Classes that gain (recall, points; Holm over 3): c" in text
    assert "Classes that pay (recall, points; Holm over 3): none" in text


def test_of_many_classes_groups_and_extremes_are_named(make):
    labels_N = np.repeat(np.arange(30), 12)
    rng = np.random.default_rng(3)
    lift_K = np.linspace(-0.3, 0.4, 30)
    rows = {
        "none": rng.random((3, 360)) < 0.5,
        "trader": rng.random((3, 360)) < (0.5 + lift_K)[labels_N],
    }
    of = make.tested(rows, labels_N, train_K=tuple(range(300, 0, -10)))
    comparison = compared(evidence_of(of), "trader", "none")
    lines = comparison_lines(comparison)
    means = {group.name: group.mean for group in comparison.groups}
    assert [(group.name, group.classes) for group in comparison.groups] == [("many", 20), ("medium", 9), ("few", 1)]
    by_label = [of.mean for of in comparison.classes]
    assert means == pytest.approx(
        {"many": np.mean(by_label[:20]), "medium": np.mean(by_label[20:29]), "few": by_label[29]}
    )
    (medium,) = (group for group in comparison.groups if group.name == "medium")
    assert medium.interval.low < medium.mean < medium.interval.high
    (groups,) = (line for line in lines if "Classes by training images" in line)
    assert f"medium (9 classes) +{100 * medium.mean:.2f} [" in groups
    assert "few (1 class) " in groups
    (gaining,) = (line for line in lines if "Classes that gain most" in line)
    (losing,) = (line for line in lines if "Classes that lose most" in line)
    assert (gaining.count(" ["), losing.count(" [")) == (10, 10)
    best, worst = int(np.argmax(by_label)), int(np.argmin(by_label))
    assert f"Classes that gain most: c{best} +" in gaining
    assert f"Classes that lose most: c{worst} -" in losing
    told = [sum(of.verdict == verdict for of in comparison.classes) for verdict in ("gains", "pays")]
    assert f"Of 30 classes {told[0]} gain and {told[1]} pay (Holm over all)." in "\n".join(lines)


def test_a_margin_makes_rows_level_or_asks_for_more(evidence):
    assert compared(evidence, "good", "near", margin=5).verdict == "level"
    assert "level within 5.00 points" in "\n".join(comparison_lines(compared(evidence, "good", "near", margin=5)))
    assert compared(evidence, "good", "none", margin=5).verdict == "better"
    assert compared(evidence, "good", "none", margin=60).verdict == "level"
    assert compared(evidence, "good", "near").verdict == "undecided"


@pytest.mark.parametrize(("first", "second"), [("good", "none"), ("bad", "none"), ("good", "near")])
@pytest.mark.parametrize("margin", [0, 1, 5, 20, 60])
def test_a_verdict_holds_where_its_p_is_below_5_per_cent(evidence, first, second, margin):
    comparison = compared(evidence, first, second, margin=margin)
    holding = [verdict for verdict in ("better", "worse", "level") if p_of_verdict(comparison, verdict) < 0.05]
    assert holding == ([comparison.verdict] if comparison.verdict != "undecided" else [])


def test_where_lower_is_better_the_smaller_loss_is_better(evidence):
    comparison = compared(evidence, "good", "none", metric="loss")
    assert (comparison.verdict, comparison.difference.mean < 0) == ("better", True)
    text = "\n".join(comparison_lines(comparison))
    assert "over seeds alone" in text
    assert "Confidence that good is ahead over all seeds:" in text


def test_rows_that_are_right_about_the_same_images_are_identical(make):
    correct = right(SHARES)
    evidence = evidence_of(make.tested({"none": correct["none"], "twin": correct["none"]}, LABELS_N))
    comparison = compared(evidence, "twin", "none")
    assert comparison.verdict == "identical"
    assert "identical: no difference in any seed" in "\n".join(comparison_lines(comparison))


def test_one_seed_decides_nothing_and_says_so(make):
    evidence = evidence_of(make.tested(right(SHARES, seeds=1), LABELS_N))
    comparison = compared(evidence, "good", "none")
    assert comparison.verdict == "not comparable"
    text = "\n".join(comparison_lines(comparison))
    assert "this run only" in text
    assert "one seed tells nothing of others" in text
    assert "McNemar's exact p below 0.0001" in text


def test_epochs_that_the_test_set_chose_are_no_evidence(make):
    cells = [
        make.cell(name, seed, reports={"last": 0.5, "best_test": 0.6 + seed / 100}, role=role)
        for name, role in (("none", "floor"), ("a", "entry"))
        for seed in range(3)
    ]
    suite = make.suite(reports=("last", "best_test"))
    evidence = Evidence(suite=suite, contests=tuple(contests(suite, cells, {})), source="here")
    comparison = compared(evidence, "a", "none", report="best_test")
    assert (comparison.verdict, "test set chose" in comparison.reason) == ("not comparable", True)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda evidence: compared(evidence, "god", "none"), "no row 'god' (did you mean 'good'?)"),
        (lambda evidence: compared(evidence, "good", "none", metric="acuracy"), "did you mean 'accuracy'?"),
        (lambda evidence: compared(evidence, "good", "none", report="best"), "no report 'best'"),
        (lambda evidence: evidence.contest("letters"), "no task 'letters'"),
    ],
)
def test_names_that_are_not_known_are_told_the_nearest(evidence, asked, said):
    with pytest.raises(LeaderboardError) as caught:
        asked(evidence)
    assert said in str(caught.value)


def test_a_suite_of_several_tasks_asks_which(make, tested):
    other = make.tested(
        right(SHARES), LABELS_N, task=Task(dataset="letters", imbalancer="step", classifier="small_cnn")
    )
    both = Evidence(
        suite=tested.suite, contests=tuple(contests(tested.suite, tested.cells + other.cells, {})), source="here"
    )
    assert len(both.contests_of(None)) == 2
    assert both.contest("letters").task.dataset == "letters"
    with pytest.raises(LeaderboardError, match="name one of 'digits / long_tail / small_cnn', 'letters"):
        both.contest("small_cnn")


def test_seeds_are_planned_by_the_deviation_seen_and_by_a_cautious_one(make):
    cells = [
        *make.row("none", [0.50, 0.50, 0.50], role="floor"),
        *make.row("a", [0.51, 0.52, 0.53]),  # a standard deviation of 1 point
    ]
    suite = make.suite()
    evidence = Evidence(suite=suite, contests=tuple(contests(suite, cells, {})), source="here")
    wanted = seeds_wanted(compared(evidence, "a", "none"), 1.0)
    assert (wanted.plainly, wanted.deviation) == (10, pytest.approx(1))
    assert wanted.cautiously > 30
    assert "found 4 times in 5 by 10 seeds" in "\n".join(seeds_lines(compared(evidence, "a", "none"), wanted))


def test_a_test_set_that_is_too_small_is_said_to_be(evidence):
    comparison = compared(evidence, "good", "none")
    wanted = seeds_wanted(comparison, 0.05)
    assert wanted.test_set_is_too_small
    assert "More seeds cannot tell 0.05 points" in "\n".join(seeds_lines(comparison, wanted))


def test_the_variance_of_crossed_seeds_is_told_apart(make):
    rng = np.random.default_rng(1)
    seeds = [(subset, 0, classifier) for subset in range(3) for classifier in range(3)]
    shift = rng.normal(0, 0.05, 3)
    cells = [make.cell("none", triple, 0.5 + shift[triple[0]] + rng.normal(0, 0.001), role="floor") for triple in seeds]
    suite = make.suite()
    evidence = Evidence(suite=suite, contests=tuple(contests(suite, cells, {})), source="here")
    (row,) = variances(evidence)
    subset, classifier, rest = row.components
    assert (subset.name, classifier.name, rest.name) == ("subset", "classifier", "rest")
    assert subset.deviation == pytest.approx(shift.std(ddof=1), rel=0.05)
    assert classifier.deviation < 0.002
    (together,) = variances(
        Evidence(suite=suite, contests=tuple(contests(suite, make.row("none", [0.1, 0.2]), {})), source="here")
    )
    assert "no parts to tell" in together.components


@pytest.fixture
def claims_file(tmp_path, tested):
    write_records(tmp_path, tested.suite, tested.cells, outcomes=tested.outcomes)

    def write(*claims):
        path = tmp_path / "claims.toml"
        tables = [
            "\n".join(f"{key} = {json.dumps(value)}" for key, value in {"records": "hand_made", **claim}.items())
            for claim in claims
        ]
        path.write_text("".join(f"[[claim]]\n{table}\n" for table in tables), encoding="utf-8")
        return path

    return write


def checked(path):
    return check_claims(path, read_claims(path), lambda claim: evidence_of_records(path.parent, claim.records))


BETTER = {"a": "good", "b": "none", "verdict": "better"}


def test_claims_hold_or_say_why_they_do_not(claims_file):
    path = claims_file(
        BETTER,
        {**BETTER, "margin": 60},
        {"a": "good", "b": "near", "verdict": "level", "margin": 10},
        {"a": "good", "b": "near", "verdict": "undecided"},
        {"a": "bad", "b": "none", "verdict": "better"},
    )
    verdicts = checked(path)
    assert [one.holds for one in verdicts] == [True, False, True, True, False]
    assert verdicts[1].reason == "it is level"
    assert verdicts[4].reason == "it is worse"
    assert verdicts[3].p_adjusted is None


def test_several_claims_are_corrected_by_holm(claims_file):
    alone = checked(claims_file(BETTER))[0].p_adjusted
    many = checked(claims_file(*[BETTER] * 8))[0].p_adjusted
    assert many == pytest.approx(8 * alone)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({**BETTER, "a": "god"}, "[[claim]] 1: "),
        ({**BETTER, "a": "god"}, "did you mean 'good'?"),
        ({**BETTER, "records": "hand_mad"}, "did you mean 'hand_made'?"),
        ({**BETTER, "margn": 1}, "[[claim]] 1: unknown key 'margn' (did you mean 'margin'?)"),
        ({**BETTER, "verdict": "best"}, "[[claim]] 1, verdict: "),
        ({**BETTER, "verdict": "level"}, "level needs a margin above 0"),
        ({**BETTER, "suite": "x.toml"}, "name either records or a suite"),
    ],
)
def test_a_mistaken_claim_is_told_with_file_table_and_key(claims_file, claim, said):
    path = claims_file(claim)
    with pytest.raises(LeaderboardError) as caught:
        checked(path)
    assert said in str(caught.value)
    assert "claims.toml" in str(caught.value)


def test_a_row_with_a_seed_that_is_not_done_makes_no_claim(make, tmp_path, tested):
    cells = [
        make.cell("good", 2, status="failed", message="it broke") if str(cell).endswith("good / seed 2") else cell
        for cell in tested.cells
    ]
    write_records(tmp_path, tested.suite, cells, outcomes=tested.outcomes)
    path = tmp_path / "claims.toml"
    path.write_text('[[claim]]\nrecords = "hand_made"\na = "good"\nb = "none"\nverdict = "better"\n', encoding="utf-8")
    (one,) = checked(path)
    assert not one.holds
    assert "good has seeds that are not done" in one.reason


def test_commands_read_committed_records_and_answer_in_json(call, claims_file):
    folder = claims_file(BETTER).parent
    code, out, err = call("compare", "hand_made", "good", "none", "--records", folder, "--json")
    assert code == 0, err
    (comparison,) = json.loads(out)
    assert (comparison["verdict"], comparison["classes"][0]["class"]) == ("better", "c0")
    code, out, _ = call("seeds", "hand_made", "good", "none", "--difference", "1", "--records", folder, "--json")
    assert (code, json.loads(out)[0]["seeds"]["pairs"]) == (0, 3)
    code, out, _ = call("variance", "hand_made", "--records", folder, "--json")
    assert (code, len(json.loads(out))) == (0, 7)
    for command in (("compare", "hand_made", "good", "none"), ("variance", "hand_made")):
        code, out, _ = call(*command, "--records", folder)
        assert (code, "good" in out) == (0, True)


def test_the_command_exits_with_1_where_a_claim_does_not_hold(call, claims_file):
    code, out, err = call("claims", claims_file(BETTER))
    assert (code, out.startswith("holds: good better than none")) == (0, True), err
    code, out, _ = call("claims", claims_file(BETTER, {**BETTER, "verdict": "worse"}))
    assert (code, "does not hold: good worse than none" in out) == (1, True)
    code, _, err = call("claims", claims_file({**BETTER, "a": "god"}))
    assert (code, "did you mean 'good'?" in err, "Traceback" in err) == (2, True, False)


def test_the_commands_read_a_store_as_well(call, suite_file):
    suite = suite_file()
    call("run", suite, "--jobs", "0")
    code, out, err = call("variance", suite)
    assert (code, "none" in out) == (0, True), err


def test_crossed_seeds_are_no_fresh_pairs_of_runs(make):
    rng = np.random.default_rng(2)
    seeds = [(subset, 0, classifier) for subset in range(3) for classifier in range(3)]
    cells = [
        make.cell(name, triple, base + rng.normal(0, 0.01), role=role)
        for name, role, base in (("none", "floor", 0.5), ("a", "entry", 0.7))
        for triple in seeds
    ]
    suite = make.suite()
    evidence = Evidence(suite=suite, contests=tuple(contests(suite, cells, {})), source="here")
    comparison = compared(evidence, "a", "none")
    assert (comparison.verdict, comparison.crossed, comparison.next_seed_ahead) == ("better", True, None)
    assert seeds_wanted(comparison, 1.0) is None
    assert "the seeds are crossed" in "\n".join(seeds_lines(comparison, None))


def test_seeds_of_one_subset_are_said_to_be(make):
    tested = make.tested(right(SHARES), LABELS_N, seeds=[(0, 0, classifier) for classifier in range(3)])
    text = "\n".join(comparison_lines(compared(evidence_of(tested), "good", "none")))
    assert "All seeds share one training subset: this is of that subset alone." in text
