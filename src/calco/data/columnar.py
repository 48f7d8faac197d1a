"""Tables too large for memory: read a part at a time, each column kept in a file that is mapped into memory."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from calco.data.columns import dtype_of
from calco.errors import RequestError

ROWS = 1 << 18
"""Rows read at once."""
MOST = 100_000
"""Different texts of a column at most: more are free text or a key."""
NEVER = np.iinfo(np.int64).min
"""A date that is missing, as numpy writes it."""


class Gathered:
    """A column on its way to disk: numbers as float64, dates as microseconds, all else as codes of its different texts."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name, self.file, self.kind, self.waiting = name, file, "", 0
        self.dtypes: set[str] = set()
        self.codes: dict[str, int] = {}

    def add(self, values: Any) -> None:
        """Write the next part.

        Raises:
            RequestError: it is of another kind than those before, or there are too many different texts.
        """
        if not values.notna().any() and not self.kind:
            self.waiting += len(values)
            return
        if values.notna().any():
            kind = _kind(values, self.kind)
            if self.kind and kind != self.kind:
                raise RequestError(
                    f"The column {self.name} mixes {self.kind}s and {kind}s: mend it, leave those cells empty, or call it a"
                    " choice."
                )
            self.kind = kind
            self.dtypes.add(dtype_of(values))
        if self.waiting:
            self.file.write(self._written(values.iloc[:0].reindex(range(self.waiting))).tobytes())
            self.waiting = 0
        self.file.write(self._written(values).tobytes())

    def _written(self, values: Any) -> np.ndarray:
        import pandas as pd

        if self.kind == "number":
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        if self.kind == "date":
            stamps: Any = pd.to_datetime(values, utc=True, format="ISO8601" if values.dtype.kind == "O" else None)
            return stamps.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        if isinstance(values.dtype, pd.CategoricalDtype):  # in their own order, whether they occur or not
            for text in values.dtype.categories.astype(str):
                self.codes.setdefault(text, len(self.codes))
        codes, texts = pd.factorize(values.astype(str).where(values.notna(), None))
        for text in texts:
            self.codes.setdefault(str(text), len(self.codes))
        if len(self.codes) > MOST:
            raise RequestError(
                f"The column {self.name} looks like free text or a key (more than {MOST:,} different values): drop it"
                f' (columns: {{"{self.name}": "drop"}}).'
            )
        table = np.array([*(self.codes[str(text)] for text in texts), -1], np.int32)
        return table[codes]

    def column(self, rows: int) -> Any:
        """The whole column, a pandas series mapped from its file, and the dtype that its data had."""
        import pandas as pd

        if not self.kind:
            return pd.Series(np.full(rows, np.nan)), "float64"
        self.file.flush()
        if self.kind == "text":
            own = {d for d in self.dtypes if d.startswith("category")}
            order = list(self.codes) if own else sorted(self.codes)
            rank = {text: i for i, text in enumerate(order)}
            table = np.array([*(rank[text] for text in self.codes), -1])
            size = np.int8 if len(order) < 127 else np.int16 if len(order) < 32767 else np.int32
            with tempfile.TemporaryFile(prefix="calco-") as file:
                codes = np.memmap(file, size, "w+", shape=(rows,))
            old = np.memmap(self.file, np.int32, "r", shape=(rows,))
            for start in range(0, rows, ROWS):
                codes[start : start + ROWS] = table[old[start : start + ROWS]]
            found = pd.Series(pd.Categorical.from_codes(codes, order), copy=False)  # pyright: ignore[reportArgumentType]
            return found, own.pop() if own else "bool" if self.dtypes == {"bool"} and not (codes < 0).any() else "str"
        kind: Any = np.float64 if self.kind == "number" else "datetime64[us]"
        values = np.memmap(self.file, kind, "r", shape=(rows,))
        if self.kind == "date":
            zones = {d for d in self.dtypes if d.startswith("datetime64")}
            return pd.Series(values, copy=False), zones.pop() if len(zones) == 1 else "str"
        whole = self.dtypes.pop() if len(self.dtypes) == 1 else "float64"
        return pd.Series(values, copy=False), whole


def _kind(values: Any, before: str) -> str:
    import pandas as pd

    if values.dtype.kind in "iuf":
        return "number"
    if values.dtype.kind == "M":
        return "date"
    if values.dtype.kind == "b" or isinstance(values.dtype, pd.CategoricalDtype) or before == "text":
        return "text"
    # One value is cheap to look at; where it is a date, all are tried.
    present = values.dropna().astype(str)
    dates = pd.to_datetime(present.head(1), errors="coerce", format="ISO8601").notna().all()
    return "date" if dates and pd.to_datetime(present, errors="coerce", format="ISO8601").notna().all() else "text"


def mapped_table(path: Path, columns: Mapping[str, str] | None = None) -> Any:
    """A data frame of a CSV or Parquet file whose columns are mapped from disk, text as categoricals.

    Numbers are float64 and dates whole microseconds; `attrs["dtypes"]` says what they were.

    Args:
        path: the file.
        columns: kinds of columns by name: those to drop are not read, choices are read as text.

    Raises:
        RequestError: a column mixes numbers, dates and text, or holds free text or a key.
    """
    import pandas as pd

    gathered: dict[str, Gathered] = {}
    rows = 0
    with contextlib.ExitStack() as stack:  # a map outlives its file
        for part in _parts(path, dict(columns or {})):
            for name in part.columns:
                if name not in gathered:
                    gathered[name] = Gathered(name, stack.enter_context(tempfile.TemporaryFile(prefix="calco-")))
                gathered[name].add(part[name])
            rows += len(part)
        found = {name: column.column(rows) for name, column in gathered.items()}
    frame = pd.DataFrame({name: values for name, (values, _) in found.items()}, copy=False)
    frame.attrs["dtypes"] = {name: dtype for name, (_, dtype) in found.items()}
    frame.attrs["dropped"] = [name for name, kind in dict(columns or {}).items() if kind == "drop"]
    return frame


def _parts(path: Path, columns: dict[str, str]) -> Iterator[Any]:
    import pandas as pd
    import pyarrow.parquet as pq

    dropped = {name for name, kind in columns.items() if kind == "drop"}
    if path.suffix.lower() == ".parquet":
        file = pq.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name not in dropped]
        for batch in file.iter_batches(ROWS, columns=names):
            part = batch.to_pandas()
            yield part.astype({name: str for name in names if columns.get(name) == "choice"})
        return
    texts: Any = {name: str for name, kind in columns.items() if kind == "choice"}
    with pd.read_csv(path, chunksize=ROWS, dtype=texts, usecols=lambda name: name not in dropped, low_memory=False) as reader:
        yield from reader
