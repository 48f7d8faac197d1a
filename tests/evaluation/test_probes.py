"""Probes of codes that are known to say everything, or nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import calco
from calco.clusters import k_means
from calco.data import ArraySource, open_data
from calco.evaluation import EvalContext, probes
from calco.evaluation.probes import linear, neighbours, probe_figures

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


def test_probes_find_what_is_there():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 900)
    codes = np.eye(3)[y] * 6 + rng.normal(size=(900, 3))
    for probe in (linear, neighbours):
        assert (probe(codes[:600], codes[600:], y[:600]) == y[600:]).mean() > 0.98
    assert len(np.unique(k_means(codes, 3))) == 3


@pytest.mark.parametrize("probe", [linear, neighbours])
def test_random_labels_stay_at_chance(probe):
    rng = np.random.default_rng(0)
    codes, y = rng.normal(size=(3000, 8)), rng.integers(0, 5, 3000)
    right = (probe(codes[:1500], codes[1500:], y[:1500]) == y[1500:]).mean()
    assert abs(right - 0.2) < 3 * (0.2 * 0.8 / 1500) ** 0.5


def test_the_penalty_is_chosen_on_a_fifth(monkeypatch):
    sizes = []

    class Recorded(LogisticRegression):
        def fit(self, X, y):
            sizes.append(len(y))
            return super().fit(X, y)

    monkeypatch.setattr(probes, "LogisticRegression", Recorded)
    codes, y = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    linear(codes, codes, y)
    assert sizes == [80] * len(probes.PENALTIES) + [100]
    sizes.clear()
    linear(codes[:49], codes, y[:49])  # of which a fifth tells nothing
    assert sizes == [49]


def test_figures_stand_beside_raw_values_and_pca():
    estimator = calco.Autoencoder(latent=6, width=8, training={**SHORT, "steps": 60}).fit("digits")
    figures: dict[Any, Any] = {
        (f.name, f.unit): f for f in probe_figures(EvalContext(estimator, open_data("digits:test"), open_data("digits")))
    }
    units = ["accuracy, the best match of clusters with classes", "normalised mutual information", "adjusted Rand index"]
    assert list(figures) == [
        ("linear probe", "accuracy"),
        ("nearest neighbours", "accuracy"),
        *(("clusters", u) for u in units),
    ]
    probe = figures["linear probe", "accuracy"]
    codes, more = estimator.encode("digits"), estimator.encode("digits:test")
    y, truth = (open_data(name).y for name in ("digits", "digits:test"))
    assert probe.value == pytest.approx((linear(codes, more, y) == truth).mean())
    assert probe.error == pytest.approx((probe.value * (1 - probe.value) / 360) ** 0.5)
    assert probe.baseline > 0.85
    assert "raw values" in probe.baseline_name
    assert "PCA of 6" in probe.baseline_name


def test_nothing_is_probed_without_other_labels():
    estimator = calco.Autoencoder(latent=2, width=4, training=SHORT).fit("digits")
    test, train = open_data("digits:test"), open_data("digits")
    assert probe_figures(EvalContext(estimator, ArraySource(test.x, levels=17), train)) == []
    assert probe_figures(EvalContext(estimator, train, train)) == []


def test_codes_that_saw_the_labels_are_not_probed():
    vae = calco.VAE(latent=2, width=4, conditional=True, training=SHORT).fit("digits")
    assert probe_figures(EvalContext(vae, open_data("digits:test"), open_data("digits"))) == []
    assert torch.isfinite(torch.from_numpy(vae.encode("digits:test"))).all()
