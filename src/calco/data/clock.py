"""Clocks: how time goes on in recordings, and where those have gaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from calco.data.calendars import calendars, days_of, numbers_of
from calco.data.stamps import Stamps, read_stamps
from calco.errors import RequestError

GAP = 5
"""Steps from one moment to the next above which another recording begins."""
REGULAR = 0.6
"""Share of the steps that must be alike."""
ALIKE = 1e-3
"""What steps that are alike differ by at most, as a share of them."""
SAME = 0.01
"""What the steps of clocks that go alike differ by at most, as a share of them: months are not all as long."""
DAY, MONTH, MONTHLY = 86400.0, 86400 * 365.2425 / 12, 86400 * 28.0
"""Seconds of a day, of a month in the mean, and of the shortest."""


@dataclass(frozen=True)
class Clock:
    """The column that tells the time, and its commonest step.

    The step is in the unit of a number, or in seconds between dates; by a calendar (`calco.data.calendars`) it counts business
    days or months.
    """

    column: str
    kind: Literal["number", "date"]
    step: float
    calendar: str = ""

    def after(self, last: Any, steps: int) -> Any:
        """The next `steps` time stamps after `last`: an index of numbers, dates or periods, like `last`."""
        import pandas as pd

        ahead = np.arange(1, steps + 1)
        if self.kind == "number":
            return pd.Index(_sums(last, self.step, ahead))
        if isinstance(last, pd.Period):
            return pd.PeriodIndex(pd.DatetimeIndex(self.after(last.to_timestamp(), steps)), freq=last.freq)
        last = pd.Timestamp(last)
        if not self.calendar and (self.step % DAY or last.tz is None):
            return last + pd.to_timedelta(_exact(self.step) * ahead)
        # Days and months are those of a calendar on the wall: midnight stays midnight when the clocks are changed.
        wall = last.tz_localize(None)
        if self.calendar:
            day = np.array([wall.date()], "datetime64[D]")
            days = days_of(self.calendar, numbers_of(self.calendar, day) + int(self.step) * ahead)
        else:
            days = np.datetime64(wall.date(), "D") + int(self.step // DAY) * ahead
        found = pd.DatetimeIndex(days.astype("datetime64[s]")) + (wall - wall.normalize())
        return found.tz_localize(last.tz, ambiguous=np.ones(steps, bool), nonexistent="shift_forward")

    def agrees(self, other: "Clock") -> bool:
        """Whether another goes as this one does, whatever its column is called."""
        mine, others = (clock.step * _seconds(clock.calendar) for clock in (self, other))
        return self.kind == other.kind and abs(mine - others) <= SAME * mine

    def told(self) -> str:
        """The step, for a message."""
        return f"{self.step:g} {self.calendar or 's'}" if self.kind == "date" else f"{self.step:g}"

    def pieces(self, column: Any, about: str) -> list[slice]:
        """The parts of the rows of a table, by its column of time stamps, between which there is a gap.

        Raises:
            RequestError: a stamp is missing or cannot be read, time goes backwards or stands still, or at another step.
        """
        told = _read(column, about)
        if told.kind != self.kind or not self._fits(told):
            raise RequestError(
                f"{about}: the time stamps in {column.name} are not those of the clock that the model knows, which goes by"
                f" {self.told()}: bring them to its steps."
            )
        return self._pieces(told)

    def _line(self, told: Stamps) -> np.ndarray | None:
        """Time stamps in the unit of the step; None where they are not of the calendar."""
        if not self.calendar:
            return told.ticks
        days = _days(told)
        if days is None:
            return None
        numbers = numbers_of(self.calendar, days)
        return numbers if (days_of(self.calendar, numbers) == days).all() else None

    def _fits(self, told: Stamps) -> bool:
        line = self._line(told)
        if line is None:
            return False
        steps, step = np.diff(line), self._in(told)
        alike = abs(steps - step) <= ALIKE * step + told.rounding
        if self.kind == "date" and not self.calendar and self.step >= MONTHLY:
            # Most months have 31 days: what goes by them, and not on one day of each, is not regular.
            alike &= (abs(steps - step * np.round(steps / step)) <= 2 * ALIKE * step).all()
        return bool((steps > 0).all() and alike.sum() >= REGULAR * len(steps))

    def _pieces(self, told: Stamps) -> list[slice]:
        line: Any = self._line(told)
        ends = [0, *(np.flatnonzero(np.diff(line) > GAP * self._in(told)) + 1).tolist(), len(line)]
        return [slice(a, b) for a, b in pairwise(ends)]

    def _in(self, told: Stamps) -> float:
        """The step in the unit of these stamps."""
        return self.step if self.calendar else self.step * told.per_second


def check_clock(given: Clock | None, known: Clock | None) -> None:
    """Raise where new recordings go by another clock than those that were learned from; without one there is nothing to check.

    Raises:
        RequestError: with both steps.
    """
    if given is not None and known is not None and not known.agrees(given):
        raise RequestError(
            f"These recordings go by steps of {given.told()}, and the model knows steps of {known.told()}: bring them to those,"
            " with resample of pandas for instance."
        )


def _seconds(calendar: str) -> float:
    return 1.0 if not calendar else DAY if calendar == "B" else MONTH


def _sums(last: Any, step: float, ahead: np.ndarray) -> np.ndarray:
    """Numbers so many steps after another, as they are written by hand: .3 comes after .2 and not 0.30000000000000004."""
    if isinstance(last, (int, np.integer)) and isinstance(step, int):
        return int(last) + step * ahead
    begin, one = Decimal(repr(float(last))), Decimal(repr(float(step)))
    return np.array([float(begin + one * int(i)) for i in ahead])


def _exact(seconds: float) -> np.timedelta64:
    """So many seconds, in the coarsest unit that has room for them."""
    for unit, of_second in (("s", 1), ("ms", 10**3), ("us", 10**6)):
        if abs(seconds * of_second - round(seconds * of_second)) < 1e-3 and seconds * of_second > 0.5:
            return np.timedelta64(round(seconds * of_second), unit)
    return np.timedelta64(round(seconds * 10**9), "ns")


def _days(told: Stamps) -> np.ndarray | None:
    """The days of dates that are all at one time of day."""
    if told.wall is None:
        return None
    days = told.wall.astype("datetime64[D]")
    times = told.wall - days
    return days if (times == times[:1]).all() else None


def _read(column: Any, about: str) -> Stamps:
    """Time stamps, which must go on.

    Raises:
        RequestError: one is missing or cannot be read, or time goes backwards or stands still.
    """
    told = read_stamps(column, about)
    steps = np.diff(told.ticks)
    wrong = np.flatnonzero(~(steps > 0))
    if wrong.size:
        what = "repeats the one before" if steps[wrong[0]] == 0 else "is earlier than the one before"
        raise RequestError(
            f"{about}: the time stamp in row {wrong[0] + 1} of {column.name} {what} (so do {len(wrong)} in all): sort the rows"
            " by time, and keep recordings of several things in files of their own."
        )
    return told


def read_clock(columns: Sequence[Any], called: Sequence[str]) -> tuple[Clock, list[list[slice]]]:
    """The clock of the column of each of some tables, and the parts of their rows between which there is a gap.

    Steps may differ a little, as days do at weekends. Where more than `GAP` are left out another recording begins.

    Args:
        columns: of each table the one that tells the time, all of one name.
        called: what the tables are called.

    Raises:
        RequestError: a stamp is missing or cannot be read, time goes backwards or stands still, no step is usual, or that
            of one table is not that of another.
    """
    told = [_read(column, about) for column, about in zip(columns, called, strict=True) if len(column)]
    if max((len(one.ticks) for one in told), default=0) < 2:
        raise RequestError(f"{called[0]} holds a single moment.")
    name = str(columns[0].name)
    clock = _clock(name, told)
    if clock is None:
        raise _refusal(name, told, [about for column, about in zip(columns, called, strict=True) if len(column)])
    pieces = iter([clock._pieces(one) for one in told])
    return clock, [next(pieces) if len(column) else [slice(0, 0)] for column in columns]


def _clock(name: str, told: Sequence[Stamps]) -> Clock | None:
    """The first clock that all of these stamps are of."""
    if len({one.kind for one in told}) > 1:
        return None
    return next((clock for clock in _possible(name, told) if all(clock._fits(one) for one in told)), None)


def _possible(name: str, told: Sequence[Stamps]) -> Iterator[Clock]:
    days, dates = [_days(one) for one in told], told[0].kind == "date"
    if all(some is not None for some in days):
        for calendar in calendars(np.concatenate(days)):  # pyright: ignore[reportCallIssue, reportArgumentType]
            steps = np.concatenate([np.diff(numbers_of(calendar, some)) for some in days if some is not None])
            step = int(np.sort(steps)[len(steps) // 2])
            # That weekends are left out is seen where one was.
            lasting = np.concatenate([np.diff(some).astype(np.int64) for some in days if some is not None])
            if step > 0 and (calendar != "B" or (step == 1 and (lasting != steps).any())):
                yield Clock(name, "date", step, calendar)
    steps = np.sort(np.concatenate([np.diff(one.ticks) / one.per_second if dates else np.diff(one.ticks) for one in told]))
    step = steps[len(steps) // 2]
    if dates:
        yield Clock(name, "date", float(step))
    elif steps.dtype.kind == "i":
        yield Clock(name, "number", int(step))
    else:
        yield Clock(name, "number", _usual(steps, step, max(one.rounding for one in told)))


def _usual(steps: np.ndarray, middle: float, rounding: float) -> float:
    """The mean of steps like the one in the middle, with no more digits than they tell."""
    alike = steps[abs(steps - middle) <= ALIKE * middle + rounding]
    mean, unsure = float(alike.mean()), rounding / (4 * len(alike))
    shorter = (float(f"{mean:.{digits}g}") for digits in range(1, 17))
    return next((value for value in shorter if abs(value - mean) <= unsure), mean)


def _refusal(name: str, told: Sequence[Stamps], called: Sequence[str]) -> RequestError:
    """Why there is no clock: a table is ragged, or goes by another one than the first."""
    several = [(one, about) for one, about in zip(told, called, strict=True) if len(one.ticks) > 1]
    own = [_clock(name, [one]) for one, _ in several]
    for clock, (one, about) in zip(own, several, strict=True):
        if clock is None:
            steps = np.diff(one.ticks) / one.per_second
            return RequestError(
                f"{about}: the time stamps in {name} are ragged, from {steps.min():g} to {steps.max():g} apart: bring them to"
                " regular steps first, with resample of pandas for instance."
            )
    first, about = several[0]
    other = next((i for i, one in enumerate(told) if _clock(name, [first, one]) is None), len(told) - 1)
    steps = {about: _told(own[0]), called[other]: _told(_clock(name, [told[other]]) if len(told[other].ticks) > 1 else None)}
    return RequestError(
        "Recordings go by different clocks, which one model cannot learn: "
        + ", ".join(f"{name} of {file} by {step}" for file, step in steps.items())
        + ". Bring them to one with resample of pandas, or learn from each kind by itself."
    )


def _told(clock: Clock | None) -> str:
    return "a single moment that is not among those of the others" if clock is None else f"steps of {clock.told()}"
