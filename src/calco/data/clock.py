"""Time stamps: how they are told, and where a recording has gaps."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from calco.errors import RequestError

GAP = 5
"""Steps from one moment to the next above which another recording begins."""
REGULAR = 0.6
"""Share of the steps that must be alike."""


@dataclass(frozen=True)
class Clock:
    """The column that tells the time, and the commonest step: in its own unit, or in seconds between dates."""

    column: str
    kind: Literal["number", "date"]
    step: float

    def after(self, last: Any, steps: int) -> Any:
        """The next `steps` time stamps after `last`, an array."""
        import pandas as pd

        ahead = self.step * np.arange(1, steps + 1)
        if self.kind == "number":
            return float(last) + ahead
        return (pd.Timestamp(last) + pd.to_timedelta(ahead, unit="s")).to_numpy()


def read_clock(stamps: Any, about: str) -> tuple[Clock, list[slice]]:
    """The clock of a column of a table, and the parts of the rows between which there is a gap.

    Steps may differ a little, as days do at weekends. Where more than `GAP` are left out another recording begins.

    Raises:
        RequestError: a stamp is missing or cannot be read, time goes backwards or stands still, or no step is usual.
    """
    import pandas as pd

    name = str(stamps.name)
    if stamps.isna().any():
        raise RequestError(f"{about}: the time stamp in row {int(np.flatnonzero(stamps.isna())[0])} of {name} is missing.")
    kind: Literal["number", "date"] = "number" if stamps.dtype.kind in "iuf" else "date"
    if kind == "date":
        try:
            stamps = pd.to_datetime(stamps, utc=True)
        except (ValueError, TypeError) as error:
            raise RequestError(f"{about}: the column {name} does not tell the time: {error}.") from error
        moments = stamps.astype("int64").to_numpy() / _per_second(stamps)
    else:
        moments = stamps.to_numpy(dtype=np.float64)
    steps = np.diff(moments)
    wrong = np.flatnonzero(~(steps > 0))
    if wrong.size:
        what = "repeats the one before" if steps[wrong[0]] == 0 else "is earlier than the one before"
        raise RequestError(
            f"{about}: the time stamp in row {wrong[0] + 1} of {name} {what} (so do {len(wrong)} in all): sort the rows by"
            " time, and keep recordings of several things in files of their own."
        )
    values, counts = np.unique(steps.round(6), return_counts=True)
    if not len(steps) or counts.max() < REGULAR * len(steps):
        raise RequestError(
            f"{about}: the time stamps in {name} are ragged, from {values.min():g} to {values.max():g} apart: bring them to"
            " regular steps first, with resample of pandas for instance."
            if len(steps)
            else f"{about} holds a single moment."
        )
    step = float(values[counts.argmax()])
    ends = [0, *(np.flatnonzero(steps > GAP * step) + 1).tolist(), len(moments)]
    return Clock(name, kind, step), [slice(a, b) for a, b in pairwise(ends)]


def _per_second(stamps: Any) -> float:
    """Units of a datetime column in a second."""
    import pandas as pd

    unit = np.datetime_data(stamps.dt.tz_localize(None).dtype)[0]
    one: Any = pd.Timedelta(1, unit=unit)
    return pd.Timedelta(1, unit="s") / one
