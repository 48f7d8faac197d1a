"""How one column of a table becomes floats, and comes back."""

import re
import warnings
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from calco.data.cells import Cells
from calco.data.columns import Column, dates, numbers
from calco.data.typed import key, texts
from calco.data.values import digits_of, in_steps, multiples, numpy_type
from calco.errors import RequestError
from calco.maths.knots import BINS, PIECES, Knots, fit_knots, from_steps, steps_of
from calco.maths.unseen import Unseen

ATOMS = 100
"""Different values of a column of numbers up to which each is an option of its own."""
COMMON = 0.01
"""Share of the rows from which a value of other columns is one."""


@dataclass(frozen=True)
class Coded:
    """How a column becomes floats: one of some options, and beside those of numbers and dates a score.

    The options of a number or a date are its bins, its `atoms`, which are values that many rows have, and, where values were
    missing, that. Those of a choice are its own. `knots` and `places` tell how values in bins are distributed, and the score is
    where in its bin a value is (see `Knots`). Without bins it is how far a value is from its closest atom, and `unseen` the
    share of values that are at none (see `Unseen`). `grain` is what all values are multiples of, 0 where nothing is; `cells`
    say how values come back, where the dtype does not.
    """

    name: str
    dtype: str
    kind: str
    options: tuple[str, ...] = ()
    atoms: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    places: tuple[float, ...] = ()
    bins: int = 0
    missing: bool = False
    grain: float = 0.0
    unseen: float = 0.5
    cells: Cells | None = None

    @property
    def choices(self) -> int:
        """Options, bins, atoms and what is missing."""
        return len(self.options) + self.bins + len(self.atoms) + self.missing

    @property
    def scored(self) -> bool:
        """Whether there is a score: of numbers and dates."""
        return self.kind != "choice"

    @property
    def width(self) -> int:
        """Floats of a value."""
        return self.choices + self.scored

    @cached_property
    def inside(self) -> Knots:
        """The distribution of the values in bins."""
        return Knots(self.knots, self.places, self.bins, self.grain)

    @cached_property
    def around(self) -> Unseen:
        """That of values about atoms, without bins."""
        return Unseen(self.atoms, self.grain, self.unseen)

    def coded(self, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """The choice of each value of a column, (n,), and its score, (n,), 0 where it has none.

        Numbers that are no multiples of the grain count as the closest, with a warning that says how many do.

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
        choice[~gone], score[~gone] = self._placed(found, rounding_of(values.dtype))
        return choice, score

    def asked(self, value: Any) -> tuple[np.ndarray, np.ndarray]:
        """`coded` of one value that samples are to have, None for what is missing.

        Raises:
            RequestError: as `coded`, or it is more than one value, or none that the dtype of the column can hold.
        """
        import pandas as pd

        if not np.isscalar(value) and value is not None and not isinstance(value, (str, date)):
            raise RequestError(f"The column {self.name} is asked to be {value!r}: give one value.")
        choice, score = self.coded(pd.Series([value], dtype=object, name=self.name))
        if self.scored and not self._least <= self._numbers(choice, score)[0] <= self._most:
            raise RequestError(f"The column {self.name} is asked to be {value}, which {self.dtype} cannot hold: ask for less.")
        return choice, score

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

    def _placed(self, found: np.ndarray, rounding: float) -> tuple[np.ndarray, np.ndarray]:
        """The choices and scores of numbers that were rounded so much, or those of the training were, relatively."""
        rounding = max(rounding, rounding_of(self.dtype))
        self._check_grain(found, rounding)
        if not self.bins:
            return self.around.placed(self._met(found, np.array(self.atoms), rounding))
        choice, score = self.inside.placed(found)
        if self.atoms:
            met, atoms = self._met(found, np.array(self.atoms), rounding), np.array(self.atoms)
            at = np.searchsorted(atoms, met).clip(0, len(atoms) - 1)
            choice, score = np.where(atoms[at] == met, self.bins + at, choice), np.where(atoms[at] == met, 0.0, score)
        return choice, score

    def _met(self, found: np.ndarray, atoms: np.ndarray, rounding: float) -> np.ndarray:
        """Numbers, but atoms in place of those that are one but for their rounding."""
        if self.grain:
            return from_steps(steps_of(found, self.grain), self.grain)
        at = np.searchsorted(atoms, found).clip(1, max(len(atoms) - 1, 1)) + np.array([[-1], [0]])
        for near in atoms[at.clip(0, len(atoms) - 1)]:
            found = np.where(abs(found / 2 - near / 2) <= 0.5 * rounding * abs(near), near, found)
        return found

    def _check_grain(self, found: np.ndarray, rounding: float) -> None:
        """Warn of numbers that are no multiples of the grain."""
        if not self.grain:
            return
        count = int((~multiples(found, self.grain, 1e-6 * self.grain + rounding * abs(found))).sum())
        if count:
            units = {86400: "days", 3600: "hours", 60: "minutes", 1: "seconds" if self.kind == "date" else "numbers"}
            what = f"whole {units[int(self.grain)]}" if self.grain >= 1 else f"multiples of {self.grain:g}"
            warnings.warn(
                f"The column {self.name} has {count} values that are no {what}, as all were in training:"
                " they count as the closest.",
                UserWarning,
                stacklevel=2,
            )

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
        return self._numbers(choice, score).clip(self._least, self._most)

    def _numbers(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The same, whether the column's dtype can hold it or not."""
        at = (choice - self.bins).clip(0, max(len(self.atoms) - 1, 0))
        if not self.bins:
            return self.around.value(at, score)
        found = self.inside.value(choice.clip(0, self.bins - 1), score)
        return np.where(choice >= self.bins, np.array(self.atoms)[at], found) if self.atoms else found

    @property
    def _least(self) -> float:
        return _limits(self.kind, self.dtype)[0]

    @property
    def _most(self) -> float:
        return _limits(self.kind, self.dtype)[1]

    def log_det(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Log of what turns the density of a choice and a score into that of the value: (n,).

        0 for multiples of a grain in bins: the likelihood gives their probability.
        """
        if not self.scored:
            return np.zeros(len(choice))
        if not self.bins:
            there = choice < len(self.atoms)
            return np.where(there, self.around.log_share(np.where(there, choice, 0), score), 0.0)
        if self.grain:
            return np.zeros(len(choice))
        return np.where(choice < self.bins, self.inside.log_slope(choice.clip(0, self.bins - 1), score), 0.0)


def rounding_of(dtype: Any) -> float:
    """How much numbers of a dtype may be off, relatively."""
    name = str(dtype).lower()
    single = "float32" in name or name.startswith("float[")
    return 1e-3 if "float16" in name or "halffloat" in name else 2e-7 if single else 1e-15


def _limits(kind: str, dtype: str) -> tuple[float, float]:
    """Numbers, or seconds of dates, between which a column of this dtype lies."""
    if kind == "date":
        days = ("1677-09-22", "2262-04-11") if "[ns" in dtype else ("0001-01-01", "9999-12-31T23:59:59")
        first, last = (np.datetime64(day, "s").astype(np.int64) for day in days)
        return float(first), float(last)
    if sizes := re.match(r"decimal\d+\((\d+), (-?\d+)\)", dtype):  # of Arrow: so many digits, and decimal places of those
        most = 10.0 ** (int(sizes[1]) - int(sizes[2])) * (1 - 1e-15) - 10.0 ** -int(sizes[2])
        return -most, most
    found = numpy_type(dtype)
    if found.kind in "iu":
        return float(np.iinfo(found).min), float(np.iinfo(found).max)
    return (-float(np.finfo(found).max), float(np.finfo(found).max)) if found.kind == "f" else (-np.inf, np.inf)


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
        codes, found = texts(present)
        used = {found[code] for code in np.unique(codes)}
        return Coded(**made, options=tuple(option for option in column.options if option in used))
    read = dates if column.kind == "date" else numbers
    found = read(present, column.name, "the table")
    steps = DATES if column.kind == "date" else NUMBERS
    grain = next((step for step in steps if in_steps(found, step, digits_of(column.dtype)).all()), 0.0)
    found = from_steps(steps_of(found, grain), grain)
    different, counts = np.unique(found, return_counts=True)
    if len(different) <= ATOMS:
        unseen = (1 + int((counts == 1).sum())) / (2 + len(found))
        return Coded(**made, atoms=tuple(different.tolist()), grain=grain, unseen=unseen)
    common = counts >= COMMON * len(found)
    if not grain:  # values that would fill a piece of the rest
        common |= counts > max(1, counts[~common].sum() / (BINS * PIECES))
    inside = fit_knots(different[~common], counts[~common], grain, different[common])
    atoms = tuple(different[common].tolist())
    return Coded(**made, atoms=atoms, knots=inside.values, places=inside.places, bins=inside.bins, grain=grain)


DATES, NUMBERS = (86400.0, 3600.0, 60.0, 1.0), (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Steps that dates, in seconds, and numbers may be told in."""
