"""The command that writes a folder of images balanced: balance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from balancebench.cli.shared import console, errors_console
from balancebench.config import JSON
from balancebench.errors import BalancebenchError

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.balanced_folder.balancing_run import BalanceEstimate

__all__ = ["balance"]


def balance(
    folder: Annotated[Path, typer.Argument(help="Folder with one sub-folder of images a class.", metavar="FOLDER")],
    use: Annotated[str, typer.Option("--with", help="The balancer, as `list balancer` names it.", metavar="BALANCER")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for the images.", metavar="OUT")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="An option of the balancer, as in a suite: target=200.", metavar="KEY=VALUE"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, max=4096, help="Side of the images; needed where files differ in size."),
    ] = None,
    fit: Annotated[str, typer.Option("--fit", help="stretch, crop or letterbox other shapes.")] = "stretch",
    interpolation: Annotated[
        str, typer.Option("--interpolation", help="nearest, box, bilinear, bicubic or lanczos.")
    ] = "bilinear",
    padding: Annotated[
        str, typer.Option("--padding", help="Around letterboxed images: black, white, mean, reflect or noise.")
    ] = "black",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed makes other images.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.", metavar="DEVICE")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many images, and write nothing.")] = False,
) -> None:
    """Write a folder of images balanced, by any balancer that makes images, with a manifest and a data card.

    Nothing is written over; the same command goes on where an earlier one was interrupted.

    Example: [bold]balancebench balance photos --with smote --size 64 -o photos-balanced[/bold]
    """
    from pydantic import ValidationError

    from balancebench import __version__
    from balancebench.balanced_folder.balancing_run import balance_folder, estimate
    from balancebench.balanced_folder.request import refuse_other_contents, request_of
    from balancebench.execution.devices import slot_devices
    from balancebench.registry import load_registry
    from balancebench.synthesis.fit_options import FitOptions

    try:
        fitted = FitOptions.model_validate({"fit": fit, "interpolation": interpolation, "padding": padding})
    except ValidationError as error:
        first = error.errors()[0]
        raise BalancebenchError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error
    request = request_of(folder, output, use, _options(option or []), load_registry(), fit=fitted, size=size, seed=seed)
    out, err = console(), errors_console()
    if dry_run:
        refuse_other_contents(request)
        _print_estimate(out, estimate(request), output)
        return
    with err.status("reading images") as status:

        def progress(done: float, total: float, message: str = "") -> None:
            status.update(message or f"{done:g} of {total:g}")

        balanced = balance_folder(
            request,
            device=slot_devices(device, 1)[0],
            provenance=f"balancebench {__version__}, {request.balancer.distribution}",
            progress=progress,
        )
    if balanced is None:
        out.print(f"{output} holds all of these images already.", markup=False, soft_wrap=True)
        return
    for name, count in zip(balanced.class_names, balanced.counts_K, strict=True):
        out.print(f"{name}: {count} images", markup=False)
    out.print(
        f"{len(balanced)} images in {output}; manifest.csv and README.md beside them", markup=False, soft_wrap=True
    )


def _options(pairs: list[str]) -> dict[str, JSON]:
    """Return the balancer's options: values as TOML has them, and text without quotes where it is none."""
    import tomli

    options: dict[str, JSON] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.strip():
            raise BalancebenchError(f"--option {pair}: write KEY=VALUE, for example target=200")
        try:
            value = tomli.loads(f"value = {text}")["value"]
        except tomli.TOMLDecodeError:
            value = text.strip()
        options[key.strip()] = value
    return options


def _print_estimate(out: Console, made: BalanceEstimate, output: Path) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    columns: list[tuple[str, Literal["left", "right"]]] = [("class", "left"), ("now", "right"), ("then", "right")]
    for title, side in columns:
        table.add_column(title, justify=side)
    after_K = made.after_K or ("?",) * len(made.before_K)
    for name, before, after in zip(made.class_names, made.before_K, after_K, strict=True):
        table.add_row(name, str(before), str(after))
    out.print(table)
    if made.after_K is None:
        out.print("How many images there will be is known when the balancer has run.")
    else:
        out.print(f"{sum(made.after_K) - sum(made.before_K)} images would be made, {sum(made.after_K)} written.")
    if made.bytes_unpacked is not None:
        out.print(f"At most {made.bytes_unpacked / 2**20:.0f} MiB: PNG packs photographs to a half or two thirds.")
    for name in made.trainings:
        out.print(f"{name} trains a generator first: minutes to days, as its options and the device have it.")
    out.print(f"Nothing was written to {output}.", markup=False, soft_wrap=True)
