"""Labels: what was given for each example, as indices of classes, and back as it was given."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from calco.errors import RequestError

TEXT = "U"
"""The dtype of labels of which nothing is known but their names."""


class Labels(NamedTuple):
    """Labels of n examples.

    Args:
        y: class indices, int64 of shape (n,); None without labels.
        classes: names of the classes, in the order of `given`.
        given: the classes as they were given, sorted: (classes,), of the dtype of the labels.
    """

    y: np.ndarray | None
    classes: tuple[str, ...]
    given: np.ndarray


def encode_labels(y: Any, count: int) -> Labels:
    """Labels of any kind as indices of their sorted classes.

    Raises:
        RequestError: there are not `count` of them, one is missing, or they are of no type that can be told.
    """
    if y is None:
        return Labels(None, (), np.zeros(0))
    y = as_array(y)
    if y.ndim != 1 or len(y) != count:
        raise RequestError(f"There are {count} examples but labels of shape {y.shape}: give one label per example.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        bad = int((~np.isfinite(y)).sum())
        raise RequestError(f"{bad} labels are NaN or infinite: drop those examples, or give no labels.")
    given, index = np.unique(y, return_inverse=True)
    return Labels(index.astype(np.int64), tuple(map(name_of, given)), given)


def as_array(y: Any) -> np.ndarray:
    """Labels as an array of numbers, booleans, dates or text (objects, where they came as such), of their shape.

    Raises:
        RequestError: they are something else or of several types, one is missing, or they are of no one shape.
    """
    found = _array(y)
    if found.dtype.kind in "OUTM":
        _check_there(found.ravel())
    if found.dtype.kind in "OT" and found.size:
        found = _of_objects(found.ravel()).reshape(found.shape)
    if found.dtype.kind not in "biufUOM":
        told = "Complex data not supported. " if found.dtype.kind == "c" else ""  # scikit-learn's words
        raise RequestError(f"{told}The labels are of type {found.dtype}: give numbers, booleans or text.")
    return found


def _array(y: Any) -> np.ndarray:
    """Labels as NumPy takes them; but those of a list are not made text where some are, and 1 and "1" would look alike."""
    # What may be missing has a dtype of its own in pandas; where nothing is, that of the values will do.
    kind = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "biuf" and not y.isna().any():
        return y.to_numpy(kind)
    try:
        found = np.asarray(y)
    except ValueError as error:
        raise RequestError(f"The labels are not one per example: {error}.") from error
    told = isinstance(y, (list, tuple)) and found.dtype.kind in "US" and found.ndim == 1
    return np.array([*y, None], object)[:-1] if told and not all(isinstance(v, str) for v in y) else found


def _check_there(y: np.ndarray) -> None:
    missing = [i for i, v in enumerate(y) if v is None or str(v) == "" or (not isinstance(v, str) and str(v) in _MISSING)]
    if missing:
        raise RequestError(f"{len(missing)} labels are missing, the first in row {missing[0]}: drop those examples.")


_MISSING = {"nan", "<NA>", "NaT"}


def _of_objects(y: np.ndarray) -> np.ndarray:
    """Text stays objects; numbers and booleans get a dtype of their own.

    Raises:
        RequestError: they are something else, or several of these: 1 and "1" would look alike.
    """
    kinds = {_kind(v): type(v).__name__ for v in y}
    if len(kinds) > 1:
        raise RequestError(f"The labels are of several types, {' and '.join(kinds.values())}: give all as one of them.")
    kind, told = next(iter(kinds.items()))
    found = y.astype(object) if kind == "text" else np.array(y.tolist())
    if kind == "other" or (kind == "number" and found.dtype == object):
        raise RequestError(f"The labels are of type {told}: give numbers, booleans or text.")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "yes or no"
    return "number" if isinstance(value, Real) else "other"


def name_of(label: Any) -> str:
    """The name of a label, by which it is shown, kept and asked for: that of 1.0 is 1."""
    whole = isinstance(label, (float, np.floating)) and float(label).is_integer() and abs(float(label)) < 2**53
    return str(int(label) if whole else label)


def as_given(classes: tuple[str, ...], dtype: str) -> np.ndarray:
    """The classes of these names as they were given: (classes,).

    Raises:
        ValueError: a name is none of a value of this dtype.
        TypeError: there is no such dtype.
    """
    kind = np.dtype(dtype)
    read: Any = {"b": ("False", "True").index, "i": int, "u": int, "f": float}.get(kind.kind, str)
    return np.array([read(name) for name in classes], kind)


def given_of(source: Any) -> np.ndarray:
    """The classes of a source as they were given; of one that knows only their names, those."""
    given = getattr(source, "labels", None)
    return np.array(source.classes, TEXT) if given is None else given
