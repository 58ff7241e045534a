"""Steps share a GPU when all that run there are known to fit; what ran out of memory in company is run again alone."""

from types import SimpleNamespace

import pytest

from balancebench.execution.gpu_room import GpuMemory, GpuRoom, StepKind, kind_of

GIB = 2**30
GPU = 16 * GIB


SCORING = StepKind("score", "cifar10")


def training(name):
    return StepKind("train", name)


def room_that_knows(**peaks_gib):
    room = GpuRoom()
    for kind, peak in peaks_gib.items():
        room.start(f"earlier {kind}", training(kind))
        room.finish(f"earlier {kind}", GpuMemory(peak=int(peak * GIB), total=GPU))
    return room


def test_the_first_step_of_a_kind_runs_alone():
    room = GpuRoom()
    assert room.admits(training("small"))
    room.start("a", training("small"))
    assert not room.admits(training("small"))
    room.finish("a", GpuMemory(peak=GIB, total=GPU))
    room.start("b", training("small"))
    assert room.admits(training("small"))
    assert not room.admits(training("other"))


def test_steps_run_beside_each_other_until_nine_tenths_are_taken():
    room = room_that_knows(small=1, large=12)  # and 1 GiB for each process
    for count in range(7):
        assert room.admits(training("small")), count
        room.start(str(count), training("small"))
    assert not room.admits(training("small"))
    assert not room.admits(training("large"))


def test_the_largest_peak_of_a_kind_counts():
    room = room_that_knows(mixed=1)
    room.start("large one", training("mixed"))
    room.finish("large one", GpuMemory(peak=7 * GIB, total=GPU))
    room.start("small one", training("mixed"))
    room.finish("small one", GpuMemory(peak=GIB, total=GPU))
    room.start("a", training("mixed"))
    assert not room.admits(training("mixed"))


def test_what_uses_no_gpu_always_finds_room():
    room = room_that_knows(large=15)
    room.start("a", training("large"))
    assert room.admits(None)
    room.start("b", None)
    room.finish("b", None)
    assert not room.admits(training("large"))


def test_out_of_memory_in_company_is_tried_again_alone_and_once():
    room = room_that_knows(small=1)
    room.start("a", training("small"))
    room.start("b", training("small"))
    assert room.retry_alone("b")
    assert not room.admits(training("small"))  # until a has ended
    room.finish("a", GpuMemory(peak=GIB, total=GPU))
    assert room.admits(training("small"))
    room.start("b", training("small"))
    assert not room.retry_alone("b")


def test_out_of_memory_alone_stays():
    room = room_that_knows(small=1)
    room.start("a", training("small"))
    assert not room.retry_alone("a")


def test_scores_of_unknown_memory_join_trainings_where_there_is_plenty():
    room = room_that_knows(small=1)
    room.start("a", training("small"))
    assert room.admits(SCORING)
    assert not GpuRoom(_running={"a": training("small")}).admits(SCORING)  # of a GPU whose size nobody knows yet


def test_a_score_that_finds_no_room_is_next_and_trainings_wait_for_it():
    room = room_that_knows(small=1)
    for count in range(6):
        room.start(str(count), training("small"))
    assert not room.admits(SCORING)  # 6 x 2 GiB of 14.4, and a score is taken to need 5
    assert not room.admits(training("small")), "a training in its stead would leave it waiting for ever"
    room.finish("0", GpuMemory(peak=GIB, total=GPU))
    assert not room.admits(SCORING)
    room.finish("1", GpuMemory(peak=GIB, total=GPU))
    assert room.admits(SCORING)
    room.waits_no_more(SCORING)
    room.start("score", SCORING)
    room.finish("score", GpuMemory(peak=0, total=GPU))
    assert room.admits(training("small"))


def test_room_is_not_kept_for_a_score_that_started_on_another_gpu():
    room = room_that_knows(small=1, large=12)
    room.start("a", training("large"))
    assert not room.admits(SCORING)
    room.waits_no_more(SCORING)
    room.finish("a", None)
    room.start("b", training("small"))
    assert room.admits(training("small"))


def a_step(stage, dataset="cifar10", **components):
    return SimpleNamespace(
        stage=stage,
        dataset=dataset,
        components={role: SimpleNamespace(identity=identity) for role, identity in components.items()},
    )


@pytest.mark.parametrize("stage", ["load", "imbalance"])
def test_stages_of_data_alone_use_no_gpu(stage):
    assert kind_of(a_step(stage, component="mine")) is None


def test_kinds_differ_by_stage_data_set_and_component_and_not_by_balancer():
    kind = kind_of(a_step("train", component="smote", classifier="small cnn"))
    assert kind == kind_of(a_step("train", component="none", classifier="small cnn"))
    others = [
        kind_of(a_step("train", component="none", classifier="large cnn")),
        kind_of(a_step("train", "svhn", component="none", classifier="small cnn")),
        kind_of(a_step("synthesise", component="gan")),
    ]
    assert kind not in others
    assert len(set(others)) == len(others)
