"""Normal densities and importance bounds against torch and closed forms."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from calco.maths.divergences import importance_bound, importance_error, normal_kl, normal_log_prob

pytestmark = pytest.mark.usefixtures("float64")


def test_normal_density_and_divergence():
    mean, log_var, z = torch.randn(3, 50)
    q = Normal(mean, torch.exp(0.5 * log_var))
    assert torch.allclose(normal_log_prob(z, mean, log_var), q.log_prob(z))
    assert torch.allclose(normal_log_prob(z), Normal(0, 1).log_prob(z))
    assert torch.allclose(normal_kl(mean, log_var), kl_divergence(q, Normal(0, 1)))


def test_the_bound_of_equal_weights_is_their_logarithm_without_error():
    log_w = torch.full((2, 10), -700.0)
    assert torch.allclose(importance_bound(log_w), torch.tensor(-700.0))
    assert torch.allclose(importance_error(log_w), torch.tensor(0.0))
    assert math.isnan(importance_error(log_w[:, :1])[0])


def test_the_bound_rises_with_samples_to_a_known_integral_and_its_error_covers():
    # log of E[exp(s u)], u ~ N(0, 1), is s^2 / 2.
    log_w = 0.8 * torch.randn(4000, 64)
    truth = 0.32
    loose, tight = importance_bound(log_w[:, :2]).mean(), importance_bound(log_w).mean()
    assert 0 <= loose < tight < truth + 0.01
    inside = (importance_bound(log_w) - truth).abs() < 2 * importance_error(log_w)
    assert 0.88 < inside.double().mean() < 0.99
