"""The two errors that calco raises on purpose, and helpers that say what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any


class CalcoError(Exception):
    """Anything that calco stops for on purpose. Its message says what was given, what is allowed, what to do."""

    exit_code = 1


class RequestError(CalcoError, ValueError):
    """The request or the data it names are wrong; nothing was started. Exit code 2 on the command line."""

    exit_code = 2


class RunError(CalcoError, RuntimeError):
    """Something failed while running; what was saved before is intact. Exit code 1 on the command line."""


def one_of(what: str, given: object, allowed: Iterable[object]) -> RequestError:
    """An error for a name that is not among those allowed; it suggests the nearest of them."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return RequestError(f"Unknown {what} {str(given)!r}: choose from {', '.join(names)}.{hint}")


def at_least(owner: object, least: float, *names: str) -> None:
    """Raise unless each of these attributes of a set of settings is at least `least`.

    Raises:
        RequestError: one is smaller.
    """
    for name in names:
        if getattr(owner, name) < least:
            raise RequestError(f"{name} is {getattr(owner, name)}: it must be at least {least}.")


def below_one(owner: object, *names: str) -> None:
    """Raise unless each of these attributes of a set of settings is a share, at least 0 and below 1.

    Raises:
        RequestError: one is not.
    """
    for name in names:
        if not 0 <= getattr(owner, name) < 1:
            raise RequestError(f"{name} is {getattr(owner, name)}: it is a share, at least 0 and below 1.")


def native(value: Any) -> Any:
    """A number, a yes or no or a text of NumPy as Python's own, also within a tuple; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(map(native, value))
    scalar = type(value).__module__ == "numpy" and not value.shape and value.dtype.kind in "biufU"
    return value.item() if scalar else value
