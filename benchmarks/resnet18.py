"""Training `resnet18_cifar` on 32x32 RGB images with random crops and flips, beside a plain loop."""

from __future__ import annotations

from benchmarks.report import Report, arguments, describe_machine, finish


def main() -> None:
    """Time it with the recipe of CIFAR: crops padded by 4, flips, SGD with momentum."""
    parser = arguments(__doc__ or "", rounds=7)
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32"], help="of balancebench")
    parser.add_argument("--steps", type=int, default=3, help="optimiser steps of an epoch, which is what a round takes")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="DataLoader workers of the plain loop")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--compiled", action="store_true", help="time balancebench with compiled networks too")
    asked = parser.parse_args()

    from balancebench.builtin.classifiers.options import ResNet18CifarOptions
    from balancebench.builtin.classifiers.resnets import ResNet18Cifar
    from benchmarks.training import Case, compare

    machine = describe_machine(asked.device)
    case = Case(
        title=f"resnet18_cifar, width {asked.width}, 32x32x3, augmentation crop_flip",
        build_backbone=lambda channels, _size: ResNet18Cifar(channels, width=asked.width),
        options=ResNet18CifarOptions(width=asked.width, batch_size=asked.batch_size),
        image_shape=(3, 32, 32),
        steps=asked.steps,
    )
    tables, figures = compare(
        case,
        device=asked.device,
        precisions=tuple(asked.precision),
        compiled=asked.compiled,
        workers=tuple(asked.workers),
        rounds=asked.rounds,
    )
    settings = {"batch size": asked.batch_size, "steps a round": asked.steps, "rounds": asked.rounds}
    finish(Report("resnet18", machine, settings, tuple(tables), figures), as_json=asked.json)


if __name__ == "__main__":
    main()
