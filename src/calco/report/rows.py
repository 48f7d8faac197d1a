"""Rows of tables as HTML."""

import html
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from calco.data import TableSchema


def rows_table(schema: TableSchema, rows: Sequence[Tensor], names: Sequence[str] = ()) -> str:
    """Rows as the model sees them, each of several tensors (n, floats) in turn: the first of each, the second of each, ...

    Args:
        schema: of the table.
        rows: as many of each.
        names: what to call those of each tensor; one alone needs none.
    """
    frames = [schema.decode(some) for some in rows]
    head = ("<th>" if names else "") + "".join(f"<th>{html.escape(name)}" for name in schema.columns)
    lines = []
    for i in range(len(frames[0])):
        for j, frame in enumerate(frames):
            told = f"<td class=note>{html.escape(names[j])}" if names else ""
            values = "".join(f"<td>{html.escape(_told(value))}" for value in frame.iloc[i])
            lines.append(f"<tr>{told}{values}</tr>")
    return f'<div class="scroll rows"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _told(value: Any) -> str:
    """A cell as one reads it."""
    import pandas as pd

    if pd.isna(value):
        return "·"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
    return str(value.date() if isinstance(value, pd.Timestamp) and value == value.normalize() else value)
