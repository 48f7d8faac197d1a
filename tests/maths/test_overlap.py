"""Losses and figures of segmentation against cases done by hand and against autograd."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as reference

from calco.maths.overlap import IGNORED, confusion, cross_entropy, dice, focal, overlap

pytestmark = pytest.mark.usefixtures("float64")

TRUTH = torch.tensor([0, 0, 1, 1, 2, IGNORED])


def figures(predicted, classes):
    return overlap(confusion(torch.tensor(predicted), TRUTH, classes))


def test_the_worked_case():
    counts = confusion(torch.tensor([0, 1, 1, 1, 0, 2]), TRUTH, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    found = overlap(counts)
    assert math.isclose(found.pixel_accuracy, 0.6)
    assert math.isclose(found.mean_accuracy, 0.5)
    assert math.isclose(found.mean_iu, 1 / 3)
    assert math.isclose(found.weighted_iu, 0.4)
    assert torch.allclose(found.iu, torch.tensor([1 / 3, 2 / 3, 0]))


def test_a_class_that_is_nowhere_counts_nowhere():
    assert figures([0, 1, 1, 1, 0, 2], 4)[:4] == figures([0, 1, 1, 1, 0, 2], 3)[:4]


def test_a_class_that_is_only_predicted_has_an_iu_of_zero():
    found = figures([0, 3, 1, 1, 0, 2], 4)
    assert math.isclose(found.mean_iu, 1 / 3)
    assert math.isclose(found.mean_accuracy, 0.5)
    assert math.isclose(found.weighted_iu, 8 / 15)
    assert math.isclose(found.pixel_accuracy, 0.6)


def test_bounds_that_hold_for_any_counts():
    counts = torch.from_numpy(np.random.default_rng(0).integers(0, 50, (6, 6)))
    found = overlap(counts)
    assert (found.iu <= found.accuracy).all()
    assert found.weighted_iu <= found.pixel_accuracy
    order = torch.randperm(6)
    assert np.allclose(overlap(counts[order][:, order])[:4], found[:4])


def test_counts_agree_with_torchmetrics():
    rng = np.random.default_rng(0)
    mask, predicted = torch.from_numpy(rng.integers(-1, 5, (3, 20, 20))), torch.from_numpy(rng.integers(0, 5, (3, 20, 20)))
    expected = reference.multiclass_confusion_matrix(predicted, mask, 5, ignore_index=IGNORED)
    assert torch.equal(confusion(predicted, mask, 5), expected)


def random_case(classes=4):
    scores, mask = torch.randn(3, classes, 5, 6), torch.randint(-1, classes, (3, 5, 6))
    return scores.requires_grad_(), mask, torch.rand(classes) + 0.1


@pytest.mark.parametrize("loss", [cross_entropy, focal, dice])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_have_right_gradients_and_do_not_see_ignored_places(loss, weighted):
    scores, mask, weights = random_case()
    weights = weights if weighted else None
    assert torch.autograd.gradcheck(lambda s: loss(s, mask, weights), (scores,))
    other = scores.detach() + 5 * torch.randn_like(scores) * (mask == IGNORED)[:, None]
    assert torch.allclose(loss(other, mask, weights), loss(scores, mask, weights))


@pytest.mark.parametrize("loss", [cross_entropy, focal, dice])
def test_losses_of_masks_that_are_ignored_altogether_are_zero_or_finite(loss):
    scores, mask, _ = random_case()
    value = loss(scores, torch.full_like(mask, IGNORED), None)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(scores.grad).all()


def test_losses_by_hand():
    scores = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])  # two places; p of class 0 is 1/2 and 3/4
    mask, weights = torch.tensor([[0, 0]]), torch.tensor([2.0, 5.0])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert math.isclose(cross_entropy(scores, mask), expected)
    assert math.isclose(cross_entropy(scores, mask, weights), expected)  # a mean with these weights
    assert math.isclose(focal(scores, mask), (math.log(2) / 4 + math.log(4 / 3) / 16) / 2)
    assert math.isclose(focal(scores, mask, gamma=0.0), expected)
    assert math.isclose(dice(scores, mask), 1 - 2 * 1.25 / (1.25 + 2))
