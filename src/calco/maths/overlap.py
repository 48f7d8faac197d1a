"""Scores against masks: losses for training, and the figures of Long, Shelhamer and Darrell 2015 for measuring.

A mask holds class indices, or IGNORED where a place counts in neither.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -1
"""The class index of places that count neither in a loss nor in a figure."""


def cross_entropy(scores: Tensor, mask: Tensor, weights: Tensor | None = None, whole: Tensor | None = None) -> Tensor:
    """Mean negative log probability of the true classes, perhaps weighted: (n, classes, ...) and (n, ...) to (), nats.

    The sum is divided by `whole` where that is given: the `weight_of` the masks that these are a part of.
    """
    total = F.cross_entropy(scores, mask, weights, ignore_index=IGNORED, reduction="sum")
    return total / (weight_of(mask, weights) if whole is None else whole)


def focal(
    scores: Tensor, mask: Tensor, weights: Tensor | None = None, whole: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """Cross entropy of each place times (1 - p)^gamma, p the probability of its class (Lin et al. 2017): ().

    `whole` is as in `cross_entropy`.
    """
    loss = F.cross_entropy(scores, mask, ignore_index=IGNORED, reduction="none")
    loss = (-torch.expm1(-loss)).clamp_min(1e-12) ** gamma * loss  # a root of 0 would have no gradient
    if weights is not None:
        loss = loss * weights[mask.clamp_min(0)]
    return loss.sum() / (weight_of(mask, weights) if whole is None else whole)


def dice(scores: Tensor, mask: Tensor, weights: Tensor | None = None, whole: Tensor | None = None) -> Tensor:
    """1 - the soft Dice coefficient, the mean over classes that the batch holds, perhaps weighted: () (Milletari et al. 2016).

    Of a class it is 2 sum p t / (sum p + sum t) over all places of the batch, t being 1 where the mask has it. It is one of
    these masks alone, whatever they are a part of.
    """
    known = (mask != IGNORED)[:, None]
    p = torch.softmax(scores, 1) * known
    t = F.one_hot(mask.clamp_min(0), scores.shape[1]).movedim(-1, 1) * known
    axes = (0, *range(2, scores.ndim))
    both, size, there = (p * t).sum(axes), p.sum(axes) + t.sum(axes), t.sum(axes) > 0
    share = there * (1.0 if weights is None else weights)
    return 1 - (share * 2 * both / size.clamp_min(1e-6)).sum() / share.sum().clamp_min(1e-12)


def weight_of(mask: Tensor, weights: Tensor | None) -> Tensor:
    """What places with a class count in all: their number, or the sum of the weights of their classes: ()."""
    known = mask[mask != IGNORED]
    return (known.new_tensor(len(known)) if weights is None else weights[known].sum()).clamp_min(1e-12)


def confusion(predicted: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Counts of places by true class (rows) and predicted class: (classes, classes), int64; ignored places are left out."""
    known = mask != IGNORED
    return torch.bincount(classes * mask[known] + predicted[known], minlength=classes**2).view(classes, classes)


class Overlap(NamedTuple):
    """Figures of a confusion matrix; NaN where a class gives none."""

    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    weighted_iu: float
    accuracy: Tensor
    iu: Tensor


def overlap(counts: Tensor) -> Overlap:
    """Pixel accuracy, mean accuracy, mean IU and frequency-weighted IU of counts (classes, classes), rows the truth.

    A class that is neither true nor predicted anywhere counts in no mean; one that is predicted but never true has no
    accuracy and an IU of 0.
    """
    counts = counts.double()
    right, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    accuracy, iu = right / true, right / (true + predicted - right)
    share = true / true.sum()
    return Overlap(
        float(right.sum() / counts.sum()),
        float(accuracy.nanmean()),
        float(iu.nanmean()),
        float((share * iu)[share > 0].sum()),
        accuracy,
        iu,
    )
