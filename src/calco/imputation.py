"""What is missing in tables and series, filled in by whatever can complete an example."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from calco.data import SeriesSchema, TableSchema
from calco.data.channels import as_array, as_type, typed
from calco.data.values import check_names
from calco.errors import RequestError
from calco.maths import noise
from calco.simulation import pieces_of, recording_of

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
    check_names(data, "the table")
    frame = data.rename(columns=str)
    x, known = schema.partial(frame)
    rows = np.flatnonzero(~known.all(1).numpy())
    gone = {name: holes for name in schema.columns if (holes := frame[name].isna().to_numpy()).any()}
    found = {name: np.full(len(frame), None, object) for name in gone}
    for turn in range(ROUNDS):
        if not len(rows):
            break
        drawn = schema.decode(estimator.filled(x[rows], known[rows], seed=noise.mix(seed, turn)))
        again = np.zeros(len(rows), bool)
        for name, holes in gone.items():
            found[name][rows] = drawn[name].to_numpy(object)
            again |= holes[rows] & drawn[name].isna().to_numpy()
        rows = rows[again]
    out = _filled(data, gone, found, {column.name: column.dtype for column in schema.coded})
    left = sum(int(pd.isna(found[name][holes]).sum()) for name, holes in gone.items())
    return Imputed(out, sum(int(holes.sum()) for holes in gone.values()), left)


def _filled(data: Any, gone: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], trained: Mapping[str, str]) -> Any:
    """A data frame with draws where columns have holes; `trained` are the dtypes of the training data."""
    out = data.copy()
    for i, name in enumerate(map(str, data.columns)):
        if name in gone:
            out.isetitem(i, _with_draws(data.iloc[:, i], np.flatnonzero(gone[name]), drawn[name], trained[name]))
    return out


def _with_draws(old: Any, holes: np.ndarray, drawn: np.ndarray, trained: str) -> Any:
    """A column with draws in its holes; what is there is left as it is, and so is its dtype where the draws fit it.

    Whole numbers, floats for their holes, are whole again where all are and `trained`, the dtype of the training data, is.
    """
    import pandas as pd

    holes = holes[[not pd.isna(value) for value in drawn[holes]]]
    values: list[Any] = list(drawn[holes])
    kept = old.dropna()
    if isinstance(old.dtype, pd.CategoricalDtype):
        own = {str(category): category for category in old.cat.categories}
        values = [own.get(str(value), value) for value in values]
        old = old.cat.add_categories([value for value in dict.fromkeys(values) if value not in set(own.values())])
    elif old.dtype.kind == "M" and isinstance(old.dtype, np.dtype | pd.DatetimeTZDtype):  # Arrow takes what was drawn
        stamps: Any = pd.to_datetime(pd.Series(values), utc=True)
        values = list(stamps.dt.tz_convert(old.dt.tz) if old.dt.tz else stamps.dt.tz_localize(None))
    elif len(kept) and isinstance(kept.iloc[0], str):
        values = [
            value.isoformat().removesuffix("T00:00:00") if hasattr(value, "isoformat") else str(value) for value in values
        ]
    elif len(kept) and type(kept.iloc[0]) is date:
        values = [pd.Timestamp(value).date() for value in values]
    found = old.copy()
    try:
        found.iloc[holes] = values
    except (TypeError, ValueError):  # of another kind than the column
        found = old.astype(object)
        found.iloc[holes] = values
    whole = trained.lower().startswith(("int", "uint")) and found.dtype.kind == "f" and not found.isna().any()
    if whole and (found == found.round()).all() and (abs(found) < 2**53).all():
        return found.astype(np.int64)
    return found.astype(bool) if found.dtype == object and len(found) and found.map(type).eq(bool).all() else found


def _recording(estimator: Fills, schema: SeriesSchema, data: Any, seed: int) -> Imputed:
    """Windows that overlap by half are filled one after another, each given what was filled before; none goes over a gap."""
    values = recording_of(schema, data, "the recording").copy()
    gone = np.isnan(values)
    for piece in pieces_of(schema, data, "the recording"):
        _fill(estimator, schema, values[piece], seed, piece.start or 0)
    kind = as_array(data).dtype
    out = as_type(values, kind) if kind.kind in "biuf" else values
    if hasattr(data, "columns"):
        holes = {name: own for name, own in zip(schema.names, gone.T, strict=True) if own.any()}
        trained = dict(zip(schema.names, schema.dtypes, strict=True))
        draws = dict(zip(schema.names, values.T, strict=True))
        draws = {name: typed(draws[name], trained[name]).to_numpy(object) for name in holes}
        out = _filled(data, holes, draws, trained)
    return Imputed(out, int(gone.sum()), int(np.isnan(values).sum()))


def _fill(estimator: Fills, schema: SeriesSchema, values: np.ndarray, seed: int, first: int) -> None:
    """Fill moments (moments, channels) in place; `first` is the place of the first one among all."""
    length, moments = schema.length, len(values)
    starts = [*range(0, max(1, moments - length), max(1, length // 2)), max(0, moments - length)]
    for start in dict.fromkeys(starts):
        part = values[start : start + length]
        if np.isnan(part).any():
            window = np.full((1, length, schema.channels), np.nan)
            window[0, : len(part)] = part
            found = estimator.filled(*schema.partial(window), seed=noise.mix(seed, first + start))
            drawn = schema.decode(found)[0, : len(part)]
            values[start : start + length] = np.where(np.isnan(part), drawn, part)


def asked(schema: Any, where: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """One row of which some columns are given, and which of its floats are: (1, floats) each.

    Raises:
        RequestError: the model is of no table, or a column or value is none of the training data.
    """
    if not isinstance(where, Mapping):
        raise RequestError(f"where is {where!r}: give values by the name of their column, such as {{'income': '>50K'}}.")
    if not isinstance(schema, TableSchema):
        raise RequestError(f"Only tables have columns to ask for; this model is of kind {schema.kind!r}.")
    return schema.given(where)
