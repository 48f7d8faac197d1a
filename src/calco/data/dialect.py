"""How a table is written as text: what is said of it, and finding the delimiter that every row agrees with."""

import codecs
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from calco.errors import RequestError

DELIMITERS = (",", ";", "\t", "|")
"""Those that are looked for."""
SAMPLE = 1 << 16
"""Bytes in which they are; all rows are checked afterwards."""
CHUNK = 1 << 20
"""Bytes of a text that are looked at together."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written as text; what is None is found out, or the table refused.

    Attributes:
        delimiter: what separates cells, one character, also "tab".
        decimal: the decimal sign, a point or a comma.
        thousands: what groups digits.
        header: whether the first row names the columns.
        na_values: texts of missing cells, beside empty ones and, in columns of numbers, dates or booleans, `NA` and its like.
        encoding: of the text; UTF-8, with or without a byte order mark, where it is not said.

    Raises:
        RequestError: they cannot be.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None
    na_values: Sequence[str] | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        named = {"tab": "\t", "\\t": "\t"}.get(self.delimiter or "", self.delimiter)
        object.__setattr__(self, "delimiter", named)
        if self.na_values is not None:
            texts = (self.na_values,) if isinstance(self.na_values, str) else self.na_values
            object.__setattr__(self, "na_values", tuple(map(str, texts)))
        if named is not None and (len(named) != 1 or not named.isascii() or named in '"\r\n\0.-+' or named.isalnum()):
            raise RequestError(f"The delimiter {named!r} makes no sense: give one character, such as ',', ';', '|' or 'tab'.")
        if self.decimal not in (None, ".", ","):
            raise RequestError(f"The decimal sign {self.decimal!r} makes no sense: give '.' or ','.")
        grouped = self.thousands
        if grouped is not None and (len(grouped) != 1 or grouped.isalnum() or grouped in '"+-\r\n\0'):
            raise RequestError(f"Thousands are grouped by {grouped!r}, which makes no sense: give one character, such as ','.")
        if grouped is not None and grouped == self.decimal:
            raise RequestError(f"{grouped!r} cannot be the decimal sign and group thousands too: say one of them otherwise.")
        if self.header is not None and not isinstance(self.header, bool):
            raise RequestError(f"header is {self.header!r}: say whether the first row names the columns, True or False.")
        _check_encoding(self.encoding)

    def given(self) -> dict[str, Any]:
        """What was said, as JSON knows it."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return said | ({"na_values": list(said["na_values"])} if "na_values" in said else {})


def _check_encoding(encoding: str | None) -> None:
    try:
        "".encode(encoding or "utf-8")
    except (LookupError, UnicodeError, TypeError) as error:
        raise RequestError(f"Unknown encoding {encoding!r}: give one such as utf-8, latin-1, cp1252 or utf-16.") from error


def records(content: Any, delimiter: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The rows of a text that are not blank, each with the number of its first line.

    Args:
        content: a buffer of UTF-8.
        delimiter: what separates cells.
        strict: quotes must be in order.

    Raises:
        RequestError: strictly, where a quote is never closed or text follows it.
    """
    import pyarrow as pa

    before = csv.field_size_limit(sys.maxsize >> 32)  # of all readers; the default would refuse long texts
    text = io.TextIOWrapper(pa.BufferReader(content), encoding="utf-8", errors="replace", newline="")
    reader, line = csv.reader(text, delimiter=delimiter, strict=strict), 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise RequestError(
            f"the row that begins in line {line} has a quote that is never closed, or text after one that is ({error}): write"
            ' a quote within a cell twice, "".'
        ) from error
    finally:
        csv.field_size_limit(before)


def delimiter_of(content: Any, dialect: Dialect) -> str:
    """What separates the cells: what was said, else the one by which all rows, as far as they are looked at, are as wide.

    Args:
        content: a buffer of UTF-8.
        dialect: what is said of it.

    Raises:
        RequestError: several fit.
    """
    if dialect.delimiter is not None:
        return dialect.delimiter
    widths = {one: _widths(content, one) for one in DELIMITERS if one != dialect.decimal}
    fitting = [one for one, found in widths.items() if len(set(found)) == 1 and found[0] > 1]
    if len(fitting) > 1:
        raise RequestError(
            f"its cells could be separated by {' or by '.join(map(repr, fitting))}: say by which (delimiter, or --delimiter)."
        )
    if fitting:
        return fitting[0]
    return max(widths, key=lambda one: widths[one][0] if widths[one] else 0)


def _widths(content: Any, delimiter: str) -> list[int]:
    """Cells in each of the first rows, without one that the end of the sample may cut."""
    rows = [len(row) for _, row in records(content[:SAMPLE], delimiter)]
    return rows if len(content) <= SAMPLE or len(rows) < 2 else rows[:-1]


def mistake(content: Any, delimiter: str, width: int) -> RequestError | None:
    """What is wrong with the first row that is not `width` cells wide, or whose quotes are not in order; None if none is."""
    try:
        for line, row in records(content, delimiter, strict=True):
            if len(row) != width:
                found = f"{len(row)} cell{'s' if len(row) > 1 else ''}"
                return RequestError(
                    f"line {line} has {found} by the delimiter {delimiter!r}, and the first row {width}; it begins"
                    f" {_short(delimiter.join(row))}. Mend it, quote cells that hold the delimiter, or say what separates"
                    " cells, and the decimal sign if that is a comma (delimiter, decimal; --delimiter, --decimal)."
                )
    except RequestError as error:
        return error
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def line_of(before: bytes) -> int:
    """The number of the line that follows these bytes; any ends of lines count."""
    return 1 + before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")


def check_text(content: Any) -> bool:
    """Whether there are quotes in a buffer, which is to be UTF-8 without NUL.

    Raises:
        RequestError: with the line.
    """
    decoder, quotes = codecs.getincrementaldecoder("utf-8")(), False
    for start in range(0, max(len(content), 1), CHUNK):
        part = content[start : start + CHUNK].to_pybytes()
        final = start + CHUNK >= len(content)
        pending = len(decoder.getstate()[0])
        try:
            if pending or not part.isascii():
                decoder.decode(part, final)
        except UnicodeDecodeError as error:
            line = line_of(content[: start - pending + error.start].to_pybytes())
            utf16 = content[:2].to_pybytes() in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            other = "utf-16" if utf16 else "latin-1"
            raise RequestError(
                f"line {line} is not UTF-8: say how the text is encoded, such as encoding={other!r} (--encoding {other})."
            ) from error
        if (at := part.find(b"\0")) >= 0:
            line = line_of(content[: start + at].to_pybytes())
            raise RequestError(
                f"line {line} holds a NUL byte, so that it is no text, or text in an encoding to be said (encoding)."
            )
        quotes = quotes or b'"' in part
    return quotes
