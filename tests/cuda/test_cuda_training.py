"""Training on a GPU repeats, whatever its precision and wherever the images are, and can be saved.

`pytest -m cuda` runs it with everything else that only a GPU can tell.
"""

import logging

import numpy as np
import pytest
import torch

from balancebench import Phase, TrainingPlan
from balancebench.training import loop
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions
from tests.training.conftest import images, make_context, tiny_backbone

pytestmark = pytest.mark.cuda

CLASSIFIER = NetworkClassifier(tiny_backbone, TrainingOptions(epochs=3, batch_size=10, augmentation="crop_flip"))
TEST_NCHW = images(30, channels=3, seed=9).images_NCHW


def trained(device, **settings):
    plan = TrainingPlan(phases=(Phase(images=images(200, channels=3)),))
    return CLASSIFIER.fit(plan, make_context(device=device, **settings))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bytes(gpu, precision):
    first, second = (trained(gpu, precision=precision).predict_logits(TEST_NCHW) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, trained(gpu, precision=precision, seed=1).predict_logits(TEST_NCHW))


def test_streamed_images_train_the_same_network_as_resident_ones(gpu, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "balancebench")
    resident = trained(gpu).predict_logits(TEST_NCHW)
    monkeypatch.setattr(loop, "image_budget_bytes", lambda _device: 30 * 3 * 8 * 8)
    assert np.array_equal(trained(gpu).predict_logits(TEST_NCHW), resident)
    assert [" streamed to " in record.message for record in caplog.records] == [False, True]


def test_what_was_saved_predicts_the_same_there_and_nearly_the_same_on_a_processor(gpu, tmp_path):
    predictor = trained(gpu)
    predictor.save(tmp_path)
    logits = predictor.predict_logits(TEST_NCHW)
    assert np.array_equal(CLASSIFIER.restore(tmp_path, gpu).predict_logits(TEST_NCHW), logits)
    # TF32 would differ by a thousandth of the logits, float32 by a millionth.
    np.testing.assert_allclose(CLASSIFIER.restore(tmp_path, "cpu").predict_logits(TEST_NCHW), logits, atol=2e-5)


def test_random_states_of_the_device_are_put_back(gpu):
    if gpu == "cpu":
        pytest.skip("a processor's state has a test of its own")
    torch.cuda.init()
    before = torch.cuda.get_rng_state(gpu)
    trained(gpu)
    assert torch.equal(before, torch.cuda.get_rng_state(gpu))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_training_with_graphs_ends_with_finite_losses_like_the_others(gpu, precision):
    if gpu == "cpu":
        pytest.skip("CUDA graphs need CUDA")
    losses = {}
    for wish in ("never", "always"):
        told = losses.setdefault(wish, [])
        trained(
            gpu,
            precision=precision,
            deterministic=False,
            compilation=wish,
            epoch_finished=lambda _epoch, _predictor, values, told=told: told.append(values["loss"]),
        )
    np.testing.assert_allclose(losses["always"], losses["never"], rtol=0.3)  # compiled dropout draws other numbers
