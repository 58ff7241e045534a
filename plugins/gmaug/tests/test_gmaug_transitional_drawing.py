"""What transitional_cgan draws with and how: the snapshot that is chosen, classes, truncation, sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balancebench import BalancerError, DataError
from balancebench.testing import synthesis_context, tiny_training_set
from balancebench.training.resident import ResidentImages
from balancebench_gmaug import transitional_cgan_snapshots, transitional_cgan_training
from balancebench_gmaug.transitional_cgan import TransitionalCgan, padded
from balancebench_gmaug.transitional_cgan_component import TRANSITIONAL_CGAN
from balancebench_gmaug.transitional_cgan_drawing import cut_to
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions
from balancebench_gmaug.transitional_cgan_snapshots import SnapshotJudge, load_features


def micro(**options):
    return TransitionalCganOptions(**{"preset": "micro", **options})


def snapshots(tmp_path, monkeypatch, distances, **options):
    """Train with these distances; return generator.json, the curves, and the averages when each was taken."""
    states = []
    scores = iter(distances)

    def distance(self, make):
        make(torch.zeros(1, dtype=torch.int64), torch.Generator())
        return next(scores)

    made_images = transitional_cgan_training.made_images

    def noting(generator, labels, random):
        states.append({name: value.clone() for name, value in generator.state_dict().items()})
        return made_images(generator, labels, random)

    monkeypatch.setattr(SnapshotJudge, "distance", distance)
    monkeypatch.setattr(transitional_cgan_training, "made_images", noting)
    TransitionalCgan(micro(**options)).train_generator(tiny_training_set(), synthesis_context(tmp_path))
    artefacts = tmp_path / "artefacts"
    return (
        json.loads((artefacts / "generator.json").read_text()),
        json.loads((artefacts / "curves.json").read_text())["curves"],
        states,
        load_file(artefacts / "generator.safetensors"),
    )


def test_the_snapshot_of_lowest_distance_after_the_transition_makes_the_images(tmp_path, monkeypatch):
    options = {"kimg": 0.08, "transition_end_kimg": 0.032, "snapshot_kimg": 0.016}
    facts, curves, states, weights = snapshots(tmp_path, monkeypatch, [7.0, 3.0, 5.0, 4.0], **options)
    assert [row.get("fid") for row in curves] == [None, 7, 3, 5, 4]  # none while labels count in part
    assert [row["label_strength"] for row in curves] == [0, 1, 1, 1, 1]
    assert facts["snapshot"] == {"kimg": 0.048, "fid": 3}
    assert all(torch.equal(states[1][name], value) for name, value in weights.items())
    assert any(not torch.equal(states[3][name], value) for name, value in weights.items())


def test_a_run_ends_after_so_many_snapshots_without_gain(tmp_path, monkeypatch):
    options = {"kimg": 0.8, "snapshot_kimg": 0.016, "patience": 2}
    facts, curves, _, _ = snapshots(tmp_path, monkeypatch, [7.0, 3.0, 5.0, 4.0], **options)
    assert len(curves) == 5
    assert facts["snapshot"]["fid"] == 3


def test_distances_are_of_the_same_noise_at_every_snapshot_and_0_of_the_kept_images_themselves():
    images = torch.from_numpy(np.array(tiny_training_set((30, 10)).images_NCHW))
    labels = torch.arange(40) % 2
    judge = SnapshotJudge(load_features("pixels", torch.device("cpu")), images, labels, judged_images=40, seed=3)
    drawn = []

    def kept(labels_B, random):
        drawn.append((labels_B.tolist(), torch.rand(3, generator=random).tolist()))
        return images

    assert judge.distance(kept) == pytest.approx(0, abs=1e-3)
    assert judge.distance(lambda labels_B, random: kept(labels_B, random) // 2) > 1
    assert drawn[0] == drawn[1]
    assert len(transitional_cgan_snapshots._pixels(images)[0]) == 64


def test_a_class_without_images_is_refused_when_drawn_and_a_class_of_one_image_is_not(tmp_path):
    balancer, context = TransitionalCgan(micro()), synthesis_context(tmp_path)
    balancer.train_generator(tiny_training_set((12, 1, 0)), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    assert generator.draw(np.array([1, 0]), torch.Generator()).shape == (2, 1, 16, 16)
    with pytest.raises(BalancerError, match="class 'class 2' had no images for the GAN to learn from"):
        generator.draw(np.array([0, 2]), torch.Generator())


def test_truncation_0_draws_one_image_and_1_draws_as_trained(tmp_path):
    context = synthesis_context(tmp_path)
    TransitionalCgan(micro()).train_generator(tiny_training_set(), context)
    labels = np.array([0, 1, 2, 0])

    def drawn(truncation):
        balancer = TransitionalCgan(micro(truncation=truncation))
        return balancer.restore_generator(context.artefacts, "cpu").draw(labels, torch.Generator().manual_seed(0))

    assert (drawn(0.0) == drawn(0.0)[0]).all()
    assert (drawn(1.0) != drawn(1.0)[0]).any()
    assert (drawn(0.5) != drawn(1.0)).any()


def test_images_are_padded_by_their_border_and_cut_out_again():
    images = torch.randint(0, 256, (3, 2, 28, 21), dtype=torch.uint8)
    wide = padded(ResidentImages(images_NCHW=images, labels_N=torch.zeros(3, dtype=torch.int64)), 32).images_NCHW
    assert wide.shape == (3, 2, 32, 32)
    assert torch.equal(cut_to(wide, 28, 21), images)
    assert torch.equal(wide[:, :, 0, 5:26], images[:, :, 0])
    assert torch.equal(wide[:, :, 2:30, -1], images[:, :, :, -1])


def test_inception_is_asked_for_where_it_is_needed_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="inception"):
        TRANSITIONAL_CGAN.ready(micro(features="inception"))
    assert "Inception" in TRANSITIONAL_CGAN.outside_data(micro(features="inception"))
    for options in (micro(), micro(features="inception", checkpoint="last")):
        TRANSITIONAL_CGAN.ready(options)
        assert TRANSITIONAL_CGAN.outside_data(options) is None
