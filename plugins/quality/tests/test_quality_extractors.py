"""Extractors beyond the classifier: how images reach them, and what is said where their weights are not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from balancebench import DataError, Origin
from balancebench_quality.copies import NearestNeighbourDistance
from balancebench_quality.frechet_metric import Fid
from balancebench_quality.kernel import Kid
from balancebench_quality.options import DistanceOptions, FrechetOptions, PairOptions, ready
from balancebench_quality.timm_models import timm_features, timm_network

CPU = torch.device("cpu")


def test_only_inception_needs_weights_beforehand(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"needs the weights of Inception-v3 at .*fetch them there beforehand"):
        ready(FrechetOptions(extractor="inception"))
    for extractor in ("classifier", "pixels", "timm:resnet18"):
        ready(FrechetOptions(extractor=extractor))


def test_metrics_can_look_through_inception(evaluate, make_images, monkeypatch):
    asked = []

    def load_inception(device):
        asked.append(device)
        weights = torch.randn(16, 2048, generator=torch.Generator().manual_seed(0))
        return lambda images_NCHW: images_NCHW.flatten(1).float() @ weights

    monkeypatch.setattr("balancebench_quality.features.load_inception", load_inception)
    kept, generated = make_images([6, 6]), make_images([0, 4], seed=1, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept, synthetic=generated)
    assert isinstance(Kid(PairOptions(extractor="inception"))(evaluation), float)
    fid = Fid(FrechetOptions(extractor="inception"))(evaluation)
    assert fid.reason.startswith("2048 features need 2049 images a side")
    assert asked == [CPU]  # once for both


def test_models_of_timm_get_images_as_they_were_trained():
    import timm

    seen = []
    model = timm.create_model("resnet10t", pretrained=False, num_classes=0).eval()
    model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    images_NCHW = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    with torch.inference_mode():
        features_ND = timm_features(model)(images_NCHW)
        assert torch.equal(timm_features(model)(images_NCHW.repeat(1, 3, 1, 1)), features_ND)
    assert features_ND.shape == (2, model.num_features)
    size = model.pretrained_cfg["input_size"][1:]
    assert seen[0].shape == (2, 3, *size)
    mean, std = model.pretrained_cfg["mean"][0], model.pretrained_cfg["std"][0]
    assert float(seen[0][0, 0, 0, 0]) == pytest.approx((1 - mean) / std, rel=1e-5)


def test_unknown_models_and_missing_weights_of_timm_are_named(monkeypatch):
    import timm

    with pytest.raises(DataError, match=r"timm has no model 'resnett18' \(did you mean 'resnet18'\?\)"):
        timm_network("resnett18", CPU)

    def unreachable(*_, **__):
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        DataError, match=r"weights of resnet18 cannot be had: the hub cannot be reached\nfetch them"
    ) as e:
        timm_network("resnet18", CPU)
    assert "timm.create_model('resnet18', pretrained=True, num_classes=0)" in str(e.value)


def test_arithmetic_settings_are_put_back(evaluate, make_images):
    from balancebench_quality.features import features_of

    class Watching:
        settings = None

        def features(self, images_NCHW):
            type(self).settings = (torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled())
            return np.zeros((len(images_NCHW), 2), dtype=np.float32)

    before = torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()
    kept = make_images([4])
    images = evaluate(kept=kept, test=kept, synthetic=None, extractor=Watching()).images
    features_of(images, "classifier", kept, np.arange(4))
    assert Watching.settings == (False, True)
    assert (torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()) == before


def test_features_of_real_images_are_kept_for_the_whole_store_and_those_of_synthetic_ones_for_a_cell(
    evaluate, make_images
):
    from balancebench_quality.features import features_of

    kept, synthetic = make_images([6]), make_images([6], seed=1, origin=Origin.SYNTHETIC)
    names = []

    def cached(name, identity, compute):
        names.append((name, identity["extractor"], identity["trained_by"]))
        return compute()

    images = evaluate(kept=kept, test=kept, synthetic=synthetic).images
    for source in (kept, synthetic):
        features_of(replace(images, cached=cached), "classifier", source, np.arange(6))
    assert names == []  # nothing says which training the extractor comes from
    known = replace(images, cached=cached, extractor_key="abc", memory={})
    for source in (kept, kept, synthetic):
        features_of(known, "classifier", source, np.arange(6))
    assert names == [("features", "classifier", "abc")]


def test_images_can_be_drawn_anew_for_the_classes_that_were_filled(evaluate, make_images):
    kept, synthetic = make_images([60, 6]), make_images([0, 4], seed=1, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=make_images([60, 60], seed=3), synthetic=synthetic, full_train=kept)
    drawn = []

    def draw(counts_K):
        drawn.append(counts_K.tolist())
        return make_images(counts_K.tolist(), seed=2, origin=Origin.SYNTHETIC)

    distance = NearestNeighbourDistance(DistanceOptions(extractor="pixels", drawn_per_class=30))
    assert "trains no generator" in distance(evaluation).reason
    with_generator = replace(evaluation, images=replace(evaluation.images, draw=draw, memory={}))
    own = NearestNeighbourDistance(DistanceOptions(extractor="pixels"))
    assert distance(with_generator) != own(with_generator)
    distance(with_generator)
    assert drawn == [[0, 30]]
