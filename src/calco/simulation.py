"""Futures of series, drawn window by window by whatever can complete one."""

import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from calco.data import Schema, SeriesSchema
from calco.data.channels import as_array, as_type, channel_values
from calco.data.dialect import Dialect
from calco.data.files import check_dialect, read_npy, read_table
from calco.data.stamps import read_stamps
from calco.errors import RequestError
from calco.maths import noise


class Completes(Protocol):
    """What fills in windows of series."""

    schema_: Any

    def complete_tensor(self, n: int, known: Any, mask: Any, *, seed: int = 0) -> Tensor:
        """`n` windows as the model sees them, given some of their values."""
        ...


def series_schema(schema: Schema) -> SeriesSchema:
    """The schema itself.

    Raises:
        RequestError: it is not of series.
    """
    if not isinstance(schema, SeriesSchema):
        raise RequestError(f"Only series have a history, and this model learned from examples of kind {schema.kind!r}.")
    return schema


def recording_of(schema: SeriesSchema, data: Any, called: str) -> np.ndarray:
    """A recording as an array (moments, channels), float64.

    Raises:
        RequestError: it has other channels, or no moments.
    """
    told = f"{called[0].upper()}{called[1:]}"
    if hasattr(data, "columns"):
        data = data.rename(columns=str)
        missing = [name for name in schema.names if name not in data.columns]
        if missing:
            raise RequestError(f"{told} has no column {', '.join(missing[:5])}: the model knows {', '.join(schema.names)}.")
        data = channel_values(data[list(schema.names)], called)
    try:
        past = as_array(data).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise RequestError(f"{told} is no array of numbers: {error}.") from error
    if past.ndim != 2 or past.shape[1] != schema.channels or not len(past):
        raise RequestError(
            f"{told} has shape {past.shape}: give (moments, {schema.channels}), channels {', '.join(schema.names[:8])}."
        )
    return past


def pieces_of(schema: SeriesSchema, data: Any, called: str) -> list[slice]:
    """The parts of a recording between which there is a gap, where it is a table that tells the time.

    Raises:
        RequestError: its time stamps are not those of the schema's clock.
    """
    clock = schema.clock
    timed = clock is not None and hasattr(data, "columns") and clock.column in data.columns and len(data)
    return clock.pieces(data[clock.column], called) if clock and timed else [slice(None)]


def past_of(schema: SeriesSchema, history: Any, called: str = "the history") -> np.ndarray:
    """A history as an array (moments, channels), float64; what is before its last gap is no past of what comes.

    Raises:
        RequestError: it has other channels, no moments, or time stamps that are not those of the schema's clock.

    Warns:
        UserWarning: there is a gap in it.
    """
    past, pieces = recording_of(schema, history, called), pieces_of(schema, history, called)
    if len(pieces) > 1:
        left = len(past[pieces[-1]])
        warnings.warn(f"{called} has a gap: the {left} time steps after it count, of {len(past)}.", stacklevel=2)
    return past[pieces[-1]]


def read_history(
    schema: SeriesSchema, path: Path, channels: tuple[str, ...] = (), dialect: Dialect | None = None
) -> tuple[np.ndarray, Any]:
    """Moments in a file, (moments, channels), and the last time stamp where the schema's clock is in it.

    What is before the last gap of a history is no past of what comes.

    Args:
        schema: of series.
        path: a CSV, Parquet or npy file.
        channels: those to read; all of the schema if not given.
        dialect: what is said of how a table is written as text.

    Raises:
        RequestError: it cannot be read, lacks a channel, or has time stamps that are not those of the schema's clock.

    Warns:
        UserWarning: there is a gap in it.
    """
    names = list(channels or schema.names)
    if path.suffix.lower() == ".npy":
        check_dialect(path, dialect)
        found = np.asarray(read_npy(path), np.float64)
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2 or found.shape[1] != len(names):
            raise RequestError(f"{path} has shape {found.shape}: give (moments, {len(names)}): {', '.join(names[:8])}.")
        return found, None
    table = read_table(path, dialect=dialect)
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise RequestError(f"{path} has no column {', '.join(missing[:5])}: the model knows {', '.join(names)}.")
    clock, last = schema.clock, None
    if clock is not None and clock.column in table.columns and len(table):
        last = read_stamps(table[clock.column], path.name).values.iloc[-1]
    if not channels:
        return past_of(schema, table, f"the file {path.name}"), last
    return channel_values(table[names], path.name), last


def begun(schema: Schema, history: Any) -> tuple[np.ndarray, np.ndarray]:
    """A window that begins with a history, and which of its values that is: (1, length, channels) and (length, channels).

    Raises:
        RequestError: it fills the window, or is none.
    """
    schema = series_schema(schema)
    past = past_of(schema, history)
    if len(past) >= schema.length:
        raise RequestError(
            f"The history has {len(past)} moments, and windows {schema.length}: give fewer, or ask `simulate`, which goes on."
        )
    window = np.broadcast_to(np.array(schema.mean), (1, schema.length, schema.channels)).copy()
    window[0, : len(past)] = past
    mask = np.zeros((schema.length, schema.channels), bool)
    mask[: len(past)] = True
    return window, mask


def simulated(estimator: Completes, history: Any, steps: int, paths: int, actions: Any, seed: int) -> np.ndarray:
    """`Verbs.simulate`."""
    schema = series_schema(estimator.schema_)
    past = past_of(schema, history)
    if steps < 1 or paths < 1:
        raise RequestError(f"Cannot simulate {paths} paths of {steps} steps: ask for at least one of each.")
    chosen = [schema.names.index(name) for name in schema.actions]
    given = _actions(schema, actions, steps, paths)
    so_far = np.broadcast_to(past, (paths, *past.shape))
    done = 0
    while done < steps:
        context = min(so_far.shape[1], schema.length - min(steps - done, schema.length // 2))
        ahead = min(steps - done, schema.length - context)
        window = np.broadcast_to(np.array(schema.mean), (paths, schema.length, schema.channels)).copy()
        mask = np.zeros((schema.length, schema.channels), bool)
        window[:, :context], mask[:context] = so_far[:, so_far.shape[1] - context :], True
        if given is not None:
            part = slice(context, context + ahead)
            window[:, part, chosen], mask[part, chosen] = given[:, done : done + ahead], True
        drawn = schema.decode(estimator.complete_tensor(paths, window, mask, seed=noise.mix(seed, done)))
        so_far = np.concatenate((so_far, drawn[:, context : context + ahead]), 1)
        done += ahead
    return as_type(so_far[:, len(past) :], schema.dtype)


def _actions(schema: SeriesSchema, actions: Any, steps: int, paths: int) -> np.ndarray | None:
    if actions is None:
        return None
    if not schema.actions:
        raise RequestError("The model knows no actions: fit it with the names of the channels that are chosen.")
    found = np.asarray(actions, dtype=np.float64)
    wanted = (steps, len(schema.actions))
    if found.shape not in (wanted, (paths, *wanted)):
        raise RequestError(
            f"The actions have shape {found.shape}: give {wanted} or {(paths, *wanted)}: {', '.join(schema.actions)}."
        )
    return np.broadcast_to(found, (paths, *wanted))
