"""Examples of which only some have labels, and values in place of classes."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from calco.data.labels import given_of
from calco.data.source import Raw, Relabelled, Source, Subset, column_of, plan_of
from calco.data.splitting import split
from calco.errors import RequestError

UNLABELLED = -1
"""The class index of an example without a label."""
CLASSES = 100
"""Different numbers among the labels that may be names of classes."""
PARTS = 4
"""One in so many examples that a partly labelled source hands out in training has its label."""


def marks(described: Mapping[str, Any]) -> set[str]:
    """Fingerprints of what a description is of, of its parts, and of all that it is a part of."""
    return {described.get("fingerprint", ""), *described.get("parts", ()), *described.get("whole", ())}


class PartlyLabelled:
    """Labelled examples followed by others without labels.

    Raises:
        RequestError: the first have no labels, or the others are of another kind.
    """

    def __init__(self, labelled: Source, unlabelled: Source) -> None:
        if not labelled.classes:
            raise RequestError("There are examples without labels, but none with: give labels for some.")
        one, other = labelled.take(np.arange(1)).x, unlabelled.take(np.arange(1)).x
        if one.shape != other.shape or labelled.names != unlabelled.names:
            raise RequestError(
                f"Examples with labels and those without are not of one kind: shapes {one.shape[1:]} and {other.shape[1:]}."
            )
        self.labelled, self.unlabelled, self.plan = labelled, unlabelled, _common_plan(plan_of(labelled), plan_of(unlabelled))
        self.classes, self.labels, self.levels = labelled.classes, given_of(labelled), unlabelled.levels
        self.names, self.dtypes = labelled.names, labelled.dtypes
        self.slow = labelled.slow or unlabelled.slow

    def __len__(self) -> int:
        return len(self.labelled) + len(self.unlabelled)

    def take(self, rows: np.ndarray) -> Raw:
        """Some rows, in that order; without a label the class is `UNLABELLED`."""
        known = rows < len(self.labelled)
        x, y = self.labelled.take(rows[known])
        others = self.unlabelled.take(rows[~known] - len(self.labelled)).x
        place = np.argsort(np.concatenate((np.flatnonzero(known), np.flatnonzero(~known))))
        labels = np.concatenate((y if y is not None else [], np.full(len(others), UNLABELLED)))
        return Raw(_joined(x, others, place), labels[place].astype(np.int64))

    def column(self, name: str) -> Any:
        """One column of a table, a pandas series."""
        import pandas as pd

        return pd.concat([column_of(self.labelled, name), column_of(self.unlabelled, name)], ignore_index=True)

    def split(self, share: float, seed: int) -> tuple[Source, Source]:
        """As `calco.data.split`, of the labelled examples: the others all stay in the first part."""
        rest, held = split(self.labelled, share, seed)
        return PartlyLabelled(rest, self.unlabelled), held

    def describe(self) -> dict[str, Any]:
        """What both are; opened again where both can be."""
        first, second = self.labelled.describe(), self.unlabelled.describe()
        digest = hashlib.sha256((first["fingerprint"] + second["fingerprint"]).encode()).hexdigest()
        again = first["open"] and second["open"] and {**first["open"], "unlabelled": second["open"]}
        about = f"{first['about']}, with {len(self.unlabelled):,} more without labels from {second['about']}"
        parts = [first["fingerprint"], second["fingerprint"]]
        wholes = {"whole": [*first.get("whole", []), *second.get("whole", [])], "labelled": sorted(marks(first))}
        return {**second, "about": about, "n": len(self), "fingerprint": digest, "parts": parts, **wholes, "open": again}


def _joined(x: Any, others: Any, place: np.ndarray) -> Any:
    """Examples of both kinds, arrays or data frames, in their places."""
    if isinstance(x, np.ndarray):
        return np.concatenate((x, others))[place]
    import pandas as pd

    parts = [part for part in (x, others) if len(part)]
    return pd.concat(parts or [x], ignore_index=True).iloc[place]


def _common_plan(one: Any, other: Any) -> Any:
    """What is known of the columns of both tables, or of the channels of both series; None where they are neither.

    Raises:
        RequestError: they are of different kinds.
    """
    tables = isinstance(one, tuple) and isinstance(other, tuple)
    if tables and [(a.name, a.kind) for a in one] == [(b.name, b.kind) for b in other]:
        return tuple(
            dataclasses.replace(a, options=tuple(dict.fromkeys((*a.options, *b.options))))
            for a, b in zip(one, other, strict=True)
        )
    if tables:
        odd = [f"{a.name} ({a.kind}, {b.kind})" for a, b in zip(one, other, strict=False) if a.kind != b.kind]
        raise RequestError(f"Columns hold one thing with labels and another without: {', '.join(odd[:5])}. Say what they hold.")
    if isinstance(one, tuple) or isinstance(other, tuple) or (one is None) != (other is None):
        raise RequestError("Examples with labels and those without are not of one kind: open both as tables, or as series.")
    if one is not None and (one.names, one.window) != (other.names, other.window):
        raise RequestError("Windows with labels and those without differ in their channels or their length: cut them alike.")
    return one


def labelled_part(source: Source) -> Source:
    """A source, or where only some examples have labels those."""
    return source.labelled if isinstance(source, PartlyLabelled) else source


def mixed(source: PartlyLabelled) -> Subset:
    """A partly labelled source as training takes it: labelled examples repeated, until one in `PARTS` has a label."""
    few, many = len(source.labelled), len(source.unlabelled)
    times = max(1, -(-many // ((PARTS - 1) * few)))
    return Subset(source, np.concatenate((np.tile(np.arange(few), times), np.arange(few, few + many))))


def measured(source: Source) -> bool:
    """Whether labels look like values to predict, rather than names of classes: numbers, and very many different ones."""
    if len(source.classes) <= max(CLASSES, len(source) / 20):
        return False
    try:
        return bool(np.isfinite(_numbers(source)).all())
    except ValueError:
        return False


def valued(source: Source) -> Source:
    """A source whose labels are numbers to predict, float64, rather than names of classes; not a number where there is none.

    Raises:
        RequestError: a label is no number.
    """
    try:
        # What -1 looks up has no label.
        table = np.append(_numbers(source), np.nan)
    except ValueError as error:
        raise RequestError(f"Values to predict are numbers, and a label is none: {error}.") from error
    if not np.isfinite(table[:-1]).all():
        raise RequestError("Values to predict must be finite, and a label is not.")
    return Relabelled(source, (), table)


def _numbers(source: Source) -> np.ndarray:
    """The labels that a source has as float64: (classes,).

    Raises:
        ValueError: one is no number.
    """
    given = given_of(source)
    if given.dtype.kind == "M":
        raise ValueError(f"{given[0]} is a date")
    return given.astype(np.float64)
