"""What is missing in tables and series, filled in by whatever can complete an example."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from calco.data import SeriesSchema, TableSchema
from calco.data.cells import cells_of
from calco.data.columns import dates, numbers
from calco.data.typed import read, typed
from calco.data.values import check_names
from calco.errors import RequestError
from calco.maths import noise
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
        drawn = drawn.set_axis(list(schema.columns), axis=1)
        again = np.zeros(len(rows), bool)
        for name, holes in gone.items():
            found[name][rows] = drawn[name].to_numpy(object)
            again |= holes[rows] & drawn[name].isna().to_numpy()
        rows = rows[again]
    trained = schema.decode(x[:1]).set_axis(list(schema.columns), axis=1).dtypes
    out = _filled(data, gone, found, {column.name: (column.kind, trained[column.name]) for column in schema.coded})
    left = sum(int(pd.isna(found[name][holes]).sum()) for name, holes in gone.items())
    return Imputed(out, sum(int(holes.sum()) for holes in gone.values()), left)


Trained = tuple[str, Any]
"""What a column of the training data held, number, choice or date, and its dtype."""


def _filled(data: Any, gone: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], trained: Mapping[str, Trained]) -> Any:
    """A data frame with draws where columns have holes."""
    out = data.copy()
    for i, name in enumerate(map(str, data.columns)):
        if name in gone:
            out.isetitem(i, _with_draws(data.iloc[:, i], np.flatnonzero(gone[name]), drawn[name], *trained[name]))
    return out


def _with_draws(old: Any, holes: np.ndarray, drawn: np.ndarray, kind: str, trained: Any) -> Any:
    """A column with draws in its holes; what is there is left as it is, and so is its dtype where the draws fit it.

    Numbers and booleans that are floats and objects for their holes become what they were in the training data.
    """
    import pandas as pd

    holes = holes[[not pd.isna(value) for value in drawn[holes]]]
    if str(old.dtype) in ("float64", "object") and not old.notna().any():  # whose dtype says nothing
        whole = np.full(len(old), None, object)
        whole[holes] = drawn[holes]
        return pd.Series(whole, old.index, trained, old.name)
    values = _like(old, drawn[holes], kind) if len(holes) else []
    if isinstance(old.dtype, pd.CategoricalDtype):
        own = {str(category): category for category in old.cat.categories}
        values = [own.get(str(value), value) for value in values]
        old = old.cat.add_categories([value for value in dict.fromkeys(values) if value not in set(own.values())])
    found = old.copy()
    try:
        found.iloc[holes] = values
    except (TypeError, ValueError):  # of another kind than the column
        found = old.astype(object)
        found.iloc[holes] = values
    return _as_trained(found, trained)


def _as_trained(found: Any, trained: Any) -> Any:
    """A column without holes with the dtype that it had in training, where that has none for holes and holds its values."""
    if not isinstance(trained, np.dtype) or found.isna().any() or not len(found):
        return found
    if trained.kind == "b" and found.dtype == object and found.map(type).eq(bool).all():
        return found.astype(bool)
    if trained.kind in "iu" and found.dtype.kind == "f" and (found == found.round()).all() and (abs(found) < 2**53).all():
        limits = np.iinfo(trained)
        return found.astype(trained if limits.min <= found.min() and found.max() <= limits.max else np.int64)
    return found


def _like(old: Any, drawn: np.ndarray, kind: str) -> list[Any]:
    """Draws, none of them missing, as a column holds its own values, which may be otherwise than in training."""
    import pandas as pd

    held, draws = cells_of(old, kind), pd.Series(list(drawn))
    if kind == "date" and not held.categorical:
        return list(held.dates(dates(draws, str(old.name), "the draws")))
    if kind == "number" and not held.categorical:
        return list(held.numbers(numbers(draws, str(old.name), "the draws")))
    types = set(typed(old.dropna()).values())
    found = []
    for value in drawn:
        try:
            found.append(read(str(value), types.copy().pop()) if len(types) == 1 else value)
        except (ValueError, KeyError, ArithmeticError):
            found.append(value)
    return found


def _recording(estimator: Fills, schema: SeriesSchema, data: Any, seed: int) -> Imputed:
    """Windows that overlap by half are filled one after another, each given what was filled before."""
    values = past_of(schema, data, "the recording").copy()
    gone = np.isnan(values)
    length, moments = schema.length, len(values)
    starts = [*range(0, max(1, moments - length), max(1, length // 2)), max(0, moments - length)]
    for start in dict.fromkeys(starts):
        part = values[start : start + length]
        if np.isnan(part).any():
            window = np.full((1, length, schema.channels), np.nan)
            window[0, : len(part)] = part
            drawn = schema.decode(estimator.filled(*schema.partial(window), seed=noise.mix(seed, start)))[0, : len(part)]
            values[start : start + length] = np.where(np.isnan(part), drawn, part)
    out = values
    if hasattr(data, "columns"):
        holes = {name: own for name, own in zip(schema.names, gone.T, strict=True) if own.any()}
        draws = dict(zip(schema.names, values.astype(object).T, strict=True))
        dtypes = {name: ("number", _dtype(dtype)) for name, dtype in zip(schema.names, schema.dtypes, strict=True)}
        out = _filled(data, holes, draws, dtypes)
    return Imputed(out, int(gone.sum()), int(np.isnan(values).sum()))


def _dtype(name: str) -> Any:
    import pandas as pd

    return pd.api.types.pandas_dtype(name)


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
