"""Checks of raw values that every schema makes."""

import numpy as np

from calco.errors import RequestError

READ_AT_ONCE = 2048
"""Rows read at once when a schema is fitted."""


def size_of(raw: np.ndarray) -> str:
    """The size of one example, for a message."""
    return " x ".join(str(side) for side in raw.shape[1:]) or "single numbers"


def check_finite(raw: np.ndarray, names: tuple[str, ...] = ()) -> None:
    """Raise if a value is NaN or infinite.

    Raises:
        RequestError: with how many examples, the first of them, and the columns.
    """
    if raw.dtype.kind in "iub" or np.isfinite(raw).all():
        return
    bad = ~np.isfinite(raw)
    rows = np.flatnonzero(bad.reshape(len(raw), -1).any(1))
    columns = [names[i] for i in np.flatnonzero(bad.any(0))[:5]] if names else []
    where = f" (columns {', '.join(columns)})" if columns else ""
    raise RequestError(
        f"{len(rows)} of {len(raw)} examples hold NaN or infinity, the first in row {rows[0]}{where}: remove or fill them."
    )
