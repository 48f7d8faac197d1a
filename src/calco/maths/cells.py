"""What normal scores give to numbers that are multiples of a grain: the probability of a cell, of several columns at once."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from calco.maths.divergences import LOG_2PI
from calco.maths.knots import STEEP, WIDEST, Knots

ENDLESS = 1e4
"""Score that stands for infinity as the end of a cell."""


class Cells(NamedTuple):
    """Between which scores cells lie, and the logarithm of the difference where it is small; of any shape."""

    low: Tensor
    high: Tensor
    log_width: Tensor


class _Table(NamedTuple):
    """The knots of several columns, padded to be as many, and how many steps there are in each piece: (columns, knots)."""

    places: Tensor
    counts: Tensor
    first: Tensor
    last: Tensor
    bins: Tensor
    scales: Tensor


@lru_cache(maxsize=64)
def _table(columns: tuple[Knots, ...], device: torch.device) -> _Table:
    kind = torch.float32 if device.type == "mps" else torch.float64
    longest, most = max(len(knots.places) for knots in columns), max(knots.bins for knots in columns)

    def padded(rows: list[np.ndarray], width: int, fill: float) -> Tensor:
        full = [np.concatenate((row, np.full(width - len(row), fill))) for row in rows]
        return torch.tensor(np.stack(full), dtype=kind, device=device)

    places = padded([np.array(knots.places) for knots in columns], longest, np.inf)
    counts = padded([np.diff(knots.values).clip(1) for knots in columns], longest - 1, 1)
    first, last = (padded([knots.ends[i] for knots in columns], most, 0).long() for i in (0, 1))
    bins = torch.tensor([[knots.bins] for knots in columns], device=device)
    scales = torch.tensor([knots.scales for knots in columns], dtype=kind, device=device)
    return _Table(places, counts, first, last, bins, scales)


def cells_of(columns: tuple[Knots, ...], bins: Tensor, score: Tensor) -> Cells:
    """The cells of numbers of some columns, all with a grain, by their bins, integers, and scores: (columns, ...) each."""
    table, shape = _table(columns, score.device), score.shape
    bins, score = (part.reshape(len(columns), -1).contiguous() for part in (bins, score.to(table.places.dtype)))
    share = bins + torch.special.ndtr(score)
    piece = torch.searchsorted(table.places, share, right=True) - 1
    piece = torch.minimum(torch.maximum(piece, table.first.gather(1, bins)), table.last.gather(1, bins))
    start, stop = table.places.gather(1, piece), table.places.gather(1, piece + 1)
    count = table.counts.gather(1, piece)
    below = ((share - start) / (stop - start) * count).floor().clamp_min(0).minimum(count - 1)
    # Ends of neighbours are the same numbers: nothing is lost or counted twice.
    low, high = ((start * (1 - q) + stop * q - bins).clamp(0, 1) for q in (below / count, (below + 1) / count))
    low, high = (torch.special.ndtri(share).clamp(-ENDLESS, ENDLESS) for share in (low, high))
    log_width = torch.log((stop - start) / count) + 0.5 * score**2 + 0.5 * LOG_2PI
    found = _beyond(table, bins, score, Cells(low, high, log_width))
    return Cells(*(part.reshape(shape) for part in found))


def _beyond(table: _Table, bins: Tensor, score: Tensor, cells: Cells) -> Cells:
    """The same where numbers lie beyond the outermost knots."""
    far = score.abs() > WIDEST
    above = far & (score > 0) & (bins == table.bins - 1)
    below = far & (score < 0) & (bins == 0)
    out, step = above | below, 1 / torch.where(above, table.scales[:, 1:], table.scales[:, :1])
    log = torch.where(out, STEEP * (score.abs() - WIDEST), 0.0).clamp_max(709.0)
    near = (torch.expm1(log) / step).floor() * step
    inner, outer = (WIDEST + torch.log1p(distance) / STEEP for distance in (near, near + step))
    low = torch.where(above, inner, torch.where(below, -outer, cells.low))
    high = torch.where(above, outer, torch.where(below, -inner, cells.high))
    log_width = torch.where(out, torch.log1p(step / (1 + near)) - math.log(STEEP), cells.log_width)
    return Cells(low, high, log_width)


def normal_log_mass(cells: Cells, score: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log of what N(mean, exp(log_var)) gives to cells around scores; all broadcast."""
    scale = torch.exp(-0.5 * log_var.to(cells.low.dtype))
    low, high, middle = ((z - mean) * scale for z in (cells.low, cells.high, score))
    log_width = cells.log_width + scale.log()
    small = log_width - 0.5 * middle**2 - 0.5 * LOG_2PI
    flip = low + high > 0  # the lower tail has the digits
    near, far = torch.where(flip, -low, high), torch.where(flip, -high, low)
    log_near = torch.special.log_ndtr(near)
    gap = (log_near - torch.special.log_ndtr(far)).clamp_min(1e-12)
    return torch.where(log_width.exp() * (1 + middle.abs()) < 1e-3, small, log_near + torch.log(-torch.expm1(-gap)))
