"""Whitened coordinates: uncorrelated, of deviation 1, and back."""

import pytest
import torch

from calco.maths.whitening import Whitening


def data(n=5000):
    torch.manual_seed(0)
    walk = 0.3 * torch.randn(n, 2, 6).cumsum(2)
    walk[:, 1, 3:] = walk[:, 1, 2:3]  # nothing moves there any more
    return walk + 0.5


def test_coordinates_are_white_and_come_back(float64):
    x = data()
    whitening = Whitening((2, 6))
    whitening.fit(x)
    z = whitening(x)
    assert int(whitening.kept.sum()) == 9
    flat = z.flatten(1)[:, whitening.kept.flatten() > 0]
    assert torch.allclose(flat.T @ flat / len(flat), torch.eye(9), atol=1e-8)
    assert whitening.back(z).allclose(x, atol=1e-8)
    assert whitening.turned(z[:10] - z[10:20]).allclose(x[:10] - x[10:20], atol=1e-8)


def test_noise_where_nothing_moves_is_left_out(float64):
    whitening = Whitening((2, 6))
    whitening.fit(data())
    back = whitening.back(torch.randn(100, 2, 6))
    assert (back[:, 1, 3:] - back[:, 1, 2:3]).abs().max().item() < 1e-8


def test_few_examples_say_nothing():
    whitening = Whitening((2, 6))
    whitening.fit(data(23))
    x = data(5)
    assert whitening(x).equal(x)
    assert whitening.back(x).equal(x)


def test_low_precision_is_not_for_coordinates():
    whitening = Whitening((2, 6))
    whitening.fit(data())
    x = data(50)
    with torch.autocast("cpu", torch.bfloat16):
        assert whitening.back(whitening(x)).sub(x).abs().max().item() == pytest.approx(0, abs=1e-5)
