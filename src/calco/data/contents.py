"""Digests of the contents of many files, read anew where a file may have changed."""

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from calco.data.cache import keep, recall
from calco.errors import RequestError

WORKERS = min(16, 4 * (os.cpu_count() or 1))

YOUNG = 2 * 10**9
"""Nanoseconds for which a file that was just changed is not trusted: clocks of disks are that coarse."""


def digests(folder: Path, files: Sequence[Path]) -> list[bytes]:
    """SHA-256 of each of these files below a folder.

    A file whose place on the disk, size and times of change are those of last time is not read again. The time when
    the disk saw the last change counts among those: nobody can set it back.

    Raises:
        RequestError: one cannot be read.
    """
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    names = [os.fsencode(path.relative_to(folder)) for path in files]
    now = time.time_ns()
    stats = np.array([_stat(path) for path in files], np.uint64)
    before = recall("contents", key) or {}
    known = _table(before)
    marks = [(name, stat.tobytes()) for name, stat in zip(names, stats, strict=True)]
    new = [i for i, mark in enumerate(marks) if mark not in known]
    with ThreadPoolExecutor(WORKERS) as pool:
        known |= zip([marks[i] for i in new], pool.map(_digest, [files[i] for i in new]), strict=True)
    found = [known[mark] for mark in marks]
    old = [i for i in range(len(files)) if int(stats[i, -1]) + YOUNG < now]
    if set(new) & set(old):
        held = np.frombuffer(b"".join(found[i] for i in old), np.uint8).reshape(-1, 32)
        keep("contents", key, names=np.array([names[i] for i in old]), stats=stats[old], digests=held)
    return found


def _table(kept: dict[str, np.ndarray]) -> dict[tuple[bytes, bytes], bytes]:
    try:
        rows = zip(kept["names"], kept["stats"], kept["digests"], strict=True)
        return {(bytes(name), stat.tobytes()): digest.tobytes() for name, stat, digest in rows}
    except (KeyError, ValueError):
        return {}


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise RequestError(f"Cannot read {path}: {error.strerror}.") from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns % 2**64, found.st_ctime_ns % 2**64)


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise RequestError(f"Cannot read {path}: {error.strerror}.") from error
