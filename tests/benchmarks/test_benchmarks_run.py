"""Every benchmark runs at a tiny size and prints what it promises."""

import math
import sys

import pytest
import tomli
import torch

from benchmarks.finished_store import fill, suite_text

TINY = ("--rounds", "1", "--workers", "0")


@pytest.fixture(autouse=True)
def tiny_matrix_products(monkeypatch):
    monkeypatch.setattr("benchmarks.matrix_product.SHAPES", {"cpu": ((8, 8, 8), (16, 8, 4))})
    monkeypatch.setattr("benchmarks.matrix_product.SECONDS", 0.001)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_matrix_products_of_every_size_and_layout_are_timed(precision):
    from benchmarks.matrix_product import matrix_product_rates

    rates = matrix_product_rates("cpu", precision)
    assert list(rates) == ["8x8x8 NN", "8x8x8 NT", "8x8x8 TN", "16x8x4 NN", "16x8x4 NT", "16x8x4 TN"]
    assert min(rates.values()) > 0


def test_matrix_products_have_the_layouts_that_they_are_named_after(monkeypatch):
    multiplied = []

    def timed(left, right, _device):
        multiplied.append("".join("N" if factor.stride(1) == 1 else "T" for factor in (left, right)))
        return 1.0

    from benchmarks import matrix_product

    monkeypatch.setattr(matrix_product, "_fastest_seconds", timed)
    rates = matrix_product.matrix_product_rates("cpu", "fp32")
    assert multiplied == [name.split()[1] for name in rates]
    assert rates["16x8x4 NT"] == 2 * 16 * 8 * 4


def test_the_fastest_matrix_product_is_what_networks_are_compared_with(run_benchmark, monkeypatch):
    monkeypatch.setattr("benchmarks.training.matrix_product_rates", lambda *_: {"slow": 1e9, "fast": 4e9})
    printed = run_benchmark("small_cnn", *TINY, "--steps", "1", "--batch-size", "4", "--width", "4")
    assert {row[3] for row in printed["tables"][1]["rows"]} == {"4.00"}
    assert "the fastest of 2" in printed["tables"][1]["note"]


@pytest.fixture
def toy_registry(monkeypatch):
    from balancebench.registry import load_registry
    from benchmarks.harness import TOY_PLUGIN

    monkeypatch.syspath_prepend(str(TOY_PLUGIN))
    load_registry.cache_clear()
    yield load_registry()
    load_registry.cache_clear()


@pytest.mark.parametrize("name", ["small_cnn", "resnet18"])
def test_networks_are_timed_beside_the_plain_loop(run_benchmark, name):
    printed = run_benchmark(name, *TINY, "--steps", "1", "--batch-size", "4", "--width", "4")
    assert printed["benchmark"] == name
    rates = next(table for table in printed["tables"] if "images/s" in table["header"])
    assert [row[0] for row in rates["rows"]] == ["plain loop, 0 workers", "balancebench, fp32"]
    arithmetic = printed["tables"][1]
    assert [row[4][-1] for row in arithmetic["rows"]] == ["%", "%"]
    shares = printed["figures"].get("none", printed["figures"])["operator_shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert any("convolution" in name for name in shares)


def test_compiled_networks_are_timed_where_asked(run_benchmark, monkeypatch):
    asked = []

    def fit(_self, _plan, context):
        asked.append(context.compilation)
        torch.zeros(2).add(1)  # something for the profiler to find
        for epoch in range(2):
            context.epoch_finished(epoch, None, {"loss": 1.0})

    monkeypatch.setattr("benchmarks.training.NetworkClassifier.fit", fit)
    printed = run_benchmark("resnet18", *TINY, "--steps", "1", "--batch-size", "4", "--width", "4", "--compiled")
    rows = [row[0] for row in printed["tables"][0]["rows"]]
    assert rows == ["plain loop, 0 workers", "balancebench, fp32", "balancebench, fp32, compiled"]
    assert set(asked) == {"never", "always"}


def test_the_conditional_gan_is_timed_in_steps_a_second(run_benchmark):
    pytest.importorskip("balancebench_cgan")
    printed = run_benchmark("mlp_cgan", *TINY, "--steps", "1", "--generator", "small_mlp_leaky")
    assert "steps/s" in printed["tables"][0]["header"]


def test_the_diffusion_model_is_timed_in_training_and_in_drawing(run_benchmark):
    pytest.importorskip("balancebench_gmaug")
    sizes = ("--preset", "micro", "--steps", "1", "--batch-size", "10", "--draws", "10", "--sampler-steps", "2")
    training, drawing = run_benchmark("edm", *TINY, *sizes)["tables"]
    assert [row[0] for row in training["rows"]] == ["plain loop, 0 workers", "balancebench, fp32"]
    assert [row[0] for row in drawing["rows"]] == ["plain loop", "balancebench, fp32"]


def test_what_edm_learns_is_judged_and_its_generator_is_kept(run_benchmark, monkeypatch, tmp_path):
    pytest.importorskip("balancebench_gmaug")
    from balancebench import DatasetSplits
    from benchmarks import edm_samples
    from benchmarks.training import synthetic_images

    splits = DatasetSplits(
        train=synthetic_images(200, (1, 28, 28)), test=synthetic_images(50, (1, 28, 28), seed=1), validation=None
    )
    monkeypatch.setattr(edm_samples, "fashion_mnist", lambda _folder: splits)
    monkeypatch.setattr(edm_samples, "KEPT", (20, 18, 16, 14, 12))
    asked = ("--data", "nowhere", "--steps", "1", "--images", "2", "--sampler-steps", "2", "--guidance", "1")
    asked = (*asked, "--keep", str(tmp_path / "kept"), "--picture", str(tmp_path / "samples.png"))
    first, again = (run_benchmark("edm_samples", *asked) for _ in range(2))
    assert first["settings"]["training"].endswith("of one core, bf16")
    assert again["settings"]["training"] == "restored"
    rows, rows_again = first["tables"][0]["rows"], again["tables"][0]["rows"]
    assert rows[0][0] == "real test images"
    assert all(cell.endswith("/ 1.00") for cell in rows[0][2:])
    assert rows[1][1:] == rows_again[1][1:]
    assert (tmp_path / "samples.png").stat().st_size > 0


def test_the_plain_loop_denoises_as_edm_does():
    pytest.importorskip("balancebench_gmaug")
    from balancebench_gmaug.edm import denoised
    from balancebench_gmaug.edm_options import EdmOptions
    from benchmarks.edm import DEVIATION, new_network, plain_denoiser

    network = new_network(EdmOptions(preset="micro"), "cpu")
    torch.nn.init.normal_(network.unet.conv_out.weight)
    noisy, labels = torch.randn(3, 1, 28, 28), torch.tensor([0, 4, 10])
    level = torch.tensor([0.01, 1.0, 50.0])
    plain = plain_denoiser(network, noisy, level.view(3, 1, 1, 1), labels)
    assert torch.allclose(plain, denoised(network, noisy, level, labels, DEVIATION, "fp32"), rtol=1e-4, atol=1e-5)


def test_the_transitional_gan_is_timed_beside_the_plain_loop(run_benchmark):
    pytest.importorskip("balancebench_gmaug")
    printed = run_benchmark("transitional_cgan", *TINY, "--steps", "1", "--preset", "micro")
    rows = [row[0] for row in printed["tables"][0]["rows"]]
    assert rows == ["plain loop, 0 workers", "balancebench, fp32", "balancebench, bf16"]


def test_augmentation_is_timed_with_and_without_what_follows_it(run_benchmark):
    printed = run_benchmark("augmentation", "--rounds", "1", "--images", "8", "--batch-size", "4")
    assert len(printed["tables"]) == 4
    assert all(len(table["rows"]) == 2 for table in printed["tables"])


def test_folders_are_decoded_once_and_every_epoch(run_benchmark):
    sizes = ("--images", "40", "--width", "20", "--height", "16", "--size", "8", "--batch-size", "4")
    printed = run_benchmark("image_folder", *TINY, *sizes)
    rates, pays = printed["tables"]
    assert len(rates["rows"]) == 3
    assert [row[0] for row in pays["rows"]] == ["DataLoader, 0 workers"]


def test_runs_of_small_cells_are_timed_by_workers(run_benchmark):
    printed = run_benchmark("side_by_side", "--rounds", "1", "--cells", "2", "--epochs", "1", "--jobs", "1", "2")
    assert [row[0] for row in printed["tables"][0]["rows"]] == ["1 worker", "2 workers"]


def test_a_killed_training_is_compared_with_one_that_ran_through(run_benchmark):
    sizes = ("--epochs", "2", "--steps", "2", "--batch-size", "4", "--depth", "20")
    printed = run_benchmark("checkpoints", "--rounds", "1", "--kills", "1", "--longest", "0", "--seconds", "0", *sizes)
    same, rates, saves = printed["tables"]
    assert [row[1] for row in same["rows"]] == ["0", "1"]
    assert same["rows"][0][3:] == same["rows"][1][3:]
    assert [row[0] for row in rates["rows"]] == ["no state", "a state every 0 s"]
    assert saves["rows"][0][2] == "12", "three epochs of two steps, in a round and the one before it"


@pytest.mark.parametrize(("cells", "tasks"), [(100, 1), (1000, 10), (10_000, 100)])
def test_suites_of_the_harness_have_as_many_tasks_as_they_say(cells, tasks):
    suite = tomli.loads(suite_text(cells))
    swept = [
        len(values) for axis in ("dataset", "imbalancer", "classifier") for values in suite[axis][0]["sweep"].values()
    ]
    assert math.prod(swept) == tasks


def test_a_store_made_from_examples_is_finished_in_every_respect(toy_registry, tmp_path):
    from balancebench.execution.survey import survey
    from balancebench.leaderboard.results_in_store import collect
    from balancebench.plan import expand
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    path = tmp_path / "suite.toml"
    path.write_text(suite_text(100))
    steps = fill(path, tmp_path / "store")
    plan, store = expand(bind_suite(path, toy_registry)), Store(tmp_path / "store")
    surveyed = survey(plan, store)
    assert len(plan.cells) == 100
    assert (len(surveyed.done), surveyed.to_run, surveyed.damaged) == (steps, [], {})
    assert {(cell.status, len(cell.scores["last"].metrics)) for cell in collect(plan, store)} == {("done", 4)}


def test_a_measured_process_has_seconds_memory_and_output(tmp_path):
    from benchmarks.harness import measure

    measured = measure((sys.executable, "-c", "print('x' * 3, len(b'x' * 50_000_000))"), tmp_path)
    assert measured.output == "xxx 50000000\n"
    assert measured.peak_bytes > 50_000_000
    with pytest.raises(RuntimeError, match="ended with 3"):
        measure((sys.executable, "-c", "raise SystemExit(3)"), tmp_path)


def test_the_page_that_is_slid_over_has_the_rows_asked_for_and_a_mix():
    from benchmarks.page_slider import page

    html = page(4, 3, 30)
    assert html.count('<th scope="row" class="name">') == 4
    assert html.count('id="counts-') == 1
