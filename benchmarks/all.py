"""Runs every benchmark, one after the other, and keeps the figures of this kind of machine.

    uv run python -m benchmarks.all                    every benchmark, on the CPU
    uv run python -m benchmarks.all --device cuda      those that use one, on a GPU
    uv run python -m benchmarks.all --only harness     one again; the others' figures stay

A benchmark that fails leaves the others alone; the end says which did, and so does the exit code.
Figures go to benchmarks/results/KIND.json, and the tables to benchmarks/README.md between its markers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Table, describe_machine

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
README = FOLDER / "README.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
CPU: dict[str, tuple[str, ...]] = {
    "small_cnn": (),
    "resnet18": (),
    "mlp_cgan": (),
    "edm": (),
    "transitional_cgan": (),
    "augmentation": (),
    "augmentation_imagegen": (),
    "image_folder": (),
    "large_images": (),
    "side_by_side": (),
    "checkpoints": (),
    "harness": (),
    "page_slider": (),
}
# As the aims say: bf16, and batches that a GPU needs.
CUDA: dict[str, tuple[str, ...]] = {
    "small_cnn": ("--precision", "fp32", "bf16", "--batch-size", "1024", "--steps", "50", "--compiled"),
    "resnet18": ("--precision", "fp32", "bf16", "--batch-size", "1024", "--steps", "20", "--compiled"),
    "mlp_cgan": ("--precision", "fp32", "bf16"),
    "edm": (
        *("--precision", "fp32", "bf16", "--preset", "paper", "--batch-size", "256", "--steps", "20"),
        *("--draws", "500", "--sampler-steps", "18"),
    ),
    "transitional_cgan": ("--preset", "cifar", "--threads", "4"),
    "augmentation": ("--batch-size", "1024", "--images", "16384"),
    "side_by_side": ("--jobs", "1", "2", "4", "8", "--cells", "64", "--epochs", "60"),
}


def main() -> None:
    """Run them, and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where networks run")
    parser.add_argument("--only", nargs="+", choices=sorted({*CPU, *CUDA}), help="run these alone")
    asked = parser.parse_args()
    chosen = CUDA if asked.device == "cuda" else CPU
    path = RESULTS / f"{describe_machine(asked.device)['kind']}.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    failed: list[str] = []
    for name in asked.only or chosen:
        print(f"== {name}", file=sys.stderr, flush=True)
        on = ("--device", "cuda") if asked.device == "cuda" else ()
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *on, *chosen[name]]
        ran = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
        if ran.returncode != 0:
            failed.append(name)
            continue
        kept[name] = json.loads(ran.stdout)
        # After each one: what was measured stays, should a later one fail.
        RESULTS.mkdir(exist_ok=True)
        path.write_text(
            json.dumps({name: kept[name] for name in CPU if name in kept}, indent=1) + "\n", encoding="utf-8"
        )
        write_tables(README, RESULTS)
    print(f"{path} and {README}")
    if failed:
        sys.exit(f"failed, with what they said above: {', '.join(failed)}")


def write_tables(readme: Path, results: Path) -> None:
    """Replace what stands between the markers by the tables of every kind of machine."""
    sections: list[str] = []
    for path in sorted(results.glob("*.json")):
        reports: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        texts = [f"### {name}\n\n{report_of(report).markdown()}" for name, report in reports.items()]
        sections.append("\n\n".join([f"## {path.stem}", *texts]))
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(sections) + f"\n\n{END}{after}", encoding="utf-8")


def report_of(document: dict[str, Any]) -> Report:
    """Return the report that --json printed."""
    tables = tuple(
        Table(table["title"], tuple(table["header"]), tuple(tuple(row) for row in table["rows"]), table["note"])
        for table in document["tables"]
    )
    return Report(document["benchmark"], document["machine"], document["settings"], tables, document["figures"])


if __name__ == "__main__":
    main()
