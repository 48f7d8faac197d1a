"""Recordings: rows of moments at regular steps, cut into windows.

A table whose columns are channels and whose rows follow one another in time is a recording; so is each of several files, and
each series of an array (n, length, channels). Examples are windows of one length. Windows overlap, so that parts of a split
are cut in time, or between recordings, and never share a moment.
"""

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calco.data.channels import as_array, as_floats, check_whole, common_dtype, numeric
from calco.data.clock import Clock, read_clock
from calco.data.dialect import Dialect
from calco.data.files import check_dialect, is_table, read_npy, read_table
from calco.data.labels import encode_labels
from calco.data.source import Raw, as_text, hash_array
from calco.data.values import check_names
from calco.data.windows import common_length, labels_of_windows, uncovered
from calco.errors import RequestError

FILES = "csv, tsv, parquet and npy"
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
        y: labels, one for each recording as it was given or for each window.
        given: of each recording the place among those that were given, where gaps cut some of them.
        channels: names of the channels.
        dtypes: of the columns of a table.
        actions: names of the channels that somebody chooses, for planning.
        clock: how time was told.
        origins: where each recording comes from; they are numbered where not given.
        open: how `open_data` opens it again; None for data in memory.
        about: what to say of it.

    Raises:
        RequestError: there are no windows of that length, or names or labels do not fit.

    Warns:
        UserWarning: recordings are shorter than a window, and left out.
    """

    levels: int | None = None

    def __init__(
        self,
        recordings: Sequence[np.ndarray],
        *,
        window: int = 0,
        stride: int = 1,
        y: Any = None,
        given: Sequence[int] | np.ndarray | None = None,
        channels: Sequence[str] = (),
        dtypes: tuple[str, ...] = (),
        actions: Sequence[str] = (),
        clock: Clock | None = None,
        origins: Sequence[Origin] = (),
        open: dict[str, Any] | None = None,
        about: str = "the series",
    ) -> None:
        lengths = np.array([len(one) for one in recordings])
        window = window or common_length(lengths, about)
        if window < 2 or stride < 1:
            raise RequestError(f"Windows of {window} moments every {stride} make no sense: give at least 2, every 1 or more.")
        if not lengths.size or lengths.max() < window:
            most = f"the longest of {len(lengths)} recordings" if len(lengths) > 1 else "the recording"
            raise RequestError(f"{about}: {most} has {max(lengths, default=0)} moments, fewer than a window of {window}.")
        self.values = np.concatenate(recordings) if len(recordings) > 1 else recordings[0]
        if self.values.dtype.kind not in "biuf" or self.values.ndim != 2 or not self.values.shape[1]:
            raise RequestError(f"{about} holds values of type {self.values.dtype}, shape {self.values.shape}: give numbers.")
        check_whole(self.values, about)
        begins = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        firsts = [b + np.arange(0, length - window + 1, stride) for b, length in zip(begins, lengths, strict=True)]
        recording = np.repeat(np.arange(len(firsts)), [len(first) for first in firsts])
        first = np.concatenate(firsts)
        self.spans: np.ndarray = np.stack((recording, first, first + window), 1)
        """Of each window its recording, its first moment, and the one after its last: (n, 3)."""
        self.left_out: dict[str, int] = uncovered(lengths, window, stride)
        """How many recordings are shorter than a window, and how many time steps are in no window."""
        self._tell(lengths, window, about)
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
        owners = np.arange(len(lengths)) if given is None else np.asarray(given)
        self.y, self.classes, self.labels = encode_labels(labels_of_windows(y, owners, recording), len(first))
        self.open, self.about, self._fingerprint = open, about, ""

    def _tell(self, lengths: np.ndarray, window: int, about: str) -> None:
        short = lengths < window
        if short.any():
            warnings.warn(
                f"{about}: {short.sum()} of {len(lengths)} recordings are shorter than a window of {window} and left out, with"
                f" {lengths[short].sum()} of {lengths.sum()} time steps.",
                stacklevel=4,
            )

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
        """What it is, with a SHA-256 of the recordings and of where windows begin, and how much is in no window."""
        if not self._fingerprint:
            digest = hashlib.sha256(f"{self.values.shape} {self.values.dtype} {self.plan.window}".encode())
            hash_array(digest, self.values)
            hash_array(digest, self.spans)
            if self.y is not None:
                digest.update(self.y.tobytes())
            self._fingerprint = digest.hexdigest()
        return {
            "about": self.about,
            "n": len(self),
            "fingerprint": self._fingerprint,
            "left_out": self.left_out,
            "open": self.open,
        }


def series(
    data: Any,
    y: Any = None,
    *,
    window: int = 0,
    stride: int = 1,
    time: str = "",
    actions: Sequence[str] = (),
    channels: Sequence[str] = (),
    dialect: Dialect | None = None,
    open: dict[str, Any] | None = None,
    about: str = "",
) -> SeriesSource:
    """Windows of what `data` names or holds.

    Args:
        data: a file (CSV, Parquet, npy), a folder of them, each a recording; a data frame, an array (moments, channels) or
            (n, length, channels); or a list of those, each a recording.
        y: labels, one for each recording that is given (each file, in the order of their names) or for each window.
        window: moments in an example; 0 takes an array's whole length.
        stride: moments between the beginnings of two windows.
        time: the column that tells the time; it is checked, and not learned.
        actions: channels that somebody chooses, for planning.
        channels: names of the channels of an array.
        dialect: what is said of how tables are written as text.
        open: how it is opened again.
        about: what to say of it.

    Raises:
        RequestError: it cannot be read, time goes backwards or is ragged, recordings go by different clocks, there is no window
            of that length, or it is not clear whether labels are of recordings or of windows.

    Warns:
        UserWarning: recordings are shorter than a window, and left out.
    """
    options: dict[str, Any] = {"window": window, "stride": stride, "actions": actions, "y": y, "open": open}
    if isinstance(data, (str, os.PathLike)):
        files, about = _files(Path(data)), about or f"{'the folder ' if Path(data).is_dir() else ''}{Path(data).name}"
        tables = [_read(path, dialect) for path in files]
        called = [path.name if path == Path(data) else path.relative_to(data).as_posix() for path in files]
        named = called
    else:
        tables = list(data) if isinstance(data, (list, tuple)) else [data]
        tables = [table.to_pandas() if hasattr(table, "to_pandas") else table for table in tables]
        about = about or ("the data frame" if hasattr(tables[0], "columns") else "the array")
        named = [""] * len(tables)
        called = [about] if len(tables) == 1 else [f"recording {i} of {about}" for i in range(len(tables))]
    framed = [hasattr(table, "columns") for table in tables]
    if all(framed):
        return _of_frames(tables, called, named, time, about, options)
    if time:
        raise RequestError(f"{about} has no columns with names, so that none of them tells the time: leave {time!r} out.")
    if any(framed):
        raise RequestError(
            f"{called[framed.index(True)]} is a table and {called[framed.index(False)]} an array, whose channels have no names:"
            " give all as one or the other."
        )
    arrays = [as_array(table) for table in tables]
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


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() == ".npy" or is_table(path)


def _read(path: Path, dialect: Dialect | None) -> Any:
    if is_table(path):
        return read_table(path, dialect=dialect)
    check_dialect(path, dialect)
    return read_npy(path)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if not _is_recording(path):
            raise RequestError(f"{path} is no file of series: those are {FILES} files.")
        return [path]
    found = sorted(p for p in path.rglob("*") if _is_recording(p) and p.suffix != ".txt" and not p.name.startswith("."))
    if not found:
        raise RequestError(
            f"There is no file {path}." if not path.exists() else f"There are no series ({FILES} files) in {path}."
        )
    return found


def _of_frames(
    tables: Sequence[Any], called: list[str], files: list[str], time: str, about: str, options: dict[str, Any]
) -> SeriesSource:
    first = tables[0]
    for table, name in zip(tables, called, strict=True):
        check_names(table, name)
        if list(table.columns) != list(first.columns):
            raise RequestError(f"{name} has other columns than {called[0]}: {', '.join(map(str, table.columns[:8]))}.")
        if time and time not in table.columns:
            raise RequestError(f"{name} has no column {time!r} to tell the time: it has {', '.join(map(str, table.columns))}.")
    clock, pieces = read_clock([table[time] for table in tables], called) if time else (None, [[slice(None)]] * len(tables))
    channels = [numeric(table.drop(columns=[time] if time else []), name) for table, name in zip(tables, called, strict=True)]
    values = [as_floats(frame) for frame in channels]
    parts = [(i, piece) for i, several in enumerate(pieces) for piece in several]
    origins = [
        Origin(files[i], 0 if files[i] else i, piece.start or 0, tables[i][time].iloc[piece] if time else None)
        for i, piece in parts
    ]
    return SeriesSource(
        [values[i][piece] for i, piece in parts],
        channels=[*map(str, channels[0].columns)],
        dtypes=tuple(common_dtype([frame[column].dtype for frame in channels]) for column in channels[0].columns),
        clock=clock,
        given=[i for i, _ in parts],
        origins=origins,
        about=about,
        **options,
    )
