"""Recordings: rows of moments at regular steps, cut into windows.

A table whose columns are channels and whose rows follow one another in time is a recording; so is each of several files, and
each series of an array (n, length, channels). Examples are windows of one length. Windows overlap, so that parts of a split
are cut in time, or between recordings, and never share a moment.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calco.data.clock import Clock, read_clock
from calco.data.files import read_npy, read_table
from calco.data.source import Raw, as_text, encode_labels, hash_array
from calco.data.values import check_names
from calco.errors import RequestError

TABLES = (".csv", ".parquet", ".npy")
"""Files that hold a recording."""


@dataclass(frozen=True)
class Channels:
    """What the windows of a source are: `frame` says that the channels are columns of a table, `clock` how time was told."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    window: int
    stride: int
    actions: tuple[str, ...] = ()
    frame: bool = False
    clock: Clock | None = None


class Origin(NamedTuple):
    """Where a recording comes from: its file, its number where there are several in one, and what its moments are there."""

    file: str = ""
    number: int = 0
    first: int = 0
    """Row of its first moment."""
    stamps: Any = None
    """Time stamps of its moments, a pandas series."""


class SeriesSource:
    """Windows of recordings.

    Args:
        recordings: arrays (moments, channels), each in the order of time; missing values are NaN.
        window: moments in an example; the length of the recordings, where they have one, if 0.
        stride: moments between the beginnings of two windows.
        y: labels, one for each recording or for each window.
        channels: names of the channels.
        dtypes: of the columns of a table.
        actions: names of the channels that somebody chooses, for planning.
        clock: how time was told.
        origins: where each recording comes from; they are numbered where not given.
        open: how `open_data` opens it again; None for data in memory.
        about: what to say of it.

    Raises:
        RequestError: there are no windows of that length, or names or labels do not fit.
    """

    levels: int | None = None

    def __init__(
        self,
        recordings: Sequence[np.ndarray],
        *,
        window: int = 0,
        stride: int = 1,
        y: Any = None,
        channels: Sequence[str] = (),
        dtypes: tuple[str, ...] = (),
        actions: Sequence[str] = (),
        clock: Clock | None = None,
        origins: Sequence[Origin] = (),
        open: dict[str, Any] | None = None,
        about: str = "the series",
    ) -> None:
        lengths = np.array([len(one) for one in recordings])
        window = window or _common(lengths, about)
        if window < 2 or stride < 1:
            raise RequestError(f"Windows of {window} moments every {stride} make no sense: give at least 2, every 1 or more.")
        if not lengths.size or lengths.max() < window:
            most = f"the longest of {len(lengths)} recordings" if len(lengths) > 1 else "the recording"
            raise RequestError(f"{about}: {most} has {max(lengths, default=0)} moments, fewer than a window of {window}.")
        self.values = np.concatenate(recordings) if len(recordings) > 1 else recordings[0]
        if self.values.dtype.kind not in "biuf" or self.values.ndim != 2 or not self.values.shape[1]:
            raise RequestError(f"{about} holds values of type {self.values.dtype}, shape {self.values.shape}: give numbers.")
        begins = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        firsts = [b + np.arange(0, length - window + 1, stride) for b, length in zip(begins, lengths, strict=True)]
        recording = np.repeat(np.arange(len(firsts)), [len(first) for first in firsts])
        first = np.concatenate(firsts)
        self.spans: np.ndarray = np.stack((recording, first, first + window), 1)
        """Of each window its recording, its first moment, and the one after its last: (n, 3)."""
        self.origins = list(origins) or [Origin(number=i) for i in range(len(lengths))]
        self.begins: np.ndarray = begins
        names = tuple(str(name) for name in channels) or tuple(f"x{i}" for i in range(self.values.shape[1]))
        unknown = [name for name in actions if name not in names]
        if unknown:
            raise RequestError(f"There is no channel {unknown[0]!r} to be an action: choose from {', '.join(names)}.")
        self.plan = Channels(
            names, dtypes or (str(self.values.dtype),) * len(names), window, stride, tuple(actions), bool(channels), clock
        )
        self.names, self.dtypes = (names, self.plan.dtypes) if channels else ((), ())
        self.slow = isinstance(self.values, np.memmap)
        if y is not None and len(y) == len(lengths) != len(first):
            y = np.asarray(y)[recording]
        self.y, self.classes = encode_labels(y, len(first))
        self.open, self.about, self._fingerprint = open, about, ""

    def __len__(self) -> int:
        return len(self.spans)

    def take(self, rows: np.ndarray) -> Raw:
        """Some windows: (n, window, channels)."""
        views = np.lib.stride_tricks.sliding_window_view(self.values, self.plan.window, axis=0)
        x = np.ascontiguousarray(views[self.spans[rows, 1]].swapaxes(1, 2))
        return Raw(x, None if self.y is None else self.y[rows])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which windows some rows are: file and recording, where there are several, row of the first moment and its time."""
        recordings, moments = self.spans[rows, 0], self.spans[rows, 1] - self.begins[self.spans[rows, 0]]
        whence = [self.origins[recording] for recording in recordings]
        found: dict[str, np.ndarray] = {}
        if any(origin.file for origin in self.origins):
            found["file"] = np.array([as_text(origin.file) for origin in whence], object)
        if any(origin.number for origin in self.origins):
            found["recording"] = np.array([origin.number for origin in whence])
        found["start"] = np.array([origin.first for origin in whence], np.int64) + moments
        if self.origins[0].stamps is not None:
            found["time"] = np.array([o.stamps.iloc[moment] for o, moment in zip(whence, moments, strict=True)])
        return found

    def describe(self) -> dict[str, Any]:
        """What it is, with a SHA-256 of the recordings and of where windows begin."""
        if not self._fingerprint:
            digest = hashlib.sha256(f"{self.values.shape} {self.values.dtype} {self.plan.window}".encode())
            hash_array(digest, self.values)
            hash_array(digest, self.spans)
            if self.y is not None:
                digest.update(self.y.tobytes())
            self._fingerprint = digest.hexdigest()
        return {"about": self.about, "n": len(self), "fingerprint": self._fingerprint, "open": self.open}


def _common(lengths: np.ndarray, about: str) -> int:
    if len(set(lengths.tolist())) != 1 or len(lengths) == 1:
        raise RequestError(f"{about} is to be cut into windows: say how long they are, such as window=24 or --window 24.")
    return int(lengths[0])


def series(
    data: Any,
    y: Any = None,
    *,
    window: int = 0,
    stride: int = 1,
    time: str = "",
    actions: Sequence[str] = (),
    channels: Sequence[str] = (),
    open: dict[str, Any] | None = None,
    about: str = "",
) -> SeriesSource:
    """Windows of what `data` names or holds.

    Args:
        data: a file (CSV, Parquet, npy), a folder of them, each a recording; a data frame, an array (moments, channels) or
            (n, length, channels); or a list of those, each a recording.
        y: labels, one for each recording or for each window.
        window: moments in an example; 0 takes an array's whole length.
        stride: moments between the beginnings of two windows.
        time: the column that tells the time; it is checked, and not learned.
        actions: channels that somebody chooses, for planning.
        channels: names of the channels of an array.
        open: how it is opened again.
        about: what to say of it.

    Raises:
        RequestError: it cannot be read, time goes backwards or is ragged, or there is no window of that length.
    """
    options: dict[str, Any] = {"window": window, "stride": stride, "actions": actions, "y": y, "open": open}
    if isinstance(data, (str, os.PathLike)):
        files, about = _files(Path(data)), about or f"{'the folder ' if Path(data).is_dir() else ''}{Path(data).name}"
        tables = [read_npy(path) if path.suffix == ".npy" else read_table(path) for path in files]
        called = [path.name if path == Path(data) else path.relative_to(data).as_posix() for path in files]
        named = called
    else:
        tables = list(data) if isinstance(data, (list, tuple)) else [data]
        about = about or ("the data frame" if hasattr(data, "columns") else "the array")
        named = [""] * len(tables)
        called = [about] if len(tables) == 1 else [f"recording {i} of {about}" for i in range(len(tables))]
    if all(hasattr(table, "columns") for table in tables):
        return _of_frames(tables, called, named, time, about, options)
    if time:
        raise RequestError(f"{about} has no columns with names, so that none of them tells the time: leave {time!r} out.")
    arrays = [np.asarray(table) for table in tables]
    recordings = [one for array in arrays for one in (array if array.ndim == 3 else [array])]
    if any(named):
        options["origins"] = [
            Origin(name, i)
            for name, array in zip(named, arrays, strict=True)
            for i in range(len(array) if array.ndim == 3 else 1)
        ]
    if arrays[0].ndim == 3 and len(arrays) == 1:
        options["window"] = window or arrays[0].shape[1]
    wide = {one.shape[1:] for one in recordings}
    if len(wide) != 1 or recordings[0].ndim != 2:
        raise RequestError(
            f"{about} is no series, but of shape {' and '.join(str(array.shape) for array in arrays[:3])}:"
            " give (moments, channels) or (n, length, channels), all with the same channels."
        )
    return SeriesSource(recordings, channels=channels, about=about, **options)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in TABLES:
            raise RequestError(f"{path} is no file of series: those end in {', '.join(TABLES)}.")
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in TABLES and not p.name.startswith("."))
    if not found:
        raise RequestError(
            f"There is no file {path}." if not path.exists() else f"There are no series ({', '.join(TABLES)}) in {path}."
        )
    return found


def _of_frames(
    tables: Sequence[Any], called: list[str], files: list[str], time: str, about: str, options: dict[str, Any]
) -> SeriesSource:
    recordings, origins, clock, first = list[np.ndarray](), list[Origin](), None, tables[0]
    for i, (table, name) in enumerate(zip(tables, called, strict=True)):
        if list(table.columns) != list(first.columns):
            raise RequestError(f"{name} has other columns than {called[0]}: {', '.join(map(str, table.columns[:8]))}.")
        pieces = [slice(None)]
        if time:
            if time not in table.columns:
                raise RequestError(
                    f"{name} has no column {time!r} to tell the time: it has {', '.join(map(str, table.columns))}."
                )
            clock, pieces = read_clock(table[time], name)
        values = channel_values(table.drop(columns=[time] if time else []), name)
        recordings += [values[piece] for piece in pieces]
        stamps = [table[time].iloc[piece] if time else None for piece in pieces]
        number = 0 if files[i] else i
        origins += [Origin(files[i], number, piece.start or 0, told) for piece, told in zip(pieces, stamps, strict=True)]
    columns = [column for column in first.columns if column != time]
    dtypes = tuple(str(first[column].dtype) for column in columns)
    return SeriesSource(
        recordings, channels=[*map(str, columns)], dtypes=dtypes, clock=clock, origins=origins, about=about, **options
    )


def channel_values(frame: Any, about: str) -> np.ndarray:
    """The channels of a table as floats, what is missing as NaN: (moments, channels), float64.

    Raises:
        RequestError: a column is named twice, or holds no numbers.
    """
    check_names(frame, about)
    other = [str(c) for c in frame.columns if frame[c].dtype.kind not in "biuf"]
    if other:
        raise RequestError(
            f"{about} has columns that are not numbers: {', '.join(other[:5])}. A column that tells the time is named by"
            " time (--time); drop the others, or encode them as numbers."
        )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
