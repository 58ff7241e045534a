"""A sound dataset passes the kit; every check has a broken one that it catches; what needs files is skipped."""

import socket
from pathlib import Path
from unittest import SkipTest

import numpy as np
import pytest
from pydantic import Field

from balancebench import Component, DataError, DatasetSplits, LabelledImages, Options, Origin
from balancebench.testing import collect_checks
from balancebench.testing.datasets import DATASET_CHECKS
from balancebench.testing.subject import described
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def images(count=9, names=("a", "b", "c"), seed=0, origin=Origin.REAL):
    return LabelledImages(
        images_NCHW=np.random.default_rng(seed).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8),
        labels_N=np.arange(count, dtype=np.int64) % len(names),
        class_names=names,
        origin_N=np.full(count, origin, dtype=np.uint8),
    )


def component(load, **changes):
    """Return a dataset that loads by a function of the context."""

    class Loading:
        def load(self, context):
            return load(context)

    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": path_of(lambda _: Loading())}
    return Component(**{**settings, **changes})


def sound(context):
    (context.scratch / "unpacked").write_text("")
    return DatasetSplits(train=images(), test=images(6, seed=1))


def shuffled(context):
    return DatasetSplits(train=images(seed=None), test=images(6, seed=1))


def from_numpy(context):
    np.random.random()  # noqa: NPY002 - what the kit is to catch
    return sound(context)


def test_a_sound_dataset_passes_every_check():
    for check in collect_checks(datasets=[component(sound, identity=lambda options: {"files": 3})]):
        if check.kind:
            check()


LOADS = "loads training and test images"
BROKEN = [
    (LOADS, component(lambda context: images()), "LabelledImages, not DatasetSplits"),
    (LOADS, component(lambda context: DatasetSplits(train=images(), test=images(0))), "no test images"),
    (LOADS, component(lambda context: DatasetSplits(train=images(0), test=images())), "no training images"),
    (
        LOADS,
        component(lambda context: DatasetSplits(train=images(names=("a", "a")), test=images(names=("a", "a")))),
        "one name",
    ),
    (
        LOADS,
        component(lambda context: DatasetSplits(train=images(origin=Origin.SYNTHETIC), test=images())),
        "training images are not all of origin REAL",
    ),
    ("loads the same every time", component(shuffled), "two loads differ"),
    ("leaves global random state alone", component(from_numpy), "NumPy"),
    ("identifies its data as json", component(sound, identity=lambda options: Path("x")), "JSON serializable"),
    (
        "identifies its data as json",
        component(sound, identity=lambda options: np.random.default_rng().random()),
        "second time",
    ),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_dataset_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(broken, name, "dataset")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_datasets_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in DATASET_CHECKS}


def test_a_dataset_whose_files_are_not_there_is_skipped_with_its_own_reason(run_check):
    def missing(context):
        raise DataError(f"put the images into {context.data_root}")

    with pytest.raises(SkipTest, match="put the images into"):
        run_check(component(missing), LOADS, "dataset")


def test_a_dataset_that_would_download_finds_no_network(run_check):
    def downloading(context):
        try:
            socket.create_connection(("localhost", 9))
        except OSError as error:
            raise DataError(f"cannot be downloaded ({error})") from None

    with pytest.raises(SkipTest, match="the conformance kit has no network"):
        run_check(component(downloading), LOADS, "dataset")


def test_a_dataset_that_needs_a_users_folder_is_skipped_and_names_the_option(run_check):
    class FolderOptions(Options):
        root: Path = Field(description="where the images lie")

    with pytest.raises(SkipTest, match="it needs a user's root"):
        run_check(component(sound, options=FolderOptions), LOADS, "dataset")
