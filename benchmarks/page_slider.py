"""The leaderboard page in headless Chromium: how long a frame of the slider of the test classes' mix takes.

A frame is what the page does between a move of the slider and the picture: statistics, texts, order of rows, layout.
Painting is not in it. When the slider is let go, lines off the screen follow, and all else that depends on it.
Wants playwright, and Chromium as `chromium` or another of `BROWSERS`.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Table, arguments, describe_machine, figure, finish

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SEEDS = 5
AIM = "Aim: below 50 ms while it slides, at 200 rows."
# Two animation frames are asked for, one before and one after that of the page: all three run in one frame.
SLIDE = """
async ([values, kind]) => {
  const control = document.getElementById("mix-share");
  const slide = (value) => new Promise((done) => {
    let begin = 0;
    if (kind === "input") requestAnimationFrame(() => { begin = performance.now(); });
    else begin = performance.now();
    control.value = value;
    control.dispatchEvent(new Event(kind, { bubbles: true }));
    requestAnimationFrame(() => {
      document.body.getBoundingClientRect();
      document.getElementById("frame").getBoundingClientRect();
      done(performance.now() - begin);
    });
  });
  const took = [];
  for (const value of values) took.push(await slide(value));
  return took;
}
"""


def page(rows: int, classes: int, images: int) -> str:
    """Return a page of `rows` rows of noise about differing recalls, under five seeds, on one task."""
    import numpy as np

    from balancebench.artefacts.scores import Outcome, ReportScores, Score
    from balancebench.evaluation import Cost, MeanOver
    from balancebench.leaderboard.outcomes import DatasetOutcomes
    from balancebench.leaderboard.page.build import page_html
    from balancebench.leaderboard.results import CellResult, MetricHeader, SubsetSummary, SuiteHeader
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.plan import Task
    from balancebench.suite.bound import SeedTriple

    rng = np.random.default_rng(0)
    task = Task(dataset="noise", imbalancer="long_tail", classifier="none")
    labels_N = np.repeat(np.arange(classes), images // classes)
    names = ["none", *(f"method {index}" for index in range(1, rows))]
    subset = SubsetSummary(
        fingerprint="0" * 64,
        class_names=tuple(f"class {label}" for label in range(classes)),
        counts_K=tuple(int(500 * 0.6**label) + 1 for label in range(classes)),
        test_images=len(labels_N),
    )
    cells: list[CellResult] = []
    of_cells: dict[str, Any] = {}
    for name in names:
        recall_K = rng.uniform(0.3, 0.9, classes)
        for seed in range(SEEDS):
            right_N = rng.random(len(labels_N)) < recall_K[labels_N]
            key = hashlib.sha256(f"{name} {seed}".encode()).hexdigest()
            outcome = Outcome.of(labels_N, np.where(right_N, labels_N, (labels_N + 1) % classes), classes)
            of_cells[key] = {"last": outcome}
            steps: dict[Any, str] = {"load": "load", "imbalance": "subset", "train": key, "score": key}
            scores = {"balanced accuracy": Score(value=float(right_N.mean())), "loss": Score(value=float(rng.random()))}
            cells.append(
                CellResult(
                    task=task,
                    balancer=name,
                    seeds=SeedTriple(seed, seed, seed),
                    role="floor" if name == "none" else "entry",
                    status="done",
                    steps=steps,
                    subset=subset,
                    scores={"last": ReportScores(epoch=9, metrics=scores)},
                    cost=Cost(duration_seconds=12.0, images_seen=1600, optimiser_steps=100, peak_memory_bytes=2**28),
                )
            )
    suite = SuiteHeader(
        name="noise",
        title="Noise",
        file="noise.toml",
        metrics=(
            MetricHeader(label="balanced accuracy", unit="%", mean_over=MeanOver(each="class")),
            MetricHeader(label="loss", higher_is_better=False),
        ),
        reports=("last",),
        axes={"dataset": ("noise",), "imbalancer": ("long_tail",), "balancer": tuple(names), "classifier": ("none",)},
    )
    outcomes = {"load": DatasetOutcomes(labels_N=labels_N, class_count=classes, cells=of_cells)}
    return page_html(build_leaderboard(suite, cells, outcomes), cells, outcomes)


def main() -> None:
    """Slide over pages of several sizes and report the frames."""
    parser = arguments(__doc__ or "", rounds=3, devices=("cpu",))
    parser.add_argument("--rows", type=int, nargs="+", default=[28, 70, 200], help="rows of the table")
    parser.add_argument("--classes", type=int, default=10, help="classes of the test images")
    parser.add_argument("--images", type=int, default=2000, help="test images")
    asked = parser.parse_args()

    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    machine = describe_machine()
    lines: list[tuple[str, ...]] = []
    figures: dict[str, Any] = {}
    moves = [*range(5, 105, 5), *range(95, -5, -5)]
    with tempfile.TemporaryDirectory(prefix="balancebench-page-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--headless", "--no-sandbox"])
        for rows in asked.rows:
            path = Path(folder) / f"{rows}.html"
            path.write_text(page(rows, asked.classes, asked.images), encoding="utf-8")
            opened = browser.new_page(viewport={"width": 1280, "height": 900})
            opened.goto(path.as_uri())
            opened.wait_for_selector("html[data-ready]", state="attached")
            opened.check("#mix-slides")
            opened.evaluate(SLIDE, [moves, "input"])  # warm-up
            for kind, words in (("input", "while it slides"), ("change", "when it is let go")):
                took = [ms for _ in range(asked.rounds) for ms in opened.evaluate(SLIDE, [moves, kind])]
                least, most = min(took), statistics.quantiles(took, n=20)[-1]
                lines.append((str(rows), words, figure(least), figure(statistics.median(took)), figure(most)))
                figures[f"{rows} rows, {words}"] = {"unit": "ms", "frames": took}
            opened.close()
        browser.close()
    title = f"A frame of the mix's slider, {asked.classes} classes, {SEEDS} seeds"
    table = Table(title, ("rows", "", "fastest ms", "median", "95 % below"), tuple(lines), note=AIM)
    finish(
        Report(
            benchmark="page_slider",
            machine=machine,
            settings={"rounds": asked.rounds, "moves": len(moves)},
            tables=(table,),
            figures=figures,
        ),
        as_json=asked.json,
    )


if __name__ == "__main__":
    main()
