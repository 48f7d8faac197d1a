"""How one column of a table becomes floats, and comes back."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch

from calco.data.columns import Column, dates, numbers
from calco.data.values import multiples, numpy_type, within
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
    multiples of, 0 where nothing is; `text` says that dates came as text.
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
        import pandas as pd

        # Whole numbers are floats where some are missing.
        known = {f"{option}.0": i for i, option in enumerate(self.options)}
        known |= {option.removesuffix(".0"): i for i, option in enumerate(self.options)}
        known |= {option: i for i, option in enumerate(self.options)}
        if isinstance(present.dtype, pd.CategoricalDtype):
            table = np.array([known.get(str(option), -1) for option in present.cat.categories], dtype=np.int64)
            found = table[present.cat.codes.to_numpy()] if len(table) else np.zeros(0, np.int64)
        else:
            found = np.array([known.get(text, -1) for text in present.astype(str)], dtype=np.int64)
        if (found < 0).any():
            row = int(np.flatnonzero(found < 0)[0])
            raise RequestError(
                f"The column {self.name} has the value {str(present.iloc[row])!r}, which it had nowhere in training"
                f" ({int((found < 0).sum())} rows): it had {', '.join([*self.options[:8], *['...'][: len(self.options) - 8]])}."
            )
        return found

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
        import pandas as pd

        gone = self.gone(choice)
        if self.kind == "choice":
            return self._typed(pd.Categorical.from_codes(np.where(gone, -1, choice), list(self.options)))
        found = np.where(gone, np.nan, self.number(choice, score))
        if self.kind == "date":
            return self._dated(found)
        whole = numpy_type(self.dtype).kind in "iub" and not gone.any()
        return pd.Series(within(found, self.dtype) if whole else found).astype(self.dtype if whole or not gone.any() else None)

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

    def _typed(self, found: Any) -> Any:
        """Options as they were: text, numbers, booleans or a categorical of text."""
        import pandas as pd

        if self.dtype.startswith("category"):
            return pd.Series(found.as_ordered() if self.dtype.endswith("ordered") else found)
        text = pd.Series(found.astype(object))
        if self.dtype in ("bool", "boolean"):
            return text.map({"True": True, "False": False}).astype(self.dtype if not text.isna().any() else object)
        if _is_text(self.dtype):
            return text.astype(self.dtype)
        numeric: Any = pd.to_numeric(text)
        return numeric if numeric.isna().any() else numeric.astype(self.dtype)

    def _dated(self, seconds: np.ndarray) -> Any:
        import pandas as pd

        gone = np.isnan(seconds)
        moments = np.round(np.where(gone, 0, seconds) * 1e6).astype(np.int64).astype("datetime64[us]")
        stamps = pd.Series(np.where(gone, np.datetime64("NaT"), moments))
        if self.dtype.startswith(("datetime64", "timestamp", "date32")):
            # Of Arrow's dtypes none has a zone by that name: they take what has none for UTC.
            zone = getattr(pd.api.types.pandas_dtype(self.dtype), "tz", None)
            return (stamps.dt.tz_localize("UTC") if zone else stamps).astype(self.dtype)
        days = not self.grain % 86400 and self.grain
        text = stamps.dt.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S").astype(object)
        return text.astype(self.dtype) if _is_text(self.dtype) else text

    def slope(self, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Log of d score / d value where a value is in a bin, 0 elsewhere: (n,)."""
        if not self.bins:
            return np.zeros(len(choice))
        knots = np.array(self.knots)
        at = ((choice.clip(0, self.bins - 1) + ndtr(score)) * (len(knots) - 1) / self.bins).astype(int).clip(0, len(knots) - 2)
        step = np.maximum(np.diff(knots)[at], 1e-12 * max(1.0, abs(knots).max()))
        log_density = math.log(self.bins / (len(knots) - 1)) - np.log(step)
        return np.where(choice < self.bins, log_density + 0.5 * score**2 + 0.5 * math.log(2 * math.pi), 0.0)


def _is_text(dtype: str) -> bool:
    return dtype in ("object", "str") or "string" in dtype


def fit_column(column: Column, values: Any) -> Coded:
    """How a column is coded.

    Raises:
        RequestError: all its values are missing.
    """
    present, missing = values.dropna(), bool(values.isna().any())
    if not len(present):
        raise RequestError(f"Every value of the column {column.name} is missing in the training part: drop it.")
    made = {"name": column.name, "dtype": column.dtype, "kind": column.kind, "missing": missing}
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
