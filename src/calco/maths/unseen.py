"""Numbers of which few were seen: each is closest to one that was, an atom, and at it or at some distance from it.

What is no atom has the share that Good and Turing give the unseen: that of what was seen once. An atom gives so much to what is
closer to it than to others, half to either side: evenly up to the middle between two atoms, and beyond the outermost by a law
that never ends, P(distance > d) = 1 / (1 + d / scale).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calco.maths.knots import LARGEST, beyond, from_steps, log_beyond, steps_of


@dataclass(frozen=True)
class Unseen:
    """What is at some distance from atoms.

    Args:
        atoms: numbers, rising.
        grain: of which all numbers are multiples, 0 for none.
        share: of what is no atom.
    """

    atoms: tuple[float, ...]
    grain: float
    share: float

    def placed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which atoms numbers are closest to, and how far away they are, with a sign: (n,) each, from (n,).

        Distances are shares of the way to the middle between two atoms, or log(1 + distance / scale) beyond all of them.
        """
        steps, atoms = steps_of(x, self.grain), self._steps
        at = np.searchsorted(atoms[:-1] / 2 + atoms[1:] / 2, steps)
        half = steps / 2 - atoms[at] / 2  # it does not overflow
        way = self._way[at, (half > 0).astype(int)]
        far = np.where(np.isfinite(way), 2 * abs(half) / way, log_beyond(abs(half), self._scale / 2))
        return at, np.sign(half) * far

    def value(self, at: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """The numbers at such distances from atoms: (n,) each, to (n,)."""
        way = self._way[at, (apart > 0).astype(int)]
        out = ~np.isfinite(way)
        half = np.where(out, beyond(abs(apart) * out, self._scale / 2), abs(apart) * np.where(out, 0.0, way) / 2)
        steps = 2 * (self._steps[at] / 2 + np.sign(apart) * half).clip(-LARGEST / 2, LARGEST / 2)
        return np.where(apart == 0, np.array(self.atoms)[at], from_steps(np.round(steps) if self.grain else steps, self.grain))

    def log_share(self, at: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """Log of the part that numbers have of all that is closest to their atom: (n,) each, to (n,).

        It is a probability of atoms and of multiples of a grain, a density of other numbers.
        """
        room, sides, log = self._room[at, (apart > 0).astype(int)], self._sides[at], abs(apart)
        with np.errstate(divide="ignore"):
            between, out = -np.log(room), -math.log(self._scale) - 2 * log
        if self.grain:  # P(distance > d - 1) - P(distance > d), of a distance of d steps
            out -= np.log1p(-np.minimum(np.exp(-log) / self._scale, 1 / (1 + self._scale)))
        unseen = math.log(self.share) - np.log(np.maximum(sides, 1)) + np.where(np.isfinite(room), between, out)
        return np.where(apart == 0, np.log1p(-self.share * (sides > 0)), unseen)

    @cached_property
    def _steps(self) -> np.ndarray:
        return steps_of(np.array(self.atoms), self.grain)

    @cached_property
    def _way(self) -> np.ndarray:
        """How far it is to the middle below each atom, and above: (atoms, 2), infinite beyond the outermost."""
        way = np.diff(self._steps / 2)
        return np.stack((np.append(np.inf, way), np.append(way, np.inf)), 1)

    @cached_property
    def _room(self) -> np.ndarray:
        """The length of that, or how many multiples of the grain lie there; one in the middle belongs to the atom below it."""
        return np.stack((np.ceil(self._way[:, 0]) - 1, np.floor(self._way[:, 1])), 1) if self.grain else self._way

    @cached_property
    def _sides(self) -> np.ndarray:
        """On how many sides of each atom there is room."""
        return (self._room > 0).sum(1)

    @cached_property
    def _scale(self) -> float:
        """The mean distance between atoms; of a single one the grain, or itself."""
        first, last, gaps = self._steps[0], self._steps[-1], len(self.atoms) - 1
        if last > first:
            return float(last / gaps - first / gaps)
        return 1.0 if self.grain else float(abs(first)) or 1.0
