"""Columns of a table: what each holds, inferred from its values, to be overruled by a small TOML file."""

import dataclasses
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from calco.data.cells import Cells, cells_of, dtype_of
from calco.data.typed import typed
from calco.data.values import check_names, inexact
from calco.errors import RequestError, one_of

Kind = Literal["number", "choice", "date"]
KINDS: tuple[Kind, ...] = ("number", "choice", "date")
OPTIONS = 500
"""Different values of a choice at most."""
DTYPES, CELLS, DROPPED = "calco.dtypes", "calco.cells", "calco.dropped"
"""Attributes of data frames that are mapped from disk: dtypes that columns would have in memory and how their cells would be
held, and columns that were not read."""
KEY = 0.5
"""Share of different values among texts above which a column is taken for free text or a key."""
FEW = 50
"""Rows below which such shares say nothing."""


@dataclass(frozen=True)
class Column:
    """A column: its name and dtype, where ordered categoricals are told from others, what it holds, a choice's options, and how
    cells are held, where the dtype does not say it."""

    name: str
    dtype: str
    kind: Kind
    options: tuple[str, ...] = ()
    cells: Cells | None = None

    def told(self) -> str:
        """One line of a TOML file."""
        return f'{_quoted(self.name)} = "{self.kind}"'


def inferred(frame: Any, given: Mapping[str, str] | None = None, about: str = "the table") -> list[Column]:
    """What the columns of a data frame hold.

    Args:
        frame: a pandas data frame.
        given: kinds by name: number, choice or date; "drop" leaves a column out. Others are inferred.
        about: what to call the table in messages.

    Raises:
        RequestError: a column holds nothing, free text or a key, numbers and text at once, or infinite values; or a name or
            kind that was given is unknown.
    """
    given = dict(given or {})
    check_names(frame, about)
    for name, kind in given.items():
        if name not in [*map(str, frame.columns), *frame.attrs.get(DROPPED, ())]:
            raise one_of(f"column of {about}", name, frame.columns)
        if kind not in (*KINDS, "drop"):
            raise one_of(f"kind of the column {name}", kind, (*KINDS, "drop"))
    before = frame.attrs.get(CELLS, {})
    found = [
        _column(frame[name], given.get(str(name)), about, before.get(str(name)))
        for name in frame.columns
        if given.get(str(name)) != "drop"
    ]
    if not found:
        raise RequestError(f"{about} has no columns left: there is nothing to learn from.")
    return found


def _column(values: Any, kind: str | None, about: str, before: Cells | None = None) -> Column:
    """What a column holds; `before` is how its cells would be held in memory, where it is mapped from disk.

    One of which the kind is known may be empty, as that of a few new rows.
    """
    name = str(values.name)
    present = values.dropna()
    if not len(present) and kind is None:
        raise RequestError(f"Every value of the column {name} of {about} is missing: drop it.")
    told: Any = kind or _kind(present, name, about, before.dtype if before else dtype_of(values))
    cells = before or cells_of(values, told)
    if told != "choice":
        (numbers if told == "number" else dates)(present, name, about)
        return Column(name, cells.dtype, told, (), cells)
    used = typed(present)
    table = dict(zip(cells.texts, cells.types, strict=True)) or used
    options = tuple(text for text in table if text in used)
    if len(options) > OPTIONS:
        raise RequestError(
            f"The column {name} of {about} has {len(options):,} different values, more than the {OPTIONS} that a choice may"
            ' have: drop it, or call it a number (columns: {"' + name + '": "number"}).'
        )
    listed = dataclasses.replace(cells, texts=tuple(table), types=tuple(table.values()))
    return Column(name, cells.dtype, "choice", options, listed)


def _kind(present: Any, name: str, about: str, told: str) -> Kind:
    import pandas as pd

    dtype = present.dtype
    if told.startswith("category") or dtype.kind == "b":
        return "choice"
    if dtype.kind == "M":
        return "date"
    if dtype.kind in "iuf" and not inexact(present):
        values = present.to_numpy()
        if dtype.kind in "iu" and len(values) >= FEW and (np.diff(values) == 1).all():
            raise RequestError(f"The column {name} of {about} counts the rows, as a key does: drop it, or say what it holds.")
        return "number"
    if dtype.kind == "m":
        raise RequestError(f"The column {name} of {about} holds durations: turn them into numbers, such as seconds.")
    if dtype.kind == "c":
        raise RequestError(f"The column {name} of {about} holds complex numbers: give their parts as two columns.")
    text = present if isinstance(dtype, pd.CategoricalDtype) else present.astype(str)
    counts: Any = text.value_counts()
    counts = counts[counts > 0]
    as_number: Any = pd.notna(pd.to_numeric(counts.index.astype(str), errors="coerce"))
    share = counts[as_number].sum() / len(text)
    mapped = text is present and told.lower().startswith(("int", "uint"))  # as text, since float64 does not hold it
    if share == 1 and mapped:
        text = present = present.astype(object).map(int)
    if share == 1 and (mapped or (text is not present and not present.map(lambda v: isinstance(v, str)).any())):
        if not inexact(present):
            return "number"
        if len(counts) > FEW:  # as categories these are keys
            raise RequestError(
                f"The column {name} of {about} holds {inexact(present)}, and {len(counts):,} different values: drop it if it is"
                " a key, or subtract a number from it."
            )
        return "choice"
    if 0.5 <= share < 1:
        row = text.index[text.isin(counts.index[~as_number]).to_numpy().argmax()]
        raise RequestError(
            f"The column {name} of {about} mixes numbers and text (row {row}: {text[row]!r}): mend it, leave those cells empty"
            " (or name them in na_values), or call it a choice."
        )
    if are_dates(counts.index):
        return "date"
    different = len(counts)
    if len(text) >= FEW and different > max(KEY * len(text), 20):
        raise RequestError(
            f"The column {name} of {about} looks like free text or a key ({different:,} different values in {len(text):,}"
            " rows): drop it, or call it a choice."
        )
    return "choice"


def are_dates(values: Any, years: bool = False) -> bool:
    """Whether all of some values, as text, are dates; few digits alone, which may be a code, only where they are `years`."""
    import pandas as pd

    text = values.astype(str)
    if not years and any(len(one) < 8 and one.isdecimal() for one in text):
        return False
    read: Any = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
    return bool(read.notna().all())


def numbers(present: Any, name: str, about: str) -> np.ndarray:
    """A column without missing values as float64.

    Raises:
        RequestError: one is no number, or is infinite.
    """
    if present.dtype.kind in "mM":
        raise RequestError(f"The column {name} of {about} is to be a number, and holds times: turn them into numbers first.")
    try:
        found = present.to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise RequestError(f"The column {name} of {about} is to be a number, and one is none: {error}.") from error
    if np.isinf(found).any():
        row = present.index[int(np.flatnonzero(np.isinf(found))[0])]
        raise RequestError(f"The column {name} of {about} holds infinity (row {row}): mend that, or leave it empty.")
    return found


def dates(present: Any, name: str, about: str) -> np.ndarray:
    """A column without missing values as seconds since 1970 in UTC, float64.

    Raises:
        RequestError: one is no date.
    """
    if len(present) and present.dtype.kind in "iufb":
        raise RequestError(f"The column {name} of {about} is to be a date, and holds numbers: turn them into dates first.")
    try:
        return moments(present).astype(np.int64) / 1e6
    except (ValueError, TypeError) as error:
        raise RequestError(f"The column {name} of {about} is to be a date, and one is none: {error}.") from error


def moments(values: Any) -> np.ndarray:
    """A column of dates, or of text that says dates, in UTC; in microseconds those of all years from 1 to 9999 have room.

    Raises:
        ValueError: one is no date.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    stamps: Any = pd.to_datetime(values, utc=True, format="ISO8601" if values.dtype.kind in "OU" else None)
    return stamps.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def finer(values: Any, name: str, about: str) -> int:
    """How many of a column of dates without missing values lie between the microseconds, or what of those has room."""
    import pandas as pd

    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    stamps: Any = pd.to_datetime(values, utc=True, format="ISO8601" if values.dtype.kind in "OU" else None)
    held = np.round(dates(values, name, about) * 1e6).astype(np.int64).astype("datetime64[us]")
    return int((stamps.dt.tz_localize(None).to_numpy() != held).sum())


def tell_finer(name: str, count: int) -> None:
    """Warn of dates that are learned to the microsecond and are finer."""
    warnings.warn(
        f"The column {name} holds {count:,} dates finer than a microsecond: they are learned to the microsecond.",
        UserWarning,
        stacklevel=3,
    )


def read_columns(path: Path) -> dict[str, str]:
    """Kinds by name from the [columns] of a TOML file.

    Raises:
        RequestError: it cannot be read, or says something else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"Cannot read the columns in {path}: {error}.") from error
    found = content.get("columns", content)
    if not isinstance(found, dict) or not all(isinstance(kind, str) for kind in found.values()):
        raise RequestError(
            f'{path} should have a line for each column, such as: age = "number". Kinds are {", ".join(KINDS)}, drop.'
        )
    return found


def written(columns: list[Column]) -> str:
    """A TOML file that says what columns hold, to be edited."""
    lines = [column.told() + (f"  # {', '.join(column.options[:6])}" if column.options else "") for column in columns]
    return "\n".join(["# number, choice, date, or drop", "[columns]", *lines, ""])


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else '"' + name.replace('"', '\\"') + '"'
