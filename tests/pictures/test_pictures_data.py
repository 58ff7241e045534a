"""What pictures show is what the store holds: checked against the plan's own images, scikit-learn and hand counts."""

import hashlib
import json
from hashlib import sha256

import numpy as np
import pytest
from sklearn.metrics import f1_score

from balancebench.artefacts.splits import read_test_labels
from balancebench.data import Origin
from balancebench.pictures.classes import class_panels
from balancebench.pictures.confusion import row_confusion
from balancebench.pictures.epochs import f1_by_epoch, row_curves
from balancebench.pictures.generator_curves import generator_curves, generator_orders
from balancebench.pictures.lines import Line, Panel, Strokes, line_chart, thinned
from balancebench.pictures.samples import LADDER, class_samples
from balancebench.pictures.syntheses import syntheses
from balancebench.store import FileEntry, Record
from balancebench.store.sealed import record_text


def row_of(scene, balancer, role="entry"):
    return next(row for row in scene.tasks[0].rows if (row.balancer, row.role) == (balancer, role))


def panels_of(run, balancer, role="entry"):
    scene = run.scene
    return class_panels(scene, {balancer: scene.done(row_of(scene, balancer, role), "train")})


def test_class_counts_before_and_after_are_those_of_the_kept_and_the_made_images(finished):
    names, (panel,) = panels_of(finished, "two more <&> of dark")
    assert names == ("dark", "grey", "light")
    assert panel.before_K.tolist() == [30, 30, 3]
    assert set(panel.after) == {"real", "synthetic"}
    assert panel.after["real"].tolist() == [30, 30, 3]
    synthetic_labels = [
        np.load(finished.path(cell, "synthesise", "synthetic_labels.npy"))
        for cell in finished.plan.cells
        if "synthesise" in cell.steps
    ]
    expected_K = np.mean([np.bincount(labels_N, minlength=3) for labels_N in synthetic_labels], axis=0)
    assert panel.after["synthetic"].tolist() == expected_K.tolist()
    assert panel.removed_K.tolist() == [0, 0, 0]


def rewrite(run, cell, stage, name, change):
    """Change a file of a finished step as if the step had written it so."""
    path = run.path(cell, stage, name)
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    record = Record.model_validate_json((path.parent / "record.json").read_bytes())
    entry = FileEntry(sha256=sha256(path.read_bytes()).hexdigest(), size_bytes=path.stat().st_size)
    sealed = record_text(record.model_copy(update={"files": {**record.files, name: entry}}))
    (path.parent / "record.json").write_text(sealed, encoding="utf-8")


def test_what_undersampling_leaves_out_is_counted_as_removed(finished):
    for cell in finished.plan.cells:
        if cell.role == "floor":
            rewrite(finished, cell, "train", "training.json", lambda d: d.update(phases=[{"real": [3, 3, 3]}]))
    _, (panel,) = panels_of(finished, "none", "floor")
    assert panel.removed_K.tolist() == [27, 27, 0]


def test_phases_over_other_images_have_panels_of_their_own_and_equal_ones_share_one(finished):
    phases = [{"synthetic": [5, 5, 5]}, {"real": [30, 30, 3]}, {"real": [30, 30, 3]}]
    for cell in finished.plan.cells:
        if cell.role == "entry":
            rewrite(finished, cell, "train", "training.json", lambda d: d.update(phases=phases))
    scene = finished.scene
    trained = {row.balancer: scene.done(row, "train") for row in scene.tasks[0].rows if row.role != "ceiling"}
    _, panels = class_panels(scene, dict(sorted(trained.items())))
    assert {panel.balancers for panel in panels} == {
        ("two more <&> of dark, phase 1 of 2",),
        ("none", "two more <&> of dark, phase 2 of 2"),
    }


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_by_epoch_is_scikit_learns(average):
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 4, 60)  # class 4 has no test images and is sometimes predicted
    predictions_EN = rng.integers(0, 5, (6, 60)).astype(np.int16)
    predictions_EN[0] = 0
    expected = [f1_score(labels_N, predicted_N, average=average, zero_division=0) for predicted_N in predictions_EN]
    assert f1_by_epoch(predictions_EN, labels_N, 6, average) == pytest.approx(expected)


def test_curves_by_epoch_are_those_of_the_stored_predictions(finished):
    scene = finished.scene
    row = row_of(scene, "none", "floor")
    curves = row_curves(scene, row, ["macro"])
    for cell, loss_E, accuracy_E, f1_E in zip(
        row.cells, curves.loss_SE, curves.accuracy_SE, curves.f1_SE["macro"], strict=True
    ):
        labels_N = read_test_labels(finished.store, cell.steps["load"])
        predictions_EN = np.load(finished.path(cell, "train", "epoch_predictions_test.npy"))
        losses = json.loads(finished.path(cell, "train", "training.json").read_text())["epoch_losses"]["test"]
        assert loss_E.tolist() == losses
        assert accuracy_E.tolist() == [(predicted_N == labels_N).mean() for predicted_N in predictions_EN]
        assert f1_E == pytest.approx(
            [f1_score(labels_N, predicted_N, average="macro") for predicted_N in predictions_EN]
        )


def test_a_confusion_matrix_sums_to_the_test_images_of_all_seeds(finished):
    scene = finished.scene
    row = row_of(scene, "none", "floor")
    confusion_KK = row_confusion(scene, row)
    assert confusion_KK.sum() == 2 * 30
    assert confusion_KK.sum(axis=1).tolist() == [20, 20, 20]
    hits = 0
    for cell in row.cells:
        predicted_N = np.load(finished.path(cell, "train", "logits_last.npy")).argmax(axis=1)
        hits += int((predicted_N == read_test_labels(finished.store, cell.steps["load"])).sum())
    assert confusion_KK.trace() == hits


def leave(store, key, documents):
    """Add JSON files to a finished step, as if its balancer had written them."""
    record, folder = store.read_done(key), store.folder(key)
    entries = dict(record.files)
    for name, document in documents.items():
        content = json.dumps(document).encode()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    (folder / "record.json").write_text(record_text(record.model_copy(update={"files": entries})))


def test_curves_of_generators_are_read_by_name_and_other_json_is_left_alone(finished):
    scene = finished.scene
    (synthesis,) = syntheses(scene)
    assert synthesis.label == "tiny / halving / two more <&> of dark"
    assert generator_orders(scene) == []  # it kept a note and no curves
    documents = {
        "artefacts/curves.json": {"curves": [{"epoch": 0, "g_loss": 1.0, "fid": 9.0}, {"epoch": 1, "g_loss": 0.5}]},
        "artefacts/second.json": {"curves": [{"epoch": 0, "g_loss": 2.0}]},
        "artefacts/settings.json": {"width": 4},
        "artefacts/list.json": [1, 2],
    }
    seeds, key = next(iter(synthesis.steps.items()))
    leave(finished.store, key, documents)
    curves = generator_curves(finished.scene, {seeds: key})
    assert {name: values[0].tolist() for name, values in curves.items() if name != "fid"} == {
        "g loss": [1.0, 0.5],
        "second g loss": [2.0],
    }
    assert curves["fid"][0][0] == 9.0
    assert np.isnan(curves["fid"][0][1])


@pytest.mark.usefixtures("drawing")
def test_curves_of_a_making_are_drawn_by_round_and_shares_stand_together(finished):
    scene = finished.scene
    (synthesis,) = syntheses(scene)
    rows = [
        {"epoch": 0, "share_of_all": 0.4, "share_of_the_lowest": 0.1, "fid": 9.0},
        {"epoch": 1, "share_of_all": 0.5},
    ]
    for key in synthesis.steps.values():
        leave(finished.store, key, {"artefacts/curves.json": {"curves": rows}})
    (order,) = generator_orders(scene)
    assert order.picture.title.startswith("Making of the images: ")
    drawing = order.draw()
    text = drawing.content.decode() if isinstance(drawing.content, bytes) else drawing.content
    assert ">round<" in text
    assert ">epoch<" not in text
    assert ">share<" in text
    assert ">share of all<" in text
    assert text.count(">fid<") == 2  # the heading of its panel, and the legend


def test_long_curves_are_thinned_to_means_of_neighbours_and_holes_do_not_count():
    values_SE = np.arange(250, dtype=float)[None]
    thin_SP, together = thinned(values_SE)
    assert (thin_SP.shape, together) == ((1, 84), 3)
    assert thin_SP[0, :2].tolist() == [1.0, 4.0]
    assert thin_SP[0, -1] == 249.0
    sparse_SP, _ = thinned(np.where(np.arange(250) % 6 == 0, values_SE, np.nan))
    assert sparse_SP[0, 0] == 0.0
    assert np.isnan(sparse_SP[0, 1])


def test_of_many_classes_the_smallest_and_some_of_the_largest_are_shown():
    real_labels_N = np.repeat(np.arange(40), np.arange(1, 41))
    synthetic_labels_N = np.repeat(np.arange(40), 40 - np.arange(1, 41))
    names = [f"class {label}" for label in range(40)]
    shown = class_samples(real_labels_N, np.arange(len(real_labels_N)), synthetic_labels_N, names, LADDER[0])
    assert [samples.name for samples in shown] == [f"class {label}" for label in (*range(15), *range(35, 40))]
    assert [(samples.real_count, samples.synthetic_count) for samples in (shown[0], shown[-1])] == [(1, 39), (40, 0)]
    for samples in shown:
        label = names.index(samples.name)
        assert (real_labels_N[samples.real_rows] == label).all()
        assert (synthetic_labels_N[samples.synthetic_rows] == label).all()
        assert len(set(samples.real_rows)) == min(4, samples.real_count)


def test_samples_come_from_the_kept_images_alone():
    labels_N = np.repeat(np.arange(2), 50)
    kept_N = np.array([60, 3, 99, 7])
    shown = class_samples(labels_N, kept_N, np.array([1, 1]), ["a", "b"], LADDER[0])
    assert {int(row) for samples in shown for row in samples.real_rows} == set(kept_N.tolist())


def test_origins_have_the_names_that_training_steps_write():
    from balancebench.pictures.style import ORIGIN_COLOURS

    assert [origin.name.lower() for origin in Origin] == list(ORIGIN_COLOURS)[: len(Origin)]


def test_lines_of_very_different_numbers_of_epochs_go_over_the_share_of_their_training():
    lines = [Line(row=str(epochs), name="loss", values_SE=np.ones((1, epochs))) for epochs in (4, 200)]
    panel = Panel(title="", format="~g", lines=lines)
    chart = line_chart([panel], {"loss": Strokes(colour="red")}, "", "", 460, by_share=True).to_dict()
    (panel_chart,) = chart["hconcat"]
    points = chart["data"]["values"]
    shares_of = {row: [point["share"] for point in points if point["row"] == row] for row in ("4", "200")}
    assert shares_of["4"] == [0.25, 0.5, 0.75, 1.0]
    assert (shares_of["200"][0], shares_of["200"][-1], len(shares_of["200"])) == (0.01, 1.0, 100)
    assert {layer["encoding"]["x"]["field"] for layer in panel_chart["layer"]} == {"share"}
