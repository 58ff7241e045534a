"""Views of the page in Chromium, without a network: mixes of the classes, links, files to take along."""

import csv
import io
import json

import numpy as np
import pytest

from balancebench.leaderboard.export import csv_text
from balancebench.leaderboard.page.build import page_html
from balancebench.leaderboard.table import build_leaderboard
from tests.leaderboard.page.conftest import names_of


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
