"""The page as a file: what it holds, that nothing in it can run or load anything else, and that it stays small."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.columns import Notes, main_columns
from balancebench.leaderboard.files import check_leaderboards, write_records
from balancebench.leaderboard.outcomes import read_committed_outcomes
from balancebench.leaderboard.page.build import comparable, page_html, unpacked_block
from balancebench.leaderboard.page.page_data import PageTable
from balancebench.leaderboard.records import read_records
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import read_committed_curves

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "balancebench" / "leaderboard" / "page"


class Elements(HTMLParser):
    """The elements of a page, and its text outside scripts and style."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self._inside = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag):
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data):
        if not self._inside:
            self.text.append(data)


def test_every_block_holds_what_its_model_says_and_the_numbers_of_the_board(measured, parts):
    page = parts(measured.html)
    assert [entry["id"] for entry in page.index["tables"]] == list(page.tables)
    for table, data in zip(measured.board.tables, page.tables.values(), strict=True):
        read = PageTable.model_validate(data)
        assert json.loads(read.model_dump_json()) == data
        assert [row.name for row in read.rows] == [row.balancer for row in table.rows]
        for row, of_page in zip(table.rows, read.rows, strict=True):
            assert (of_page.rank.value, of_page.range, of_page.level) == (
                row.rank,
                row.rank_range,
                bool(row.level_with_first),
            )
            for metric, cells in zip(table.metrics, of_page.metrics, strict=True):
                summary = row.metrics[metric.label]
                assert cells.values == pytest.approx(dict(summary.values), rel=1e-7)
                if summary.difference.full_interval is not None:
                    full = summary.difference.full_interval
                    assert cells.full_interval == (float(f"{full.low:.6g}"), float(f"{full.high:.6g}"))


def test_cells_say_what_the_markdown_says(measured, parts):
    for table, data in zip(measured.board.tables, parts(measured.html).tables.values(), strict=True):
        columns = {column.heading: column for column in main_columns(table)}
        for row, of_page in zip(table.rows, data["rows"], strict=True):
            shown = {
                "#": of_page["rank"],
                "gap closed": of_page["metrics"][data["ranked_by"]]["gap"],
                "cells": of_page["cells"],
                **dict(zip(data["cost_names"], of_page["costs"], strict=True)),
                **{head: cell["score"] for head, cell in zip(data["headings"], of_page["metrics"], strict=True)},
            }
            for heading, cell in shown.items():
                text = columns[heading].cell(row, Notes(lambda _: ""))
                assert text.startswith(cell["text"]), (row.balancer, heading)


def test_counts_by_class_are_those_of_the_test_images(measured, parts):
    (data, *_) = parts(measured.html).tables.values()
    counts = data["counts"]
    of_task = measured.outcomes[measured.cells[0].steps["load"]]
    labels_N = of_task.labels_N
    right = np.array(
        [
            [of_task.cells[row.score_keys[seed]]["last"].correct_N(len(labels_N)) for seed in counts["seeds"]]
            for row in measured.board.tables[0].rows
        ],
        dtype=int,
    )
    assert counts["test_K"] == [120, 120, 60]
    pair = 0
    for a in range(len(right)):
        for b in range(a + 1, len(right)):
            difference_SN = right[a] - right[b]
            for label in range(3):
                of_class = difference_SN[:, labels_N == label]
                assert counts["squares_PK"][pair][label] == (of_class**2).sum()
                assert counts["sums_PK"][pair][label] == (of_class.sum(axis=0) ** 2).sum()
            pair += 1
    assert len(counts["squares_PK"]) == pair
    assert counts["right_RSK"][2][4][1] == right[2, 4, labels_N == 1].sum()


def test_a_table_without_outcomes_says_why_it_shows_no_classes(small, parts):
    board = build_leaderboard(small.suite, small.cells)
    (table,) = parts(page_html(board, small.cells)).tables.values()
    assert table["counts"] is None
    assert "do not say what became of each test image" in table["counts_reason"]


def test_seeds_that_cross_are_not_taken_for_draws(make, parts):
    labels_N = np.repeat([0, 1, 2], 20)
    right = {name: np.random.default_rng(1).random((4, 60)) > 0.4 for name in ("none", "a")}
    of = make.tested(right, labels_N, seeds=[(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)])
    board = build_leaderboard(of.suite, of.cells, of.outcomes)
    (table,) = parts(page_html(board, of.cells, of.outcomes)).tables.values()
    assert "not draws of their own" in table["counts_reason"]


def test_hostile_texts_stay_texts(hostile, parts):
    html = hostile.html
    parsed = Elements(html)
    tags = {tag for tag, _ in parsed.elements}
    assert tags.isdisjoint({"img", "a", "iframe", "object", "link", "base", "form"})
    assert [tag for tag, attributes in parsed.elements if any(name.startswith("on") for name in attributes)] == []
    assert [tag for tag, attributes in parsed.elements if "style" in attributes] == []
    assert sum(tag == "script" for tag, _ in parsed.elements) == 4
    text = "".join(parsed.text)
    assert "alert(1)" in text
    assert "49" not in re.findall(r"7 \* 7|49", text)
    page = parts(html)
    assert page.index["tables"][0]["task"] == str(hostile.cells[0].task)
    (table,) = page.tables.values()
    names = {row["name"]: row for row in table["rows"]}
    row = names[f"b {hostile.text}"]
    assert row["citation"].startswith(f"citation {hostile.text}")
    assert row["identities"][0]["options"] == {hostile.text: json.dumps(hostile.text)}
    assert {mark["word"] for mark in row["marks"]} >= {"withheld images", "outside data", "warning"}


def test_the_policy_lets_this_style_and_script_run_and_nothing_be_loaded(measured, parts):
    head = measured.html[: measured.html.index("<style>")]
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', head)[1].replace("&#39;", "'")
    page = parts(measured.html)

    def digest(text):
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"{digest(page.loader)} {digest(page.script)}"
    assert rules["style-src"] == digest(page.style)
    assert rules["img-src"] == "data: blob:"
    assert (rules["base-uri"], rules["form-action"]) == ("'none'", "'none'")
    assert head.index("Content-Security-Policy") < head.index("charset")


@pytest.mark.parametrize(
    "word",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "fetch("],
)
def test_the_script_reads_no_markup_and_asks_for_nothing(measured, parts, word):
    page = parts(measured.html)
    assert word not in page.script + page.loader


def test_every_script_and_style_file_is_in_the_page(measured, parts):
    page = parts(measured.html)
    for path in SOURCES.glob("*.js"):
        names = re.findall(r"^(?:async )?function (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert names, path
        assert [name for name in names if f"function {name}(" not in page.script + page.loader] == []
    assert "<!--" not in page.script
    assert "</script" not in page.script


def test_the_same_results_give_the_same_bytes_in_any_order(measured):
    board = build_leaderboard(measured.suite, measured.cells[::-1], measured.outcomes)
    assert page_html(board, measured.cells[::-1], measured.outcomes) == measured.html


def test_no_absolute_path_enters(make):
    cell = make.cell("half", 0, status="failed", message="DataError: /home/somebody/data/7.png is broken")
    page = page_html(build_leaderboard(make.suite(), [cell]), [cell])
    assert "somebody" not in comparable(page)
    assert ".../7.png is broken" in comparable(page)


def test_a_page_compressed_by_another_library_passes_the_check_and_an_edited_number_does_not(tmp_path, measured, parts):
    write_records(tmp_path, measured.suite, measured.cells, outcomes=measured.outcomes)
    path = tmp_path / "hand_made" / "leaderboard.html"
    page = path.read_text(encoding="utf-8")
    blocks = re.findall(r'octet-stream" id="([^"]*)">([^<]*)<', page)
    assert {name.partition("-")[0] for name, _ in blocks} == {"program", "counts", "data"}

    def packed(content):
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        block = base64.b85encode(packer.compress(content) + packer.flush()).decode()
        return block.translate(str.maketrans("<>&", ".,:"))

    elsewhere = page
    for _, block in blocks:
        elsewhere = elsewhere.replace(block, packed(unpacked_block(block)))
    assert elsewhere != page
    path.write_text(elsewhere, encoding="utf-8")
    assert check_leaderboards(tmp_path) == ["hand_made"]
    for kind, old, new in (("data", b'"rank":', b'"rnak":'), ("counts", b"\x00", b"\x02")):
        block = next(block for name, block in blocks if name.startswith(kind))
        edited = unpacked_block(block).replace(old, new, 1)
        path.write_text(page.replace(block, packed(edited)), encoding="utf-8")
        with pytest.raises(LeaderboardError, match=r"leaderboard\.html is stale"):
            check_leaderboards(tmp_path)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in ROOT.glob("leaderboard/*/records.json")))
def test_pages_of_committed_suites_stay_below_150_kilobytes_without_samples(folder):
    records = read_records(ROOT / "leaderboard" / folder / "records.json")
    outcomes = read_committed_outcomes(ROOT / "leaderboard" / folder, records)
    curves = read_committed_curves(ROOT / "leaderboard" / folder, records)
    html = page_html(build_leaderboard(records.suite, records.cells, outcomes), records.cells, outcomes, curves)
    assert len(html.encode()) < 150_000
    assert (ROOT / "leaderboard" / folder / "leaderboard.html").stat().st_size < 1_000_000  # with samples


def test_blocks_are_of_signs_that_no_parser_takes_for_markup(measured):
    blocks = re.findall(r'octet-stream" id="[^"]*">(.*?)</script>', measured.html, re.DOTALL)
    assert len(blocks) == 5
    assert set("".join(blocks)).isdisjoint("<>&\"' \n")


def test_two_hundred_rows_of_a_hundred_classes_stay_below_three_megabytes(make, parts):
    rng = np.random.default_rng(3)
    labels_N = np.repeat(np.arange(100), 10)
    right = {"none": rng.random((5, 1000)) > 0.4}
    right |= {f"method {index}": rng.random((5, 1000)) > 0.3 for index in range(199)}
    of = make.tested(right, labels_N, train_K=tuple(range(500, 0, -5)))
    board = build_leaderboard(of.suite, of.cells, of.outcomes)
    html = page_html(board, of.cells, of.outcomes)
    assert len(html.encode()) < 3_000_000
    (table,) = parts(html).tables.values()
    assert table["counts"]["confusion_RKK"] is None
    assert len(table["counts"]["squares_PK"]) == 199  # pairs with the floor: all 19,900 would be four million numbers


def test_a_row_where_nothing_is_done_says_how_it_ended(make, parts):
    cells = [
        *make.row("none", [0.5, 0.6], role="floor"),
        *[make.cell("big", seed, status="out_of_memory", message="16 GiB were not enough") for seed in (0, 1)],
    ]
    html = page_html(build_leaderboard(make.suite(), cells), cells)
    (table,) = parts(html).tables.values()
    row = next(row for row in table["rows"] if row["name"] == "big")
    assert row["problem"] == "out of memory (2 of 2)"
    assert row["not_done"] == [{"words": "seeds 0, 1, out of memory", "message": "16 GiB were not enough"}]
    assert "out of memory (2 of 2)" in "".join(Elements(html).text)


def test_building_a_page_imports_neither_torch_nor_altair():
    code = (
        "import sys, balancebench.leaderboard.page.build as build, balancebench.leaderboard.page.site_index\n"
        "print(sorted({'altair', 'torch', 'jinja2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


def test_a_page_holds_the_first_hundred_tables_and_says_so_of_more(measured, parts):
    of_one = page_html(measured.board)
    repeated = replace(measured.board, tables=measured.board.tables * 101)
    html = page_html(repeated)
    assert len(parts(html).index["tables"]) == 100
    words = f"the first 100 of {len(repeated.tables)} tables are here, leaderboard.md and leaderboard.csv have all"
    assert words in html
    assert "tables are here" not in of_one


def test_a_board_without_any_cell_gives_a_page(make):
    assert "Hand-made results" in page_html(build_leaderboard(make.suite(), []))


def test_weights_of_metrics_are_those_of_their_means(measured, parts):
    (data, *_) = parts(measured.html).tables.values()
    weights = data["counts"]["weights_MK"]
    assert weights[0] == pytest.approx([1 / 3] * 3)
    assert weights[1] == pytest.approx([0.4, 0.4, 0.2])
    assert weights[2] == [0, 0, 1]
    assert weights[3] is None
