"""What is kept to save time: arrays under names, checked when they are read. What was not used longest goes for new ones.

Nothing depends on it: a disk that is full or read-only, a damaged file or an empty folder cost time only.
"""

import contextlib
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calco.errors import RequestError

SIZE = 16 << 30
"""Bytes that are kept at most, where CALCO_CACHE_SIZE does not say."""
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DAY = 24 * 3600


class Entry(NamedTuple):
    """A file of the cache."""

    path: Path
    size: int
    used: float
    """When, in seconds since 1970."""


def cache_folder() -> Path:
    """Where things are kept: CALCO_CACHE, else the user's cache folder."""
    if os.environ.get("CALCO_CACHE"):
        return Path(os.environ["CALCO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "calco"


def cache_bound() -> int:
    """Bytes that are kept at most: CALCO_CACHE_SIZE, such as 500M or 20G; 0 keeps nothing.

    Raises:
        RequestError: that is no size.
    """
    given = os.environ.get("CALCO_CACHE_SIZE", "").strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", given, re.IGNORECASE)
    if given and not found:
        raise RequestError(f"CALCO_CACHE_SIZE is {given!r}: give bytes, or such as 500M or 20G.")
    return int(float(found[1]) * UNITS[found[2].upper()]) if found else SIZE


def recall(kind: str, key: str) -> dict[str, np.ndarray] | None:
    """The arrays that were kept under this name; None where there are none, or they are damaged.

    Args:
        kind: what they are, the name of a folder.
        key: a SHA-256 in hexadecimal.

    Raises:
        RequestError: CALCO_CACHE_SIZE is no size; which is said before what is to be kept is worked out.
    """
    cache_bound()
    path = cache_folder() / kind / f"{key}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # which checks the sums of what it reads
            found = {name: archive[name] for name in archive.files}
    except OSError:
        return None
    except Exception:  # damaged files raise what their damage leads to
        _remove(path)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def keep(kind: str, key: str, **arrays: np.ndarray) -> None:
    """Keep arrays under a name, as far as they fit.

    Raises:
        RequestError: CALCO_CACHE_SIZE is no size.
    """
    bound = cache_bound()
    if sum(array.nbytes for array in arrays.values()) > bound:
        return
    path = cache_folder() / kind / f"{key}.npz"
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(aside, path)
    except OSError:
        _remove(aside)
    prune(bound)


def entries() -> list[Entry]:
    """The files of the cache, that of the longest disuse first; other files in its folder are none of them."""
    found = []
    for path in cache_folder().glob("*/*"):
        if re.fullmatch(r"\.?[0-9a-f]{64}\.npz(\.\d+)?", path.name):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append(Entry(path, stat.st_size, stat.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def prune(bound: int) -> None:
    """Remove what was not used longest until no more than `bound` bytes remain."""
    kept = entries()
    total = sum(entry.size for entry in kept)
    for entry in kept:
        if total <= bound:
            return
        if entry.path.name.startswith(".") and time.time() - entry.used < DAY:
            continue  # another process may be writing it
        _remove(entry.path)
        total -= entry.size


def clear() -> tuple[int, int]:
    """Remove all that is kept: how many files, of how many bytes."""
    kept = entries()
    for entry in kept:
        _remove(entry.path)
    return len(kept), sum(entry.size for entry in kept)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
