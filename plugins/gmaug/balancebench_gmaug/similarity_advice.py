"""What is known of generated images on data as alike as this: the paper's two measures and its curve, with errors."""

from __future__ import annotations

import numpy as np

from balancebench import Advice, SubsetEvaluation
from balancebench_gmaug.curve import LEAST_SQUARES, PUBLISHED, left_out
from balancebench_gmaug.similarity import Similarity, TooSmall, merged, super_sub
from balancebench_gmaug.ssim_options import SsimOptions, definition

__all__ = ["advise_on_similarity"]

OPTIONS = SsimOptions(most_pairs=4000)
FEW_IMAGES = 30  # a maximum over means of so few is too high by chance
HEADING = "How alike the images are, and what that said elsewhere of generated images"
CAVEAT = (
    "This is an association over eight data sets of one paper, not a cause and not a threshold: it says what to try "
    "first, and a suite with and without generated images says what is so."
)


def advise_on_similarity(evaluation: SubsetEvaluation) -> Advice:
    """Say SSIM-mergeCls and SSIM-supSubCls with errors and definition, and the curve's prediction with its own."""
    try:
        every = merged(evaluation.train, OPTIONS, evaluation.device)
        largest = super_sub(evaluation.train, OPTIONS, evaluation.device)
    except TooSmall as error:
        return Advice(heading=HEADING, paragraphs=(f"Not known: {error}.",), figures={"ssim_super_sub_classes": None})
    kind = "super-class" if evaluation.train.superclass_K else "class"
    paragraphs = [
        f"Mean structural similarity of pairs of training images: {_with_error(every)} over all classes; at most "
        f"{_with_error(largest)} within a {kind}, which is {largest.set_name} ({largest.images} images).",
        f"Definition: {definition(OPTIONS)}; values of other definitions differ by a tenth or so.",
    ]
    if largest.images < FEW_IMAGES:
        paragraphs.append(f"With {largest.images} images that maximum is too high by chance.")
    if largest.skipped:
        paragraphs.append(f"Left out, as one image makes no pair: {', '.join(largest.skipped)}.")
    return Advice(
        heading=HEADING,
        paragraphs=(*paragraphs, *_prediction(largest), CAVEAT),
        figures={
            "definition": definition(OPTIONS),
            "ssim_merge_classes": _figures(every),
            "ssim_super_sub_classes": _figures(largest),
            "predicted_gain_percent": LEAST_SQUARES.gain(largest.value),
            "left_out_errors_points": _left_out_errors(),
        },
    )


def _prediction(largest: Similarity) -> list[str]:
    """Return what the curve gives between one standard error below and above, and how far such curves have missed."""
    low, high = (LEAST_SQUARES.gain(largest.value + sign * largest.standard_error) for sign in (1, -1))
    errors = _left_out_errors()
    seen = [observation.similarity for observation in PUBLISHED]
    paragraphs = [
        f"Guo et al. report, for chosen images of a GAN, relative gains in accuracy that fall with this measure x as "
        f"176.6 exp(-13.1 x) per cent. Here that is {low:.1f} to {high:.1f} per cent by the measure's own error. The "
        f"same curve, fitted to seven of their eight data sets, misses the eighth by {np.median(errors):.0f} points in "
        f"the middle case and by {max(errors):.0f} at worst.",
    ]
    if not min(seen) <= largest.value <= max(seen):
        paragraphs.append(
            f"Their data sets lie between {min(seen):g} and {max(seen):g}: here the curve says nothing that was seen."
        )
    return paragraphs


def _left_out_errors() -> list[float]:
    predicted = left_out(PUBLISHED)
    return [abs(predicted[observation.dataset] - observation.gain) for observation in PUBLISHED]


def _with_error(similarity: Similarity) -> str:
    return f"{similarity.value:.4f} (standard error {similarity.standard_error:.4f})"


def _figures(similarity: Similarity) -> dict[str, object]:
    return {
        "value": similarity.value,
        "standard_error": similarity.standard_error,
        "set": similarity.set_name,
        "images": similarity.images,
        "pairs": similarity.pairs,
    }
