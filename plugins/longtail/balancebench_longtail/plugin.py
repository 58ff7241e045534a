"""Declares the balancers of this plugin; what they do is imported only where they are built."""

from __future__ import annotations

from collections.abc import Sequence

from balancebench import Balancer, BalancerComponent, hookimpl
from balancebench_longtail import options as o

__all__ = ["balancebench_balancers"]

CUI = "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019"
CAO = "Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019"
KANG = "Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020"


def build_weighted_cross_entropy(options: o.WeightedCrossEntropyOptions) -> Balancer:
    """Build `weighted_cross_entropy`."""
    from balancebench_longtail.weighting import WeightedCrossEntropy

    return WeightedCrossEntropy(weighting=options.weighting, normalise_by=options.normalise_by)


def build_class_balanced_loss(options: o.ClassBalancedLossOptions) -> Balancer:
    """Build `class_balanced_loss`."""
    from balancebench_longtail.weighting import ClassBalancedLoss

    return ClassBalancedLoss(
        form=options.form, beta=options.beta, gamma=options.gamma, normalise_by=options.normalise_by
    )


def build_loss(options: o.LossOptions) -> Balancer:
    """Build `focal`, `ldam` or `balanced_softmax`, which are one loss throughout."""
    from balancebench_longtail.chosen_loss import TrainsWithLoss

    return TrainsWithLoss(loss=options)


def build_logit_adjustment(options: o.LogitAdjustmentOptions) -> Balancer:
    """Build `logit_adjustment`."""
    from balancebench_longtail.chosen_loss import TrainsWithLoss
    from balancebench_longtail.logit_adjustment import PostHocLogitAdjustment

    return PostHocLogitAdjustment(tau=options.tau) if options.form == "post_hoc" else TrainsWithLoss(loss=options)


def build_posterior_recalibration(options: o.PosteriorRecalibrationOptions) -> Balancer:
    """Build `posterior_recalibration`."""
    from balancebench_longtail.logit_adjustment import PosteriorRecalibration

    return PosteriorRecalibration(rebalancing=options.rebalancing)


def build_drw(options: o.DrwOptions) -> Balancer:
    """Build `drw`."""
    from balancebench_longtail.deferred import DeferredReweighting

    return DeferredReweighting(loss=options.loss, defer_at=options.defer_at, beta=options.beta)


def build_ldam_drw(options: o.LdamDrwOptions) -> Balancer:
    """Build `ldam_drw`, which is `drw` with the loss of `ldam`."""
    from balancebench_longtail.deferred import DeferredReweighting

    return DeferredReweighting(loss=options, defer_at=options.defer_at, beta=options.beta)


def build_drs(options: o.DrsOptions) -> Balancer:
    """Build `drs`."""
    from balancebench_longtail.deferred import DeferredResampling

    return DeferredResampling(loss=options.loss, defer_at=options.defer_at)


def build_crt(options: o.CrtOptions) -> Balancer:
    """Build `crt`."""
    from balancebench_longtail.decoupling import ClassifierRetraining

    return ClassifierRetraining(head_share=options.head_share, learning_rate=options.learning_rate)


def build_tau_norm(options: o.TauNormOptions) -> Balancer:
    """Build `tau_norm`."""
    from balancebench_longtail.decoupling import TauNormalisation

    return TauNormalisation(tau=options.tau)


def build_class_balanced_sampling(_options: o.SamplingOptions) -> Balancer:
    """Build `class_balanced_sampling`."""
    from balancebench_longtail.sampling import PowerSampling

    return PowerSampling(exponent=0.0)


def build_square_root_sampling(_options: o.SamplingOptions) -> Balancer:
    """Build `square_root_sampling`."""
    from balancebench_longtail.sampling import PowerSampling

    return PowerSampling(exponent=0.5)


def build_progressive_sampling(options: o.ProgressiveSamplingOptions) -> Balancer:
    """Build `progressive_sampling`."""
    from balancebench_longtail.sampling import ProgressiveSampling

    return ProgressiveSampling(stages=options.stages)


def build_mixup(options: o.MixupOptions) -> Balancer:
    """Build `mixup`."""
    from balancebench_longtail.mixup import Mixup

    return Mixup(alpha=options.alpha)


def build_remix(options: o.RemixOptions) -> Balancer:
    """Build `remix`."""
    from balancebench_longtail.mixup import Remix

    return Remix(alpha=options.alpha, kappa=options.kappa, tau=options.tau)


def build_cutmix(options: o.CutMixOptions) -> Balancer:
    """Build `cutmix`."""
    from balancebench_longtail.cutmix import CutMix

    return CutMix(alpha=options.alpha, probability=options.probability)


def build_cmo(options: o.CmoOptions) -> Balancer:
    """Build `cmo`."""
    from balancebench_longtail.cutmix import Cmo

    return Cmo(alpha=options.alpha, probability=options.probability)


# seeded=False throughout: plans draw nothing, and what mixing draws belongs to the classifier's seed.
BALANCERS: tuple[BalancerComponent[Balancer], ...] = (
    BalancerComponent(
        name="weighted_cross_entropy",
        summary="Weight each image's loss by one over the size of its class, or over its square root.",
        options=o.WeightedCrossEntropyOptions,
        build=build_weighted_cross_entropy,
        citation="Japkowicz, Stephen, The class imbalance problem: A systematic study, Intelligent Data Analysis 2002",
        seeded=False,
    ),
    BalancerComponent(
        name="class_balanced_loss",
        summary="Weight softmax, sigmoid or focal losses by the inverse effective number of images of the class.",
        options=o.ClassBalancedLossOptions,
        build=build_class_balanced_loss,
        citation=CUI,
        seeded=False,
    ),
    BalancerComponent(
        name="focal",
        summary="Let images that are classified well count less.",
        options=o.FocalOptions,
        build=build_loss,
        citation="Lin et al., Focal Loss for Dense Object Detection, ICCV 2017",
        seeded=False,
    ),
    BalancerComponent(
        name="ldam",
        summary="Ask for larger margins around smaller classes, on a head of cosines.",
        options=o.LdamOptions,
        build=build_loss,
        citation=CAO,
        seeded=False,
    ),
    BalancerComponent(
        name="ldam_drw",
        summary="The loss of `ldam`, re-weighted by class after most of the budget.",
        options=o.LdamDrwOptions,
        build=build_ldam_drw,
        citation=CAO,
        seeded=False,
    ),
    BalancerComponent(
        name="drw",
        summary="Train with a loss as it is, and re-weight it by class after most of the budget.",
        options=o.DrwOptions,
        build=build_drw,
        citation=CAO,
        seeded=False,
    ),
    BalancerComponent(
        name="drs",
        summary="Train on images as they are, and draw classes equally often after most of the budget.",
        options=o.DrsOptions,
        build=build_drs,
        citation=CAO,
        seeded=False,
    ),
    BalancerComponent(
        name="balanced_softmax",
        summary="Add the logarithm of each class's size to its logit while training.",
        options=o.BalancedSoftmaxOptions,
        build=build_loss,
        citation="Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020",
        seeded=False,
    ),
    BalancerComponent(
        name="logit_adjustment",
        summary="Shift logits by the logarithm of the class prior, inside the loss or after plain training.",
        options=o.LogitAdjustmentOptions,
        build=build_logit_adjustment,
        citation="Menon et al., Long-tail learning via logit adjustment, ICLR 2021",
        seeded=False,
    ),
    BalancerComponent(
        name="posterior_recalibration",
        summary="Move the posterior of any trained balancer towards the one it has under equal priors.",
        options=o.PosteriorRecalibrationOptions,
        build=build_posterior_recalibration,
        citation="Tian et al., Posterior Re-calibration for Imbalanced Datasets, NeurIPS 2020",
        seeded=False,
    ),
    BalancerComponent(
        name="crt",
        summary="Train as the base does, then a new head on class-balanced batches over the frozen network.",
        options=o.CrtOptions,
        build=build_crt,
        citation=KANG,
        seeded=False,
    ),
    BalancerComponent(
        name="tau_norm",
        summary="Train as the base does, then give the head's class weights more equal lengths.",
        options=o.TauNormOptions,
        build=build_tau_norm,
        citation=KANG,
        seeded=False,
    ),
    BalancerComponent(
        name="class_balanced_sampling",
        summary="Draw every class equally often.",
        options=o.SamplingOptions,
        build=build_class_balanced_sampling,
        citation=KANG,
        seeded=False,
    ),
    BalancerComponent(
        name="square_root_sampling",
        summary="Draw each class in proportion to the square root of its size.",
        options=o.SamplingOptions,
        build=build_square_root_sampling,
        citation=KANG,
        seeded=False,
    ),
    BalancerComponent(
        name="progressive_sampling",
        summary="Move in stages from drawing images as they are to drawing classes equally often.",
        options=o.ProgressiveSamplingOptions,
        build=build_progressive_sampling,
        citation=KANG,
        seeded=False,
        smoke={"stages": 2},
    ),
    BalancerComponent(
        name="mixup",
        summary="Train on interpolated pairs of images and of their losses.",
        options=o.MixupOptions,
        build=build_mixup,
        citation="Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
        seeded=False,
    ),
    BalancerComponent(
        name="remix",
        summary="Mixup whose label goes to the much smaller class of a pair.",
        options=o.RemixOptions,
        build=build_remix,
        citation="Chou et al., Remix: Rebalanced Mixup, ECCV Workshops 2020",
        seeded=False,
    ),
    BalancerComponent(
        name="cutmix",
        summary="Paste a box of another image of the batch, and weight the losses of both labels by area.",
        options=o.CutMixOptions,
        build=build_cutmix,
        citation="Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019",
        seeded=False,
    ),
    BalancerComponent(
        name="cmo",
        summary="Context-rich minority oversampling: paste boxes of class-balanced images onto the ordinary batch.",
        options=o.CmoOptions,
        build=build_cmo,
        citation="Park et al., The Majority Can Help the Minority: Context-rich Minority Oversampling, CVPR 2022",
        seeded=False,
    ),
)


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Balancer]]:
    """Declare re-weighting, deferred, decoupled, sampling and mixing methods."""
    return BALANCERS
