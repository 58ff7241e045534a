"""Declares the balancers of this plugin; what they do is imported only where they are built."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from balancebench import BalancerComponent, hookimpl
from balancebench_longtail import options

__all__ = ["balancebench_balancers"]

CUI = "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019"
CAO = "Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019"
KANG = "Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020"

# Not seeded: plans draw nothing, and what mixing draws belongs to the classifier's seed.
Method = partial(BalancerComponent, seeded=False)

BALANCERS: tuple[BalancerComponent[Any], ...] = (
    Method(
        name="weighted_cross_entropy",
        summary="Weight each image's loss by one over the size of its class, or over its square root.",
        options=options.WeightedCrossEntropyOptions,
        build="balancebench_longtail.weighting:WeightedCrossEntropy",
        citation="Japkowicz, Stephen, The class imbalance problem: A systematic study, Intelligent Data Analysis 2002",
    ),
    Method(
        name="class_balanced_loss",
        summary="Weight softmax, sigmoid or focal losses by the inverse effective number of images of the class.",
        options=options.ClassBalancedLossOptions,
        build="balancebench_longtail.weighting:ClassBalancedLoss",
        citation=CUI,
    ),
    Method(
        name="focal",
        summary="Let images that are classified well count less.",
        options=options.FocalOptions,
        build="balancebench_longtail.chosen_loss:TrainsWithLoss",
        citation="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017",
    ),
    Method(
        name="ldam",
        summary="Ask for larger margins around smaller classes, on a head of cosines.",
        options=options.LdamOptions,
        build="balancebench_longtail.chosen_loss:TrainsWithLoss",
        citation=CAO,
    ),
    Method(
        name="ldam_drw",
        summary="The loss of `ldam`, re-weighted by class after most of the budget.",
        options=options.LdamDrwOptions,
        build="balancebench_longtail.deferred:LdamDeferredReweighting",
        citation=CAO,
    ),
    Method(
        name="drw",
        summary="Train with a loss as it is, and re-weight it by class after most of the budget.",
        options=options.DrwOptions,
        build="balancebench_longtail.deferred:DeferredReweighting",
        citation=CAO,
    ),
    Method(
        name="drs",
        summary="Train on images as they are, and draw classes equally often after most of the budget.",
        options=options.DrsOptions,
        build="balancebench_longtail.deferred:DeferredResampling",
        citation=CAO,
    ),
    Method(
        name="influence_balanced",
        summary="Fine-tune with each image's loss divided by its influence on the decision boundary.",
        options=options.InfluenceBalancedOptions,
        build="balancebench_longtail.influence_balanced:InfluenceBalanced",
        citation="Park et al., Influence-Balanced Loss for Imbalanced Visual Classification, ICCV 2021",
    ),
    Method(
        name="balanced_softmax",
        summary="Add the logarithm of each class's size to its logit while training.",
        options=options.BalancedSoftmaxOptions,
        build="balancebench_longtail.chosen_loss:TrainsWithLoss",
        citation="Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020",
    ),
    Method(
        name="logit_adjustment",
        summary="Shift logits by the logarithm of the class prior, inside the loss or after plain training.",
        options=options.LogitAdjustmentOptions,
        build="balancebench_longtail.logit_adjustment:LogitAdjustment",
        citation="Menon et al., Long-tail learning via logit adjustment, ICLR 2021",
    ),
    Method(
        name="posterior_recalibration",
        summary="Move the posterior of any trained balancer towards the one it has under equal priors.",
        options=options.PosteriorRecalibrationOptions,
        build="balancebench_longtail.logit_adjustment:PosteriorRecalibration",
        citation="Tian et al., Posterior Re-calibration for Imbalanced Datasets, NeurIPS 2020",
    ),
    Method(
        name="crt",
        summary="Train as the base does, then a new head on class-balanced batches over the frozen network.",
        options=options.CrtOptions,
        build="balancebench_longtail.decoupling:ClassifierRetraining",
        citation=KANG,
        revision=2,
    ),
    Method(
        name="tau_norm",
        summary="Train as the base does, then give the head's class weights more equal lengths.",
        options=options.TauNormOptions,
        build="balancebench_longtail.decoupling:TauNormalisation",
        citation=KANG,
    ),
    Method(
        name="class_balanced_sampling",
        summary="Draw every class equally often.",
        options=options.SamplingOptions,
        build="balancebench_longtail.sampling:ClassBalancedSampling",
        citation=KANG,
    ),
    Method(
        name="square_root_sampling",
        summary="Draw each class in proportion to the square root of its size.",
        options=options.SamplingOptions,
        build="balancebench_longtail.sampling:SquareRootSampling",
        citation=KANG,
    ),
    Method(
        name="progressive_sampling",
        summary="Move in stages from drawing images as they are to drawing classes equally often.",
        options=options.ProgressiveSamplingOptions,
        build="balancebench_longtail.sampling:ProgressiveSampling",
        citation=KANG,
        revision=2,
        smoke={"stages": 2},
    ),
    Method(
        name="mixup",
        summary="Train on interpolated pairs of images and of their losses.",
        options=options.MixupOptions,
        build="balancebench_longtail.mixup:Mixup",
        citation="Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
    ),
    Method(
        name="remix",
        summary="Mixup whose label goes to the much smaller class of a pair.",
        options=options.RemixOptions,
        build="balancebench_longtail.mixup:Remix",
        citation="Chou et al., Remix: Rebalanced Mixup, ECCV Workshops 2020",
    ),
    Method(
        name="cutmix",
        summary="Paste a box of another image of the batch, and weight the losses of both labels by area.",
        options=options.CutMixOptions,
        build="balancebench_longtail.cutmix:CutMix",
        citation="Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019",
    ),
    Method(
        name="cmo",
        summary="Context-rich minority oversampling: paste boxes of class-balanced images onto the ordinary batch.",
        options=options.CmoOptions,
        build="balancebench_longtail.cutmix:Cmo",
        citation="Park et al., The Majority Can Help the Minority: Context-rich Minority Oversampling, CVPR 2022",
    ),
)


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare re-weighting, deferred, decoupled, sampling and mixing methods."""
    return BALANCERS
