"""Values and their text: a value is known by its text, and by the name of a type the text becomes that value again."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

NUMERIC, DATED = ("bool", "int", "float", "Decimal"), ("date", "datetime", "Timestamp", "datetime64")
"""Names of the types of numbers, and of those of dates."""
READERS: dict[str, Callable[[str], Any]] = {
    "bool": "True".__eq__,
    "int": int,
    "float": float,
    "str": str,
    "Decimal": Decimal,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "time": time.fromisoformat,
    "datetime64": np.datetime64,
    "UUID": UUID,
}
CLOSED = {"[]": "both", "()": "neither", "(]": "right", "[)": "left"}
"""How pandas calls an interval by its brackets."""


def type_of(value: Any) -> str:
    """The name of a value's type, with what it is of, such as "Interval float", or its frequency, such as "Period M"."""
    import pandas as pd

    for name, kinds in (("bool", (bool, np.bool_)), ("int", (int, np.integer)), ("float", (float, np.floating)), ("str", str)):
        if isinstance(value, kinds):
            return name
    if isinstance(value, pd.Interval):
        return f"Interval {type_of(value.left)}"
    return f"Period {value.freqstr}" if isinstance(value, pd.Period) else type(value).__name__


def readable(kind: str) -> bool:
    """Whether `read` knows a type by its name."""
    name, _, of = kind.partition(" ")
    return name in (*READERS, "Timestamp", "Period") or (name == "Interval" and readable(of))


def read(text: str, kind: str) -> Any:
    """The value of a type that has this text.

    Raises:
        ValueError: no value has.
    """
    import pandas as pd

    name, _, of = kind.partition(" ")
    if name == "Timestamp":
        return pd.Timestamp(text)
    if name == "Period":
        return pd.Period(text, of)
    if name == "Interval":
        left, right = (read(end, of) for end in text[1:-1].split(", "))
        closed: Any = CLOSED[text[0] + text[-1]]
        return pd.Interval(left, right, closed)
    return READERS[name](text)


def key(text: str, kind: str) -> Any:
    """What texts of one value share, such as 1, 1.0 and, where that is a boolean, True; other texts stand for themselves."""
    import pandas as pd

    try:
        if kind in NUMERIC:
            return Decimal({"True": "1", "False": "0"}.get(text, text))
        if kind in DATED:
            return pd.Timestamp(text)
    except (ValueError, ArithmeticError):
        return text
    return text.removesuffix(".0")  # whole numbers are floats where some are missing


def texts(values: Any) -> tuple[np.ndarray, list[str]]:
    """The different texts of a column, a pandas series, and which of them each value has, -1 where it is missing: (n,)."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy(), [str(category) for category in values.cat.categories]
    if values.dtype == object:  # equal values of several types, such as 1 and True, have several texts
        there = values.notna().to_numpy()
        codes = np.full(len(values), -1)
        codes[there], different = pd.factorize(np.array([str(value) for value in values[there]], object))
        return codes, list(different)
    codes, found = pd.factorize(values)
    # As a column of their dtype, since an index gives numbers of few digits with more of them.
    return codes, [str(value) for value in pd.Series(found).astype(values.dtype).unique()]


def typed(values: Any) -> dict[str, str]:
    """The different texts of values, a pandas series or index without missing ones, by value, each with its type.

    A text that values of several types have gets all of their names, of which none is `readable`.
    """
    try:
        different = [value for _, value in {(type(v), v) for v in values}] if values.dtype == object else values.unique()
    except TypeError:  # lists and the like
        different = values
    return told((str(value), type_of(value)) for value in different)


def told(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Pairs of texts and types as such a table, by value."""
    found: dict[str, set[str]] = {}
    for text, kind in pairs:
        found.setdefault(text, set()).add(kind)
    table = {text: "|".join(sorted(kinds)) for text, kinds in found.items()}
    return {text: table[text] for text in ordered(table)}


def ordered(table: dict[str, str]) -> list[str]:
    """Texts by their value, or as text where values of several types cannot be compared."""
    try:
        return sorted(table, key=lambda text: read(text, table[text]))
    except (TypeError, ValueError, KeyError, ArithmeticError):
        return sorted(table)
