"""Calendars: days that come at steps which are not all as long, such as month ends and business days.

Each is named as in pandas, and numbers its days: B business days, MS and ME the first and last day of months, BMS and BME the
first and last business day of months, M-15 the 15th of each (or its last day, where it is shorter). Quarters and years are
steps of 3 and 12 months.
"""

from collections.abc import Iterator

import numpy as np

EPOCH = np.datetime64("0001-01-01", "D")
"""A Monday before all dates."""


def numbers_of(calendar: str, days: np.ndarray) -> np.ndarray:
    """The number of each day, datetime64[D], or of its month: (n,), int64."""
    return np.busday_count(EPOCH, days) if calendar == "B" else days.astype("datetime64[M]").astype(np.int64)


def days_of(calendar: str, numbers: np.ndarray) -> np.ndarray:
    """The days of these numbers: (n,), datetime64[D]."""
    if calendar == "B":
        return np.busday_offset(EPOCH, numbers)
    months = numbers.astype("datetime64[M]")
    first, last = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]") - 1
    if calendar.startswith("B"):
        return np.busday_offset(*((first, 0, "forward") if calendar == "BMS" else (last, 0, "backward")))
    if calendar.startswith("M-"):
        return np.minimum(first + (int(calendar[2:]) - 1), last)
    return first if calendar == "MS" else last


def is_calendar(calendar: object) -> bool:
    """Whether there is such a calendar."""
    if not isinstance(calendar, str):
        return False
    return calendar in ("B", "MS", "ME", "BMS", "BME") or (calendar[:2] == "M-" and calendar[2:] in map(str, range(1, 32)))


def calendars(days: np.ndarray) -> Iterator[str]:
    """Those that all of some days are of, what is simplest first."""
    latest = (days - days.astype("datetime64[M]")).astype(int).max(initial=0) + 1
    for calendar in ("MS", "ME", "BMS", "BME", f"M-{latest}", "B"):
        if (days_of(calendar, numbers_of(calendar, days)) == days).all():
            yield calendar
