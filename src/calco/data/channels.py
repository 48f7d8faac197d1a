"""Channels of series: columns of tables, and arrays, as numbers of which those that are missing are NaN."""

from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from calco.data.values import check_names, numpy_type, unmasked
from calco.errors import RequestError

WHOLE = 2**53
"""Whole numbers beyond this cannot all be told apart as floats."""


def as_array(data: Any) -> np.ndarray:
    """An array; what a masked one hides is missing."""
    return np.asarray(unmasked(data))


def numeric(frame: Any, about: str) -> Any:
    """The columns of a table as numbers or booleans; those of objects that are such take the dtype that fits.

    Raises:
        RequestError: a column is named twice, holds no numbers, or whole numbers that floats cannot tell apart.
    """
    check_names(frame, about)
    frame = frame.copy(deep=False)
    for column in [c for c in frame.columns if frame[c].dtype == object]:
        found = frame[column].convert_dtypes()
        frame[column] = frame[column].astype(float) if found.isna().all() else found
    other = [str(c) for c in frame.columns if frame[c].dtype.kind not in "biuf"]
    if other:
        raise RequestError(
            f"{about} has columns that are not numbers: {', '.join(other[:5])}. A column that tells the time is named by"
            " time (--time); drop the others, or encode them as numbers."
        )
    for column in frame.columns:
        if frame[column].dtype.kind in "iu":
            check_whole(frame[column].dropna().to_numpy(dtype=numpy_type(str(frame[column].dtype))), f"{column} of {about}")
    return frame


def check_whole(values: np.ndarray, about: str) -> None:
    """Raise where whole numbers are so large that floats cannot tell them apart.

    Raises:
        RequestError: with the largest.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return
    most = max(int(values.max()), int(values.min()), key=abs)
    if abs(most) > WHOLE:
        raise RequestError(f"{about} holds {most}, and beyond 2^53 neighbours are alike to a model: subtract a constant first.")


def as_floats(frame: Any) -> np.ndarray:
    """The columns of `numeric` as one array, what is missing as NaN: (moments, channels), float64."""
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def channel_values(frame: Any, about: str) -> np.ndarray:
    """`as_floats` of `numeric`."""
    return as_floats(numeric(frame, about))


def common_dtype(dtypes: Sequence[Any]) -> str:
    """The dtype that has room for one channel of several recordings: whole numbers and fractions meet in floats.

    What may be missing (Int64) stays so.
    """
    if len(set(dtypes)) == 1:
        return str(dtypes[0])
    kind = np.result_type(*(numpy_type(str(dtype)) for dtype in dtypes))
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return str(kind)
    if kind.kind == "b":
        return "boolean"
    return {"i": "Int", "u": "UInt", "f": "Float"}[kind.kind] + str(max(32 if kind.kind == "f" else 8, 8 * kind.itemsize))


def as_type(raw: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Floats as another type, those beyond it as its last."""
    ends = np.finfo(kind) if kind.kind == "f" else None
    return (raw if ends is None else raw.clip(float(ends.min), float(ends.max))).astype(kind)


def typed(values: np.ndarray, dtype: str) -> Any:
    """A channel's values, (n,), as a pandas series of the dtype that went in; floats where missing ones have no room there."""
    import pandas as pd

    column = pd.Series(values)
    kind = numpy_type(dtype)
    roomy = kind != dtype or kind.kind == "f"
    return column.astype(dtype) if roomy or not column.isna().any() else column


def free(name: str, taken: Container[str]) -> str:
    """A name, with underscores after it where it is taken."""
    while name in taken:
        name += "_"
    return name
