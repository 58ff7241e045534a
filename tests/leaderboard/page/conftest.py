"""Pages as tests look at them: their parts in Python, and opened in Chromium without a network."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from balancebench.leaderboard.page.build import page_html, unpacked_block
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import TrainingCurves
from balancebench.suite.bound import PublishedNumbers

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`${alert(2)}{{ 7 * 7 }}&lt;\u2028__proto__"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def parts_of(html):
    """The style, the loader, the script, the index and the tables of a page, their counts put back."""
    index = re.search(r'<script type="application/json" id="index">(.*?)</script>', html, re.DOTALL)
    found = re.findall(r'<script type="application/octet-stream" id="([a-z]+(?:-[0-9a-f]+)?)">([^<]*)</script>', html)
    blocks = {name: unpacked_block(block) for name, block in found}
    tables = {name[5:]: json.loads(content) for name, content in blocks.items() if name.startswith("data-")}
    for name, table in tables.items():
        if table["counts"] is not None:
            table["counts"] |= counts_of(table["counts"], blocks[f"counts-{name}"])
    return SimpleNamespace(
        style=re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1],
        loader=re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1],
        script=blocks["program"].decode(),
        index=json.loads(index[1]),
        tables=tables,
        blocks=blocks,
    )


def counts_of(counts, content):
    """The arrays that a table's second block holds: read as the script reads them, in other words."""
    rows, seeds, classes = (len(counts[name]) for name in ("rows", "seeds", "test_K"))
    numbers, value, shift = [], 0, 0
    for byte in content:
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            numbers.append(value // 2 if value % 2 == 0 else -(value + 1) // 2)
            value = shift = 0
    rest = iter(numbers)

    def array(*shape):
        return np.array([next(rest) for _ in range(int(np.prod(shape)))], dtype=np.int64).reshape(shape)

    def pairs():
        if counts["pair_with"] is not None:
            return array(rows - 1, classes).cumsum(axis=0)
        known = {}
        for a in range(rows):
            for b in range(a + 1, rows):
                above, left = known.get((a - 1, b), 0), known.get((a, b - 1), 0)
                corner = known[a - 1, b - 1] if a and b > a + 1 else 0
                known[a, b] = array(classes) + above + left - corner
        return np.array(list(known.values())).reshape(-1, classes)

    right = array(rows, seeds, classes).cumsum(axis=0)
    confusion = array(rows, classes, classes).cumsum(axis=0) if counts["commonest_RK"] is None else None
    squares = pairs()
    sums = squares + 2 * pairs()
    assert next(rest, None) is None
    return {
        "right_RSK": right.tolist(),
        "confusion_RKK": None if confusion is None else confusion.tolist(),
        "squares_PK": squares.tolist(),
        "sums_PK": sums.tolist(),
    }


def right_images(rows, seeds, labels_N, rng):
    """Rows by name -> which images are right (S, N): rows and images differ in how often."""
    hardness_N = rng.normal(0, 1.2, len(labels_N))
    return {
        name: np.stack([hardness_N + rng.normal(0, 0.8, len(labels_N)) + lift[labels_N] > 0 for _ in range(seeds)])
        for name, lift in rows.items()
    }


def names_of(page):
    return page.locator("#frame tbody th.name > button").all_inner_texts()


def column(page, heading):
    index = page.locator("#frame thead th").all_inner_texts().index(heading)
    return [row.locator("td, th").nth(index).inner_text() for row in page.locator("#frame tbody tr").all()]


def row_ids(data):
    return {row["name"]: row["id"] for row in data["rows"]}


@pytest.fixture(scope="session")
def parts():
    return parts_of


@pytest.fixture(scope="session")
def measured(make):
    """A suite of two tasks with outcomes: floor, ceiling, balancers, one of which trades large classes for small."""
    rng = np.random.default_rng(7)
    labels_N = np.repeat(np.arange(3), [120, 120, 60])
    base = np.array([1.5, 0.9, -0.9])
    rows = {
        "none": base,
        "smote": base + 0.2,
        "trader": base + np.array([-1.0, 0.0, 1.9]),
        "twin a": base + 0.5,
        "twin b": base + 0.5,
        "worse": base - 1.4,
        "no imbalance": base + np.array([0.2, 0.4, 1.6]),
    }
    cells, outcomes = [], {}
    for dataset in ("digits", "letters"):
        task = type(make.task)(dataset=dataset, imbalancer="long_tail", classifier="small_cnn")
        right = right_images(rows, 5, labels_N, rng)
        right["twin b"] = right["twin a"]
        of_task = make.tested(right, labels_N, roles={"no imbalance": "ceiling"}, task=task)
        cells += of_task.cells
        outcomes |= of_task.outcomes
    suite = of_task.suite.model_copy(update={"citations": {"smote": "Chawla et al. 2002. https://example.org/smote."}})
    board = build_leaderboard(suite, cells, outcomes)
    return SimpleNamespace(
        suite=suite, cells=cells, outcomes=outcomes, board=board, html=page_html(board, cells, outcomes)
    )


def a_hostile_suite(make):
    """A suite in which every text that others choose is hostile, with its cells."""
    h = HOSTILE
    task = type(make.task)(dataset=f"d {h}", imbalancer=f"i {h}", classifier=f"c {h}")
    subset = make.subset(class_names=(f"k {h}", "one", "bag"))
    marks = {"used_withheld_data": True, "outside_data": (f"outside {h}",), "warnings": (f"warning {h}",)}
    identities = {"train": {"components": {"component": {"component": f"dist:{h}", "options": {h: h}, "revision": 1}}}}
    cells = [
        make.cell("none", 0, {f"m {h}": 0.5}, role="floor", task=task, subset=subset),
        make.cell(
            f"b {h}",
            0,
            {f"m {h}": 0.6},
            task=task,
            subset=subset,
            identities=identities,
            provenance={"device": h, "processor": h, "plugins": {h: h}, "versions": {h: h}, "git_commit": h},
            **marks,
        ),
        make.cell("u", 0, {f"m {h}": f"undefined {h}"}, task=task, subset=subset),
        make.cell("half", 0, task=task, status="failed", message=f"message {h}", subset=None),
    ]
    published = PublishedNumbers(
        labels={"dataset": None, "imbalancer": None, "classifier": None, "balancer": (f"b {h}",)},
        values={f"m {h}": 0.4},
        source=f"source {h}",
        protocol=f"protocol {h}",
    )
    suite = make.suite(
        metrics=((f"m {h}", h, True),),
        name="hostile",
        title=f"title {h}",
        description=f"description {h}",
        profile=f"profile {h}",
        overrides={h: h},
        file=f"file {h}",
        published=(published,),
        citations={f"b {h}": f"citation {h} https://example.org/{h}"},
    )
    return suite, cells


@pytest.fixture(scope="session")
def hostile(make):
    suite, cells = a_hostile_suite(make)
    return SimpleNamespace(
        text=HOSTILE, suite=suite, cells=cells, html=page_html(build_leaderboard(suite, cells), cells)
    )


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--headless", "--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium, tmp_path):
    """Open a page's text; fails on any console message, error or dialog, and on a request but for the file itself."""
    contexts, said, asked = [], [], []

    def opened(html, *, hash_="", width=1280, ready=True, theme="light", before="", listens=True, **options):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, offline=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        if before:
            page.add_init_script(before)
        if listens:
            page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + (f"#{hash_}" if hash_ else ""))
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached", timeout=10_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert [address for address in asked if not address.startswith(("file:", "blob:"))] == []
    assert len([address for address in asked if address.startswith("file:")]) == len(contexts)


@pytest.fixture(scope="session")
def data(measured, parts):
    return list(parts(measured.html).tables.values())


@pytest.fixture(scope="session")
def with_curves(measured):
    """A page whose trainings have curves of four epochs, but for those of `worse`; smote's seeds differ by 0.02."""
    curves = {}
    for cell in measured.cells:
        shift = 0.01 * cell.seeds.subset if cell.balancer == "smote" else 0
        if cell.balancer != "worse":
            values = {"training loss": (2.0, 0.5 + shift, 0.25, 0.3), "test accuracy": (0.2, 0.5, 0.6 + shift, 0.55)}
            curves[cell.steps["train"]] = TrainingCurves(epochs=4, values=values)
    return page_html(measured.board, measured.cells, measured.outcomes, curves)
