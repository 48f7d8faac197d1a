"""Likelihoods of several kinds of channels, against each kind alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from calco.maths.knots import fit_knots
from calco.maths.likelihoods import Gaussian
from calco.maths.mixed import Mixed, Piece, counted

PIECES = (Piece("real", 0, 1, (5, 6)), Piece("choice", 1, 4), Piece("real", 4, 5), Piece("flag", 5, 6))


@pytest.fixture
def example():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(7, 6, 3, generator=rng, dtype=torch.float64)
    x[:, 1:4] = F.one_hot(torch.randint(3, (7, 3), generator=rng), 3).transpose(1, 2).double()
    x[:, 5] = (torch.rand(7, 3, generator=rng) < 0.5).double()
    likelihood = Mixed((6, 3), PIECES)
    return likelihood, torch.randn(7, *likelihood.params_shape, generator=rng, dtype=torch.float64), x


def test_a_mixture_of_kinds_is_the_sum_of_each(example):
    likelihood, params, x = example
    assert likelihood.params_shape == (8, 3)
    real = Gaussian((1, 3))
    per_moment = torch.stack([Gaussian((1,)).log_prob(params[:, :2, t], x[:, :1, t]) for t in range(3)], 1)
    expected = (per_moment * x[:, 5]).sum(1)
    expected += -F.cross_entropy(params[:, 2:5], x[:, 1:4].argmax(1), reduction="none").sum(1)
    expected += real.log_prob(params[:, 5:7], x[:, 4:5])
    expected += -F.binary_cross_entropy_with_logits(params[:, 7], x[:, 5], reduction="none").sum(1)
    assert torch.allclose(likelihood.log_prob(params, x), expected)
    many = likelihood.log_prob(params[:, None].expand(-1, 4, -1, -1), x[:, None])
    assert torch.allclose(many, expected[:, None].expand(-1, 4))


def test_what_is_missing_does_not_count(example):
    likelihood, params, x = example
    other = x.clone()
    other[:, 0] = torch.where(x[:, 5] > 0, x[:, 0], torch.tensor(9.0).double())
    assert torch.equal(likelihood.log_prob(params, x), likelihood.log_prob(params, other))
    assert torch.equal(counted(x, PIECES)[:, 0], x[:, 5])
    assert (counted(x, PIECES)[:, 1:] == 1).all()


def test_draws_have_the_means(example):
    likelihood, params, _ = example
    torch.manual_seed(0)
    draws = torch.stack([likelihood.sample(params) for _ in range(4000)])
    assert draws.shape[1:] == (7, 6, 3)
    assert set(draws[:, :, 1:4].unique().tolist()) == {0.0, 1.0}
    assert (draws[:, :, 1:4].sum(2) == 1).all()
    mean = likelihood.mean(params)
    error = draws.std(0) / 4000**0.5
    assert ((draws.mean(0) - mean).abs() < 5 * error + 1e-3).all()


def test_cells_of_several_columns_are_those_of_each():
    """Two columns of whole numbers, with different knots, beside one another and alone; all of a column sums to 1."""
    few = fit_knots(np.arange(200.0), np.arange(1, 201), 1.0, np.zeros(0))
    many = fit_knots(np.arange(0.0, 9000, 3), np.ones(3000, int), 1.0, np.array([4.0]))
    pieces = (
        Piece("choice", 0, few.bins),
        Piece("real", few.bins, few.bins + 1, (0, few.bins), cells=few),
        Piece("choice", few.bins + 1, few.bins + 1 + many.bins),
        Piece("real", few.bins + 1 + many.bins, few.bins + 2 + many.bins, (few.bins + 1, few.bins + 1 + many.bins), cells=many),
    )
    values = np.arange(-30_000.0, 40_000)
    parts = []
    for knots in (few, many):
        bins, score = knots.placed(values)
        parts += [F.one_hot(torch.from_numpy(bins), knots.bins).float(), torch.from_numpy(score).float()[:, None]]
    x = torch.cat(parts, 1)
    both = Mixed((x.shape[1],), pieces)
    params = torch.randn(both.params_shape)
    found = both.each(params, x)
    totals = [found[:, i : i + 2].sum(1).exp() for i in (0, 2)]
    assert totals[0].sum().item() == pytest.approx(1, abs=1e-4)
    assert totals[1][values != 4].sum().item() == pytest.approx(1, abs=1e-4)
    alone = Mixed((few.bins + 1,), pieces[:2])
    assert torch.allclose(alone.each(params[: few.bins + 2], x[:, : few.bins + 1]), found[:, :2])
    assert torch.allclose(both.each(params, x[7]), found[7])
    assert torch.allclose(both.log_prob(params.expand(3, 1, -1), x[:50]), found[:50].sum(1).expand(3, 50))


def test_what_is_beside_a_choice_is_seen_and_never_made():
    both = Mixed((4,), (Piece("choice", 0, 4, beside=1),))
    params, x = torch.randn(5, 3), torch.tensor([0.0, 1.0, 0.0, 2.5])
    assert both.params_shape == (3,)
    assert torch.allclose(both.log_prob(params, x), torch.log_softmax(params, 1)[:, 1])
    for made in (both.sample(params), both.mean(params), both.drawn_at(0, params, x.expand(5, 4), torch.ones(5, 1))):
        assert made.shape == (5, 4)
        assert (made[:, 3] == 0).all()
