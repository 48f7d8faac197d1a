"""The schema of series."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.clock import Clock
from calco.data.labels import TEXT
from calco.data.source import Source, plan_of
from calco.data.values import as_tensor, multiples, nearest_multiple, numpy_type, size_of, within
from calco.errors import RequestError
from calco.maths.mixed import Piece, counted


@dataclass(frozen=True)
class SeriesSchema:
    """Windows raw as (n, length, channels), missing values as NaN; standardised by channel, and channels first, for a model.

    A channel of which values were missing has a second one for a model, 1 where its value is known and 0 where not; what is
    missing goes on as the value before it. `low` and `high` are the range of the training data: a channel that was nowhere
    negative stays so, and one that was constant stays that; values that all were multiples of a `grain`, such as 10, stay so.
    """

    kind: ClassVar[str] = "series"
    levels: ClassVar[None] = None
    raw_axes: ClassVar[int] = 2
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    length: int
    stride: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    missing: tuple[bool, ...]
    actions: tuple[str, ...]
    frame: bool
    time: tuple[str, str, float] | None
    classes: tuple[str, ...] = ()
    grain: tuple[float, ...] = ()
    label_dtype: str = TEXT

    @property
    def channels(self) -> int:
        """How many values a moment has."""
        return len(self.names)

    @property
    def gappy(self) -> list[int]:
        """The channels of which values were missing."""
        return [i for i, missing in enumerate(self.missing) if missing]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (channels, and those that say what is known, length)."""
        return (self.channels + len(self.gappy), self.length)

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """Likelihoods that suit these values, the best first."""
        return ("mixed",) if self.gappy else ("gaussian",)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What the channels are, where some values were missing."""
        if not self.gappy:
            return ()
        gates = {channel: (self.channels + i, self.channels + i + 1) for i, channel in enumerate(self.gappy)}
        values = (Piece("real", i, i + 1, gates.get(i, (0, 0))) for i in range(self.channels))
        return (*values, *(Piece("flag", *gate) for gate in gates.values()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns where the data were a table; () otherwise."""
        return self.names if self.frame else ()

    @property
    def clock(self) -> Clock | None:
        """How time was told."""
        return None if self.time is None else Clock(self.time[0], "date" if self.time[1] == "date" else "number", self.time[2])

    def log_dets(self, x: Tensor) -> np.ndarray:
        """What turns the log densities of standardised windows, of their known values, into those of the raw ones: (n,)."""
        known = counted(x, self.pieces)[:, : self.channels].sum(2).double().cpu().numpy()
        return -known @ np.log(self.scale)

    def opening(self) -> dict[str, Any]:
        """How `open_data` cuts data into windows as those of the training were."""
        found: dict[str, Any] = {"window": self.length, "stride": self.stride, "actions": self.actions}
        return found | ({"time": self.time[0]} if self.time else {})

    def encode(self, raw: Any) -> Tensor:
        """Raw windows to float32 of shape (n, channels, length).

        Raises:
            RequestError: windows have another length or other channels, a value is infinite, or one is missing of a channel
                of which none was in training.
        """
        raw = np.asarray(raw)
        if raw.ndim != 3 or raw.shape[1:] != (self.length, self.channels):
            raise RequestError(
                f"These series are {size_of(raw)}; the model knows {self.length} moments x {self.channels} channels."
            )
        gone = check_values(raw, self.names)
        unexpected = [self.names[i] for i in np.flatnonzero(gone.any((0, 1)) & ~np.array(self.missing))]
        if unexpected:
            raise RequestError(
                f"Values of {', '.join(unexpected[:5])} are missing, of which none was in the training data: fill them first."
            )
        x = (raw.astype(np.float64) - self.mean) / self.scale
        if self.gappy:
            x = np.concatenate((carried(x, gone), ~gone[..., self.gappy]), 2)
        return as_tensor(np.ascontiguousarray(x.swapaxes(1, 2), dtype=np.float32))

    def partial(self, raw: np.ndarray) -> tuple[Tensor, Tensor]:
        """Windows of which some values are empty, 0 there, and which values are known, booleans: (n, channels, length) each.

        That values are not missing is known of all.
        """
        gone = check_values(raw, self.names)
        x = np.where(gone, 0.0, (raw - np.array(self.mean)) / self.scale)
        ones = np.ones((*raw.shape[:2], len(self.gappy)))
        x, known = np.concatenate((x, ones), 2).swapaxes(1, 2), np.concatenate((~gone, ones > 0), 2).swapaxes(1, 2)
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(known.copy())

    def flags(self, mask: np.ndarray) -> Tensor:
        """Booleans of the shape of one raw window, as a model sees it: (channels, length)."""
        return torch.from_numpy(np.concatenate((mask, mask[:, self.gappy]), 1).T.copy())

    def decode(self, x: Tensor) -> np.ndarray:
        """Standardised windows to raw ones, (n, length, channels); what a model takes for missing is NaN."""
        x = x.detach().cpu().double().movedim(1, 2)
        raw = x[..., : self.channels].numpy() * self.scale + self.mean
        low, high = np.array(self.low), np.array(self.high)
        raw = np.where(low == high, low, np.where(low >= 0, np.maximum(raw, 0), raw))
        for i, grain in enumerate(self.grain):
            raw[..., i] = nearest_multiple(raw[..., i], grain) if grain else raw[..., i]
        for i, dtype in enumerate(self.dtypes):
            raw[..., i] = within(raw[..., i], dtype)
        if self.gappy:
            raw[..., self.gappy] = np.where(x[..., self.channels :].numpy() < 0.5, np.nan, raw[..., self.gappy])
        dtypes = {numpy_type(dtype) for dtype in self.dtypes}
        return raw.astype(dtypes.pop()) if len(dtypes) == 1 and not self.gappy else raw

    def table(self, raw: np.ndarray, first: int = 0) -> Any:
        """Raw windows as one data frame: a column `series` numbers them from `first`, and `moment` counts within each."""
        import pandas as pd

        n, length = raw.shape[:2]
        frame = pd.DataFrame(
            {"series": np.repeat(np.arange(first, first + n), length), "moment": np.tile(np.arange(length), n)}
        )
        for i, (name, dtype) in enumerate(zip(self.names, self.dtypes, strict=True)):
            column = pd.Series(raw[..., i].ravel())
            frame[name] = column if column.isna().any() else column.astype(dtype)
        return frame

    def futures(self, raw: np.ndarray, last: Any = None) -> Any:
        """Futures (paths, steps, channels) as one data frame: a column `path` numbers them; time goes on after `last`."""
        frame = self.table(raw).rename(columns={"series": "path"})
        if self.clock is None or last is None:
            return frame.assign(moment=frame["moment"] + 1)
        frame.insert(1, self.clock.column, np.tile(self.clock.after(last, raw.shape[1]), len(raw)))
        return frame.drop(columns="moment")

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        each = (self.names, self.dtypes, self.mean, self.scale, self.low, self.high, self.missing)
        numbers = all(
            math.isfinite(m) and 0 < s < math.inf and -math.inf < a <= b < math.inf
            for m, s, a, b in zip(self.mean, self.scale, self.low, self.high, strict=False)
        )
        named = all(isinstance(v, str) for field in (self.names, self.classes, self.actions) for v in field)
        whole = type(self.length) is int and self.length >= 2 and type(self.stride) is int and self.stride >= 1
        timed = self.time is None or (len(self.time) == 3 and isinstance(self.time[0], str) and 0 < self.time[2] < math.inf)
        flags = isinstance(self.frame, bool) and all(isinstance(m, bool) for m in self.missing)
        kinds = all(numpy_type(d).kind in "biuf" for d in self.dtypes)
        grains = len(self.grain) in (0, len(self.names)) and all(0 <= grain < math.inf for grain in self.grain)
        return (
            len({len(field) for field in each}) == 1
            and bool(self.names)
            and numbers
            and named
            and whole
            and timed
            and flags
            and kinds
            and grains
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


def carried(x: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The value before in place of one that is missing; at the beginning the one after, and 0 where all are: (n, length, c)."""
    moments = np.arange(x.shape[1])[None, :, None]
    before = np.maximum.accumulate(np.where(gone, -1, moments), 1)
    after = np.minimum.accumulate(np.where(gone, x.shape[1], moments)[:, ::-1], 1)[:, ::-1]
    source = np.where(before >= 0, before, after)
    nowhere = source == x.shape[1]
    return np.where(nowhere, 0.0, np.take_along_axis(x, np.where(nowhere, 0, source), 1))


def check_values(raw: np.ndarray, names: tuple[str, ...], start: int = 0) -> np.ndarray:
    """Where values are missing: booleans like `raw`, (n, length, channels).

    Raises:
        RequestError: one is infinite.
    """
    if raw.dtype.kind in "iub":
        return np.zeros(raw.shape, bool)
    infinite = np.isinf(raw)
    if infinite.any():
        rows, columns = np.flatnonzero(infinite.any((1, 2))), np.flatnonzero(infinite.any((0, 1)))
        raise RequestError(
            f"{len(rows)} of {len(raw)} windows hold infinity, the first in window {start + rows[0]} (channels"
            f" {', '.join(names[i] for i in columns[:5])}): mend those values, or leave them empty to be missing."
        )
    return np.isnan(raw)


def fit_series(source: Source) -> SeriesSchema:
    """The schema of windows, its statistics over all of them.

    Raises:
        RequestError: a value is infinite, or a channel has none.
    """
    about: Any = plan_of(source)
    width, names = len(about.names), about.names
    count, total, square = (np.zeros(width) for _ in range(3))
    low, high, missing = np.full(width, math.inf), np.full(width, -math.inf), np.zeros(width, bool)
    even, kinds = np.ones((len(GRAINS), width), bool), [numpy_type(dtype) for dtype in about.dtypes]
    digits = np.array([np.finfo(kind if kind.kind == "f" else np.float64).eps for kind in kinds])
    shift = np.nan_to_num(source.take(np.arange(1)).x[0, 0].astype(np.float64), posinf=0.0, neginf=0.0)
    for start in range(0, len(source), CHUNK):
        raw = source.take(np.arange(start, min(start + CHUNK, len(source)))).x
        gone = check_values(raw, names, start)
        moved = np.where(gone, 0.0, raw.astype(np.float64) - shift)
        known = np.where(gone, 0.0, raw.astype(np.float64))
        even &= [multiples(known, grain, 4 * digits * abs(known)).all((0, 1)) for grain in GRAINS]
        with np.errstate(over="ignore"):
            count, total, square = count + (~gone).sum((0, 1)), total + moved.sum((0, 1)), square + (moved**2).sum((0, 1))
        low = np.minimum(low, np.where(gone, math.inf, raw).min((0, 1)))
        high = np.maximum(high, np.where(gone, -math.inf, raw).max((0, 1)))
        missing |= gone.any((0, 1))
    empty = [names[i] for i in np.flatnonzero(count == 0)]
    if empty:
        raise RequestError(f"Every value of {', '.join(empty[:5])} is missing: drop what is never known.")
    if not np.isfinite(square).all():
        raise RequestError(
            f"Values are too large to be standardised in {names[np.flatnonzero(~np.isfinite(square))[0]]}: change its unit."
        )
    mean = shift + total / count
    deviation = np.sqrt(np.maximum(square / count - (total / count) ** 2, 0.0))
    # A channel that moves by no more than its own rounding would be blown up to noise: it keeps its scale.
    scale = np.where((low < high) & (deviation > 8 * np.finfo(np.float64).eps * abs(mean)), deviation, 1.0)
    if (low == high).all():
        raise RequestError(f"Every channel is constant ({names[0]} is {low[0]:g} throughout): there is nothing to learn.")
    clock = about.clock
    return SeriesSchema(
        names=names,
        dtypes=about.dtypes,
        length=about.window,
        stride=about.stride,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        missing=tuple(missing.tolist()),
        actions=about.actions,
        frame=about.frame,
        time=None if clock is None else (clock.column, clock.kind, clock.step),
        classes=source.classes,
        grain=tuple(GRAINS[int(row.argmax())] if row.any() else 0.0 for row in even.T),
    )


GRAINS = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
"""What values may be multiples of, the coarsest first."""
CHUNK = 4096
"""Windows read at once when a schema is fitted."""
