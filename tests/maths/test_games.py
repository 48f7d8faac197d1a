"""The games' losses and penalties, by hand."""

import math

import pytest
import torch

from calco.maths.games import GAMES, away_from_one, between, squared_slopes

pytestmark = pytest.mark.usefixtures("float64")


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


REAL, FAKE = [0.3, -1.2, 2.0], [0.5, 0.1, -3.0]
MEAN = {
    "minimax": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda r, f: math.log(1 - sigmoid(f)),
    ),
    "nonsaturating": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda r, f: -math.log(sigmoid(f)),
    ),
    "least_squares": (lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2, lambda r, f: 0.5 * (f - 1) ** 2),
    "hinge": (lambda r, f: max(0, 1 - r) + max(0, 1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: -math.log(sigmoid(r - f)), lambda r, f: -math.log(sigmoid(f - r))),
}


@pytest.mark.parametrize("name", GAMES)
def test_losses(name):
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    for found, expected in zip((GAMES[name].discriminator, GAMES[name].generator), MEAN[name], strict=True):
        assert float(found(real, fake)) == pytest.approx(sum(map(expected, REAL, FAKE)) / 3)


def test_slopes_of_a_quadratic_and_their_gradient():
    """D(x) = (w x)^2 has the slope 2 w (w x): its square and what that gives w are known."""
    w, x = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([[0.5, 0.25], [1.0, 1.0]], requires_grad=True)
    slopes = squared_slopes((x @ w).square(), x)
    expected = 4 * (x @ w).square() * (w @ w)
    assert torch.allclose(slopes, expected)
    (found,) = torch.autograd.grad(slopes.sum(), w)
    (wanted,) = torch.autograd.grad(expected.sum(), w)
    assert torch.allclose(found, wanted)
    assert float(away_from_one(slopes.detach())) == pytest.approx(float((expected.detach().sqrt() - 1).square().mean()))


def test_points_lie_between():
    real, fake = torch.ones(50, 3, 2, 2), torch.zeros(50, 3, 2, 2)
    points = between(real, fake).detach()
    shares = points.flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares))
    assert 0 <= float(shares.min()) < 0.2 < 0.8 < float(shares.max()) <= 1


def test_accuracy_is_by_the_games_own_threshold():
    real, fake = torch.tensor([3.0, 0.4, -1.0, 2.0]), torch.tensor([1.0, 0.6, -2.0, 0.3])
    for name, on_real, on_fake in (("hinge", 0.75, 0.25), ("least_squares", 0.5, 0.5)):
        assert GAMES[name].right(real, fake) == {"right_on_real": on_real, "right_on_fake": on_fake}
    assert GAMES["relativistic"].right(real, fake) == {"right_on_pairs": 0.75}
