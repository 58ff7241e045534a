"""What a classifier predicts is checked before it is kept: one row an image, one column a class, float32."""

import numpy as np
import pytest

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        (lambda logits_NK: logits_NK[:-1], "float32 (29, 3) for 30 images of 3 classes"),
        (lambda logits_NK: np.concatenate([logits_NK, logits_NK[:1]]), "float32 (31, 3) for 30 images of 3 classes"),
        (lambda logits_NK: logits_NK[:, :2], "float32 (30, 2) for 30 images of 3 classes"),
        (lambda logits_NK: np.pad(logits_NK, ((0, 0), (0, 1))), "float32 (30, 4) for 30 images of 3 classes"),
        (lambda logits_NK: logits_NK.astype(np.float64), "float64 (30, 3) for 30 images of 3 classes"),
    ],
    ids=["an image fewer", "an image more", "a class fewer", "a class more", "float64"],
)
def test_predictions_of_another_shape_or_type_fail_the_training(harness, monkeypatch, altered, said):
    from balancebench_fakes import _MeansPredictor as Predictor  # there from here on, for the harness's sake

    predict = Predictor.predict_logits
    monkeypatch.setattr(Predictor, "predict_logits", lambda self, images: altered(predict(self, images)))
    plan = harness.plan(replace=ONE_SEED)
    outcome = harness.run(plan, jobs=0)
    record = harness.record(plan, "train", "none")
    assert outcome.failed
    assert record.status == "failed"
    assert said in record.failure.message
