"""Tables looked up once: what a row's cells are as options and scores, kept for the steps of a training."""

from typing import Any

import numpy as np

from calco.data.source import Raw, Source
from calco.data.tables import Rows, TableSchema
from calco.data.values import room

CHUNK = 1 << 16
"""Rows looked up at once."""


class LookedUp:
    """A source of a table whose rows come as their options and scores, which its schema encodes many times faster.

    Args:
        source: of the table.
        schema: of it.
    """

    def __init__(self, source: Source, schema: TableSchema) -> None:
        self.source = source
        self.classes, self.names, self.dtypes, self.levels, self.slow = source.classes, source.names, source.dtypes, None, False
        scored = sum(column.scored for column in schema.coded)
        self.rows = Rows(room((len(source), len(schema.coded)), np.int32), room((len(source), scored), np.float32))
        labels = []
        for start in range(0, len(source), CHUNK):
            part = slice(start, min(start + CHUNK, len(source)))
            raw = source.take(np.arange(part.start, part.stop))
            self.rows.choices[part], self.rows.scores[part] = schema.looked_up(raw.x)
            labels.append(raw.y)
        self.y = None if not labels or labels[0] is None else np.concatenate(labels)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> Raw:
        """Some of its rows."""
        found = Rows(self.rows.choices[rows], self.rows.scores[rows])
        return Raw(found, None if self.y is None else self.y[rows])

    def describe(self) -> dict[str, Any]:
        """What the table is."""
        return self.source.describe()


def looked_up(source: Source, schema: Any, rows: int) -> Source:
    """The source itself, or its table looked up once where so many rows are at least all of it."""
    return LookedUp(source, schema) if isinstance(schema, TableSchema) and rows >= len(source) else source
