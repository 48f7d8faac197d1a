"""Means and deviations, a part of the data at a time."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sums:
    """Of each channel how many values there were, their mean, and the sum of their squared distances from it, float64."""

    count: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    def of_more(self, values: np.ndarray, known: np.ndarray) -> "Sums":
        """Those with more values, (n, length, channels), 0 where not known (Chan, Golub and LeVeque 1979).

        Squares are of distances from the values' own mean, so that small changes of large numbers are not lost.
        """
        more = known.sum((0, 1))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = values.sum((0, 1)) / np.maximum(more, 1)
            mean += np.where(known, values - mean, 0.0).sum((0, 1)) / np.maximum(more, 1)
            square = (np.where(known, values - mean, 0.0) ** 2).sum((0, 1))
            share, apart = more / np.maximum(self.count + more, 1), mean - self.mean
            square = self.square + square + apart**2 * self.count * share
        return Sums(self.count + more, self.mean + apart * share, square)
