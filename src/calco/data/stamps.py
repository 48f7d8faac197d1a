"""Time stamps as they are told: numbers, dates with a zone or without, periods, or text that says dates."""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from calco.errors import RequestError


class Stamps(NamedTuple):
    """A column of time stamps.

    `values` are the stamps themselves, `ticks` how far they are on the line of time, int64 or float64, in units of which
    `per_second` are a second (of numbers 1), and `rounding` what that is uncertain by. `wall` is what clocks on the wall show,
    datetime64, where they are dates.
    """

    kind: Literal["number", "date"]
    values: Any
    ticks: np.ndarray
    rounding: float = 0.0
    per_second: int = 1
    wall: np.ndarray | None = None


def read_stamps(column: Any, about: str) -> Stamps:
    """The time stamps of a column of a table.

    Raises:
        RequestError: one is missing or cannot be read, or may mean either of two days.
    """
    column = column.infer_objects()
    gone = column.isna().to_numpy()
    if column.dtype.kind == "f":
        gone = gone | ~np.isfinite(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if gone.any():
        raise RequestError(f"{about}: the time stamp in row {int(gone.argmax())} of {column.name} is missing.")
    return _numbers(column) if column.dtype.kind in "iuf" else _dates(column, about)


def _numbers(column: Any) -> Stamps:
    if column.dtype.kind == "f":
        ticks, kind = column.to_numpy(dtype=np.float64), np.float32 if "32" in str(column.dtype) else np.float64
        return Stamps("number", column, ticks, 4 * float(np.finfo(kind).eps * abs(ticks).max(initial=0)))
    return Stamps("number", column, column.to_numpy(dtype=np.int64))


def _dates(column: Any, about: str) -> Stamps:
    import pandas as pd

    period = isinstance(column.dtype, pd.PeriodDtype)
    try:
        values = column.dt.to_timestamp() if period else _moments(column)
        utc: Any = pd.to_datetime(values, utc=True)
        wall: Any = pd.Series([v.tz_localize(None) for v in values]) if values.dtype == object else values.dt.tz_localize(None)
    except (ValueError, TypeError, AttributeError) as error:
        raise RequestError(f"{about}: the column {column.name} does not tell the time: {error}.") from error
    ticks = utc.dt.tz_localize(None).to_numpy()
    per_second = int(np.timedelta64(1, "s") / np.timedelta64(1, np.datetime_data(ticks.dtype)[0]))
    return Stamps("date", column if period else values, ticks.astype(np.int64), 0.0, per_second, wall.to_numpy())


def _moments(column: Any) -> Any:
    """Dates as a column of them, with their zone; as objects where those differ.

    Raises:
        ValueError: one is no date, or may mean either of two days.
    """
    import pandas as pd

    if column.dtype.kind == "M":
        return pd.Series(pd.DatetimeIndex(column))
    if isinstance(column.iloc[0], str) and _says(column, format="ISO8601") is None:
        return _unequivocal(column)
    try:
        return pd.to_datetime(column, format="ISO8601" if isinstance(column.iloc[0], str) else None)
    except ValueError:
        return pd.Series([pd.Timestamp(value) for value in column], dtype=object)


def _says(text: Any, **way: Any) -> Any:
    """Dates that text says when it is read in this way, None where it is not to be read so."""
    import pandas as pd

    try:
        with warnings.catch_warnings(action="ignore"):
            return pd.to_datetime(text, utc=way.get("format") is not None, **way)
    except ValueError:
        return None


def _unequivocal(text: Any) -> Any:
    """Dates that are not told by ISO 8601, where the day cannot be taken for the month."""
    month_first, day_first = _says(text, dayfirst=False), _says(text, dayfirst=True)
    if month_first is None and day_first is None:
        raise ValueError(f"{text.iloc[0]!r} and those after it are no dates such as 2024-01-31")
    if month_first is not None and day_first is not None and not month_first.equals(day_first):
        raise ValueError(f"{text.iloc[0]!r} may mean two days; write dates such as 2024-01-31")
    return day_first if month_first is None else month_first
