"""The page in Chromium, without a network: what its reader sees, sorts, finds, compares, links to and takes along."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from balancebench.leaderboard.crossfit import CrossFit
from balancebench.leaderboard.export import csv_text
from balancebench.leaderboard.page.build import page_html
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import TrainingCurves


def names_of(page):
    return page.locator("#frame tbody th.name > button").all_inner_texts()


def column(page, heading):
    index = page.locator("#frame thead th").all_inner_texts().index(heading)
    return [row.locator("td, th").nth(index).inner_text() for row in page.locator("#frame tbody tr").all()]


def row_ids(data):
    return {row["name"]: row["id"] for row in data["rows"]}


@pytest.fixture(scope="module")
def data(measured, parts):
    return list(parts(measured.html).tables.values())


def test_the_table_shows_ranks_ranges_the_level_band_and_the_floor(browse, measured, data):
    page = browse(measured.html)
    assert names_of(page) == [row["name"] for row in data[0]["rows"]]
    ranges = [text.split()[0] for text in column(page, "range")]
    assert ranges == [row["range_text"] or "-" for row in data[0]["rows"]]
    level = page.locator("#frame tr.level")
    assert level.count() == sum(row["level"] for row in data[0]["rows"])
    assert all("level with the first" in text for text in level.locator("td:first-child").all_text_contents())
    assert page.locator("#frame tr.floor").count() == 1
    assert (
        page.locator("#frame tr.floor td").first.evaluate("cell => getComputedStyle(cell).borderTopStyle") == "dashed"
    )
    assert "pairs of rows are told apart" in page.locator("#said").inner_text()
    assert page.locator("#static").is_hidden()


@pytest.mark.parametrize("key", ["name", "score", "difference", "gap", "cells"])
def test_every_column_sorts_both_ways_and_says_so(browse, measured, data, key):
    page = browse(measured.html)
    before = names_of(page)
    seen = []
    for _ in range(2):
        page.locator(f'[data-sort="{key}"]').click()
        head = page.locator(f'th:has([data-sort="{key}"])')
        assert page.evaluate("document.activeElement.dataset.sort") == key
        seen.append((head.get_attribute("aria-sort"), names_of(page)))
    assert {direction for direction, _ in seen} == {"ascending", "descending"}
    values = {
        row["name"]: {
            "name": row["name"],
            "score": row["metrics"][0]["score"]["value"],
            "difference": row["metrics"][0]["difference"]["value"],
            "gap": row["metrics"][0]["gap"]["value"],
            "cells": row["cells"]["value"],
        }[key]
        for row in data[0]["rows"]
    }
    for direction, order in seen:
        known = [values[name] for name in order if values[name] is not None]
        assert known == sorted(known, reverse=direction == "descending")
        assert [values[name] for name in order][: len(known)] == known  # what has no value comes last
    page.locator(f'[data-sort="{key}"]').click()
    assert names_of(page) == before


def test_a_score_has_no_reason_and_a_missing_one_does(browse, measured, data):
    page = browse(measured.html)
    scores = page.locator("#frame tbody tr td:nth-child(5)")
    assert scores.count() == 7
    assert scores.evaluate_all("cells => cells.map(cell => cell.title)") == [""] * 7


def test_many_remarks_are_folded_behind_the_first_three(browse, make):
    cells = [
        *make.row("none", [0.5, 0.6], role="floor"),
        *[make.cell(f"m{index}", 0, 0.5, warnings=(f"warning {index}",)) for index in range(8)],
    ]
    page = browse(page_html(build_leaderboard(make.suite(), cells), cells))
    remarks = page.locator("#remarks > li")
    assert remarks.count() == 4
    folded = page.locator("#remarks details li")
    assert page.locator("#remarks summary").inner_text() == f"{folded.count()} more remarks"
    assert folded.first.is_hidden()
    page.locator("#remarks summary").click()
    assert "warning 7" in page.locator("#remarks").inner_text()


def test_find_keeps_rows_by_name_and_by_mark(browse, measured):
    page = browse(measured.html)
    page.fill("#find", "TWIN")
    assert sorted(names_of(page)) == ["twin a", "twin b"]
    assert "2 of 7 rows shown" in page.locator("#said").inner_text()
    page.fill("#find", "at chance")
    assert page.locator("#frame tbody tr").count() == page.locator("#frame tbody tr:has(.mark)").count()


def test_only_rows_without_marks_leaves_out_those_with_boxes(browse, make):
    cells = [
        *make.row("none", [0.5, 0.6], role="floor"),
        *make.row("marked", [0.7, 0.8], used_withheld_data=True),
        *make.row("plain", [0.6, 0.6]),
    ]
    page = browse(page_html(build_leaderboard(make.suite(), cells), cells))
    assert page.locator("tr:has-text('marked') .mark").first.inner_text() == "withheld images"
    page.check("#unmarked")
    assert names_of(page) == ["plain", "none"]


def test_a_row_opens_by_keyboard_takes_the_focus_and_gives_it_back(browse, measured):
    page = browse(measured.html)
    button = page.locator("#frame button", has_text="trader")
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    assert detail.is_visible()
    assert page.evaluate("document.activeElement.id") == "detail"
    assert page.locator("#frame button", has_text="trader").get_attribute("aria-expanded") == "true"
    text = detail.inner_text()
    assert "pays" in text
    assert "gains" in text
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert detail.is_hidden()
    assert page.evaluate("document.activeElement.textContent") == "trader"


def test_the_detail_shows_confusion_seeds_costs_and_citation(browse, measured, data):
    page = browse(measured.html, hash_=f"row={row_ids(data[0])['smote']}")
    detail = page.locator("#detail")
    shares = detail.locator(".confusion tbody tr").first.locator("td").all_inner_texts()
    assert len(shares) == 3
    assert sum(float(share) for share in shares if share != "<0.1") == pytest.approx(100, abs=0.2)
    assert detail.locator("table", has_text="Values of each seed").locator("tbody tr").count() == 5
    assert detail.locator('a[href="https://example.org/smote"]').get_attribute("rel") == "noopener noreferrer"
    assert "12.0 s" in detail.inner_text()


@pytest.fixture(scope="module")
def with_curves(measured):
    """A page whose trainings have curves of four epochs, but for those of `worse`; smote's seeds differ by 0.02."""
    curves = {}
    for cell in measured.cells:
        shift = 0.01 * cell.seeds.subset if cell.balancer == "smote" else 0
        if cell.balancer != "worse":
            values = {"training loss": (2.0, 0.5 + shift, 0.25, 0.3), "test accuracy": (0.2, 0.5, 0.6 + shift, 0.55)}
            curves[cell.steps["train"]] = TrainingCurves(epochs=4, values=values)
    return page_html(measured.board, measured.cells, measured.outcomes, curves)


def test_a_row_is_shown_by_epoch_with_its_range_the_floor_and_the_best_epoch(browse, with_curves, data):
    page = browse(with_curves, hash_=f"row={row_ids(data[0])['smote']}")
    part = page.locator("#detail .by-epoch")
    part.locator("svg").first.wait_for()
    assert part.locator("figcaption").all_inner_texts() == [
        "training loss: last 0.300, lowest 0.250 in epoch 3",
        "test accuracy: last 55.00, highest 62.00 in epoch 3",
    ]
    assert part.inner_text().startswith("Mean of 5 trainings, and the range between them; dashed: none (floor).")
    assert part.locator("svg").last.locator("path.floor-line").count() == 1
    left, right = (figure.bounding_box() for figure in part.locator("figure").all())
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    part.locator("summary").click()
    lines = [line.split("\t") for line in part.locator("tbody").inner_text().split("\n")]
    assert lines[1] == ["2", "0.52 [0.5, 0.54]", "0.5", "50.00 [50.00, 50.00]", "50.00"]
    assert lines[2][3:] == ["62.00 [60.00, 64.00]", "60.00"]
    # The ring and the dot stand on the line of means: x is even over four epochs, y goes from the least to the most.
    ring, dot = (part.locator(f"svg >> nth=1 >> circle.{kind}") for kind in ("best", "last"))
    assert float(ring.get_attribute("cx")) == pytest.approx(46 + 2 / 3 * (430 - 56))
    assert float(ring.get_attribute("cy")) == pytest.approx(12 + (0.64 - 0.62) / 0.44 * (190 - 36))
    assert float(dot.get_attribute("cx")) == pytest.approx(420)


def test_a_row_without_curves_and_records_without_any_say_why(browse, with_curves, measured, data):
    page = browse(with_curves, hash_=f"row={row_ids(data[0])['worse']}")
    page.locator("#detail .by-epoch", has_text="Not shown: no training of it is done, or none reported").wait_for()
    page = browse(measured.html, hash_=f"row={row_ids(data[0])['smote']}")
    page.locator(
        "#detail .by-epoch", has_text="Not shown: these records were made without the values of each"
    ).wait_for()


def test_a_cross_fitted_best_stands_beside_what_the_test_set_chose(browse, make):
    cells = [
        *make.row("none", [0.5, 0.6], role="floor"),
        *make.row("smote", [0.6, 0.7]),
    ]
    cells = [replace(cell, scores={"best_test": cell.scores["last"]}) for cell in cells]
    fit = CrossFit(last=0.7, best=0.76, cross_fitted=0.75)
    curves = {cell.steps["train"]: TrainingCurves(epochs=1, values={}, cross_fit=fit) for cell in cells}
    suite = make.suite().model_copy(update={"reports": ("best_test",)})
    page = browse(page_html(build_leaderboard(suite, cells), cells, None, curves), width=1500)
    assert column(page, "accuracy, cross-fitted (%)") == ["75.00", "75.00"]
    page.locator("#frame button", has_text="smote").click()
    said = "Cross-fitted best: 75.00 (accuracy, where halves of the test images choose the epoch for each other; the "
    assert (
        said + "choice by all of them adds +1.00, and stopping early gains +5.00"
        in page.locator("#detail").inner_text()
    )


def test_two_rows_are_compared_in_words(browse, measured, data):
    page = browse(measured.html)
    page.check('[aria-label="compare trader"]')
    assert page.locator("#compare").is_hidden()
    page.check('[aria-label="compare worse"]')
    verdict = page.locator("#compare .verdict")
    assert re.fullmatch(
        r"trader is better than worse: \+[\d.]+ \[\+[\d.]+, \+[\d.]+\] pp, 5 seeds, p [=<] 0\.\d+\.",
        verdict.inner_text(),
    )
    page.check('[aria-label="compare twin a"]')  # a third takes the place of the first
    assert not page.locator('[aria-label="compare trader"]').is_checked()
    page.check('[aria-label="compare twin b"]')
    assert verdict.inner_text() == "The same predictions in every seed (5 seeds)."


def test_a_comparison_without_test_images_says_that_it_is_of_these_ones(browse, small):
    page = browse(page_html(build_leaderboard(small.suite, small.cells), small.cells))
    page.check('[aria-label="compare smote"]')
    page.check('[aria-label="compare random_oversampling"]')
    verdict = page.locator("#compare .verdict").inner_text()
    assert verdict.startswith("smote is better than random_oversampling: +5.00 [+0.70, +9.30] pp, 3 seeds")
    assert verdict.endswith("on these very test images.")
    assert "do not say what became of each test image" in page.locator("#compare").inner_text()
    assert page.locator("#mix-offered").is_hidden()
    assert "not offered" in page.locator("#mix-withheld").inner_text()


def test_where_the_test_set_chose_the_epochs_there_is_neither_range_nor_verdict(browse, make):
    rng = np.random.default_rng(5)
    labels_N = np.repeat([0, 1, 2], 60)
    right = {name: rng.random((5, 180)) > missed for name, missed in {"none": 0.5, "a": 0.2, "b": 0.4}.items()}
    of = make.tested(right, labels_N)
    cells = [replace(cell, scores={"best_test": cell.scores["last"]}) for cell in of.cells]
    suite = of.suite.model_copy(update={"reports": ("best_test",)})
    outcomes = {
        load: replace(data, cells={key: {"best_test": cell["last"]} for key, cell in data.cells.items()})
        for load, data in of.outcomes.items()
    }
    page = browse(page_html(build_leaderboard(suite, cells, outcomes), cells, outcomes))
    assert "chose the epoch" in page.locator("#table-warning").inner_text()
    for mix in ("tested", "slides"):
        page.check(f"#mix-{mix}")
        assert {text.split()[0] for text in column(page, "range")} == {"-"}
        assert "the test set chose the epochs" in column(page, "range")[0]
    page.check('[aria-label="compare a"]')
    page.check('[aria-label="compare b"]')
    assert page.locator("#compare .verdict").inner_text().startswith("No verdict, for the test set chose the epochs")


def test_many_classes_are_shown_as_groups_and_extremes(browse, make):
    rng = np.random.default_rng(6)
    labels_N = np.repeat(np.arange(30), 8)
    right = {"none": rng.random((3, 240)) > 0.5, "a": rng.random((3, 240)) > 0.3}
    of = make.tested(right, labels_N, train_K=tuple(range(300, 0, -10)))
    page = browse(page_html(build_leaderboard(of.suite, of.cells, of.outcomes), of.cells, of.outcomes))
    page.locator("#frame button", has_text="a").last.click()
    page.locator("#detail summary", has_text="as a table").click()
    names = page.locator("#detail table", has_text="training images").first.locator("tbody th").all_inner_texts()
    assert names[:3] == ["many", "medium", "few"]
    assert len(names) == 23
    assert "The commonest wrong predictions of each class" in page.locator("#detail").inner_text()


def test_rows_over_all_tasks_stand_on_the_page(browse, measured):
    page = browse(measured.html)
    page.locator(".aggregate summary").click()
    lines = page.locator(".aggregate tbody tr")
    assert sorted(lines.locator("th").all_inner_texts()) == sorted(
        ["none (floor)", "smote", "trader", "twin a", "twin b", "worse"]
    )
    assert "2 tasks allow no claim about others" in page.locator(".aggregate").inner_text()


def test_the_mix_of_classes_reorders_the_rows_says_who_leads_and_comes_back(browse, measured):
    page = browse(measured.html)
    before, text = names_of(page), page.locator("#frame").inner_text()
    page.check("#mix-slides")
    uniform = names_of(page)
    assert uniform[:-1] == before[:-1]  # balanced accuracy is the uniform mix
    page.locator("#mix-share").focus()
    page.keyboard.press("End")
    page.locator("#said", has_text="training mix").wait_for()
    assert names_of(page) != uniform
    assert page.locator("#said").inner_text().startswith("First under the training mix: twin a and twin b;")
    assert "mix=100" in page.url
    page.check("#mix-reversed")
    assert (
        page.locator("#said")
        .inner_text()
        .startswith("First under the training mix reversed: trader (it was twin a and twin b); ")
    )
    page.check("#mix-tested")
    assert page.locator("#frame").inner_text() == text
    assert "mix=" not in page.url


def test_own_weights_start_from_the_mix_shown_rank_rows_and_stay_in_the_link(browse, measured):
    page = browse(measured.html)
    assert page.locator("#mix-weights").is_hidden()
    page.check("#mix-reversed")
    page.check("#mix-own")
    fields = page.locator("#mix-weights input")
    assert page.locator("#mix-weights label").all_inner_texts() == ["c0", "c1", "c2"]
    assert [field.input_value() for field in fields.all()] == ["6.25", "31.25", "62.5"]
    for field, value in zip(fields.all(), ("0", "0", "1"), strict=True):
        field.fill(value)
    fields.last.blur()
    page.locator("#said", has_text="First under a mix of your own: trader").wait_for()
    assert "mix=w0%7E0%7E1" in page.url
    few = page.evaluate("[...document.querySelectorAll('#frame tbody tr')].map(line => line.children[4].textContent)")
    again = browse(measured.html, hash_=page.url.split("#", 1)[1])
    assert again.locator("#frame").inner_text() == page.locator("#frame").inner_text()
    assert [field.input_value() for field in again.locator("#mix-weights input").all()] == ["0", "0", "1"]
    again.check("#mix-tested")  # only the last class counts in few-shot accuracy
    again.select_option("#metric", "2")
    scores = again.evaluate(
        "[...document.querySelectorAll('#frame tbody tr')].map(line => line.children[4].textContent)"
    )
    assert sorted(scores) == sorted(few)


def test_a_slide_keeps_lines_and_the_cells_that_say_the_same(browse, measured):
    page = browse(measured.html)
    page.check("#mix-slides")
    page.evaluate(
        "window.made = []; window.lines = [...document.querySelectorAll('#frame tbody tr')];"
        "new MutationObserver(all => all.forEach(({addedNodes}) => window.made.push(...addedNodes)))"
        ".observe(document.querySelector('#frame'), {subtree: true, childList: true});"
    )
    page.locator("#mix-share").focus()
    page.keyboard.press("End")
    page.locator("#said", has_text="training mix").wait_for()
    assert page.evaluate("document.querySelectorAll('#frame tbody tr').length") == 7
    assert page.evaluate("[...document.querySelectorAll('#frame tbody tr')].every(line => window.lines.includes(line))")
    # What was added are lines that moved, which is fewer than all of them, and no cell.
    kinds = page.evaluate("window.made.map(node => node.nodeName)")
    assert "TD" not in kinds
    assert kinds.count("TR") < 7


def test_lines_off_the_screen_follow_when_the_slider_is_let_go(browse, make):
    rng = np.random.default_rng(4)
    labels_N = np.repeat([0, 1, 2], [80, 60, 60])
    right = {name: rng.random((2, 200)) > rng.random() / 2 for name in ("none", *(f"m{row}" for row in range(80)))}
    of = make.tested(right, labels_N)
    html = page_html(build_leaderboard(of.suite, of.cells, of.outcomes), of.cells, of.outcomes)
    page = browse(html)
    page.check("#mix-slides")
    page.evaluate(
        "part => { part.value = 100; part.dispatchEvent(new Event('input')); }", page.query_selector("#mix-share")
    )
    page.locator("#said", has_text="training mix").wait_for()
    ranks = [int(text.split(",")[0]) for text in page.locator("#frame tbody td:first-child").all_inner_texts()]
    assert ranks[:10] == sorted(ranks[:10])
    assert ranks != sorted(ranks)
    page.locator("#mix-share").dispatch_event("change")
    assert page.locator("#frame").inner_text() == browse(html, hash_="mix=100").locator("#frame").inner_text()


def test_a_link_opens_the_same_view(browse, measured, data):
    page = browse(measured.html)
    page.select_option("#task", data[1]["id"])
    page.select_option("#metric", "1")
    page.fill("#find", "t")
    page.locator('[data-sort="difference"]').click()
    page.locator("#frame button", has_text="trader").click()
    page.check('[aria-label="compare twin a"]')
    page.check('[aria-label="compare smote"]')
    fragment = page.url.split("#", 1)[1]
    again = browse(measured.html, hash_=fragment)
    for part in ("#frame", "#detail", "#compare", "#said"):
        assert again.locator(part).inner_text() == page.locator(part).inner_text()
    assert again.locator("#find").input_value() == "t"
    assert again.url.split("#", 1)[1] == fragment


@pytest.mark.parametrize(
    "fragment",
    [
        "task=__proto__&row=constructor&a=__proto__&b=toString&metric=__proto__&mix=1e9&sort=__proto__",
        "find=<img src=x onerror=alert(1)>&row=<script>alert(1)</script>&mix=-5&sort=name:sideways",
        "mix=w1~1&unmarked=0&row=__proto__",
        "%E0%A4%A&&&=&mix=NaN&sort=score%00&unmarked=yes",
    ],
)
def test_a_hostile_link_changes_nothing_but_what_is_found(browse, measured, fragment):
    page = browse(measured.html, hash_=fragment)
    assert page.locator("#frame tbody tr").count() == (0 if "find=" in fragment else 7)
    assert page.locator("#detail").is_hidden()
    assert page.locator("#compare").is_hidden()
    assert page.locator("#mix-tested").is_checked()
    assert page.locator("img").count() == 0


def test_hostile_labels_are_shown_and_run_nothing(browse, hostile):
    page = browse(hostile.html)
    row = page.locator("#frame tbody tr").filter(has=page.locator(".mark")).first
    assert row.locator("button").text_content() == f"b {hostile.text}"
    row.locator("button").click()
    assert "citation </script>" in page.locator("#detail").inner_text()
    assert page.locator("img").count() == 0
    assert all(
        link.startswith("https://example.org/")
        for link in page.eval_on_selector_all("a", "all => all.map(a => a.href)")
    )


def downloaded(page, selector):
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value.suggested_filename, waiting.value.path().read_text(encoding="utf-8")


def test_csv_has_the_columns_and_values_of_leaderboard_csv(browse, measured):
    page = browse(measured.html, accept_downloads=True)
    name, text = downloaded(page, "#csv")
    assert name == "hand_made.csv"
    shown = list(csv.DictReader(io.StringIO(text)))
    board = [line for line in csv.DictReader(io.StringIO(csv_text(measured.board))) if line["dataset"] == "digits"]
    assert list(shown[0]) == list(board[0])
    assert len(shown) == len(board)
    for of_page, of_file in zip(shown, board, strict=True):
        for key, value in of_file.items():
            try:
                assert float(of_page[key]) == pytest.approx(float(value), rel=1e-7, abs=1e-12)
            except ValueError:
                assert of_page[key] == value


def test_csv_guards_labels_that_a_spreadsheet_would_run(browse, make):
    cells = [make.cell("=1+1", 0, 0.5), make.cell("none", 0, 0.4, role="floor")]
    page = browse(page_html(build_leaderboard(make.suite(), cells), cells), accept_downloads=True)
    assert ",'=1+1," in downloaded(page, "#csv")[1]


def test_files_are_of_the_rows_shown(browse, measured):
    page = browse(measured.html, accept_downloads=True)
    page.fill("#find", "smote")
    page.check("#mix-reversed")
    document = json.loads(downloaded(page, "#json")[1])
    assert [row["name"] for row in document["rows"]] == ["smote"]
    assert sum(document["mix"]["weights"].values()) == pytest.approx(1)
    lines = csv.DictReader(io.StringIO(downloaded(page, "#csv")[1]))
    assert {line["balancer"] for line in lines} == {"smote"}
    name, text = downloaded(page, "#bibtex")
    assert name == "hand_made.bib"
    assert text.count("@misc{") == 1
    assert "Chawla et al. 2002" in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_with_row_curves_weights_and_comparison_open(browse, with_curves, data, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    ids = row_ids(data[0])
    chosen = f"row={ids['trader']}&a={ids['smote']}&b={ids['worse']}&mix=w1~1~2"
    page = browse(with_curves, theme=theme, hash_=chosen)
    page.locator("#detail .by-epoch svg").first.wait_for()
    for summary in page.locator("summary").all():
        if not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()
    assert [(of["id"], of["nodes"][0]["html"]) for of in axe.run(page).response["violations"]] == []


def test_the_theme_follows_the_reader_and_the_button(browse, measured):
    page = browse(measured.html, theme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    light = page.evaluate(ground)
    assert (dark, light) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")
    assert page.locator("#theme").inner_text() == "Dark"


def test_a_narrow_screen_scrolls_down_only_and_targets_are_large_enough(browse, measured, data):
    ids = row_ids(data[0])
    page = browse(measured.html, width=390, hash_=f"row={ids['trader']}&a={ids['smote']}&b={ids['worse']}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#controls").get_attribute("open") is None
    assert page.evaluate("document.querySelector('#frame').scrollWidth <= document.querySelector('#frame').clientWidth")
    page.locator("#controls > summary").click()
    page.check("#mix-own")
    assert page.locator("#mix-weights input").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, input, summary')].filter(target => target.checkVisibility())"
        ".map(target => [target.closest('label') ?? target, target]).filter(([box]) =>"
        " Math.min(box.getBoundingClientRect().height, box.getBoundingClientRect().width) < 24)"
        ".map(([, target]) => target.outerHTML)"
    )
    assert small == []


@pytest.mark.parametrize("width", [660, 730, 950, 1150, 1410])
def test_no_width_makes_the_page_or_its_table_scroll_sideways(browse, measured, width):
    page = browse(measured.html, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('#frame').scrollWidth <= document.querySelector('#frame').clientWidth")


def test_columns_can_be_shown_and_hidden(browse, measured):
    page = browse(measured.html)
    page.locator(".menu summary").click()
    head = page.locator("#frame th", has_text="few-shot accuracy")
    assert head.is_hidden()
    page.check('[data-column="metric2"]')
    assert head.is_visible()
    page.uncheck('[data-column="range"]')
    assert page.locator("#frame th", has_text="range").is_hidden()


def test_printing_keeps_every_row_and_leaves_the_controls_out(browse, measured):
    page = browse(measured.html, theme="dark")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#frame tbody tr").count() == 7
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_a_script_the_plain_table_is_there(browse, measured, data):
    page = browse(measured.html, ready=False, java_script_enabled=False)
    assert page.locator("#live").is_hidden()
    rows = page.locator("#static tbody tr")
    assert rows.count() == len(data[0]["rows"])
    assert data[0]["rows"][0]["metrics"][0]["score"]["text"] in rows.first.inner_text()


def test_an_old_browser_says_so_and_shows_the_plain_table(browse, measured):
    page = browse(measured.html, ready=False, before="delete window.DecompressionStream;")
    assert "too old" in page.locator("#trouble").inner_text()
    assert page.locator("#static tbody tr").first.is_visible()


def test_the_policy_stops_a_script_that_was_put_in(browse, measured):
    injected = measured.html.replace("<main>", "<main><script>document.title = 'taken over';</script>")
    page = browse(
        injected,
        listens=False,
        before="window.addEventListener('securitypolicyviolation', e => window.stopped = e.violatedDirective);",
    )
    assert page.title() == "Hand-made results"
    assert page.evaluate("window.stopped") == "script-src-elem"
