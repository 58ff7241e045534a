"""The suites are the paper's tables, and can be planned; a small one runs as the harness runs it."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite
from balancebench_gmaug.curve import PUBLISHED
from balancebench_gmaug.gm_aug import GmAug

SUITES = Path(__file__).parents[3] / "suites"

pytestmark = pytest.mark.skipif(not SUITES.is_dir(), reason="the plugin is not beside the suites")

# Accuracy in per cent: none, cGAN-aug, cGAN-augCls, GD-augCls with ResNet-18; none, cGAN-augCls with MAE; CB-loss.
TABLE = {
    "UTKFace": (82.31, 83.32, 84.29, None, 87.63, 86.82, 73.65),
    "Birds": (52.12, 52.12, 54.50, 55.03, 80.42, 80.16, None),
    "Insects": (61.23, 59.34, 61.70, None, 87.23, 87.23, None),
    "scene": (90.12, 90.53, 90.65, 90.24, 94.29, 94.41, 87.71),
    "flowers": (64.14, 79.86, 80.00, None, 95.40, 96.55, 75.86),
    "Fungi": (50.00, 66.67, 75.00, 69.44, 88.89, 88.89, None),
    "Reptiles": (28.21, 38.63, 41.03, None, 81.20, 82.05, None),
    "Amphibians": (20.00, 43.33, 36.67, None, 74.67, 80.00, 20.00),
}
COLUMNS = (
    *((row, "ResNet-18") for row in ("none", "cGAN-aug", "cGAN-augCls", "GD-augCls")),
    *((row, "MAE ViT-H") for row in ("none", "cGAN-augCls")),
    ("CB-loss", "ResNet-18"),
)


@pytest.fixture(scope="module")
def suite():
    return tomllib.loads((SUITES / "gmaug.toml").read_text(encoding="utf-8"))


def test_every_number_of_the_papers_tables_stands_in_the_suite(suite):
    shown = {
        (table["dataset"], table["balancer"], table["classifier"]): table["accuracy"] for table in suite["published"]
    }
    expected = {
        (dataset, *column): pytest.approx(accuracy / 100)
        for dataset, accuracies in TABLE.items()
        for column, accuracy in zip(COLUMNS, accuracies, strict=True)
        if accuracy is not None
    }
    assert shown == expected
    assert {table["report"] for table in suite["published"]} == {"best_test"}


def test_the_curve_is_of_the_same_accuracies():
    assert {seen.dataset: (seen.accuracy, seen.chosen_accuracy) for seen in PUBLISHED} == {
        dataset: (accuracies[0], accuracies[2]) for dataset, accuracies in TABLE.items()
    }


def photograph(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (90, 90, 90)).save(path)


@pytest.fixture
def papers_suite(tmp_path):
    """The suite beside generated data of all eight sets."""
    (tmp_path / "suites").mkdir()
    shutil.copy(SUITES / "gmaug.toml", tmp_path / "suites")
    data = tmp_path / "data"
    for name in ("daisy", "dandelion", "rose", "sunflower", "tulip"):
        photograph(data / "flowers" / name / "1.jpg")
    photograph(data / "utkface" / "1_0_2_20170116174525125.jpg")
    (data / "scene").mkdir()
    (data / "scene" / "train.csv").write_text("image_name,label\n", encoding="utf-8")
    (data / "inaturalist_2019").mkdir()
    (data / "inaturalist_2019" / "train2019.json").write_text("{}", encoding="utf-8")
    return tmp_path / "suites" / "gmaug.toml"


@pytest.mark.parametrize("profile", [None, "smoke"])
def test_the_papers_suite_is_planned_with_one_training_of_each_generator(papers_suite, profile):
    plan = expand(bind_suite(papers_suite, load_registry(), profile))
    stages = Counter(step.stage for step in plan.steps.values())
    seeds = 3 if profile is None else 1
    assert stages["load"] == 8
    assert stages["train_generator"] == 8 * 2 * seeds
    assert len(plan.cells) == 8 * 7 * 2 * seeds


@pytest.mark.parametrize("profile", [None, "smoke"])
def test_the_local_suite_trains_each_generator_once_for_all_its_rows(profile):
    plan = expand(bind_suite(SUITES / "gmaug_local.toml", load_registry(), profile))
    trained = Counter(
        step.components["component"].component.partition(":")[2]
        for step in plan.steps.values()
        if step.stage == "train_generator"
    )
    seeds = 3 if profile is None else 1
    assert trained == {"mlp_cgan": seeds, "transitional_cgan": seeds, "edm": seeds}


def test_a_choice_among_a_generators_images_runs_as_the_harness_runs_it(tmp_path, monkeypatch):
    gan = '{ use = "mlp_cgan", epochs = 1 }'
    path = tmp_path / "suite.toml"
    path.write_text(
        "\n".join(
            [
                'schema = 1\nname = "chosen"\nmetrics = ["balanced_accuracy", "ssim_super_sub_classes"]',
                '[[dataset]]\nuse = "digits"\nimages_per_class = 24',
                '[[imbalancer]]\nuse = "long_tail"\nimbalance_ratio = 4',
                f'[[balancer]]\nuse = "gm_aug"\nlabel = "chosen"\nbase = {gan}\nsurplus = 2\nrounds = 2',
                f'[[balancer]]\nuse = "gm_aug"\nlabel = "all"\nbase = {gan}\nalpha = 0',
                '[[balancer]]\nuse = "equal_exposure"\nlabel = "repeats"',
                f'base = {{ use = "gm_aug", alpha = 0, base = {gan} }}',
                f'[[balancer]]\nuse = "cas"\nbase = {gan}\nimages = 8',
                '[[classifier]]\nuse = "small_cnn"\nsteps = 2\nwidth = 4',
            ]
        ),
        encoding="utf-8",
    )
    plan, store = expand(bind_suite(path, load_registry(), None)), Store.open(tmp_path / "store")
    real_judge, judges = GmAug._judge, []

    def judge(*arguments):
        judges.append(arguments)
        if len(judges) == 2:
            raise RuntimeError("interrupted in the second round")
        return real_judge(*arguments)

    monkeypatch.setattr(GmAug, "_judge", judge)
    first, *_ = run_plan(plan, store, executor="inline", device="cpu").failed
    assert "interrupted in the second round" in first.message
    assert not run_plan(plan, store, executor="inline", device="cpu").failed
    assert len(judges) == 3  # the first round's was not trained again
    trained = [step for step in plan.steps.values() if step.stage == "train_generator"]
    assert len(trained) == 1
    (cell,) = (cell for cell in plan.cells if cell.balancer == "chosen")
    artefacts = store.folder(cell.steps["synthesise"]) / "artefacts"
    assert len(json.loads((artefacts / "curves.json").read_text())["curves"]) == 2
    counts = {
        balancer: json.loads((store.folder(cell.steps["synthesise"]) / "synthetic.json").read_text())["counts_K"]
        for balancer in ("chosen", "all", "cas")
        for cell in plan.cells
        if cell.balancer == balancer
    }
    assert counts["chosen"] == counts["all"]
    assert counts["cas"] == [8] * 10
    record = store.read(cell.steps["synthesise"])
    assert record.optimiser_steps == 2 * 2  # two rounds, a classifier of two steps each, the first before the failure
    assert any("filled classes reached alpha 0.5" in text for text in record.warnings)  # what learnt 2 steps is unsure
    assert set(record.warnings) <= set(store.read(cell.steps["score"]).warnings)
