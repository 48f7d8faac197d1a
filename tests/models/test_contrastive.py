"""Contrastive learning: its loss, its views, and features that tell classes apart without having seen one."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

import calco
from calco.errors import RequestError
from calco.maths import noise
from calco.maths.contrast import cross_view_entropy
from calco.models.contrastive import swapped


def test_the_loss_by_its_definition():
    torch.manual_seed(0)
    a, b = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    both = [*a, *b]
    total = 0.0
    for i, one in enumerate(both):
        scores = [math.exp(float(torch.cosine_similarity(one, other, dim=0)) / 0.3) for other in both]
        total -= math.log(scores[(i + 4) % 8] / (sum(scores) - scores[i]))
    assert float(cross_view_entropy(a, b, 0.3)) == pytest.approx(total / 8)


def test_views_that_tell_nothing_and_views_that_tell_all():
    same = torch.ones(16, 4)
    assert float(cross_view_entropy(same, same, 0.2)) == pytest.approx(math.log(31))
    apart = torch.eye(16)
    assert float(cross_view_entropy(apart, apart, 0.05)) < 1e-6


def test_views_of_vectors_take_values_from_other_examples():
    x = torch.arange(300.0).reshape(100, 3)
    with noise.share(0, 0):
        seen = swapped(x, 0.4)
    assert ((seen % 3) == (x % 3)).all()  # each from its own column
    assert ((seen != x).float().mean() - 0.4).abs() < 0.1
    assert torch.equal(swapped(x, 0.0), x)


def test_features_tell_classes_apart():
    digits = calco.open_data("digits")
    x, y = digits.take(np.arange(len(digits)))
    options = {"rotate": 10.0, "zoom": 0.1, "erase": 0.0, "colour": 0.0}
    features = calco.Contrastive(32, width=16, **options, training={"steps": 300, "batch_size": 128}).fit(x)
    codes = features.encode(x)
    assert codes.shape == (len(x), 32)
    assert np.allclose((codes**2).mean(1), 1, atol=1e-4)
    few = np.arange(20)
    right = KNeighborsClassifier(1).fit(codes[few], y[few]).score(codes[20:], y[20:])
    flat = x.reshape(len(x), -1)
    assert right > KNeighborsClassifier(1).fit(flat[few], y[few]).score(flat[20:], y[20:])


def test_what_makes_no_sense_is_refused():
    x = np.random.default_rng(0).normal(size=(30, 4))
    for wrong in ({"temperature": 0.0}, {"swap": 1.0}, {"latent": 0}):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            calco.Contrastive(**wrong).fit(x)
    with pytest.raises(RequestError, match="no decoder"):
        calco.Contrastive(training={"steps": 2}).fit(x).require("sample")
