"""Compilation is decided by the length of a run, leaves results as they are up to rounding, and is on the record."""

import shutil
from types import FunctionType

import numpy as np
import pytest
import torch

from balancebench import ClassifierError, Phase, TrainingPlan
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.compilation import PAYS_FROM_STEPS, compilation_reason, compiled
from balancebench.training.options import TrainingOptions

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("wish", "device", "deterministic", "steps", "expected"),
    [
        ("auto", CPU, False, 10**9, (False, "does not pay on cpu")),
        ("auto", CUDA, True, 10**9, (False, "the suite asks for repeatable kernels")),
        ("auto", CUDA, False, 100, (False, f"100 steps are too few, {PAYS_FROM_STEPS} pay")),
        ("always", CPU, True, 1, (True, "asked for: always")),
        ("never", CUDA, False, 10**9, (False, "asked for: never")),
    ],
)
def test_it_is_decided_by_device_determinism_and_length(wish, device, deterministic, steps, expected):
    assert compilation_reason(wish, device=device, deterministic=deterministic, steps=steps) == expected


@pytest.mark.parametrize(("installed", "expected"), [(True, True), (False, False)])
def test_long_runs_on_cuda_are_compiled_where_triton_is_installed(monkeypatch, installed, expected):
    monkeypatch.setattr("balancebench.training.compilation.find_spec", lambda _name: object() if installed else None)
    compiles, _ = compilation_reason("auto", device=CUDA, deterministic=False, steps=PAYS_FROM_STEPS)
    assert compiles is expected


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for processors with g++")
def test_a_compiled_training_goes_the_same_way(make_images, make_context, tiny_backbone):
    # Three phases: all layers, the head alone, all layers again; no dropout, whose compiled form draws other numbers.
    images = make_images()
    phases = tuple(Phase(images=images, trainable=trainable, share=1 / 3) for trainable in ("all", "head", "all"))
    plan = TrainingPlan(phases=phases)
    options = TrainingOptions(epochs=6, batch_size=8, learning_rate=0.05)

    def backbone(channels, size):
        network = tiny_backbone(channels, size)
        network.layers[-1].p = 0.0
        return network

    runs = {}
    for wish in ("never", "always"):
        notes, losses = {}, []
        context = make_context(
            compilation=wish,
            note=notes.__setitem__,
            epoch_finished=lambda _epoch, _predictor, values, losses=losses: losses.append(values["loss"]),
        )
        predictor = NetworkClassifier(backbone, options).fit(plan, context)
        runs[wish] = notes, losses, predictor.predict_logits(images.images_NCHW)
    assert runs["never"][0] == {"compiled": "no: asked for: never"}
    assert runs["always"][0] == {"compiled": "yes: asked for: always"}
    np.testing.assert_allclose(runs["always"][1], runs["never"][1], rtol=1e-4)
    np.testing.assert_allclose(runs["always"][2], runs["never"][2], rtol=1e-3, atol=1e-4)


def of_module(name, error):
    """Return a function of a module called `name` that raises."""

    def fail():
        raise error

    return FunctionType(fail.__code__, {"__name__": name}, closure=fail.__closure__)


@pytest.mark.parametrize("module", ["torch._inductor.cudagraph_trees", "triton.compiler.compiler"])
def test_what_fails_in_compiled_code_names_the_way_out(module):
    error = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    refusal = r"not permitted when stream is capturing\): use --compile never"
    with pytest.raises(ClassifierError, match=refusal), compiled(torch.nn.Identity(), CPU):
        of_module(module, error)()


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("torch._inductor.cudagraph_trees", torch.OutOfMemoryError("CUDA out of memory")),
        ("torch._inductor.cudagraph_trees", RuntimeError("x does not have a deterministic implementation")),
        ("torch._dynamo.eval_frame", RuntimeError("of the network itself")),
        ("balancebench_paper.loss", ValueError("of a loss")),
    ],
)
def test_errors_of_other_causes_stay_what_they_are(module, error):
    with pytest.raises(type(error), match=str(error)), compiled(torch.nn.Identity(), CPU):
        of_module(module, error)()


def test_each_call_of_a_compiled_network_begins_an_iteration_of_its_graphs(monkeypatch):
    said = []
    monkeypatch.setattr(torch, "compile", lambda network, **_settings: lambda images: said.append("call"))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: said.append("iteration"))
    with compiled(torch.nn.Identity(), CPU) as network:
        network(torch.zeros(1))
        network(torch.zeros(1))
    assert said == ["iteration", "call"] * 2
