"""Coordinates of series: uncorrelated, of deviation 1, settled by the past, and back."""

import pytest
import torch

from calco.maths.coordinates import Components, Innovations

KINDS = pytest.mark.parametrize("kind", [Components, Innovations])


def data(n=5000):
    torch.manual_seed(0)
    walk = 0.3 * torch.randn(n, 2, 6).cumsum(2)
    walk[:, 1, 3:] = walk[:, 1, 2:3]  # nothing moves there any more
    return walk + 0.5


@KINDS
def test_coordinates_are_white_and_come_back(float64, kind):
    x = data()
    new = kind((2, 6))
    new.fit([x[:2000], x[2000:]])
    z = new(x)
    assert int(new.kept.sum()) == 9
    for channels in [slice(0, 2)] if kind is Components else [slice(0, 1), slice(1, 2)]:
        flat = z[:, channels][:, new.kept.view(2, 6)[channels] > 0]
        assert torch.allclose(flat.T @ flat / len(flat), torch.eye(flat.shape[1]), atol=1e-8)
    assert new.back(z).allclose(x, atol=1e-8)
    assert new.turned(z[:10] - z[10:20]).allclose(x[:10] - x[10:20], atol=1e-8)


@KINDS
def test_noise_where_nothing_moves_is_left_out(float64, kind):
    new = kind((2, 6))
    new.fit([data()])
    back = new.back(torch.randn(100, 2, 6))
    assert (back[:, 1, 3:] - back[:, 1, 2:3]).abs().max().item() < 1e-8


@KINDS
def test_what_hardly_moves_is_left_out_too(float64, kind):
    x, new = data(), kind((2, 6))
    x[:, 1, 3:] += 1e-3 * torch.randn(len(x), 3)
    new.fit([x])
    assert int(new.kept.sum()) == 9
    assert (new.back(new(x)) - x).abs().max().item() < 0.01


@pytest.mark.parametrize(("kind", "few"), [(Components, 23), (Innovations, 11)])
def test_few_examples_say_nothing(kind, few):
    new = kind((2, 6))
    new.fit([data(few)])
    x = data(5)
    assert new(x).equal(x)
    assert new.back(x).equal(x)


@KINDS
def test_low_precision_is_not_for_coordinates(kind):
    new = kind((2, 6))
    new.fit([data()])
    x = data(50)
    with torch.autocast("cpu", torch.bfloat16):
        assert new.back(new(x)).sub(x).abs().max().item() == pytest.approx(0, abs=1e-5)


def test_a_walk_is_what_it_moves_by(float64):
    new, x = Innovations((2, 6)), data()
    new.fit([x])
    moves = x[:, 0].diff(dim=1)
    assert (new(x)[:, 0, 1:] - (moves - moves.mean(0)) / 0.3).abs().mean().item() < 0.05


def test_what_is_settled_does_not_depend_on_what_is_unknown(float64):
    new, x = Innovations((2, 6)), data()
    new.fit([x])
    known = torch.zeros_like(x[:1])
    known[:, 0, :4] = 1
    known[:, 1, 1:] = 1  # its first value is not known, so that nothing of it settles
    settled = new.settled(known)
    assert settled[0].int().tolist() == [[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert torch.equal((new(x) * settled), (new(x * known) * settled))
