"""Local contrast normalisation against windows gone through place by place."""

import itertools

import pytest
import torch

from calco.nets.contrast import FLOOR, LocalContrast, window_means


def means_by_loops(x, side):
    found = torch.empty_like(x)
    for place in itertools.product(*map(range, x.shape[2:])):
        around = tuple(slice(max(0, i - side // 2), i + side // 2 + 1) for i in place)
        found[(..., *place)] = x[(..., *around)].flatten(2).mean(2)
    return found


@pytest.mark.parametrize("sides", [(9,), (6, 7), (3, 4, 5)])
@pytest.mark.parametrize("side", [1, 3, 4, 25])
def test_against_loops(sides, side, float64):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *sides)
    means = means_by_loops(x, side)
    assert torch.allclose(window_means(x, side), means)
    centred = x - means
    deviation = means_by_loops(centred.square().mean(1, keepdim=True), side).sqrt()
    assert torch.allclose(LocalContrast(side)(x), centred / (deviation + FLOOR))


def test_light_does_not_matter():
    """Neither a factor of all values nor what is added to a channel, but for the floor; a flat example gives zeros."""
    torch.manual_seed(0)
    x = 100 * torch.rand(1, 3, 40, 50)
    normalise = LocalContrast(15)
    lit = 2.5 * x + torch.tensor([3.0, -20.0, 7.0]).view(1, 3, 1, 1)
    assert torch.allclose(normalise(lit), normalise(x), atol=1e-2)
    assert (normalise(torch.full((1, 3, 40, 50), 0.3)).abs() < 1e-4).all()


def test_long_sums_keep_their_digits():
    x = 1000 + torch.rand(1, 1, 100_000)
    far = window_means(x, 45)[..., -5000:]
    assert torch.equal(far[..., 100:], window_means(x[..., -5000:], 45)[..., 100:])
