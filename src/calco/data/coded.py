"""How one column of a table becomes floats, and comes back."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch

from calco.data.cells import Cells
from calco.data.columns import Column, dates, numbers
from calco.data.typed import key, texts
from calco.data.values import multiples
from calco.errors import RequestError

ATOMS = 100
"""Different values of a column of numbers up to which each is an option of its own."""
COMMON = 0.01
"""Share of the rows from which a value of other columns is one."""
BINS, KNOTS = 20, 8
"""Parts of equal share that other numbers are cut into, and straight pieces of their distribution function in each."""
WIDEST = 4.0
"""Normal scores within a part, at most."""


def ndtr(z: Any) -> np.ndarray:
    """The distribution function of N(0, 1)."""
    return torch.special.ndtr(torch.as_tensor(z, dtype=torch.float64)).numpy()


def ndtri(share: Any) -> np.ndarray:
    """Its inverse."""
    return torch.special.ndtri(torch.as_tensor(share, dtype=torch.float64)).numpy()


@dataclass(frozen=True)
class Coded:
    """How a column becomes floats: one of some options, and where it is in one of the `bins`, a normal score within that.

    The options of a number or a date are its bins, its `atoms`, which are values that many rows have, and, where values were
    missing, that. Those of a choice are its own. `knots` are quantiles of the values in bins, `grain` is what all values are
    multiples of, 0 where nothing is; `cells` say how values come back, where the dtype does not.
    """

    name: str
    dtype: str
    kind: str
    options: tuple[str, ...] = ()
    atoms: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    bins: int = 0
    missing: bool = False
    grain: float = 0.0
    cells: Cells | None = None

    @property
    def choices(self) -> int:
        """Options, bins, atoms and what is missing."""
        return len(self.options) + self.bins + len(self.atoms) + self.missing

    @property
    def width(self) -> int:
        """Floats of a value."""
        return self.choices + bool(self.bins)

    def coded(self, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """The choice of each value of a column, (n,), and its normal score where it is in a bin, (n,).

        Raises:
            RequestError: a value is missing where none was in training, is another choice, or is no number.
        """
        gone = values.isna().to_numpy()
        if gone.any() and not self.missing:
            raise RequestError(
                f"{int(gone.sum())} values of the column {self.name} are missing, of which none was in training: fill them."
            )
        choice, score = np.full(len(values), self.choices - 1), np.zeros(len(values))
        if self.kind == "choice":
            choice[~gone] = self._option(values[~gone])
            return choice, score
        read = dates if self.kind == "date" else numbers
        found = read(values[~gone], self.name, "the table")
        choice[~gone], score[~gone] = self._placed(found)
        return choice, score

    def asked(self, value: Any) -> tuple[np.ndarray, np.ndarray]:
        """`coded` of one value that samples are to have, None for what is missing.

        Raises:
            RequestError: as `coded`, or it is outside of what there was in training.
        """
        import pandas as pd

        if not np.isscalar(value) and value is not None and not isinstance(value, (str, date)):
            raise RequestError(f"The column {self.name} is asked to be {value!r}: give one value.")
        gone: Any = pd.isna(value)
        choice, score = self.coded(pd.Series([None if gone else value], dtype=object, name=self.name))
        if self.kind == "choice" or gone:
            return choice, score
        read = dates if self.kind == "date" else numbers
        wanted, least, most = read(pd.Series([value], dtype=object), self.name, "the table")[0], *self.range
        between = self.grain and abs(wanted / self.grain - round(wanted / self.grain)) > 1e-6
        if not least <= wanted <= most or between or (not self.bins and wanted not in self.atoms):
            near = self.value(choice, score).iloc[0]
            raise RequestError(f"The column {self.name} was never {value} in training: the closest is {near}.")
        return choice, score

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest number, or seconds of a date, in training."""
        values = (*self.atoms, *self.knots)
        return min(values), max(values)

    def _option(self, present: Any) -> np.ndarray:
        codes, found = texts(present)
        known: dict[Any, int] = {option: i for i, option in enumerate(self.options)}
        held = self._held()
        kinds = dict(zip(held.texts, held.types, strict=True))
        if not known.keys() >= set(found):  # other texts of the same values
            known = {key(option, kinds[option]): i for i, option in enumerate(self.options)} | known
        alike = ((text, *(key(text, kind) for kind in dict.fromkeys(kinds.values()))) for text in found)
        choice = np.array([*(next((known[one] for one in keys if one in known), -1) for keys in alike), -1])[codes]
        if (choice < 0).any():
            value, count = str(present.iloc[int((choice < 0).argmax())]), int((choice < 0).sum())
            raise RequestError(
                f"The column {self.name} has the value {value!r}, which it had nowhere in training ({count} rows): it had"
                f" {', '.join([*self.options[:8], *['...'][: len(self.options) - 8]])}."
            )
        return choice

    def _held(self) -> Cells:
        """How values come back."""
        return self.cells or Cells(self.dtype, texts=self.options, types=("str",) * len(self.options))

    def _placed(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.bins:
            atoms = np.array(self.atoms)
            return abs(found[:, None] - atoms).argmin(1), np.zeros(len(found))
        share = np.interp(found, self.knots, np.linspace(0, self.bins, len(self.knots)))
        choice = share.astype(int).clip(0, self.bins - 1)
        score = ndtri((share - choice).clip(ndtr(-WIDEST), ndtr(WIDEST)))
        if self.atoms:
            atoms = np.array(self.atoms)
            at = np.searchsorted(atoms, found).clip(0, len(atoms) - 1)
            is_atom = atoms[at] == found
            choice, score = np.where(is_atom, self.bins + at, choice), np.where(is_atom, 0.0, score)
        return choice, score

    def value(self, choice: np.ndarray, score: np.ndarray) -> Any:
        """The column, a pandas series, of these choices and scores."""
        gone = self.gone(choice)
        if self.kind == "choice":
            return self._held().choices(self.options, np.where(gone, -1, choice))
        found = np.where(gone, np.nan, self.number(choice, score))
        return self._held().dates(found) if self.kind == "date" else self._held().numbers(found)

    def gone(self, choice: np.ndarray) -> np.ndarray:
        """Which of these choices are that the value is missing: (n,)."""
        return (choice == self.choices - 1) & self.missing

    def number(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The number, or the seconds of a date, of these choices and scores; anything where it is missing: (n,), float64."""
        found = np.zeros(len(choice))
        if self.bins:
            share = choice.clip(0, self.bins - 1) + ndtr(score.clip(-WIDEST, WIDEST))
            found = np.interp(share, np.linspace(0, self.bins, len(self.knots)), self.knots)
            found = np.round(np.round(found / self.grain) * self.grain, 6) if self.grain else found
        if self.atoms:
            at = (choice - self.bins).clip(0, len(self.atoms) - 1)
            found = np.where(choice >= self.bins, np.array(self.atoms)[at], found)
        return found

    def slope(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Log of d score / d value where a value is in a bin, 0 elsewhere: (n,)."""
        if not self.bins:
            return np.zeros(len(choice))
        knots = np.array(self.knots)
        at = ((choice.clip(0, self.bins - 1) + ndtr(score)) * (len(knots) - 1) / self.bins).astype(int).clip(0, len(knots) - 2)
        step = np.maximum(np.diff(knots)[at], 1e-12 * max(1.0, abs(knots).max()))
        log_density = math.log(self.bins / (len(knots) - 1)) - np.log(step)
        return np.where(choice < self.bins, log_density + 0.5 * score**2 + 0.5 * math.log(2 * math.pi), 0.0)


def fit_column(column: Column, values: Any) -> Coded:
    """How a column is coded.

    Raises:
        RequestError: all its values are missing.
    """
    present, missing = values.dropna(), bool(values.isna().any())
    if not len(present):
        raise RequestError(f"Every value of the column {column.name} is missing in the training part: drop it.")
    made = {"name": column.name, "dtype": column.dtype, "kind": column.kind, "missing": missing, "cells": column.cells}
    if column.kind == "choice":
        used = set(present.astype(str).unique())
        return Coded(**made, options=tuple(option for option in column.options if option in used))
    read = dates if column.kind == "date" else numbers
    found = read(present, column.name, "the table")
    grain = _grain(found, DATES if column.kind == "date" else NUMBERS)
    different, counts = np.unique(found, return_counts=True)
    if len(different) <= ATOMS:
        return Coded(**made, atoms=tuple(different.tolist()), grain=grain)
    atoms = different[counts >= COMMON * len(found)]
    rest = found[~np.isin(found, atoms)]
    knots = np.quantile(rest, np.linspace(0, 1, BINS * KNOTS + 1))
    return Coded(**made, atoms=tuple(atoms.tolist()), knots=tuple(knots.tolist()), bins=BINS, grain=grain)


DATES, NUMBERS = (86400.0, 3600.0, 60.0, 1.0), (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Steps that dates, in seconds, and numbers may be told in."""


def _grain(found: np.ndarray, steps: tuple[float, ...]) -> float:
    """The first of some steps that all values are multiples of; 0 where there is none."""
    rounding = 8 * np.finfo(np.float64).eps * abs(found).max()
    return next((g for g in steps if multiples(found, g, rounding).all()), 0.0)
