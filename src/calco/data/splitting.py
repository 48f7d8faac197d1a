"""Parts of a source: examples to learn from, and others held out."""

from typing import Any

import numpy as np

from calco.data.source import Source, Subset, spans_of
from calco.errors import RequestError


def split(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """Two disjoint parts, the second with `share` of the examples, chosen by `seed`.

    Raises:
        RequestError: one of them would be empty.
    """
    own: Any = getattr(source, "split", None)
    if own is not None:
        return own(share, seed)
    held = round(share * len(source))
    if not 0 < held < len(source):
        raise RequestError(
            f"Holding out {share:g} of the examples (n_samples={len(source)}) leaves one part empty: give more data, or"
            " another share."
        )
    rng, spans = np.random.default_rng([seed, 2**32]), spans_of(source)
    if spans is None:
        order = rng.permutation(len(source))
        rest, apart = np.sort(order[held:]), np.sort(order[:held])
    else:
        rest, apart = split_in_time(spans, share, rng)
        if not len(rest) or not len(apart):
            raise RequestError(
                f"Holding out the last {share:g} of {len(source)} windows leaves none to learn from that lies wholly before"
                " them: give longer series, shorter windows, or another share."
            )
    return Subset(source, rest, (share, seed, 0)), Subset(source, apart, (share, seed, 1))


def fitting(source: Source, schema: Any, size: int = 500) -> tuple[Source, str]:
    """The examples that a schema takes, and a word on those that it does not: it was fitted on others.

    Args:
        source: the examples.
        schema: what turns them into tensors.
        size: examples that are tried at once.

    Raises:
        RequestError: it takes none of them.
    """
    parts = [np.arange(start, min(start + size, len(source))) for start in range(0, len(source), size)]
    refused = {row: why for part in parts for row, why in _refused(source, schema, part)}
    if not refused:
        return source, ""
    count, why = len(refused), next(iter(refused.values()))
    told = f"{count} of {len(source)} held-out examples are left out, as they hold what those to learn from do not: {why}"
    if count == len(source):
        raise RequestError(told)
    return Subset(source, np.setdiff1d(np.arange(len(source)), list(refused))), told


def _refused(source: Source, schema: Any, rows: np.ndarray) -> list[tuple[int, str]]:
    """Those of some rows that a schema does not take, and why, found by halving."""
    try:
        schema.encode(source.take(rows).x)
    except RequestError as error:
        if len(rows) == 1:
            return [(int(rows[0]), str(error))]
        return [found for half in np.array_split(rows, 2) for found in _refused(source, schema, half)]
    return []


def split_in_time(spans: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of windows to learn from and to hold out, which have no moment in common.

    Whole recordings are held out where there are enough of them, chosen by `rng`; else the end of each.

    Args:
        spans: of each window its recording, its first moment and the one after its last: (n, 3).
        share: of the windows to hold out.
        rng: chooses recordings.
    """
    recordings, counts = np.unique(spans[:, 0], return_counts=True)
    if round(share * len(recordings)) >= 1:
        order = rng.permutation(len(recordings))
        enough = np.searchsorted(np.cumsum(counts[order]), share * len(spans) - 1e-9) + 1
        apart = np.isin(spans[:, 0], recordings[order[:enough]])
        return np.flatnonzero(~apart), np.flatnonzero(apart)
    rest, held = [], []
    for recording in recordings:
        rows = np.flatnonzero(spans[:, 0] == recording)
        rows = rows[np.argsort(spans[rows, 1], kind="stable")]
        cut = spans[rows[len(rows) - max(1, round(share * len(rows)))], 1]
        held.append(rows[spans[rows, 1] >= cut])
        rest.append(rows[spans[rows, 2] <= cut])
    return np.sort(np.concatenate(rest)), np.sort(np.concatenate(held))
