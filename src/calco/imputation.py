"""What is missing in tables and series, filled in by whatever can complete an example."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from calco.data import SeriesSchema, TableSchema
from calco.errors import RequestError
from calco.simulation import past_of

ROUNDS = 20
"""Times that a row is drawn until none of its cells is missing."""


class Fills(Protocol):
    """What fills in examples."""

    schema_: Any

    def filled(self, x: Tensor, known: Tensor, *, seed: int = 0) -> Tensor:
        """Draws of the unknown values of examples as the model sees them."""
        ...


class Imputed(NamedTuple):
    """Data as they came, with draws where values were missing; how many were, and how many the model leaves empty."""

    data: Any
    missing: int
    left: int


def imputed(estimator: Fills, data: Any, seed: int = 0) -> Imputed:
    """A table, or a recording of series, without what is missing.

    Raises:
        RequestError: the model is of neither, or the columns are others.
    """
    if isinstance(estimator.schema_, TableSchema):
        return _rows(estimator, estimator.schema_, data, seed)
    if isinstance(estimator.schema_, SeriesSchema):
        return _recording(estimator, estimator.schema_, data, seed)
    raise RequestError(f"Only tables and series have missing values; this model is of kind {estimator.schema_.kind!r}.")


def _rows(estimator: Fills, schema: TableSchema, data: Any, seed: int) -> Imputed:
    """A row is drawn again while one of its cells is drawn as missing: a draw of what a row is given that it is complete."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise RequestError("Give the table as a data frame.")
    x, known = schema.partial(data)
    rows = np.flatnonzero(~known.all(1).numpy())
    names = list(schema.columns)
    gone = data[names].isna().to_numpy()
    found: dict[str, Any] = {name: data[name].to_numpy(object, copy=True) for name in names}
    dtypes: dict[str, Any] = {}
    for turn in range(ROUNDS):
        if not len(rows):
            break
        drawn = schema.decode(estimator.filled(x[rows], known[rows], seed=seed + turn))
        again = (drawn.isna().to_numpy() & gone[rows]).any(1)
        for i, name in enumerate(names):
            here = gone[rows, i]
            found[name][rows[here]] = drawn[name].to_numpy(object)[here]
            dtypes.setdefault(name, drawn[name].dtype)
        rows = rows[again]
    out = data.copy()
    for i, name in enumerate(names):
        if gone[:, i].any():
            column = pd.Series(found[name], index=data.index, name=name)
            out[name] = column.infer_objects() if column.isna().any() else column.astype(dtypes[name])
    return Imputed(out, int(gone.sum()), int(out[names].isna().to_numpy().sum()))


def _recording(estimator: Fills, schema: SeriesSchema, data: Any, seed: int) -> Imputed:
    """Windows that overlap by half are filled one after another, each given what was filled before."""
    values = past_of(schema, data).copy()
    gone = np.isnan(values)
    length, moments = schema.length, len(values)
    starts = [*range(0, max(1, moments - length), max(1, length // 2)), max(0, moments - length)]
    for start in dict.fromkeys(starts):
        part = values[start : start + length]
        if np.isnan(part).any():
            window = np.full((1, length, schema.channels), np.nan)
            window[0, : len(part)] = part
            drawn = schema.decode(estimator.filled(*schema.partial(window), seed=seed + start))[0, : len(part)]
            values[start : start + length] = np.where(np.isnan(part), drawn, part)
    out = values
    if hasattr(data, "columns"):
        out = data.copy()
        for i, name in enumerate(schema.names):
            if gone[:, i].any():
                out[name] = values[:, i]
    return Imputed(out, int(gone.sum()), int(np.isnan(values).sum()))


def asked(schema: Any, where: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """One row of which some columns are given, and which of its floats are: (1, floats) each.

    Raises:
        RequestError: the model is of no table, or a column or value is none of the training data.
    """
    if not isinstance(schema, TableSchema):
        raise RequestError(f"Only tables have columns to ask for; this model is of kind {schema.kind!r}.")
    return schema.given(where)
