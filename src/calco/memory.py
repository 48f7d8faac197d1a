"""Freed memory is kept for the next step instead of being handed back to the system.

Every step frees what it took, a step later the same sizes are asked for again. The C library of Linux gives large blocks
back at once, and the system clears each page before it hands it out anew: on a CPU that costs a tenth of a step of training,
and half of the time in which a likelihood is estimated.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt(3)
_TRIM_DEFAULT, _MMAP_MAX_DEFAULT = 128 * 1024, 65536

_users, _counting = 0, threading.Lock()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Within this context the process keeps what it frees; afterwards it gives back what is spare.

    Contexts nest, and may be in several threads. Where the C library is not glibc this does nothing.
    """
    global _users
    libc = _glibc()
    if libc is None:
        yield
        return
    with _counting:
        _users += 1
        libc.mallopt(_TRIM_THRESHOLD, -1)
        libc.mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        with _counting:
            _users -= 1
            if not _users:
                libc.mallopt(_TRIM_THRESHOLD, _TRIM_DEFAULT)
                libc.mallopt(_MMAP_MAX, _MMAP_MAX_DEFAULT)
                libc.malloc_trim(0)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
