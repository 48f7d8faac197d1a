"""Windows of recordings: how long, of whom their labels are, and what is in none."""

from typing import Any

import numpy as np

from calco.errors import RequestError


def common_length(lengths: np.ndarray, about: str) -> int:
    """The length of recordings that all have one.

    Raises:
        RequestError: they have not, or there is a single one.
    """
    if len(set(lengths.tolist())) != 1 or len(lengths) == 1:
        raise RequestError(f"{about} is to be cut into windows: say how long they are, such as window=24 or --window 24.")
    return int(lengths[0])


def uncovered(lengths: np.ndarray, window: int, stride: int) -> dict[str, int]:
    """How many recordings of these lengths are shorter than a window, and how many time steps are in no window."""
    windows = np.maximum((lengths - window) // stride + 1, 0)
    seen = windows * window if stride > window else np.where(windows > 0, (windows - 1) * stride + window, 0)
    return {"recordings": int((windows == 0).sum()), "time_steps": int((lengths - seen).sum())}


def labels_of_windows(y: Any, owners: np.ndarray, recording: np.ndarray) -> Any:
    """Labels of the windows: as they are, or those of the recordings that were given.

    Args:
        y: one for each window or for each recording that was given; they follow it through its gaps.
        owners: of each recording the place among those that were given.
        recording: of each window.

    Raises:
        RequestError: they are neither as many as recordings nor as windows, or as many as both while windows are not one each.
    """
    if y is None:
        return None
    count, several = len(recording), int(owners.max()) + 1
    of_each, own = owners[recording], len(y) if hasattr(y, "__len__") else -1
    if own not in (count, several):
        raise RequestError(
            f"There are {several} recordings and {count} windows but labels of shape {np.shape(y)}: give one for each"
            " recording, or one for each window."
        )
    if count == several and (of_each != np.arange(count)).any():
        raise RequestError(
            f"There are {several} recordings and as many windows, but not one in each, so that {own} labels may be of either:"
            " take out the recordings that are shorter than a window, and their labels."
        )
    if own != several:
        return y
    return y.iloc[of_each] if hasattr(y, "iloc") else np.asarray(y)[of_each]
