"""Scores of examples larger than memory: overlapping tiles, blended, a band of the first side at a time.

Tiles begin at multiples of the net's coarsest cell, so that its pooling falls where it would in the whole; near an inner
edge a tile misses what lies beyond it, and there it has no weight. With a margin as wide as a net sees, the result is that
of the whole; with a narrower one it differs where a net would look far.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

MARGIN = 4
"""Overlap of two tiles over the margin in which neither has weight: in between, weights go over from one to the other."""


def starts(side: int, tile: int, overlap: int, cell: int) -> list[int]:
    """Where tiles begin along a side: multiples of `cell`, neighbours sharing `overlap` places or more."""
    tile = max(cell, tile // cell * cell)
    if side <= tile:
        return [0]
    stride = max(cell, (tile - overlap) // cell * cell)
    found = list(range(0, side - tile, stride))
    last = -(-(side - tile) // cell) * cell  # the last tile may end early, but begins at a cell
    return [*found, last] if found[-1] != last else found


def window(start: int, stop: int, side: int, overlap: int) -> Tensor:
    """Weights along one side of a tile from `start` to `stop`: 0 in a margin at inner edges, then rising to 1."""
    margin = overlap // MARGIN
    place = torch.arange(start, stop, dtype=torch.float32) + 0.5
    ramp = max(1, overlap - 2 * margin)
    weight = torch.ones(stop - start)
    if start > 0:
        weight = torch.minimum(weight, ((place - start - margin) / ramp).clamp(0, 1))
    if stop < side:
        weight = torch.minimum(weight, ((stop - margin - place) / ramp).clamp(0, 1))
    return weight


def tiled(
    probabilities: Callable[[tuple[slice, ...]], Tensor],
    sides: Sequence[int],
    *,
    tile: int,
    overlap: int,
    cell: int,
) -> Iterator[tuple[slice, Tensor]]:
    """Blended probabilities of the classes, a band of the first side after the other.

    Args:
        probabilities: gives those of a piece of the example, (classes, *sides of the piece), by its slices.
        sides: of the example.
        tile: sides of a tile, brought down to a multiple of `cell`.
        overlap: places that neighbouring tiles share at least.
        cell: the net's coarsest cell.

    Yields:
        A slice of the first side, and (classes, its places, *other sides).
    """
    tile = max(cell, tile // cell * cell)
    first, *others = ([(s, min(s + tile, side)) for s in starts(side, tile, overlap, cell)] for side in sides)
    held: Tensor | None = None  # sums of weighted probabilities from row `done` on; the last channel sums the weights
    done = 0
    for i, (top, bottom) in enumerate(first):
        for place in itertools.product(*others):
            spans = [(top, bottom), *place]
            found = probabilities(tuple(slice(a, b) for a, b in spans))
            weight = torch.ones(())
            for (a, b), side in zip(spans, sides, strict=True):
                weight = weight[..., None] * window(a, b, side, overlap)
            if held is None or held.shape[1] < bottom - done:
                held = _grown(held, (len(found) + 1, bottom - done, *sides[1:]))
            part = (slice(top - done, bottom - done), *(slice(a, b) for a, b in place))
            held[(slice(-1), *part)] += found * weight
            held[(-1, *part)] += weight
        until = first[i + 1][0] if i + 1 < len(first) else sides[0]
        assert held is not None
        ready, held = held[:, : until - done], held[:, until - done :].clone()
        yield slice(done, until), ready[:-1].div_(ready[-1:].clamp_min_(1e-12))
        del ready  # a band is large: there is one at a time
        done = until


def _grown(held: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    larger = torch.zeros(shape)
    if held is not None:
        larger[:, : held.shape[1]] = held
    return larger


def whole(bands: Iterator[tuple[slice, Tensor]], sides: Sequence[int]) -> np.ndarray:
    """The class of every place, (*sides), from bands of probabilities."""
    classes: np.ndarray | None = None
    for rows, band in bands:
        if classes is None:
            classes = np.zeros(tuple(sides), index_type(len(band)))
        classes[rows] = band.argmax(0).numpy()
        del band  # before the next is made
    assert classes is not None
    return classes


def index_type(classes: int) -> type[np.unsignedinteger]:
    """The dtype of masks of so many classes: bytes as long as those do."""
    return np.uint8 if classes <= 256 else np.uint16
