"""Words of the page: marks beside rows, what a table says of itself, and the legend."""

from __future__ import annotations

from balancebench.leaderboard.board import Row, TaskTable
from balancebench.leaderboard.columns import FEWER_SEEDS
from balancebench.leaderboard.format import STATUS_WORDS, alike_texts, seeds_text, value_text
from balancebench.leaderboard.page.page_data import Mark, Term
from balancebench.leaderboard.results import ENDED

__all__ = ["BEST_TEST", "LEGEND", "marks", "problem_words", "summary_words", "verdict_words"]

BEST_TEST = (
    "The test set chose the epoch of these numbers, so they are optimistic. They stand here because many papers report "
    "them."
)
LEGEND = (
    Term(word="score", text="The mean over seeds ± the standard deviation, or how many seeds gave the very same."),
    Term(
        word="# and range",
        text="The rank by the mean of the metric that ranks, on seeds that all ranked rows have. The range says which "
        "ranks a row may have: it begins after the rows that are told apart above it, and ends before those told apart "
        "below. Two rows are told apart where their difference has p < 0.05, adjusted by Benjamini and Hochberg over "
        "all pairs of ranked rows.",
    ),
    Term(
        word="level with the first",
        text="The bar at a row's left edge: the row is not told apart from the one in front.",
    ),
    Term(
        word="dots and lines",
        text="Each dot is a seed, the tick their mean, all as differences from the floor, which is the vertical line. "
        "The thick line is the 95 % interval over seeds, on these very test images; the thin one is over seeds and "
        "test images, and is the one to decide by. An arrow says that it goes on.",
    ),
    Term(
        word="vs floor",
        text="The mean of the differences from the imbalanced baseline with the same seed, hence the same training "
        "images, with its 95 % interval in brackets. It looks at one row alone: with many rows some leave out 0 by "
        "chance, and only better or worse in words holds for a look at all pairs.",
    ),
    Term(
        word="gap closed",
        text="How much of the way from the floor to the ceiling, training on all images, a row goes.",
    ),
    Term(word="floor", text="Training on the imbalanced images as they are. It stands in a dashed frame."),
    Term(word="ceiling", text="Training on all images, before any were taken away. It is not ranked."),
    Term(
        word="mix of the test classes",
        text="Scores count each class as often as the mix says, whatever the test set has: uniform is balanced "
        "accuracy, training is the mix that the methods saw, reversed swaps the largest class with the smallest. "
        "Predictions stay as they are.",
    ),
    Term(
        word="x the images seen",
        text="Classifiers of this row were shown that many times the images that the floor's were, repeats counted, "
        "where it is more than a tenth off: it may be better or worse for having trained longer or shorter.",
    ),
    Term(word="withheld images", text="The method has seen training images that the imbalancer took away."),
    Term(word="outside data", text="The method uses data from outside the suite, such as pre-trained weights."),
    Term(word="warning", text="Something about how the row was made must be known; the row's detail says what."),
    Term(word="fewer seeds", text="Some of the planned cells are not done: means are over fewer than those of others."),
    Term(word="failed seeds", text="The method failed under some seeds. Such a row is not ranked."),
    Term(word="at chance", text="Its balanced accuracy is no better than guessing."),
    Term(
        word="above its ceiling",
        text="It scores better than training on all images: look for test or withheld images in its training.",
    ),
    Term(word="¶", text="A published number of another protocol; the row's detail says how it differs."),
    Term(word="↓", text="Lower is better."),
)


def marks(row: Row, table: TaskTable) -> tuple[Mark, ...]:
    """Return what must be known of a row before it is believed."""
    unit = next((metric.unit for metric in table.metrics if metric.label == table.ranked_by), "")
    above = "" if row.above_ceiling is None else value_text(row.above_ceiling, unit)
    ended = [problem for problem in row.problems if problem.status in ENDED]
    fewer = row.done < row.planned and row.done > 0
    told = (
        ("withheld images", row.used_withheld_data, "has seen training images that the imbalancer removed"),
        ("outside data", bool(row.outside_data), "; ".join(row.outside_data)),
        ("warning", bool(row.warnings), "; ".join(alike_texts(row.warnings))),
        ("failed seeds", bool(ended) and row.done > 0, problem_words(row)),
        ("fewer seeds", fewer and not ended, f"{row.done} of {row.planned} are done: {FEWER_SEEDS}"),
        ("at chance", bool(row.at_chance), "a balanced accuracy that is no better than guessing"),
        ("above its ceiling", bool(above), f"by {above}: look for test or withheld images in its training"),
    )
    return tuple(Mark(word=word, text=text) for word, marked, text in told if marked)


def problem_words(row: Row) -> str:
    """Return how the cells that are not done ended: "out of memory (3 of 3)"."""
    return ", ".join(
        f"{STATUS_WORDS[problem.status]} ({len(problem.seeds)} of {row.planned})" for problem in row.problems
    )


def summary_words(table: TaskTable) -> str:
    """Return one sentence of how many rows and seeds there are, and how much they tell apart."""
    ranked = [row for row in table.rows if row.rank is not None]
    contenders = [row for row in table.rows if row.role != "ceiling"]
    seeds = tuple(dict.fromkeys(key for row in ranked for key in row.score_keys))
    parts = [f"{len(ranked)} of {len(contenders)} rows are ranked"]
    if seeds:
        parts[0] += f", {f'{len(seeds)} seeds' if len(seeds) > 1 else seeds_text(seeds)}"
    if len(seeds) == 1:
        parts.append("one seed tells no rows apart")
    elif table.separated is not None and table.separated.tested:
        level = sum(bool(row.level_with_first) for row in ranked)
        told_apart = f"{len(table.separated.pairs)} of {table.separated.tested} pairs of rows"
        of_level = "no other row is" if level == 1 else f"{level} rows are"
        parts.append(f"{told_apart} are told apart, and {of_level} level with the first")
    return "; ".join(parts) + "."


def verdict_words(row: Row) -> str:
    """Return what may be said of a row against the floor, "" where nothing can be."""
    if row.against_floor is None:
        return ""
    verdict = row.against_floor.verdict
    return "not told apart from the floor" if verdict is None else f"{verdict} than the floor"
