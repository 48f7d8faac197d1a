"""Unknown values given known ones, against a model whose conditionals are known."""

import torch

from calco.maths.completion import metropolis_within_gibbs
from calco.maths.divergences import normal_log_prob


def test_draws_are_those_of_the_exact_conditional(float64):
    """z ~ N(0, 1), x = w z + noise: what is unknown of x given the rest is normal."""
    torch.manual_seed(0)
    w, noise = torch.tensor([1.0, -2.0, 0.5]), 0.5
    n = 4000
    x, known = torch.zeros(n, 3), torch.zeros(n, 3, dtype=torch.bool)
    x[:, 0], known[:, 0] = 1.2, True

    def posterior(x):
        """Deliberately wrong, too wide and off: the chain must mend it."""
        precision = 1 + (w.square() / noise**2).sum()
        return (x @ w) / noise**2 / precision + 0.1, torch.full((len(x),), 1.8 / precision.item())

    def propose(q):
        return (q[0] + q[1].sqrt() * torch.randn(len(q[0])))[:, None]

    def weight(x, z, q):
        joint = normal_log_prob(z[:, 0]) + normal_log_prob((x - z * w) / noise).sum(1)
        return joint - normal_log_prob(z[:, 0], q[0], q[1].log())

    def draw(z):
        return z * w + noise * torch.randn(len(z), 3)

    found = metropolis_within_gibbs(x, known, torch.randn(n, 1), posterior, propose, weight, draw, 200)
    assert (found[:, 0] == 1.2).all()
    cov = torch.outer(w, w) + noise**2 * torch.eye(3)
    mean = cov[1:, 0] / cov[0, 0] * 1.2
    rest = cov[1:, 1:] - torch.outer(cov[1:, 0], cov[0, 1:]) / cov[0, 0]
    assert torch.allclose(found[:, 1:].mean(0), mean, atol=0.1)
    assert torch.allclose(torch.cov(found[:, 1:].T), rest, atol=0.15)
