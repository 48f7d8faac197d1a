"""The distribution function of a number, straight between knots: every number is in one of some bins, and has a score there.

Scores are normal ones of the share of the bin that lies below. Beyond the outermost knots they go on by the logarithm of the
distance: every number has one, which is finite and the greater the further out it is. Numbers may be multiples of a grain:
each then is a cell, from half a grain below it to half a grain above, and its probability that of the cell.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

BINS, PIECES = 20, 8
"""Bins of equal share, at most, and straight pieces of the distribution function in each."""
WIDEST = 4.0
"""Normal score of the outermost knots: draws hardly ever lie beyond."""
STEEP = 0.5
"""What a unit of the score adds to log(1 + distance / scale) beyond the outermost knots."""
FURTHEST = 8.2
"""Score at an edge between bins, where a share of 0 or 1 has no finite one."""
LARGEST = float(np.finfo(np.float64).max)
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def ndtr(z: Any) -> np.ndarray:
    """The distribution function of N(0, 1)."""
    return torch.special.ndtr(torch.as_tensor(z, dtype=torch.float64)).numpy()


def ndtri(share: Any) -> np.ndarray:
    """Its inverse."""
    return torch.special.ndtri(torch.as_tensor(share, dtype=torch.float64)).numpy()


def steps_of(values: np.ndarray, grain: float) -> np.ndarray:
    """Which multiples of a grain numbers are closest to, as whole numbers; the numbers themselves where it is 0, for none."""
    if not grain:
        return values
    with np.errstate(over="ignore"):
        return np.round(values / grain).clip(-LARGEST, LARGEST)


def from_steps(steps: np.ndarray, grain: float) -> np.ndarray:
    """The inverse: the very floats that decimals of so many digits are read as."""
    if not grain:
        return steps
    with np.errstate(over="ignore"):
        found = steps * grain if grain >= 1 else steps / round(1 / grain)
    return found.clip(-LARGEST, LARGEST)


def log_beyond(distance: np.ndarray, scale: float) -> np.ndarray:
    """log(1 + distance / scale) of distances that are not negative, however large."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(0.0, np.log(np.minimum(distance, LARGEST)) - math.log(scale))


def beyond(log: np.ndarray, scale: float) -> np.ndarray:
    """Its inverse."""
    with np.errstate(over="ignore"):
        return np.minimum(scale * np.expm1(np.minimum(log, 709.0)), LARGEST)


@dataclass(frozen=True)
class Knots:
    """A distribution function.

    Args:
        values: of the knots; they rise. With a grain they count its steps, and lie in the middle between two.
        places: how many bins lie below each, and how much of its own; the first and the last are where `WIDEST` says. They
            rise, but where nothing is between two.
        bins: into which the numbers are cut.
        grain: of which all numbers are multiples, 0 for none.
    """

    values: tuple[float, ...]
    places: tuple[float, ...]
    bins: int
    grain: float = 0.0

    def placed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bins of numbers, and their scores: (n,) each, from (n,)."""
        x = steps_of(x, self.grain)
        share = np.interp(x, self.values, self.places)
        bins = share.astype(int).clip(0, self.bins - 1)
        score = ndtri((share - bins).clip(0, 1)).clip(-FURTHEST, FURTHEST)
        for end, sign, scale in zip((0, -1), (-1, 1), self.scales, strict=True):
            out = sign * (x - self.values[end]) > 0
            log = log_beyond(np.where(out, sign * (x / 2 - self.values[end] / 2), 0), scale / 2)  # halves do not overflow
            score = np.where(out, sign * (WIDEST + log / STEEP), score)
        return bins, score

    def value(self, bins: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The numbers of bins and scores: (n,) each, to (n,)."""
        found = np.interp(bins + ndtr(score), self.places, self.values)
        for end, (sign, out, log) in zip((0, -1), self._outside(bins, score), strict=True):
            half = self.values[end] / 2 + sign * beyond(log, self.scales[end] / 2)
            found = np.where(out, 2 * half.clip(-LARGEST / 2, LARGEST / 2), found)
        return from_steps(np.round(found) if self.grain else found, self.grain)

    def log_slope(self, bins: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Log of d score / d value: (n,) each, to (n,)."""
        piece = self._piece(bins, bins + ndtr(score))
        log = (np.log(np.diff(self.places).clip(1e-300)) - np.log(np.diff(self.values)))[piece]
        found = log + 0.5 * score**2 + HALF_LOG_2PI
        for (_, out, log), scale in zip(self._outside(bins, score), self.scales, strict=True):
            found = np.where(out, -math.log(STEEP * scale) - log, found)
        return found

    def _outside(self, bins: np.ndarray, score: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Below the first knot and above the last: -1 or 1, which are there, and log(1 + distance / scale), else 0."""
        found = []
        for sign, outer in ((-1, 0), (1, self.bins - 1)):
            out = (bins == outer) & (sign * score > WIDEST)
            found.append((sign, out, np.where(out, STEEP * (sign * score - WIDEST), 0.0)))
        return found

    def _piece(self, bins: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Which piece of its bin a share lies in."""
        first, last = self.ends
        return (np.searchsorted(self.places, share, "right") - 1).clip(first[bins], last[bins])

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The first piece of each bin and its last, of those that hold anything."""
        edges = np.arange(self.bins + 1).clip(self.places[0], self.places[-1])
        return np.searchsorted(self.places, edges[:-1], "right") - 1, np.searchsorted(self.places, edges[1:], "left") - 1

    @cached_property
    def scales(self) -> tuple[float, float]:
        """Of the distances below the first knot and above the last: the outermost piece, or a piece of mean width."""
        v, count = self.values, BINS * PIECES
        mean = v[-1] / count - v[0] / count
        return max(mean, v[1] - v[0]), max(mean, v[-1] - v[-2])


def fit_knots(values: np.ndarray, counts: np.ndarray, grain: float, apart: np.ndarray) -> Knots:
    """The knots of rising numbers that occur so often, of which `apart` are others that are no part of the distribution.

    They lie between numbers: at quantiles, and with a grain on either side of what holds much. Half a count is added to each
    piece, so that nothing between is impossible.
    """
    values, apart = steps_of(values, grain), steps_of(apart, grain)
    low, high = _edges(values, grain)
    cut, ends = np.linspace(0, counts.sum(), BINS * PIECES + 1)[1:-1], counts.cumsum()
    at = np.searchsorted(ends, cut)
    inner = np.where(ends[at] - cut > counts[at] / 2, low[at], high[at])
    around = [apart - 0.5, apart + 0.5] if grain else []
    knots = np.unique(np.concatenate([low[:1], inner, high[-1:], *around]))
    counted = np.histogram(values, knots, weights=counts)[0] + max(0.5, 1e-6 * counts.sum())  # float32 tells so much apart
    if grain:
        counted[np.searchsorted(knots, apart) - 1] = 0.0
    return _binned(knots, counted, grain)


def _edges(values: np.ndarray, grain: float) -> tuple[np.ndarray, np.ndarray]:
    """Where rising numbers begin and end: half a step away, or in the middle between two; the outermost at themselves."""
    if grain:
        return values - 0.5, values + 0.5
    between = values[:-1] / 2 + values[1:] / 2
    return np.concatenate((values[:1], between)), np.concatenate((between, values[-1:]))


def _binned(knots: np.ndarray, counted: np.ndarray, grain: float) -> Knots:
    """Knots with so much in each piece between, cut into bins of about equal share."""
    share = np.concatenate(([0.0], counted.cumsum() / counted.sum()))
    edges = np.unique(np.abs(share[:, None] - np.linspace(0, 1, BINS + 1)).argmin(0))
    bins = len(edges) - 1
    ends = np.unique([0, 1, bins - 1, bins]).astype(float)
    inside = np.concatenate(([ndtr(-WIDEST)], ends[1:-1], [bins - ndtr(-WIDEST)]))
    places = np.interp(np.interp(share, share[edges], np.arange(bins + 1)), ends, inside)
    return Knots(tuple(knots.tolist()), tuple(places.tolist()), bins, grain)
