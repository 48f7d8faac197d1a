"""Checks of raw values that every schema makes."""

import math
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calco.data.source import Source
from calco.errors import RequestError

READ_AT_ONCE = 64 << 20
"""Bytes of raw values read at once when a schema is fitted."""
ROOM = 1 << 28
"""Bytes of an array from which it is kept in a file that is mapped into memory."""


def room(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """An array to be filled, in a file without a name where it is large."""
    if math.prod(shape) * np.dtype(kind).itemsize < ROOM:
        return np.empty(shape, kind)
    with tempfile.TemporaryFile(prefix="calco-") as file:
        return np.memmap(file, kind, "w+", shape=shape)


def unmasked(data: Any, value: Any = math.nan) -> Any:
    """Masked arrays, alone or in a list, with `value` where they mask; anything else as it is.

    Whole numbers become floats where that is needed to hold NaN; text becomes objects, None where it is masked.
    """
    if isinstance(data, (list, tuple)) and any(isinstance(one, np.ma.MaskedArray) for one in data):
        return [unmasked(one, value) for one in data]
    if not isinstance(data, np.ma.MaskedArray):
        return data
    plain, masked = np.asarray(data.data), np.ma.getmaskarray(data)
    if not masked.any():
        return plain
    if plain.dtype.kind == "f":
        kind = plain.dtype
    elif plain.dtype.kind in "biu":
        kind = np.result_type(plain.dtype, np.min_scalar_type(value) if isinstance(value, int) else np.float64)
    else:
        kind, value = np.dtype(object), None
    found = plain.astype(kind)
    found[masked] = value
    return found


def chunks(source: Source, names: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
    """All raw values of a source, some 64 MiB at once, checked to be finite.

    Raises:
        RequestError: a value is NaN or infinite; its row counts from the beginning of the source.
    """
    rows = max(1, READ_AT_ONCE // max(1, source.take(np.arange(1)).x.nbytes))
    for start in range(0, len(source), rows):
        x = source.take(np.arange(start, min(start + rows, len(source)))).x
        check_finite(x, names, start)
        yield x


def multiples(values: np.ndarray, grain: float, rounding: Any) -> np.ndarray:
    """Which values are multiples of a grain, to some rounding: booleans like them."""
    with np.errstate(over="ignore", invalid="ignore"):
        return abs(values - np.round(values / grain) * grain) <= 1e-9 * grain + rounding


def nearest_multiple(values: np.ndarray, grain: float) -> np.ndarray:
    """The nearest multiples of a grain, of one below 1, such as 0.1, those that have the fewest decimal places."""
    steps = round(1 / grain) if grain < 1 else 1
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.round(values * steps) / steps if grain < 1 else np.round(values / grain) * grain
    return np.where(abs(values) < 2**53 * grain, found, values)  # beyond, all that floats can be are multiples


def digits_of(dtype: str) -> float:
    """By how much numbers of a dtype differ from their neighbours, relatively; those that are no floats as float64 does."""
    found = numpy_type(dtype)
    return float(np.finfo(found if found.kind == "f" else np.float64).eps)


def in_steps(values: np.ndarray, grain: float, digits: Any) -> np.ndarray:
    """Which numbers of so many `digits` are multiples of a grain, of which they can be told from others: booleans like them."""
    rounding = 8 * np.finfo(np.float64).eps + 0.5 * digits
    with np.errstate(over="ignore"):
        return multiples(values.astype(np.float64), grain, rounding * abs(values)) & (digits * abs(values) < grain / 4)


def as_tensor(raw: np.ndarray) -> Tensor:
    """A tensor of these values, perhaps on the same memory; any byte order, layout and write protection will do."""
    if not raw.dtype.isnative or raw.dtype.itemsize > 8:
        raw = raw.astype(np.float64 if raw.dtype.itemsize > 8 else raw.dtype.newbyteorder("="))
    return torch.from_numpy(np.require(raw, requirements=["C", "W"]))


def numpy_type(dtype: str) -> np.dtype:
    """The dtype of this name; for one of pandas' own (Int64, double[pyarrow]) the one of NumPy that holds its values.

    That of Arrow's decimals, and of others whose names pandas does not read, is object.

    Raises:
        TypeError: there is no such dtype.
    """
    if not isinstance(dtype, str):
        raise TypeError(f"{dtype!r} is not the name of a dtype")
    try:
        return np.dtype(dtype)
    except (TypeError, ValueError):
        from pandas.api.types import pandas_dtype

        try:
            found = pandas_dtype(dtype)
        except (TypeError, NotImplementedError):
            if dtype.endswith(("[pyarrow]", "[python]")):
                return np.dtype(object)
            raise
        return np.dtype(getattr(found, "numpy_dtype", getattr(found, "subtype", object)))


def within(raw: np.ndarray, dtype: str) -> np.ndarray:
    """Floats rounded and clipped so that a whole-numbered dtype can hold them; unchanged for others."""
    wanted = numpy_type(dtype)
    if wanted.kind not in "iub":
        return raw
    if wanted.kind == "b":
        return raw.round().clip(0, 1)
    least, most = np.iinfo(wanted).min, np.iinfo(wanted).max
    # The largest of 64 bits is rounded up to a float that no longer fits: take the one below.
    top = float(most) if int(float(most)) <= most else float(np.nextafter(float(most), 0))
    return raw.round().clip(least, top)


def inexact(present: Any) -> str:
    """The first number of a column that float64 does not hold as it is, told with its row; "" where there is none."""
    if present.dtype.kind in "fb":
        return ""
    different = present
    if present.dtype.kind in "iu":
        different = different[(different > 2**53) | (different < -(2**53))]
    for row, value in different.drop_duplicates().items():
        exact = Decimal(value) if isinstance(value, str) else value
        held = Decimal(repr(float(value))) if isinstance(exact, Decimal) else type(value)(float(value))
        if held != exact:
            return f"numbers that float64 cannot tell from others (row {row}: {value})"
    return ""


def check_exact(values: np.ndarray, name: str, start: int = 0) -> None:
    """Raise if float64 does not hold numbers, (n,), as they are.

    Raises:
        RequestError: with the first of them; its row counts from `start`.
    """
    if values.dtype.kind not in "iu" or not len(values) or max(int(values.max()), -int(values.min())) <= 2**53:
        return
    large = np.flatnonzero((values > 2**53) | (values < -(2**53)))
    row = next((row for row in large if int(float(values[row])) != int(values[row])), None)
    if row is not None:
        raise RequestError(
            f"The column {name} holds whole numbers that float64 cannot tell from others (row {start + row}: {values[row]}):"
            f' drop it if it is a key, subtract a number from it, or call it a choice (columns: {{"{name}": "choice"}}).'
        )


def check_names(frame: Any, about: str) -> None:
    """Raise unless every column of a data frame has a name of its own, text or a number.

    Raises:
        RequestError: with those that have not.
    """
    if frame.columns.nlevels > 1:
        raise RequestError(
            f"{about} has columns of {frame.columns.nlevels} levels: give each one name, such as"
            " frame.columns = [' '.join(map(str, names)) for names in frame.columns]."
        )
    odd = [one for one in frame.columns if not isinstance(one, (str, int, float, np.number)) or one != one]
    if odd:
        raise RequestError(f"{about} has a column called {odd[0]!r}: call it by text or by a number.")
    names = frame.columns.map(str)
    twice = sorted(set(names[names.duplicated()]))
    if twice:
        raise RequestError(f"{about} has more than one column called {', '.join(twice[:5])}: rename them.")


def labels_in(frame: Any) -> tuple[str | int | float, ...]:
    """The names of the columns of a data frame, as JSON knows them; () where all are text."""
    found = tuple(label.item() if isinstance(label, np.generic) else label for label in frame.columns)
    return () if all(isinstance(label, str) for label in found) else found


def labelled(frame: Any, names: tuple[Any, ...]) -> Any:
    """A data frame with these names of its columns, or its own where there are none."""
    return frame.set_axis(list(names), axis=1) if names else frame


def size_of(raw: np.ndarray) -> str:
    """The size of one example, for a message."""
    return " x ".join(str(side) for side in raw.shape[1:]) or "single numbers"


def check_finite(raw: np.ndarray, names: tuple[str, ...] = (), start: int = 0) -> None:
    """Raise if a value is NaN or infinite.

    Raises:
        RequestError: with how many examples, the first of them, and the columns.
    """
    if raw.dtype.kind in "iub" or np.isfinite(raw).all():
        return
    bad = ~np.isfinite(raw)
    rows = start + np.flatnonzero(bad.reshape(len(raw), -1).any(1))
    columns = [names[i] for i in np.flatnonzero(bad.any(0))[:5]] if names else []
    where = f" (columns {', '.join(columns)})" if columns else ""
    raise RequestError(
        f"{len(rows)} of {len(raw)} examples hold NaN or infinity, the first in row {rows[0]}{where}: remove or fill them."
    )


FAR = 1e18
"""Units of the training data up to which a value can be squared in single precision."""


def standardised(raw: np.ndarray, mean: Any, scale: Any) -> np.ndarray:
    """(raw - mean) / scale as float32; NaN stays.

    Raises:
        RequestError: a value is too far out.
    """
    with np.errstate(over="ignore"):
        x = (raw.astype(np.float64) - mean) / scale
    check_far(x)
    return x.astype(np.float32)


def check_far(x: np.ndarray) -> None:
    """Raise if a value, in units of the training data, is so far out that float32 cannot tell how far.

    Raises:
        RequestError: with how many examples, and the first of them.
    """
    far = abs(x) > FAR
    if not far.any():
        return
    rows = np.flatnonzero(far.reshape(len(x), -1).any(1))
    raise RequestError(
        f"{len(rows)} of {len(x)} examples, the first in row {rows[0]}, lie more than {FAR:g} times further out than the"
        " training data do: check their unit, or leave them out."
    )


def check_levels(raw: np.ndarray, low: float, high: float, levels: int) -> None:
    """Raise if a value is none of the grey levels from `low` to `high`.

    Raises:
        RequestError: with how many examples, and the first of them.
    """
    steps_of_one = raw.dtype.kind in "iub" and high - low == levels - 1
    if raw.size == 0 or (steps_of_one and raw.min() >= low and raw.max() <= high):
        return
    if levels == 2:
        bad = (raw != low) & (raw != high)
    else:
        index = (raw.astype(np.float64) - low) * ((levels - 1) / (high - low))
        bad = (abs(index - index.round()) > 1e-3) | (index < -0.5) | (index > levels - 0.5)
    if not bad.any():
        return
    rows = np.flatnonzero(bad.reshape(len(raw), -1).any(1))
    raise RequestError(
        f"{len(rows)} of {len(raw)} examples, the first in row {rows[0]}, hold other values than the {levels} levels"
        f" from {low:g} to {high:g} that the model knows: bring them to those levels first."
    )


def check_depth(raw: np.ndarray, dtype: str, high: float = math.inf) -> None:
    """Raise where bits or bytes are given to a model of deeper images, whose values reach up to `high`.

    Raises:
        RequestError: they are.
    """
    most = {"bool": 1, "uint8": 255}.get(str(raw.dtype), math.inf)
    if dtype in ("uint8", "uint16") and str(raw.dtype) != dtype and most < high:
        raise RequestError(f"These images are {raw.dtype}; the model knows {dtype}: bring them to that scale.")


def check_scale(raw: np.ndarray, low: float, high: float) -> None:
    """Raise if a value lies further from the range of the training than that is wide.

    Raises:
        RequestError: with how many examples, and the first of them.
    """
    least, most = max(low - (high - low), -sys.float_info.max), min(high + (high - low), sys.float_info.max)
    if raw.size == 0 or (raw.min() >= least and raw.max() <= most):
        return
    rows = np.flatnonzero(((raw < least) | (raw > most)).reshape(len(raw), -1).any(1))
    raise RequestError(
        f"{len(rows)} of {len(raw)} examples, the first in row {rows[0]}, hold values from {raw.min():g} to {raw.max():g};"
        f" those of the training lie between {low:g} and {high:g}: bring them to that scale, or learn from such too."
    )
