"""How numbers are written as text: the decimal sign and what groups thousands, alike in all columns of a table."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from calco.data.dialect import Dialect
from calco.errors import RequestError

LEADING = r"[1-9]\d{0,2}"
"""The digits before thousands: no zero, by which 0,123 is told from them."""


class Format(NamedTuple):
    """The decimal sign, and what groups thousands, "" for nothing."""

    decimal: str
    thousands: str = ""

    @property
    def number(self) -> str:
        """A regular expression of numbers."""
        d = re.escape(self.decimal)
        grouped = rf"|{LEADING}{self._group}+({d}\d*)?" if self.thousands else ""
        return rf"^\s*[+-]?((\d+({d}\d*)?|{d}\d+)([eE][+-]?\d+)?{grouped})\s*$"

    @property
    def whole(self) -> str:
        """A regular expression of whole numbers."""
        grouped = rf"|{LEADING}{self._group}+" if self.thousands else ""
        return rf"^\s*[+-]?(\d+{grouped})\s*$"

    @property
    def proof(self) -> str:
        """A regular expression of numbers that are written in no other way: thousands with a fraction, and millions."""
        return rf"^\s*[+-]?{LEADING}({self._group}+{re.escape(self.decimal)}\d*|{self._group}{{2,}})\s*$"

    @property
    def _group(self) -> str:
        return rf"([{re.escape(self.thousands)}]\d{{3}})"

    def pointed(self, texts: Any) -> Any:
        """Numbers, an Arrow array of text, without spaces, groups and a plus, and with a decimal point."""
        pc = compute()
        texts = pc.utf8_ltrim(pc.utf8_trim_whitespace(texts), "+")
        texts = pc.replace_substring(texts, self.thousands, "") if self.thousands else texts
        return pc.replace_substring(texts, self.decimal, ".") if self.decimal != "." else texts


def compute() -> Any:
    """Arrow's functions, which come into being when they are imported."""
    import pyarrow.compute

    return pyarrow.compute


POINT, COMMA, ENGLISH, CONTINENTAL = Format("."), Format(","), Format(".", ","), Format(",", ".")


def formats(dialect: Dialect) -> set[Format]:
    """Those that numbers may have by what is said of the table."""
    if dialect.thousands:
        decimals = [dialect.decimal] if dialect.decimal else [one for one in ".," if one != dialect.thousands]
        return {Format(one, dialect.thousands) for one in decimals}
    return {one for one in (POINT, COMMA, ENGLISH, CONTINENTAL) if dialect.decimal in (None, one.decimal)}


class Numbers(Protocol):
    """A column of numbers: the formats that fit all of them, those that a number proves, and one of the numbers."""

    name: str
    formats: set[Format]
    proven: set[Format]
    example: str


def agreed(columns: Sequence[Numbers], dialect: Dialect, delimiter: str) -> Format:
    """The format that the numbers of all columns share.

    Args:
        columns: those that hold numbers.
        dialect: what is said of the table.
        delimiter: what separates its cells.

    Raises:
        RequestError: there is none, or several are as likely.
    """
    possible, before = formats(dialect), ""
    for column in columns:
        if not possible & column.formats:
            raise RequestError(
                f"its numbers are written in different ways, such as {before} and {column.example!r} in {column.name}: write"
                f" them alike, or {called(column.name)}."
            )
        if column.formats < possible:
            before = f"{column.example!r} in {column.name}"
        possible &= column.formats
    if dialect.thousands:
        return min(possible, key=lambda one: one.decimal != ".")
    # Where cells are separated as with decimal commas, a point may group thousands as well.
    if POINT in possible and (dialect.decimal or delimiter != ";" or COMMA in possible or CONTINENTAL not in possible):
        return POINT
    if POINT not in possible and COMMA in possible and (dialect.decimal or (delimiter != "," and ENGLISH not in possible)):
        return COMMA
    sure = possible & {one for column in columns for one in column.proven}
    if len(sure) == 1 and not possible & {POINT, COMMA}:
        return sure.pop()
    raise RequestError(
        f"numbers such as {before} can be read in more than one way: say the decimal sign and what groups thousands (decimal,"
        " thousands; --decimal, --thousands), or call the column a choice."
    )


def called(name: str) -> str:
    """How to call a column a choice."""
    return f'call that column a choice (columns: {{"{name}": "choice"}})'
