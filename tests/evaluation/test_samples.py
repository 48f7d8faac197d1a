"""Copying and the two-sample test on samples that are known to be copies, data, or neither."""

from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco.data import Subset, open_data
from calco.evaluation import EvalContext
from calco.evaluation.copying import compared, copying_figures
from calco.evaluation.two_sample import told_apart, two_sample_figures

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


class Given:
    """Stands in for a fitted estimator whose samples are given."""

    capabilities_ = ("sample",)
    ways_ = ("given",)

    def __init__(self, estimator, samples):
        self.schema_, self.run_, self.samples, self.model_ = estimator.schema_, None, samples, torch.nn.Module()

    def sample_tensor(self, n, *, seed=0):
        return self.samples[:n]


@pytest.fixture(scope="module")
def parts():
    """An estimator for its schema; digits to train on, to hold out and to take for samples."""
    digits = open_data("digits")
    rows = np.random.default_rng(0).permutation(len(digits))
    train, held, other = (Subset(digits, rows[part]) for part in (slice(700), slice(700, 1070), slice(1070, None)))
    return calco.Autoencoder(latent=2, width=4, training=SHORT).fit("digits"), train, held, other


def images(estimator, source):
    return estimator.schema_.encode(source.take(np.arange(len(source))).x)


def test_a_model_that_remembers_is_told_and_one_that_does_not_is_not(parts):
    estimator, train, held, other = parts
    close, sided = copying_figures(EvalContext(Given(estimator, images(estimator, train)), held, train))
    assert close.value > 0.99
    assert sided.value > 0.99
    assert "copies" in close.protocol
    noise = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noisy = (images(estimator, train)[:400] + 0.5 * noise).clamp(0, 1)
    for samples in (images(estimator, other), noise, noisy):
        figures = copying_figures(EvalContext(Given(estimator, samples), held, train))
        assert all("copies" not in figure.protocol for figure in figures)
    data: list[Any] = copying_figures(EvalContext(Given(estimator, images(estimator, other)), held, train))
    assert all(abs(figure.value - figure.baseline) < 4 * figure.error for figure in data)


def test_the_closest_pairs_are_a_copy_and_its_original(parts):
    estimator, train, held, other = parts
    mixed = images(estimator, other).clone()
    mixed[17] = images(estimator, train)[5]
    samples, known = compared(EvalContext(Given(estimator, mixed), held, train)).closest
    assert torch.equal(samples[0], known[0])
    assert torch.equal(samples[0], mixed[17])
    assert not torch.equal(samples[1], known[1])


def test_training_examples_cannot_be_copies_of_themselves(parts):
    estimator, train, *_ = parts
    assert copying_figures(EvalContext(Given(estimator, images(estimator, train)), train, train)) == []


def test_samples_are_as_precise_as_the_data(parts):
    estimator, train, *_ = parts
    x = EvalContext(Given(estimator, torch.rand(20, 1, 8, 8)), train).drawn(20)
    torch.testing.assert_close(x * 16, (x * 16).round(), atol=1e-5, rtol=0)


def test_data_are_not_told_from_data_and_noise_is(parts):
    estimator, train, held, other = parts
    figure: Any = two_sample_figures(EvalContext(Given(estimator, images(estimator, other)), held, train))[0]
    assert abs(figure.value - 0.5) < 3 * figure.error
    noise = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    (figure,) = two_sample_figures(EvalContext(Given(estimator, noise), held, train))
    assert figure.value > 0.95
    assert figure.baseline == 0.5


def test_vectors_are_told_apart_by_what_no_single_column_shows():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 1, generator=rng)
    joint = torch.cat((x, x + 0.3 * torch.randn(2000, 1, generator=rng)), 1)
    apart = torch.stack((joint[:, 0], joint[torch.randperm(2000, generator=rng), 1]), 1)
    accuracy, count = told_apart(joint, apart)
    assert accuracy > 0.75
    assert count == 2000
    same, _ = told_apart(joint[:1000], joint[1000:])
    assert abs(same - 0.5) < 3 * 0.5 / 1000**0.5
