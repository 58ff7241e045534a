"""The Markdown of a leaderboard: a golden page, and what must be seen on it."""

from pathlib import Path

import pytest

from balancebench.leaderboard.markdown import escape, markdown
from balancebench.leaderboard.table import build_leaderboard
from balancebench.suite.bound import PublishedNumbers

GOLDEN = Path(__file__).parent / "golden.md"


def page(suite, cells):
    return markdown(build_leaderboard(suite, cells))


def line_of(text, balancer):
    return next(line for line in text.splitlines() if line.startswith("|") and f" {balancer} " in line)


def test_a_small_board_is_the_golden_page(small):
    assert page(small.suite, small.cells) == GOLDEN.read_text(encoding="utf-8")


def test_the_same_results_in_another_order_give_the_same_bytes(small):
    assert page(small.suite, small.cells[::-1]) == page(small.suite, small.cells)


def test_counts_profile_environment_and_the_command_stand_at_the_top(make, small):
    cells = [*small.cells, make.cell("half", 0, status="timeout", message="stopped at the time limit of 10 s")]
    top = page(make.suite(profile="smoke", description="What <it> is for."), cells).partition("## digits")[0]
    assert "# Hand-made results" in top
    assert "What &lt;it&gt; is for." in top
    assert "profile smoke" in top
    assert "13 cells: 12 done, 1 timed out" in top
    assert "on cpu (A processor, Linux x86_64)" in top
    assert "torch 2.9.0" in top
    assert "at commit 0123456789ab" in top
    assert "`balancebench run suites/hand_made.toml --profile smoke`" in top


def test_cells_that_are_not_done_stand_below_the_table_with_their_reason(make, small):
    cells = [
        *small.cells,
        make.cell("half", 0, 0.5),
        make.cell("half", 1, status="failed", message="class 'bag' has\n1 | image"),
    ]
    text = page(small.suite, cells)
    assert "1 of 2<sup>2</sup>" in line_of(text, "half")
    assert "**Not done:**" in text
    assert r"- half, seed 1, failed: class 'bag' has 1 \| image" in text


def test_an_undefined_value_is_a_dash_with_its_reason_never_0(make):
    text = page(make.suite(), [make.cell("a", 0, {"accuracy": "no class has few images"})])
    assert "-<sup>" in line_of(text, "a")
    assert "no class has few images" in text


def test_marks_are_explained_below_the_table(make):
    cells = [
        make.cell("a", 0, 0.5, used_withheld_data=True, outside_data=("ImageNet-1k weights",), warnings=("it is old",))
    ]
    text = page(make.suite(), cells)
    assert "| a †‡§ " in text
    assert "† has seen training images that the imbalancer removed." in text
    assert "‡ data from outside the suite: ImageNet-1k weights (a)." in text
    assert "§ it is old (a)." in text


def test_a_row_of_other_images_says_why_it_has_no_rank(make, small):
    strange = make.cell("strange", 0, 0.99, subset=make.subset(0, (100, 50, 12)))
    text = page(small.suite, [*small.cells, strange])
    assert line_of(text, "strange").startswith("| -<sup>1</sup> |     - | strange")
    assert (
        "1. made from other training images than the other rows (seed 0): class 'bag' has 12 images instead of 10"
        in (text)
    )


def test_no_footnote_stands_in_a_row_that_is_compared_with_itself(make):
    cells = [
        *make.row("none", [0.6, 0.7], role="floor"),
        *make.row("smote", [0.5, 0.8]),
        *make.row("no imbalance", [0.5, 0.6], role="ceiling"),
    ]
    text = page(make.suite(), cells)
    assert "<sup>" not in line_of(text, "none")
    assert "<sup>" not in line_of(text, "no")
    assert "<sup>1</sup>" in line_of(text, "smote")
    assert "1. training on all images is no better than the floor here" in text


def test_best_test_tables_warn_and_show_what_choosing_the_epoch_gained(make):
    suite = make.suite(reports=("last", "best_test"))
    cells = [make.cell("a", 0, reports={"last": 0.60, "best_test": 0.63})]
    last, best = page(suite, cells).split("### Best epoch on the test images")
    assert "### Last epoch" in last
    assert "The test set chose the epoch" not in last
    assert "The test set chose the epoch" in best
    assert "vs last epoch" in best
    assert "+3.00" in line_of(best, "a")


def test_published_numbers_have_columns_of_their_own_and_a_source(make):
    published = (PublishedNumbers(labels={"balancer": ("a",)}, values={"accuracy": 0.6}, source="Kim 2020, Table 1"),)
    text = page(make.suite(published=published), [make.cell("a", 0, 0.65)])
    assert "published accuracy" in text
    assert "60.00" in line_of(text, "a")
    assert "+5.00" in line_of(text, "a")
    assert "Published numbers: Kim 2020, Table 1 (a)." in text


def test_published_numbers_of_another_protocol_are_marked_and_say_which(make):
    numbers = {"values": {"accuracy": 0.6}, "source": "Table 1"}
    published = (
        PublishedNumbers(labels={"balancer": ("a",)}, **numbers),
        PublishedNumbers(labels={"balancer": ("b",)}, **numbers, protocol="200 epochs, best test epoch"),
    )
    text = page(make.suite(published=published), [make.cell("a", 0, 0.65), make.cell("b", 0, 0.65)])
    assert " 60.00 ¶ " in line_of(text, "b")
    assert "¶" not in line_of(text, "a")
    assert "\nPublished numbers: Table 1 (a).\n" in text
    assert "\n¶ Published numbers: Table 1 (b); another protocol: 200 epochs, best test epoch.\n" in text


def test_a_metric_of_each_class_has_a_table_of_its_own(make):
    suite = make.suite((("accuracy", "%", True), ("recall", "%", True)))
    text = page(suite, [make.cell("a", 0, {"accuracy": 0.5, "recall": [0.9, 0.5, None]})])
    assert "<summary>recall (%) of each class, mean over seeds</summary>" in text
    folded = text.partition("recall (%) of each class")[2]
    assert [part.strip() for part in line_of(folded, "zero").strip("|").split("|")] == ["zero", "100", "90.00"]
    assert [part.strip() for part in line_of(folded, "bag").strip("|").split("|")] == ["bag", "10", "-"]


def test_units_decide_how_numbers_look(make):
    suite = make.suite(
        (("accuracy", "%", True), ("loss", "", False), ("duration_seconds", "s", False), ("peak_memory", "MiB", False))
    )
    values = {"accuracy": 0.8321, "loss": 0.61249, "duration_seconds": 192.0, "peak_memory": 1234.4}
    line = line_of(page(suite, [make.cell("a", 0, values)]), "a")
    for text in ("83.21", "0.612", "3.2 min", "1,234"):
        assert f" {text} " in line
    assert "-0.00" not in line


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<script>", "&lt;script&gt;"),
        ("random_oversampling", "random_oversampling"),
        ("_emphasis_", r"\_emphasis\_"),
        ("*x* `y` [z](w)", r"\*x\* \`y\` \[z\](w)"),
        ("two\nlines", "two lines"),
    ],
)
def test_labels_are_shown_as_they_are(text, escaped):
    assert escape(text) == escaped
