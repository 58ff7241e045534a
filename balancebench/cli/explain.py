"""The command that draws what trained networks look at: explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancebench.cli.run import OutputOption, results_folder
from balancebench.cli.shared import ProfileOption, StoreOption, SuiteArgument, bound_plan, console, errors_console
from balancebench.errors import BalancebenchError, nearest
from balancebench.folders import DEFAULT_STORE

if TYPE_CHECKING:
    from balancebench.pictures.explanations import ExplainedRow
    from balancebench.plan import Cell, Plan
    from balancebench.store import Store
    from balancebench.training.attribution import Method

__all__ = ["explain"]


def explain(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    method: Annotated[
        str, typer.Option("--method", help="integrated_gradients, grad_cam or occlusion.")
    ] = "integrated_gradients",
    image: Annotated[
        list[int] | None, typer.Option("--image", help="A test image, counted from 0; default: typical ones.", min=0)
    ] = None,
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Typical images of each class.")] = 1,
    row: Annotated[list[str] | None, typer.Option("--row", help="A balancer; default: all of a task.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.", metavar="DEVICE")] = "auto",
) -> None:
    """Draw heat-maps of what the networks of a suite look at, side by side for the rows of each task.

    The suite is run with keep_weights = true in [run]; the first seed's networks are shown. Red speaks for the true
    class, blue against it; below is the probability of that class.

    Example: [bold]balancebench explain suites/fruits_local.toml --method grad_cam[/bold]
    """
    from balancebench.execution.devices import slot_devices
    from balancebench.leaderboard.page.embedded_pictures import EXPLANATIONS
    from balancebench.store import Store
    from balancebench.training.attribution import METHODS

    if method not in METHODS:
        raise BalancebenchError(f"--method {method}: there is no such method{nearest(method, METHODS)}")
    chosen: Method = METHODS[METHODS.index(method)]
    planned = bound_plan(suite, profile)
    opened = Store.open(store, create=False)
    names = {cell.balancer for cell in planned.cells}
    for name in row or []:
        if name not in names:
            raise BalancebenchError(f"--row {name}: the suite has no such row{nearest(name, names)}")
    folder = (output or results_folder(planned)) / EXPLANATIONS
    on_device = slot_devices(device, 1)[0]
    tasks: dict[Any, list[Cell]] = {}
    for cell in planned.cells:
        if not row or cell.balancer in row:
            of_task = tasks.setdefault(cell.task, [])
            if all((cell.role, cell.balancer) != (other.role, other.balancer) for other in of_task):
                of_task.append(cell)  # the first seed of each row
    written: list[Path] = []
    for task, cells in tasks.items():
        path = _draw_task(planned, opened, str(task), cells, chosen, image, per_class, on_device, folder)
        if path is not None:
            written.append(path)
    if not written:
        raise BalancebenchError(
            f"no network of {suite} is kept in {store}: set keep_weights = true in [run], and run it into a new store"
        )
    for path in written:
        console().print(str(path), markup=False, soft_wrap=True)


def _draw_task(
    planned: Plan,
    store: Store,
    task: str,
    cells: list[Cell],
    method: Method,
    image: list[int] | None,
    per_class: int,
    device: str,
    folder: Path,
) -> Path | None:
    """Write the picture of a task; None where none of its networks is kept."""
    import numpy as np

    from balancebench.artefacts.splits import Splits, read_test_labels
    from balancebench.leaderboard.page.embedded_pictures import explanation_stem
    from balancebench.pictures.explanations import explanation_picture, typical_images

    load = cells[0].steps["load"]
    if store.read_done(load) is None:
        return None
    splits = Splits.read(store, load)
    labels_N = read_test_labels(store, load)
    names = splits.train.class_names
    if image:
        beyond = [index for index in image if index >= len(labels_N)]
        if beyond:
            raise BalancebenchError(f"--image {beyond[0]}: there are test images 0 to {len(labels_N) - 1}")
        indices = np.array(image, dtype=np.int64)
    else:
        indices = typical_images(np.asarray(splits.test_images_NCHW), labels_N, len(names), per_class)
    images_NCHW = np.asarray(splits.test_images_NCHW[indices])
    rows: list[ExplainedRow] = []
    for cell in cells:
        explained = _explained(planned, store, cell, images_NCHW, labels_N[indices], method, device)
        if explained is not None:
            rows.append(explained)
    if not rows:
        return None
    content = explanation_picture(
        images_NCHW,
        labels_N[indices],
        names,
        rows,
        f"What the networks look at: {method.replace('_', ' ')}",
        f"{task}, seed {cells[0].seeds}; test images {', '.join(map(str, indices.tolist()))}",
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{explanation_stem(f'{task} {method}')}.png"
    path.write_bytes(content)
    return path


def _explained(
    planned: Plan, store: Store, cell: Cell, images_NCHW: Any, labels_N: Any, method: Method, device: str
) -> ExplainedRow | None:
    """Return a row's network on the images; None, said on the console, where it is not kept."""
    import numpy as np

    from balancebench.artefacts.training_result import kept_weights
    from balancebench.classification import predicted_classes
    from balancebench.contracts import RestorableClassifier
    from balancebench.pictures.explanations import ExplainedRow
    from balancebench.registry import load_registry
    from balancebench.training.attribution import attributions
    from balancebench.training.predict import ModelPredictor

    step = planned.steps[cell.steps["train"]]
    weights = None if store.read_done(step.key) is None else kept_weights(store, step.key)
    reference = step.components["classifier"]
    component = load_registry().find("classifier", reference.component).component
    classifier: Any = component.create(component.options.model_validate(reference.options))
    if weights is None or not isinstance(classifier, RestorableClassifier):
        errors_console().print(f"{step.label}: its network is not kept", style="yellow", markup=False, soft_wrap=True)
        return None
    predictor = classifier.restore(weights, device)
    if not isinstance(predictor, ModelPredictor):
        raise BalancebenchError(f"{reference.component} gives no gradients: it is not trained by the shared loop")
    logits_NK = predictor.predict_logits(images_NCHW)
    shifted_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    probability_NK = shifted_NK / shifted_NK.sum(axis=1, keepdims=True)
    return ExplainedRow(
        name=cell.balancer if cell.role == "entry" else f"{cell.balancer} ({cell.role})",
        maps_NHW=attributions(predictor, images_NCHW, labels_N, method),
        probability_N=probability_NK[np.arange(len(labels_N)), labels_N],
        predicted_N=predicted_classes(logits_NK),
    )
