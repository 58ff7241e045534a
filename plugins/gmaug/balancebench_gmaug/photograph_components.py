"""The paper's data sets as they are declared. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import DatasetComponent
from balancebench_gmaug.photograph_options import HeldOutOptions, InaturalistOptions, files_identity

__all__ = ["PHOTOGRAPHS"]

PHOTOGRAPHS: Sequence[DatasetComponent[Any]] = (
    DatasetComponent(
        name="flowers",
        summary="Photographs of five kinds of flowers, as on Kaggle (alxmamaev/flowers-recognition).",
        options=HeldOutOptions,
        build="balancebench_gmaug.photographs:Flowers",
        identity=files_identity,
        smoke={"images_per_class": 20},
    ),
    DatasetComponent(
        name="utkface",
        summary="Faces by ethnicity, five classes, as UTKFace's file names say.",
        options=HeldOutOptions,
        build="balancebench_gmaug.photographs:UtkFace",
        citation="Zhang, Song, Qi, Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR 2017",
        identity=files_identity,
        smoke={"images_per_class": 20},
    ),
    DatasetComponent(
        name="scene",
        summary="Photographs of six kinds of scenes, labelled in train.csv.",
        options=HeldOutOptions,
        build="balancebench_gmaug.photographs:Scene",
        identity=files_identity,
        smoke={"images_per_class": 20},
    ),
    DatasetComponent(
        name="inaturalist_2019",
        summary="A group of iNaturalist 2019's species: birds, insects, fungi, reptiles or amphibians.",
        options=InaturalistOptions,
        build="balancebench_gmaug.inaturalist:Inaturalist2019",
        citation="Van Horn et al., The iNaturalist Species Classification and Detection Dataset, CVPR 2018",
        identity=files_identity,
        smoke={"group": "Fungi", "images_per_class": 20},
    ),
)
