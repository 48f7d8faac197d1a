"""Sources: where examples come from.

One interface serves data in memory, mapped from a file or decoded from many: random access by whole batches of rows.
The order of the data is then the loop's own, and an exact resume needs nothing from a source.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from calco.contract import Batch
from calco.data.clock import check_clock
from calco.data.labels import encode_labels, given_of
from calco.errors import RequestError, one_of

if TYPE_CHECKING:
    from calco.data.schema import Schema


class Raw(NamedTuple):
    """Raw values as they came, an array or a data frame, and class indices, int64 of shape (n,), where there are labels."""

    x: Any
    y: np.ndarray | None


@runtime_checkable
class Source(Protocol):
    """Where examples come from."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; () without labels."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of a data frame; () otherwise."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Dtypes of the columns of a data frame; () otherwise."""
        ...

    @property
    def levels(self) -> int | None:
        """Grey levels 0 .. levels - 1, where that is known of the data and not seen in their dtype."""
        ...

    @property
    def slow(self) -> bool:
        """Whether a batch is worth fetching ahead in a thread."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> Raw:
        """Some rows, in that order."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON: what it is, `n`, a `fingerprint` of its contents, and under `open` how to open it again."""
        ...


def hash_array(digest: Any, x: np.ndarray) -> None:
    """Add the contents of an array, perhaps mapped from a file, to a digest of hashlib, a part at a time."""
    for start in range(0, len(x), 4096):
        digest.update(np.ascontiguousarray(x[start : start + 4096]).data)


class ArraySource:
    """Examples in one array, in memory or mapped from a file.

    Args:
        x: (n, ...), any numeric dtype.
        y: labels of any kind, (n,).
        levels: grey levels, where the dtype does not tell.
        names: names of the columns of a data frame.
        dtypes: their dtypes.
        column_labels: their names as they were, where not all are text.
        open: how `open_data` opens it again; None for data in memory.
        about: what to say of it.
        files: of each example the file it came from, where each has one.
        more: further fields of its description.

    Raises:
        RequestError: there are no examples, the values are no numbers, or there are not as many labels as examples.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: Any = None,
        *,
        levels: int | None = None,
        names: tuple[str, ...] = (),
        dtypes: tuple[str, ...] = (),
        column_labels: tuple[Any, ...] = (),
        open: dict[str, Any] | None = None,
        about: str = "an array",
        files: Sequence[str] = (),
        more: dict[str, Any] | None = None,
    ) -> None:
        if x.dtype.kind not in "biuf":
            raise RequestError(f"{about} holds values of type {x.dtype}, not numbers of one shape: give a numeric array.")
        if x.ndim == 0 or x.size == 0:
            raise RequestError(f"{about} is empty (shape {x.shape}): there is nothing to learn from.")
        if x.ndim == 4 and x.shape[-1] > 4:
            raise RequestError(
                f"{about}, of shape {x.shape}, has {x.shape[-1]} channels: images are (n, height, width, 1 to 4 channels),"
                " or a tensor (n, channels, height, width). Move the axis with np.moveaxis(x, 1, -1) if it comes second."
            )
        self.x, self.levels, self.names, self.dtypes = x, levels, names, dtypes
        self.open, self.about, self.files, self.more = open, about, files, more or {}
        self.column_labels = column_labels
        self.y, self.classes, self.labels = encode_labels(y, len(x))
        self.slow = isinstance(x, np.memmap)
        self._fingerprint = ""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Raw:
        """Some rows, by one indexing operation."""
        return Raw(np.asarray(self.x[rows]), None if self.y is None else self.y[rows])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples some rows are: by their files, or by number."""
        return of_files(self.files, rows) if self.files else {"row": np.asarray(rows)}

    def describe(self) -> dict[str, Any]:
        """What it is, with a SHA-256 of its shape, type and contents."""
        if not self._fingerprint:
            digest = hashlib.sha256(f"{self.x.shape} {self.x.dtype}".encode())
            hash_array(digest, self.x)
            if self.y is not None:
                digest.update(self.y.tobytes())
            self._fingerprint = digest.hexdigest()
        return {"about": self.about, "n": len(self), "fingerprint": self._fingerprint, **self.more, "open": self.open}


def spans_of(source: Any) -> np.ndarray | None:
    """Of each window of series its recording, first moment and the one after its last, (n, 3); None for all other examples."""
    return getattr(source, "spans", None)


def plan_of(source: Any) -> Any:
    """What was known of the channels of series, or of the columns of a table, when they were opened; else None."""
    return getattr(source, "plan", None)


def column_labels_of(source: Any) -> tuple[Any, ...]:
    """The names of the columns of a data frame where not all are text; else ()."""
    inner = next((getattr(source, name) for name in ("source", "labelled") if hasattr(source, name)), None)
    return column_labels_of(inner) if inner is not None else getattr(source, "column_labels", ())


def identify(source: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Which examples these rows of a source are, as columns of a table: files, recordings and moments where it knows of such,
    else their numbers, from 0."""
    own = getattr(source, "identify", None)
    return {"row": np.asarray(rows)} if own is None else own(rows)


def of_files(files: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The column that tells which file each of these rows is."""
    return {"file": np.array([as_text(files[int(row)]) for row in rows], object)}


def as_text(name: str) -> str:
    """The name of a file as text that can be written, also where it is not in UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Subset:
    """Some rows of another source.

    Args:
        source: the other.
        rows: of it.
        apart: share, seed and side of the `split` that gives these rows, by which they can be opened again.
    """

    def __init__(self, source: Source, rows: np.ndarray, apart: tuple[float, int, int] | None = None) -> None:
        self.source, self.rows, self.apart = source, rows, apart
        self.classes, self.levels, self.slow = source.classes, source.levels, source.slow
        self.labels, self.names, self.dtypes = given_of(source), source.names, source.dtypes
        spans, self.plan = spans_of(source), plan_of(source)
        self.spans = None if spans is None else spans[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> Raw:
        """Some of its rows."""
        return self.source.take(self.rows[rows])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples of the whole some of its rows are."""
        return identify(self.source, self.rows[rows])

    def describe(self) -> dict[str, Any]:
        """What it is; the fingerprint is of the whole and of the rows, which can be opened again where they are of a split.

        `whole` has the fingerprints of all that it is a part of.
        """
        whole = self.source.describe()
        digest = hashlib.sha256(whole["fingerprint"].encode() + np.asarray(self.rows, np.int64).tobytes())
        again = (
            whole["open"] and {**whole["open"], "apart": [*whole["open"].get("apart", []), [*self.apart]]}
            if self.apart
            else None
        )
        part = {"n": len(self), "part_of": len(self.source), "fingerprint": digest.hexdigest(), "open": again}
        return {**whole, **part, "whole": [*whole.get("whole", []), whole["fingerprint"]]}


class Relabelled:
    """A source whose labels are others: indices of `classes`, or values, by the table from its own to those.

    The last entry of the table is what -1 looks up.
    """

    def __init__(self, source: Source, classes: tuple[str, ...], table: np.ndarray) -> None:
        self.source, self.classes, self.table = source, classes, table
        self.levels, self.slow, self.names, self.dtypes = source.levels, source.slow, source.names, source.dtypes
        self.spans, self.plan = spans_of(source), plan_of(source)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> Raw:
        """Some of its rows."""
        x, y = self.source.take(rows)
        return Raw(x, None if y is None else self.table[y])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples some of its rows are."""
        return identify(self.source, rows)

    def describe(self) -> dict[str, Any]:
        """What it is; the labels mean what they did."""
        return self.source.describe()


def column_of(source: Any, name: str) -> Any:
    """One column of a table, a pandas series, without the others."""
    if isinstance(source, Subset):
        return column_of(source.source, name).iloc[source.rows]
    if isinstance(source, Relabelled):
        return column_of(source.source, name)
    own = getattr(source, "column", None)
    return source.take(np.arange(len(source))).x[name] if own is None else own(name)


def with_classes(source: Source, classes: tuple[str, ...]) -> Source:
    """A source with its labels as indices of `classes`.

    Raises:
        RequestError: it has no labels, or one that is none of these.
    """
    if not source.classes:
        raise RequestError(f"These examples have no labels, and the model is conditional on one of {', '.join(classes)}.")
    for name in source.classes:
        if name not in classes:
            raise one_of("label", name, classes)
    if source.classes == classes:
        return source
    # Places of a mask that are ignored stay so.
    return Relabelled(source, classes, np.array([*(classes.index(name) for name in source.classes), -1]))


def batches(source: Source, schema: "Schema", size: int) -> Iterator[Batch]:
    """The whole source in order, as batches of at most `size`; a slow source is read one batch ahead.

    Raises:
        RequestError: the columns are not those that the schema knows, or are in another order, or time goes by other steps.
    """
    check_columns(source.names, schema.columns)
    check_clock(getattr(plan_of(source), "clock", None), getattr(schema, "clock", None))
    parts = [np.arange(start, min(start + size, len(source))) for start in range(0, len(source), size)]
    for raw in ahead(source, parts):
        yield Batch(schema.encode(raw.x), None if raw.y is None else torch.from_numpy(raw.y))


def check_columns(given: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise where two tables do not have the same columns in the same order; without names there is nothing to check.

    Raises:
        RequestError: with the columns that are missing or unknown.
    """
    if not given or not known or given == known:
        return
    missing, unknown = [n for n in known if n not in given], [n for n in given if n not in known]
    if not missing and not unknown:
        raise RequestError(f"The columns are in another order than the model knows: give {', '.join(known)}.")
    told = [f"{what} {', '.join(names[:5])}" for what, names in (("without", missing), ("with unknown", unknown)) if names]
    raise RequestError(f"The table does not have the columns that the model knows: it is {' and '.join(told)}.")


def ahead(source: Source, parts: list[np.ndarray]) -> Iterator[Raw]:
    """Take these parts in turn; from a slow source the next is fetched in a thread while one is worked on."""
    if not source.slow or not parts:
        yield from (source.take(rows) for rows in parts)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.take, parts[0])
        for rows in [*parts[1:], None]:
            raw = waiting.result()
            if rows is not None:
                waiting = pool.submit(source.take, rows)
            yield raw
