"""The schema of tables: numbers, choices and dates, some of which may be missing."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calco.data.cells import Cells
from calco.data.coded import Coded, fit_column
from calco.data.columns import KINDS, Column, finer, inexact, tell_finer
from calco.data.labels import TEXT
from calco.data.source import Source, column_labels_of, column_of, plan_of
from calco.data.values import labelled
from calco.errors import RequestError, one_of
from calco.maths.mixed import Piece


class Rows(NamedTuple):
    """Rows of a table: which floats are ones, (n, columns), and the scores of the columns that have some, (n, scores)."""

    choices: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class TableSchema:
    """Rows of columns of several kinds, raw as a data frame; options as ones among zeros, and scores, for a model."""

    kind: ClassVar[str] = "table"
    levels: ClassVar[None] = None
    likelihoods: ClassVar[tuple[str, ...]] = ("mixed",)
    raw_axes: ClassVar[int] = 1
    coded: tuple[Coded, ...]
    classes: tuple[str, ...] = ()
    label_dtype: str = TEXT
    column_labels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        made = tuple(one if isinstance(one, Coded) else _from_json(one) for one in self.coded)
        object.__setattr__(self, "coded", made)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.coded)

    def opening(self) -> dict[str, Any]:
        """How `open_data` reads a table as that of the training was."""
        return {"columns": {column.name: column.kind for column in self.coded}}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (floats,)."""
        return (sum(column.width for column in self.coded),)

    def spans(self) -> list[tuple[Coded, int]]:
        """The columns, and where each begins among the floats."""
        ends = np.cumsum([0, *(column.width for column in self.coded)])
        return list(zip(self.coded, ends.tolist(), strict=False))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What the floats are: a choice for each column, with how far from an option it is, or a score where it is in a bin."""
        found = []
        for column, start in self.spans():
            stop = start + column.choices
            if column.bins:
                cells = column.inside if column.grain else None
                found += [
                    Piece("choice", start, stop),
                    Piece("real", stop, stop + 1, (start, start + column.bins), cells=cells),
                ]
            else:
                found.append(Piece("choice", start, stop + column.scored, beside=int(column.scored)))
        return tuple(found)

    @property
    def measure(self) -> str:
        """Of what the densities of rows are probabilities, where they are."""
        mass = [column for column in self.coded if column.scored and (column.grain or not column.bins)]
        return "whole numbers and other multiples of a step by their probability" if mass else ""

    def encode(self, raw: Any) -> Tensor:
        """Rows of a data frame, or what `looked_up` made of them, to float32 of shape (n, floats).

        Raises:
            RequestError: a column is missing, or holds what it did not in training.
        """
        rows = raw if isinstance(raw, Rows) else self.looked_up(raw)
        x = np.zeros((len(rows.choices), *self.shape), np.float32)
        np.put_along_axis(x, rows.choices.astype(np.int64), 1, 1)
        x[:, [start + column.choices for column, start in self.spans() if column.scored]] = rows.scores
        return torch.from_numpy(x)

    def looked_up(self, raw: Any) -> Rows:
        """The choices and scores of rows of a data frame: all that is slow in `encode`, in a tenth of the memory.

        Raises:
            RequestError: as `encode`.
        """
        raw = self._named(raw)
        choices, scores = [], []
        for column, start in self.spans():
            choice, score = column.coded(raw[column.name])
            choices.append((start + choice).astype(np.int32))
            if column.scored:
                scores.append(score.astype(np.float32))
        return Rows(np.stack(choices, 1), np.stack(scores, 1) if scores else np.zeros((len(raw), 0), np.float32))

    def partial(self, raw: Any) -> tuple[Tensor, Tensor]:
        """Rows of which some cells are empty, 0 there, and which floats are known, booleans: (n, floats) each.

        Raises:
            RequestError: as `encode`, but of what is missing.
        """
        raw = self._named(raw)
        x, known = np.zeros((len(raw), *self.shape), np.float32), np.zeros((len(raw), *self.shape), bool)
        for column, start in self.spans():
            rows = np.flatnonzero(raw[column.name].notna().to_numpy())
            _put(x, rows, column, start, column.coded(raw[column.name].iloc[rows]))
            known[rows, start : start + column.width] = True
        return torch.from_numpy(x), torch.from_numpy(known)

    def given(self, where: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """One row of which these columns have these values, None what is missing, and which floats are known.

        Raises:
            RequestError: a column or its value is none of the training data.
        """
        x, known = np.zeros((1, *self.shape), np.float32), np.zeros((1, *self.shape), bool)
        spans = {column.name: (column, start) for column, start in self.spans()}
        for name, value in ((str(name), value) for name, value in where.items()):
            if name not in spans:
                raise one_of("column", name, self.columns)
            column, start = spans[name]
            _put(x, np.arange(1), column, start, column.asked(value))
            known[0, start : start + column.width] = True
        return torch.from_numpy(x), torch.from_numpy(known)

    def _named(self, raw: Any) -> Any:
        """A data frame with the names of its columns as text, all of which are there."""
        found = raw.rename(columns=str) if hasattr(raw, "rename") else raw
        missing = [name for name in self.columns if name not in getattr(found, "columns", ())]
        if missing:
            raise RequestError(f"The table lacks {', '.join(missing[:5])}: the model knows {', '.join(self.columns)}.")
        return found

    def decode(self, x: Tensor) -> Any:
        """Floats to a data frame with the columns and dtypes of the training data; the most likely option counts."""
        import pandas as pd

        found = {column.name: column.value(*parts) for column, parts in self.chosen(x)}
        return labelled(pd.DataFrame(found), self.column_labels)

    def log_dets(self, x: Tensor) -> np.ndarray:
        """What turns the log densities of encoded rows into those of the raw ones: (n,)."""
        return np.sum([column.log_det(*parts) for column, parts in self.chosen(x)], 0)

    def chosen(self, x: Tensor) -> list[tuple[Coded, tuple[np.ndarray, np.ndarray]]]:
        """Of each column the choices and the scores.

        Without bins only what was encoded, a one among zeros, is at a distance from its option: what models make is at one.
        """
        values = x.detach().cpu().double().numpy()
        found = []
        for column, start in self.spans():
            options = values[:, start : start + column.choices]
            choice, score = options.argmax(1), np.zeros(len(values))
            if column.scored:
                encoded = ((options == 0).sum(1) == column.choices - 1) & (options.max(1) == 1)
                score = np.where(encoded | bool(column.bins), values[:, start + column.choices], 0.0)
            found.append((column, (choice, score)))
        return found

    def flags(self, mask: np.ndarray) -> Tensor:
        """Booleans, one for each column, as a model sees them: (floats,)."""
        return torch.from_numpy(np.repeat(mask, [column.width for column in self.coded]))

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        finite = all(
            math.isfinite(v) for column in self.coded for v in (*column.atoms, *column.knots, *column.places, column.grain)
        )
        sizes = all(
            column.choices > 0
            and column.kind in KINDS
            and len(column.knots) == len(column.places) >= 2 * bool(column.bins)
            and (column.bins or column.atoms or not column.scored)
            and 0 < column.unseen < 1
            for column in self.coded
        )
        rising = all(
            list(column.knots) == sorted(set(column.knots)) and list(column.places) == sorted(column.places)
            for column in self.coded
        )
        named = all(isinstance(name, str) for column in self.coded for name in (column.name, column.dtype, *column.options))
        held = all(column.cells is None or column.cells.sound() for column in self.coded)
        return (
            bool(self.coded)
            and finite
            and sizes
            and rising
            and named
            and held
            and len(self.column_labels) in (0, len(self.coded))
            and all(isinstance(name, str) for name in self.classes)
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


def _put(x: np.ndarray, rows: np.ndarray, column: Coded, start: int, coded: tuple[np.ndarray, np.ndarray]) -> None:
    """Write the choices and scores of a column into some rows."""
    choice, score = coded
    x[rows, start + choice] = 1
    if column.scored:
        x[rows, start + column.choices] = score


def _from_json(content: Mapping[str, Any]) -> Coded:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
    cells = fields.pop("cells", None)
    return Coded(**fields, cells=Cells.from_json(cells) if cells else None)


def fit_table(source: Source) -> TableSchema:
    """The schema of a table, its options and quantiles those of all its rows.

    Raises:
        RequestError: every value of a column is missing, or a column holds what would not come back as it is.
    """
    plan: tuple[Column, ...] = plan_of(source)
    coded = []
    for column in plan:
        values = column_of(source, column.name)
        _check_held(column, values)
        coded.append(fit_column(column, values))
    return TableSchema(tuple(coded), source.classes, column_labels=column_labels_of(source))


def _check_held(column: Column, values: Any) -> None:
    """Raise unless values of a column come back as they are; of dates a warning says which do not.

    Raises:
        RequestError: with what they are.
    """
    kinds = column.cells.unheld if column.cells else ""
    if kinds:
        kinds = f"several types ({kinds.replace('|', ', ')})" if "|" in kinds else f"type {kinds}"
        raise RequestError(
            f"The column {column.name} holds values of {kinds}, which do not come back: turn them into text or numbers."
        )
    if column.kind != "choice" and column.dtype.startswith("category"):
        raise RequestError(
            f"The column {column.name} is a categorical called a {column.kind}: call it a choice, or convert it by astype."
        )
    present = values.dropna()
    if column.kind == "number" and (found := inexact(present)):
        raise RequestError(
            f"The column {column.name} holds {found}: call it a choice, drop it if it is a key, or subtract a number from it."
        )
    if column.kind == "date" and (count := finer(present, column.name, "the table")):
        tell_finer(column.name, count)
