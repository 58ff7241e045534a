"""The page's table in Chromium, without a network: what its reader sees, sorts, finds, and on which screens."""

import pytest

from balancebench.leaderboard.page.build import page_html
from balancebench.leaderboard.table import build_leaderboard
from tests.leaderboard.page.conftest import column, names_of, row_ids


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
