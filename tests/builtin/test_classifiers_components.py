from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from balancebench import ClassifierError, FitContext, LabelledImages, Phase, TrainingPlan
from balancebench.builtin.classifiers.components import CLASSIFIERS

COMPONENTS = {component.name: component for component in CLASSIFIERS}


@pytest.fixture
def fit_context():
    def make() -> FitContext:
        return FitContext(
            seed=0,
            device="cpu",
            precision="fp32",
            deterministic=True,
            progress=lambda done, total, message="": None,
            logger=logging.getLogger("test"),
            epoch_finished=lambda epoch, predictor, values: None,
            count=lambda images, steps: None,
        )

    return make


@pytest.fixture
def training_images():
    def make(channels: int = 1, size: int = 8) -> LabelledImages:
        rng = np.random.default_rng(0)
        return LabelledImages(
            images_NCHW=rng.integers(0, 256, (20, channels, size, size), dtype=np.uint8),
            labels_N=np.arange(20, dtype=np.int64) % 10,
            class_names=tuple("abcdefghij"),
        )

    return make


@pytest.fixture
def digits():
    """Scikit-learn's handwritten digits, 1400 to train on and 397 to test on."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    everything = LabelledImages(
        images_NCHW=np.round(loaded.images * 255 / 16).astype(np.uint8)[order, None],
        labels_N=loaded.target.astype(np.int64)[order],
        class_names=tuple("0123456789"),
    )
    return everything.take(np.arange(1400)), everything.take(np.arange(1400, len(order)))


def test_declaring_classifiers_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'torchvision', 'timm', 'sklearn', 'scipy'}"
    code = (
        "import sys\n"
        "from balancebench.builtin.classifiers.components import CLASSIFIERS\n"
        "[component.options.model_validate(component.smoke) for component in CLASSIFIERS]\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("component", CLASSIFIERS, ids=lambda component: component.name)
def test_every_option_is_described(component):
    assert all(field.description for field in component.options.model_fields.values())


@pytest.mark.parametrize("component", CLASSIFIERS, ids=lambda component: component.name)
def test_smoke_options_train_and_predict_in_seconds(component, training_images, fit_context):
    classifier = component.create(component.options.model_validate(component.smoke))
    images = training_images(channels=3, size=32)

    logits = classifier.fit(TrainingPlan(phases=(Phase(images=images),)), fit_context()).predict_logits(
        images.images_NCHW[:7]
    )

    assert (logits.shape, logits.dtype) == ((7, 10), np.float32)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_takes_every_usual_size(size, channels, training_images, fit_context):
    component = COMPONENTS["small_cnn"]
    classifier = component.create(component.options.model_validate({"width": 4, "epochs": 1}))
    images = training_images(channels=channels, size=size)

    predictor = classifier.fit(TrainingPlan(phases=(Phase(images=images),)), fit_context())

    assert predictor.predict_logits(images.images_NCHW).shape == (len(images), 10)


def test_small_cnn_learns_the_handwritten_digits(fit_context, digits):
    train, test = digits
    component = COMPONENTS["small_cnn"]
    classifier = component.create(component.options())

    predictor = classifier.fit(TrainingPlan(phases=(Phase(images=train),)), fit_context())

    assert (predictor.predict_logits(test.images_NCHW).argmax(1) == test.labels_N).mean() > 0.97


@pytest.mark.parametrize(
    ("name", "options", "marked"),
    [
        ("small_cnn", {}, None),
        ("torchvision_model", {"name": "resnet18"}, None),
        ("torchvision_model", {"name": "resnet18", "weights": "DEFAULT"}, "torchvision weights DEFAULT of resnet18"),
        ("timm_model", {"name": "resnet18"}, None),
        ("timm_model", {"name": "resnet18", "pretrained": True}, "timm's pre-trained weights of resnet18"),
    ],
)
def test_pre_trained_weights_are_declared_as_outside_data(name, options, marked):
    component = COMPONENTS[name]

    assert component.outside_data(component.options.model_validate(options)) == marked


@pytest.mark.parametrize(
    ("component", "name", "hint"),
    [
        ("torchvision_model", "resnet81", r"no classification model 'resnet81' \(did you mean 'resnet18'\?\)"),
        ("torchvision_model", "fasterrcnn_resnet50_fpn", "no classification model"),
        ("timm_model", "vit_tiny_patch16_225", r"no model .*\(did you mean 'vit_tiny_patch16_224'\?\)"),
    ],
)
def test_unknown_models_are_refused_with_the_nearest_name(component, name, hint, training_images, fit_context):
    declared = COMPONENTS[component]
    classifier = declared.create(declared.options.model_validate({"name": name, "epochs": 1}))

    with pytest.raises(ClassifierError, match=hint):
        classifier.fit(TrainingPlan(phases=(Phase(images=training_images()),)), fit_context())
