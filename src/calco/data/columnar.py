"""Tables too large for memory: read a part at a time, each column kept in a file that is mapped into memory."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from calco.data.cells import Cells, cells_of, dtype_of, gap_of, joined
from calco.data.columns import CELLS, DROPPED, DTYPES, are_dates, finer, moments, tell_finer
from calco.data.typed import texts
from calco.data.values import inexact, numpy_type
from calco.errors import RequestError

ROWS = 1 << 18
"""Rows read at once."""
GAPLESS = {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
"""Dtypes that have no room for what is missing: a part with a gap has another one."""
MOST = 100_000
"""Different texts of a column at most: more are free text or a key."""


class Changed(Exception):
    """A part of a column is of another kind than those before: it is to be read as text, all of it."""


class Gathered:
    """A column on its way to disk: numbers as they are in eight bytes, dates as microseconds, all else as codes of its texts.

    Args:
        name: of the column.
        file: to write to.
        text: take it for text, whatever it looks like.
        named: what it was said to hold: "number", "choice" or "date"; "" where nothing was said.
    """

    def __init__(self, name: str, file: IO[bytes], text: bool, named: str) -> None:
        self.name, self.file, self.text, self.named = name, file, text, named
        self.kind, self.rows, self.missing = "", 0, False
        self.dtypes: set[str] = set()
        self.cells: Cells | None = None
        self.gap, self.finer = "", 0
        self.codes: dict[str, int] = {}
        self.fractions: list[tuple[int, int, bool]] = []  # first row, row after the last, whether they are floats

    def add(self, values: Any) -> None:
        """Write the next part.

        Raises:
            Changed: it is of another kind than those before.
            RequestError: there are too many different texts, or it holds durations.
        """
        gone = values.isna()
        self.missing |= bool(gone.any())
        if len(getattr(values.dtype, "categories", ())) or not gone.all():  # categories count without a value
            kind = self._kind(values.dropna())
            if self.kind and kind != self.kind:
                raise Changed(self.name)
            if not self.kind:
                self.kind = kind
                self._write(values.iloc[:0].reindex(range(self.rows)), 0)
            self.dtypes.add(dtype_of(values))
            self._hold(values)
        if gone.any() and values.dtype == object:
            self.gap = self.gap or gap_of(values)
        if self.kind:
            self._write(values, self.rows)
        self.rows += len(values)

    def _hold(self, values: Any) -> None:
        """Learn how the cells of a part are held."""
        holds = "choice" if self.kind == "text" or self.named == "choice" else self.kind
        cells = cells_of(values, holds)
        self.cells = cells if self.cells is None else joined(self.cells, cells)
        if self.kind == "number" and inexact(values.dropna()):
            raise Changed(self.name)
        if values.dtype.kind == "M":
            self.finer += finer(values.dropna(), self.name, "the table")

    def held(self) -> Cells | None:
        """How the cells of the column would be held in memory."""
        if self.cells is None:
            return None
        dtype = self.dtype()
        if dtype != "object":
            return dataclasses.replace(self.cells, dtype=dtype, gap="")
        kind = self.cells.type or ("bool" if self.kind == "number" else "")  # that of parts without a gap
        gap = self.gap or ("None" if self.dtypes == {"bool"} else "float")
        return dataclasses.replace(self.cells, dtype=dtype, type=kind, gap=gap)

    def _kind(self, present: Any) -> str:
        """What values without missing ones are: number, date or text."""
        import pandas as pd

        dtype = present.dtype
        if dtype.kind == "m":
            raise RequestError(f"The column {self.name} holds durations: turn them into numbers, such as seconds.")
        holds = "floating" if dtype.kind in "iuf" else pd.api.types.infer_dtype(present)
        if self.text or isinstance(dtype, pd.CategoricalDtype) or (holds == "boolean" and self.named != "number"):
            return "text"
        if dtype.kind in "iuf" or (holds in ("boolean", "decimal", "integer", "floating") and self.named != "choice"):
            return "number"
        if self.named not in ("", "date"):
            return "text"
        if dtype.kind == "M":
            return "date"
        years = self.named == "date"
        # One value is cheap to look at; where it is a date, all are tried.
        return "date" if are_dates(present.head(1), years) and are_dates(present, years) else "text"

    def _write(self, values: Any, first: int) -> None:
        if not len(values):
            return
        if self.kind == "number":
            fractional = values.dtype.kind not in "iu" or bool(values.isna().any())
            self.fractions.append((first, first + len(values), fractional))
            found = values.to_numpy(np.float64, na_value=np.nan) if fractional else values.to_numpy(np.int64)
        elif self.kind == "date":
            found = moments(values)
        else:
            found = self._coded(values)
        self.file.write(found.tobytes())

    def _coded(self, values: Any) -> np.ndarray:
        codes, different = texts(values)  # of categoricals in their own order, whether they occur or not
        for text in different:
            self.codes.setdefault(text, len(self.codes))
        if len(self.codes) > MOST:
            raise RequestError(
                f"The column {self.name} looks like free text or a key (more than {MOST:,} different values): drop it"
                f' (columns: {{"{self.name}": "drop"}}).'
            )
        return np.array([*(self.codes[text] for text in different), -1], np.int32)[codes]

    def column(self) -> Any:
        """The whole column, a pandas series mapped from its file."""
        import pandas as pd

        if not self.kind:
            return pd.Series(np.full(self.rows, np.nan))
        self.file.flush()
        if self.finer:
            tell_finer(self.name, self.finer)
        if self.kind == "number":
            return self._numbers()
        if self.kind == "date":
            dates: Any = np.memmap(self.file, "datetime64[us]", "r", shape=(self.rows,))
            return pd.Series(dates, copy=False)
        codes = np.memmap(self.file, np.int32, "r", shape=(self.rows,))
        if self.dtypes == {"bool"} and not self.missing:
            return pd.Series(_filled(codes, np.bool_, np.array([text == "True" for text in self.codes])), copy=False)
        return _categorical(codes, list(self.codes), list(self.cells.texts if self.cells else ()))

    def _numbers(self) -> Any:
        """Whole numbers where all are, else float64; as categories of their texts where they are called a choice."""
        import pandas as pd

        whole: Any = np.memmap(self.file, np.int64, "r+", shape=(self.rows,))
        values: Any = whole
        if any(fractional for _, _, fractional in self.fractions):
            values = np.memmap(self.file, np.float64, "r+", shape=(self.rows,))
            for start, stop, fractional in self.fractions:
                if not fractional:
                    values[start:stop] = whole[start:stop].astype(np.float64)
        if self.named != "choice":
            return pd.Series(values, copy=False)
        different = np.unique(np.concatenate([np.unique(values[i : i + ROWS]) for i in range(0, self.rows, ROWS)]))
        different = different[~np.isnan(different)]
        if len(different) > MOST:
            raise RequestError(f"The column {self.name} has more than {MOST:,} different values: call it a number, or drop it.")
        with tempfile.TemporaryFile(prefix="calco-") as file:
            codes = np.memmap(file, np.int32, "w+", shape=(self.rows,))
        for start in range(0, self.rows, ROWS):
            part = values[start : start + ROWS]
            codes[start : start + ROWS] = np.where(np.isnan(part), -1, np.searchsorted(different, part))
        different = different.astype(numpy_type(self.dtype()))
        found = [str(value) for value in different]
        if self.cells is not None:
            kind = "float" if different.dtype.kind == "f" else "int"
            self.cells = dataclasses.replace(self.cells, texts=tuple(found), types=(kind,) * len(found))
        return _categorical(codes, found, found)

    def dtype(self) -> str:
        """The dtype that the column, of which some values are known, would have in memory."""
        if self.missing and self.dtypes & GAPLESS:
            return "object" if "bool" in self.dtypes else "float64"
        return next(iter(self.dtypes))


def _filled(codes: np.ndarray, kind: Any, table: np.ndarray) -> np.ndarray:
    """Entries of a table by their codes, -1 the last, mapped from a file of their own."""
    with tempfile.TemporaryFile(prefix="calco-") as file:
        found = np.memmap(file, kind, "w+", shape=codes.shape)
    for start in range(0, len(codes), ROWS):
        found[start : start + ROWS] = table[codes[start : start + ROWS]]
    return found


def _categorical(codes: np.ndarray, texts: list[str], order: list[str]) -> Any:
    """Codes of texts, -1 what is missing, as a categorical column with its categories in some order."""
    import pandas as pd

    rank = {text: i for i, text in enumerate(order)}
    size = np.int8 if len(order) < 127 else np.int16 if len(order) < 32767 else np.int32  # those that pandas would choose
    new: Any = _filled(codes, size, np.array([*(rank[text] for text in texts), -1]))
    return pd.Series(pd.Categorical.from_codes(new, order), copy=False)


def mapped_table(parts: Callable[[int], Iterator[Any]], columns: Mapping[str, str] | None = None) -> Any:
    """A data frame whose columns are mapped from disk, text as categoricals.

    `attrs` say what dtypes the columns would have in memory.

    Args:
        parts: data frames of so many rows at most, one after the other, each time it is called.
        columns: kinds of columns by name: those to drop are not kept.

    Raises:
        RequestError: a column holds free text or a key, or durations.
    """
    columns, texts = dict(columns or {}), set()
    while True:
        try:
            return _mapped(parts(ROWS), columns, texts)
        except Changed as changed:
            texts.add(changed.args[0])


def _mapped(parts: Iterator[Any], columns: dict[str, str], texts: set[str]) -> Any:
    import pandas as pd

    gathered: dict[str, Gathered] = {}
    dropped: list[str] = []
    with contextlib.ExitStack() as stack:  # a map outlives its file
        for part in parts:
            dropped = [name for name in part.columns if columns.get(str(name)) == "drop"]
            for name in part.columns.drop(dropped):
                if name not in gathered:
                    file = stack.enter_context(tempfile.TemporaryFile(prefix="calco-"))
                    gathered[name] = Gathered(str(name), file, name in texts, columns.get(str(name), ""))
                gathered[name].add(part[name])
        found = {name: column.column() for name, column in gathered.items()}
    frame = pd.DataFrame(found, copy=False)
    frame.attrs[CELLS] = {str(name): cells for name, column in gathered.items() if (cells := column.held())}
    frame.attrs[DTYPES] = {str(name): column.dtype() for name, column in gathered.items() if column.kind}
    frame.attrs[DROPPED] = [str(name) for name in dropped]
    return frame


def parquet_parts(path: Path, rows: int) -> Iterator[Any]:
    """A Parquet file in data frames of so many rows at most."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as opened:
        file = pq.ParquetFile(opened)
        for batch in file.iter_batches(rows):  # with the schema, which knows the dtypes of pandas
            yield pa.Table.from_batches([batch.cast(file.schema_arrow)]).to_pandas()
