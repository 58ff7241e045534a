from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from balancebench.training.options import Epochs, TrainingOptions


class PaperOptions(TrainingOptions):
    epochs: Epochs = 7


def test_steps_replace_the_default_epochs():
    options = TrainingOptions.model_validate({"steps": 100})

    assert (options.epochs, options.steps) == (None, 100)


def test_a_plugin_overrides_a_default_and_keeps_bounds_and_description():
    assert PaperOptions().epochs == 7
    assert PaperOptions.model_fields["epochs"].description == TrainingOptions.model_fields["epochs"].description
    with pytest.raises(ValidationError, match="epochs"):
        PaperOptions(epochs=0)


def test_options_survive_a_round_trip_through_json():
    options = TrainingOptions.model_validate({"steps": 10, "normalisation": {"mean": [0.5], "std": [0.2]}})

    assert TrainingOptions.model_validate(options.model_dump(mode="json")) == options


def test_every_option_is_described():
    assert all(field.description for field in TrainingOptions.model_fields.values())


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"epochs": 3, "steps": 3}, "exactly one of epochs and steps"),
        ({"epochs": None}, "exactly one of epochs and steps"),
        ({"nesterov": True, "momentum": 0}, "nesterov needs"),
        ({"milestones": [0.5], "factors": [0.1, 0.01]}, "1 milestones but 2 factors"),
        ({"milestones": [0.9, 0.8]}, "milestones must rise"),
        ({"milestones": [0.5, 1.0]}, "each between 0 and 1"),
        ({"betas": [0.9, 1.0]}, "betas must lie"),
        ({"factors": [0.1, 0.0]}, "factors must be above 0"),
        ({"normalisation": {"mean": [0.5, 0.5], "std": [0.2]}}, "2 means but 1 standard deviations"),
        ({"normalisation": {"mean": [0.5], "std": [0.0]}}, "above 0"),
        ({"augmentation": "rotate"}, "crop_flip"),
        ({"learning_rte": 0.1}, "learning_rte"),
    ],
)
def test_wrong_options_are_refused_with_a_reason(given, complaint):
    with pytest.raises(ValidationError, match=complaint):
        TrainingOptions.model_validate(given)


def test_options_import_nothing_heavy():
    heavy = "{'torch', 'numpy', 'torchvision', 'sklearn', 'timm', 'scipy'}"
    code = f"import sys, balancebench.training.options; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
