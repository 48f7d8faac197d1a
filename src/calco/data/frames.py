"""Tables of columns of several kinds, in memory, handed out as data frames."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from calco.data.columns import Column, inferred
from calco.data.labels import encode_labels
from calco.data.source import Raw
from calco.data.typed import texts
from calco.data.values import check_names, labels_in
from calco.errors import RequestError


class TableSource:
    """Rows of a data frame.

    Args:
        frame: a pandas data frame.
        y: labels, (n,), beside those that are a column.
        columns: kinds of columns by name, where they are not to be inferred.
        open: how `open_data` opens it again; None for data in memory.
        about: what to say of it.

    Raises:
        RequestError: there are no rows, or a column holds what cannot be learned.
    """

    levels: int | None = None
    slow = False

    def __init__(
        self,
        frame: Any,
        y: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        open: dict[str, Any] | None = None,
        about: str = "the data frame",
    ) -> None:
        if not len(frame):
            raise RequestError(f"{about} has no rows: there is nothing to learn from.")
        check_names(frame, about)
        labels = dict(zip(frame.columns.map(str), labels_in(frame), strict=False))
        frame = frame.rename(columns=str).reset_index(drop=True)
        self.plan: tuple[Column, ...] = tuple(inferred(frame, columns, about))
        self.names = tuple(column.name for column in self.plan)
        self.dtypes = tuple(column.dtype for column in self.plan)
        self.column_labels = tuple(labels[name] for name in self.names if labels)
        self.frame = _quick(frame[list(self.names)], self.plan)
        self.y, self.classes, self.labels = encode_labels(y, len(frame))
        self.open, self.about, self._fingerprint = open, about, ""

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: np.ndarray) -> Raw:
        """Some rows, a data frame."""
        return Raw(self.frame.iloc[rows], None if self.y is None else self.y[rows])

    def column(self, name: str) -> Any:
        """One column, a pandas series."""
        return self.frame[name]

    def describe(self) -> dict[str, Any]:
        """What it is, with a SHA-256 of its columns and contents."""
        if not self._fingerprint:
            import pandas.util

            digest = hashlib.sha256(repr([(c.name, c.dtype, c.kind) for c in self.plan]).encode())
            hasher: Any = pandas.util.hash_pandas_object
            hashes = hasher(self.frame, index=False)
            digest.update(np.asarray(hashes).tobytes())
            if self.y is not None:
                digest.update(self.y.tobytes())
            self._fingerprint = digest.hexdigest()
        return {"about": self.about, "n": len(self), "fingerprint": self._fingerprint, "open": self.open}


def _quick(frame: Any, plan: tuple[Column, ...]) -> Any:
    """The frame with texts as categoricals, of which a batch is taken and looked up fast."""
    import pandas as pd

    made = {}
    for column in plan:
        values = frame[column.name]
        if column.kind == "choice" and not isinstance(values.dtype, pd.CategoricalDtype):
            codes, different = texts(values)
            place = {option: i for i, option in enumerate(column.options)}
            codes = np.array([*(place.get(text, -1) for text in different), -1])[codes]  # some of Arrow do not occur
            values = pd.Series(pd.Categorical.from_codes(codes, list(column.options)))
        made[column.name] = values
    return pd.DataFrame(made, copy=False)
