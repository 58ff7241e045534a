"""Training `small_cnn` on 28x28 grey images, as large as Fashion-MNIST's, beside a plain loop."""

from __future__ import annotations

from benchmarks.report import Report, arguments, describe_machine, finish


def main() -> None:
    """Time it without augmentation, as `small_cnn` trains, and with random crops and flips."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32"], help="of balancebench")
    parser.add_argument(
        "--steps", type=int, default=60, help="optimiser steps of an epoch, which is what a round takes"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="DataLoader workers of the plain loop")
    parser.add_argument("--width", type=int, default=32, help="channels of the first block")
    parser.add_argument("--compiled", action="store_true", help="time balancebench with compiled networks too")
    asked = parser.parse_args()

    from balancebench.builtin.classifiers.options import SmallCNNOptions
    from balancebench.builtin.classifiers.small_cnn import SmallCNN
    from benchmarks.training import Case, compare

    machine = describe_machine(asked.device)
    tables, figures = [], {}
    for augmentation in ("none", "crop_flip"):
        options = SmallCNNOptions(width=asked.width, batch_size=asked.batch_size, augmentation=augmentation)
        case = Case(
            title=f"small_cnn, 28x28x1, augmentation {augmentation}",
            build_backbone=lambda channels, size: SmallCNN(channels, size, width=asked.width),
            options=options,
            image_shape=(1, 28, 28),
            steps=asked.steps,
        )
        compared_tables, compared_figures = compare(
            case,
            device=asked.device,
            precisions=tuple(asked.precision),
            compiled=asked.compiled,
            workers=tuple(asked.workers),
            rounds=asked.rounds,
        )
        tables += compared_tables
        figures[augmentation] = compared_figures
    settings = {"batch size": asked.batch_size, "steps a round": asked.steps, "rounds": asked.rounds}
    finish(Report("small_cnn", machine, settings, tuple(tables), figures), as_json=asked.json)


if __name__ == "__main__":
    main()
