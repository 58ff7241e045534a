"""Fine-tuning as MAE does: the recipe's numbers, and where weights come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balancebench import Batch, ClassifierError, LabelledImages, Phase, TrainingPlan
from balancebench.testing import fit_context, tiny_training_set
from balancebench.training.model import build_model
from balancebench.training.optimiser_step import make_optimiser, set_learning_rate
from balancebench.training.schedule import schedule_phases
from balancebench_gmaug.finetune import Finetune, backbone, learning_rate_scales
from balancebench_gmaug.finetune_mixing import box_mask, mixup_or_cutmix
from balancebench_gmaug.finetune_options import FinetuneOptions, outside_weights, weights_are_there, weights_identity

TINY = {"name": "vit_tiny_patch16_224", "weights": "none", "image_size": 32, "epochs": 1, "batch_size": 8}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_rates_of_layers_fall_from_the_head_as_mae_has_them():
    scales, undecayed = learning_rate_scales(FinetuneOptions(name="vit_base_patch16_224", weights="none"))
    for name in ("patch_embed.proj.weight", "cls_token", "pos_embed"):
        assert scales[name] == pytest.approx(0.65**13)
    assert scales["blocks.0.attn.qkv.weight"] == pytest.approx(0.65**12)
    assert scales["blocks.11.mlp.fc2.weight"] == pytest.approx(0.65)
    assert scales["fc_norm.weight"] == 1.0
    assert scales["head.weight"] == 1.0
    assert {"cls_token", "pos_embed"} <= undecayed


def groups_of(**options):
    finetune = Finetune(FinetuneOptions(**TINY, **options))
    model = build_model(
        lambda _channels, size: backbone(finetune.options, size),
        channels=3,
        image_size=(32, 32),
        class_count=3,
        head="linear",
    )
    return model, finetune._groups(model)


def test_every_parameter_is_in_one_group_with_its_rate_and_decay():
    model, groups = groups_of()
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert len(grouped) == len({id(parameter) for parameter in grouped}) == len(list(model.parameters()))
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    assert of[id(model.head.weight)] | {"params": []} == {
        "params": [],
        "weight_decay": 0.05,
        "learning_rate_scale": 1.0,
    }
    assert of[id(model.head.bias)]["weight_decay"] == 0.0
    inner = model.backbone.model
    assert of[id(inner.pos_embed)]["weight_decay"] == 0.0
    assert of[id(inner.pos_embed)]["learning_rate_scale"] == pytest.approx(0.65**13)
    assert of[id(inner.blocks[11].mlp.fc2.weight)]["weight_decay"] == 0.05
    optimiser = make_optimiser(groups, FinetuneOptions(**TINY), torch.device("cpu"))
    set_learning_rate(optimiser, 0.1)
    assert {round(group["lr"], 9) for group in optimiser.param_groups} == {round(0.1 * 0.65**i, 9) for i in range(14)}


def test_the_head_reads_the_normalised_mean_of_the_tokens():
    model, _ = groups_of()
    inner = model.backbone.model.eval()
    images = torch.rand(2, 3, 32, 32)
    tokens = inner.forward_features(images)
    expected = inner.fc_norm(tokens[:, 1:].mean(dim=1))
    torch.testing.assert_close(model.backbone.eval()(images), expected)


def test_the_cosine_ends_at_the_lowest_rate_after_a_warm_up_in_proportion_to_the_batch():
    options = FinetuneOptions(weights="none", epochs=50, batch_size=64, base_learning_rate=1e-3, warmup=0.1)
    assert options.learning_rate == pytest.approx(1e-3 * 64 / 256)
    (schedule,) = schedule_phases(options, [Phase(images=tiny_training_set((640,)))])
    rate = schedule.learning_rate
    assert rate.at(49) == pytest.approx(options.learning_rate)
    assert rate.at(0) == pytest.approx(options.learning_rate / 50)
    progress = 449 / 450
    expected = 1e-6 + (options.learning_rate - 1e-6) * 0.5 * (1 + np.cos(np.pi * progress))
    assert rate.at(499) == pytest.approx(expected)
    assert rate.at(499) > 1e-6


def test_other_classifiers_still_fall_to_nothing():
    from balancebench.training.options import TrainingOptions

    (schedule,) = schedule_phases(TrainingOptions(steps=10), [Phase(images=tiny_training_set((640,)))])
    assert schedule.learning_rate.lowest == 0.0


def test_drop_path_reaches_the_blocks():
    model, _ = groups_of(drop_path=0.3)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in model.backbone.model.blocks]
    assert rates[-1] == pytest.approx(0.3)
    assert rates == sorted(rates)


class Source:
    def __init__(self, seed=0):
        self.generator = torch.Generator().manual_seed(seed)


def batch_of(size=6):
    images = torch.arange(size, dtype=torch.float32).view(-1, 1, 1, 1).expand(size, 3, 20, 30).contiguous()
    return Batch(images_NCHW=images, labels_N=torch.arange(size))


def test_a_batch_is_mixed_with_itself_in_reverse_and_labels_weigh_as_pixels():
    kinds = set()
    for seed in range(30):
        mixed = mixup_or_cutmix(0.8, 1.0)(batch_of(), Source(seed))
        assert mixed.second_labels_N.tolist() == [5, 4, 3, 2, 1, 0]
        share = mixed.first_weight_N[0]
        own, other = 0.0, 5.0
        torch.testing.assert_close(mixed.images_NCHW[0].mean(), share * own + (1 - share) * other, atol=1e-4, rtol=0)
        kinds.add("cutmix" if set(mixed.images_NCHW[0].unique().tolist()) <= {own, other} else "mixup")
    assert kinds == {"cutmix", "mixup"}


@pytest.mark.parametrize(("mixup", "cutmix", "values"), [(0.8, 0, 1), (0, 1.0, 2)])
def test_an_alpha_of_0_leaves_its_method_out(mixup, cutmix, values):
    for seed in range(20):
        mixed = mixup_or_cutmix(mixup, cutmix)(batch_of(), Source(seed))
        assert len(mixed.images_NCHW[0].unique()) <= values


def test_without_alphas_nothing_is_mixed():
    assert mixup_or_cutmix(0, 0) is None


def test_a_box_has_the_area_that_is_left_where_it_fits():
    mask = box_mask(torch.tensor(0.75), torch.tensor(0.5), torch.tensor(0.5), 40, 40)
    assert float(mask.mean()) == pytest.approx(0.75)
    corner = box_mask(torch.tensor(0.75), torch.tensor(0.0), torch.tensor(0.0), 40, 40)
    assert float(corner.mean()) == pytest.approx(1 - 0.25 / 4)


def test_a_plans_own_loss_and_transform_stay_and_the_recipe_fills_the_rest():
    def own(*_arguments):
        raise AssertionError

    images = tiny_training_set()
    plan = TrainingPlan(phases=(Phase(images=images), Phase(images=images, loss=own, batch_transform=own)))
    first, second = Finetune(FinetuneOptions(**TINY))._with_recipe(plan).phases
    assert first.batch_transform is not None
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]), label_smoothing=0.1)
    assert float(first.loss(logits, torch.tensor([0]))[0]) == pytest.approx(float(expected))
    assert (second.loss, second.batch_transform) == (own, own)


def test_patches_that_do_not_fill_the_image_are_refused():
    options = FinetuneOptions(name="vit_tiny_patch16_224", weights="none", image_size=40)
    with pytest.raises(ClassifierError, match="40 is no multiple of: say image_size = 32 or 48"):
        backbone(options, (40, 40))


def test_unknown_models_are_named_with_the_nearest():
    with pytest.raises(ClassifierError, match="timm has no model 'vit_bse_patch16_224'"):
        backbone(FinetuneOptions(name="vit_bse_patch16_224", weights="none"), (32, 32))


def saved_weights(path, name="vit_tiny_patch16_224"):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, global_pool="avg")
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)
    return model


def test_weights_are_read_from_a_file_and_positions_resampled(tmp_path):
    path = tmp_path / "model.safetensors"
    model = saved_weights(path)
    options = FinetuneOptions(**(TINY | {"weights": "file", "weights_file": path}))
    inner = backbone(options, (32, 32)).model
    torch.testing.assert_close(inner.blocks[3].mlp.fc1.weight, model.blocks[3].mlp.fc1.weight)
    assert inner.pos_embed.shape == (1, 1 + 4, 192)
    assert outside_weights(options) == "pre-trained weights of vit_tiny_patch16_224 from a file"
    assert len(weights_identity(options)) == 64


def test_weights_of_another_size_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    saved_weights(path, "vit_small_patch32_224")
    options = FinetuneOptions(**(TINY | {"weights": "file", "weights_file": path}))
    with pytest.raises(ClassifierError, match="the weights are not those of vit_tiny_patch16_224"):
        backbone(options, (32, 32))


def test_files_that_are_missing_or_can_hold_code_are_refused_before_the_run(tmp_path):
    options = FinetuneOptions(**(TINY | {"weights": "file", "weights_file": tmp_path / "no.safetensors"}))
    with pytest.raises(ClassifierError, match="there is no file"):
        weights_are_there(options)
    (tmp_path / "mae.pth").write_bytes(b"")
    options = FinetuneOptions(**(TINY | {"weights": "file", "weights_file": tmp_path / "mae.pth"}))
    with pytest.raises(ClassifierError, match=r"mae\.pth is no safetensors file"):
        weights_are_there(options)


def test_weights_that_the_hub_does_not_give_are_refused_with_what_to_do(monkeypatch):
    import huggingface_hub

    def unreachable(*_arguments, **_keywords):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_arguments: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    with pytest.raises(ClassifierError, match=r"no network\. Fetch them .*hf download timm/vit_base_patch16_224\.mae"):
        weights_are_there(FinetuneOptions())


def test_a_file_goes_with_saying_so():
    with pytest.raises(ValueError, match="weights_file goes with"):
        FinetuneOptions(weights_file="model.safetensors")


def test_grey_images_are_trained_on_and_what_is_restored_predicts_the_same(tmp_path):
    train = tiny_training_set((12, 8))
    finetune = Finetune(FinetuneOptions(**TINY))
    predictor = finetune.fit(TrainingPlan(phases=(Phase(images=train),)), fit_context())
    predictor.save(tmp_path)
    restored = finetune.restore(tmp_path, "cpu")
    logits = predictor.predict_logits(train.images_NCHW)
    np.testing.assert_array_equal(restored.predict_logits(train.images_NCHW), logits)
    assert np.isfinite(logits).all()


def test_the_lowest_layers_move_less(tmp_path):
    """One step: how far a weight moves under AdamW is its rate, whatever its gradient."""
    train = tiny_training_set((8, 8))
    train = LabelledImages(
        images_NCHW=np.repeat(train.images_NCHW, 3, axis=1), labels_N=train.labels_N, class_names=train.class_names
    )
    path = tmp_path / "model.safetensors"
    before = saved_weights(path)
    options = FinetuneOptions(
        **(TINY | {"weights": "file", "weights_file": path, "batch_size": 16, "weight_decay": 0.0, "warmup": 0.0})
    )
    predictor = Finetune(options).fit(TrainingPlan(phases=(Phase(images=train),)), fit_context())
    saved = tmp_path / "saved"
    saved.mkdir()
    predictor.save(saved)
    (file,) = saved.glob("*.safetensors")
    after = load_file(file)
    moved = [
        float((after[f"model.backbone.model.{name}"] - weight).abs().median())
        for name, weight in before.named_parameters()
        if name.endswith("mlp.fc2.weight")
    ]
    assert moved[11] == pytest.approx(options.learning_rate * 0.65, rel=0.01)
    assert moved[0] == pytest.approx(options.learning_rate * 0.65**12, rel=0.05)
