"""Likelihoods against sums, integrals and torch's own distributions."""

import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Normal

from calco.errors import RequestError
from calco.maths.likelihoods import Bernoulli, Categorical, DiscretisedLogistic, Gaussian, make_likelihood

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (2, 1, 1)


def params_for(likelihood, *batch):
    return torch.randn(*batch, *likelihood.params_shape)


def every_example(levels):
    values = torch.arange(levels) / (levels - 1)
    return torch.stack([torch.stack(pair) for pair in itertools.product(values, repeat=2)]).reshape(-1, *SHAPE)


@pytest.mark.parametrize(
    ("likelihood", "levels"),
    [
        (Bernoulli(SHAPE), 2),
        (DiscretisedLogistic(SHAPE, levels=5, components=3), 5),
        (DiscretisedLogistic(SHAPE, levels=17), 17),
        (Categorical(SHAPE, levels=4), 4),
    ],
)
def test_discrete_probabilities_sum_to_one(likelihood, levels):
    params = 3 * params_for(likelihood, 1)
    assert likelihood.log_prob(params, every_example(levels)).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("likelihood", "levels"),
    [(Bernoulli(SHAPE), 2), (Categorical(SHAPE, levels=4), 4), (DiscretisedLogistic(SHAPE, levels=5), 5)],
)
def test_draws_follow_the_probabilities(likelihood, levels):
    params = params_for(likelihood, 1)
    examples = every_example(levels)
    expected = likelihood.log_prob(params, examples).exp()
    draws = likelihood.sample(params.expand(40_000, *params.shape[1:]))
    same = (draws[:, None] - examples[None]).abs().flatten(2).amax(2) < 1e-5
    assert same.any(1).all()
    assert torch.allclose(same.double().mean(0), expected, atol=0.012)


def test_bernoulli_and_categorical_agree_with_torch():
    logits = torch.randn(7, *SHAPE)
    x = torch.bernoulli(torch.full((7, *SHAPE), 0.5))
    expected = TorchBernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(Bernoulli(SHAPE).log_prob(logits, x), expected)
    likelihood = Categorical(SHAPE, levels=4)
    params, index = params_for(likelihood, 7), torch.randint(4, (7, *SHAPE))
    table = params.unflatten(1, (4, 2)).movedim(1, -1)
    expected = TorchCategorical(logits=table).log_prob(index).flatten(1).sum(1)
    assert torch.allclose(likelihood.log_prob(params, index / 3), expected)
    mean = (torch.softmax(table, -1) * torch.arange(4) / 3).sum(-1)
    assert torch.allclose(likelihood.mean(params), mean)


def test_gaussian_agrees_with_torch():
    likelihood, x = Gaussian(SHAPE), torch.randn(7, *SHAPE)
    params = params_for(likelihood, 7)
    mean, raw = params.chunk(2, 1)
    scale = torch.sqrt(torch.nn.functional.softplus(raw) ** 2 + 1e-6)
    assert torch.allclose(likelihood.log_prob(params, x), Normal(mean, scale).log_prob(x).flatten(1).sum(1))
    fixed = Gaussian(SHAPE, scale=0.3)
    assert torch.allclose(fixed.log_prob(mean, x), Normal(mean, 0.3).log_prob(x).flatten(1).sum(1))
    draws = likelihood.sample(params[:1].expand(50_000, *params.shape[1:]))
    assert torch.allclose(draws.std(0), scale[0], rtol=0.03)


def test_one_logistic_against_its_distribution_function():
    likelihood = DiscretisedLogistic((1,), levels=11, components=1)
    params = torch.tensor([[0.7, 0.1, 1.0]])  # weight, mean (from 0.5), log scale (from -2.5)

    def below(v):
        return 1 / (1 + math.exp(-(v - 0.6) / math.exp(-1.5)))

    assert likelihood.log_prob(params, torch.tensor([[0.3]])).exp().item() == pytest.approx(below(0.35) - below(0.25))
    assert likelihood.log_prob(params, torch.tensor([[0.0]])).exp().item() == pytest.approx(below(0.05))
    assert likelihood.log_prob(params, torch.tensor([[1.0]])).exp().item() == pytest.approx(1 - below(0.95))


def test_logistic_stays_finite_far_from_its_mean_and_has_a_gradient_there():
    likelihood = DiscretisedLogistic((1,), levels=256, components=1)
    params = torch.tensor([[0.0, 5.0, -20.0]], dtype=torch.float32, requires_grad=True)
    value = likelihood.log_prob(params, torch.tensor([[0.5]], dtype=torch.float32))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert params.grad is not None
    assert torch.isfinite(params.grad).all()


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "logistic", "categorical"])
def test_gradients_by_finite_differences(name):
    likelihood = make_likelihood(name, SHAPE, 4)
    x = torch.randint(2, (3, *SHAPE)).double()
    params = params_for(likelihood, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, x), params)


def test_batch_axes_broadcast():
    likelihood = Bernoulli(SHAPE)
    params, x = params_for(likelihood, 3, 5), torch.ones(3, 1, *SHAPE)
    assert likelihood.log_prob(params, x).shape == (3, 5)


def test_an_unknown_name_suggests_one():
    with pytest.raises(RequestError, match=r"Did you mean 'bernoulli'"):
        make_likelihood("bernouli", SHAPE)
    with pytest.raises(RequestError, match="choose from bernoulli, gaussian"):
        make_likelihood("logistic", SHAPE)
