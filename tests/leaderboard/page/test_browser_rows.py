"""Rows of the page in Chromium, without a network: opened, by epoch, and two compared."""

import re
from dataclasses import replace

import numpy as np
import pytest

from balancebench.leaderboard.crossfit import CrossFit
from balancebench.leaderboard.page.build import page_html
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import TrainingCurves
from tests.leaderboard.page.conftest import column, row_ids


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
