"""Tiles: that together they give what the whole gives."""

import itertools

import pytest
import torch

from calco.nets.segmentation import PoolingTrunk, make_segmentation_net
from calco.tiling import starts, tiled, whole, window


@pytest.mark.parametrize("side", [5, 64, 65, 100, 333])
@pytest.mark.parametrize(("tile", "overlap", "cell"), [(64, 16, 8), (64, 32, 16), (40, 8, 1)])
def test_tiles_cover_a_side_with_weights(side, tile, overlap, cell):
    found = starts(side, tile, overlap, cell)
    assert all(start % cell == 0 for start in found)
    total = torch.zeros(side)
    for start in found:
        stop = min(start + tile // cell * cell, side)
        total[start:stop] += window(start, stop, side, overlap)
    assert (total > 0).all()
    for a, b in itertools.pairwise(found):
        assert a + tile // cell * cell - b >= min(overlap, tile - cell)


@pytest.mark.parametrize(("dims", "contrast"), [(1, 0), (1, 5), (2, 0), (2, 5), (3, 0)])
def test_tiles_give_what_the_whole_gives(dims, contrast, float64):
    """With a margin as wide as the net sees the two are one."""
    torch.manual_seed(0)
    trunk = PoolingTrunk(1, [3, 4], 1, dims, 0)
    net = make_segmentation_net("unet", trunk, 3, blocks=1, upsampling="nearest", contrast=contrast).eval()
    sides = {1: (300,), 2: (75, 130), 3: (49, 50, 52)}[dims]
    x = torch.randn(1, 1, *sides)
    with torch.no_grad():
        expected = torch.softmax(net(x)[0], 1)[0]
        bands = list(
            tiled(
                lambda part: torch.softmax(net(x[(slice(None), slice(None), *part)])[0], 1)[0],
                sides,
                tile={1: 96, 2: 96, 3: 48}[dims],
                overlap={1: 64, 2: 64, 3: 40}[dims],
                cell=4,
            )
        )
    assert [rows.start for rows, _ in bands] == [0, *(rows.stop for rows, _ in bands[:-1])]
    found = torch.cat([band for _, band in bands], 1)
    assert torch.allclose(found, expected, atol=1e-5)
    assert (whole(iter(bands), sides) == expected.argmax(0).numpy()).all()
