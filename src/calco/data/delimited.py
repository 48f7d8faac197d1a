"""Tables as text: CSV and its like, compressed or not. The one place that reads them.

Cells are read as text, all rows are checked to be as wide as the first, and what a column holds is decided by all of its cells.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import itertools
import lzma
import mmap
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from calco.data.dialect import CHUNK, Dialect, check_text, delimiter_of, mistake, records
from calco.data.inference import Inference
from calco.data.numerals import Format, agreed
from calco.errors import RequestError

TEXTS = (".csv", ".tsv", ".tab", ".txt")
"""Suffixes of tables as text."""
COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None}
BLOCK = 1 << 24
"""Bytes that are read at once; no row may be longer."""


def is_delimited(path: Path) -> bool:
    """Whether a file is a table as text, by its name."""
    return _suffix(path) in TEXTS


def _suffix(path: Path) -> str:
    """The suffix before one of compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return next((one for one in reversed(suffixes) if one not in COMPRESSED), "") if suffixes else ""


def opened(path: Path, dialect: Dialect | None = None, columns: Mapping[str, str] | None = None) -> "Delimited":
    """The table in a file.

    Args:
        path: the file.
        dialect: what is said of it.
        columns: kinds of columns by name, where they are known.

    Raises:
        RequestError: it cannot be read, or is no such table.
    """
    dialect = dialect or Dialect()
    if dialect.delimiter is None and _suffix(path) in (".tsv", ".tab"):
        dialect = replace(dialect, delimiter="\t")
    return Delimited(_content(path, dialect.encoding), dialect, columns, path.name)


def _content(path: Path, encoding: str | None) -> Any:
    """A file's text in UTF-8, mapped into memory, from a file without a name where it was compressed or encoded otherwise."""
    try:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(_uncompressed(path))
            if encoding is not None or path.suffix.lower() in COMPRESSED:
                file = _recoded(file, encoding or "", stack.enter_context(tempfile.TemporaryFile(prefix="calco-")))
            size = file.seek(0, io.SEEK_END)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise RequestError(f"it is truncated or not compressed as its name says: {error}.") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"it is not encoded as {encoding}: {error}.") from error


def _uncompressed(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix != ".zip":
        return (COMPRESSED.get(suffix) or open)(path, "rb")
    archive = zipfile.ZipFile(path)
    if len(archive.namelist()) != 1:
        raise RequestError(f"it holds {len(archive.namelist())} files: give one with a single table.")
    return archive.open(archive.namelist()[0])


def _recoded(file: IO[bytes], encoding: str, into: IO[bytes]) -> IO[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    while part := file.read(CHUNK):
        into.write(decoder.decode(part).encode() if decoder else part)
    into.write(decoder.decode(b"", final=True).encode() if decoder else b"")
    into.flush()
    return into


class Delimited:
    """A table as text.

    Args:
        content: its text in UTF-8, bytes or mapped.
        dialect: what is said of it.
        columns: kinds of columns by name, where they are known.
        about: what to call it in warnings.

    Raises:
        RequestError: it is empty or no text, or its cells could be separated in several ways.
    """

    def __init__(
        self, content: Any, dialect: Dialect, columns: Mapping[str, str] | None = None, about: str = "the table"
    ) -> None:
        import pyarrow as pa

        buffer = pa.py_buffer(content)
        self.content: Any = buffer[3:] if buffer[:3].to_pybytes() == codecs.BOM_UTF8 else buffer
        self.quotes = check_text(self.content)
        self.dialect, self.kinds, self.about = dialect, dict(columns or {}), about
        self.delimiter = delimiter_of(self.content, dialect)
        rows = [row for _, row in itertools.islice(records(self.content, self.delimiter), 2)]
        if not rows:
            raise RequestError("it is empty.")
        if len(rows) == 1 and dialect.header is not False:
            raise RequestError("it has no rows but the first, which names the columns; if it does not, say so (header=False).")
        self.first = rows[0]
        names = [cell or f"Unnamed: {i}" for i, cell in enumerate(self.first)]  # as pandas has it
        self.names = names if dialect.header is not False else [f"x{i}" for i in range(len(names))]
        self.columns: dict[int, Inference] = {}
        self.format = Format(".")

    def __len__(self) -> int:
        return len(self.content)

    def frame(self) -> Any:
        """All of it, a data frame.

        Raises:
            RequestError: rows are not as wide as the first, that looks like data, or numbers can be read in several ways.
        """
        (table,) = self._read(whole=True)
        self._look([table])
        return self._framed(table)

    def parts(self, rows: int) -> Iterator[Any]:
        """The same in data frames of so many rows at most.

        Raises:
            RequestError: as `frame`.
        """
        if not self.columns:
            self._look(self._read())
        for batch in self._read():
            for start in range(0, len(batch), rows):
                yield self._framed(batch.slice(start, rows))

    def _read(self, whole: bool = False) -> Iterator[Any]:
        """The rows, in parts or as a whole, all cells as text."""
        import pyarrow as pa
        import pyarrow.csv as pc

        columns = [str(i) for i in range(len(self.first))]
        body = _without_blank_ends(self.content)
        reading = pc.ReadOptions(block_size=min(BLOCK, len(body) + 1), column_names=columns)
        reading.skip_rows_after_names = int(self.dialect.header is not False)
        parsing = pc.ParseOptions(delimiter=self.delimiter, newlines_in_values=self.quotes, ignore_empty_lines=len(columns) > 1)
        text = dict.fromkeys(columns, pa.string())
        convert = pc.ConvertOptions(column_types=text, strings_can_be_null=False, check_utf8=False)
        try:
            found = (pc.read_csv if whole else pc.open_csv)(pa.BufferReader(body), reading, parsing, convert)
            yield from [found] if whole else found
        except pa.ArrowInvalid as error:
            wrong = mistake(self.content, self.delimiter, len(columns))
            long = RequestError(f"it has a row that is longer than {BLOCK >> 20} MiB, or cannot be read: {error}.")
            raise wrong or long from error

    def _look(self, batches: Iterable[Any]) -> None:
        """Find what the columns hold."""
        cells = self.first if self.dialect.header is not False else [""] * len(self.first)
        columns = [
            Inference(name, self.kinds.get(name, ""), self.dialect, cell, self.quotes)
            for name, cell in zip(self.names, cells, strict=True)
        ]
        for batch in batches:
            for column, texts in zip(columns, batch.columns, strict=True):
                column.see(texts)
        wrong = mistake(self.content, self.delimiter, len(columns)) if any(column.lines for column in columns) else None
        if wrong:  # a quote that is never closed swallows rows
            raise wrong
        self.format = agreed([column for column in columns if column.formats and column.example], self.dialect, self.delimiter)
        if self.dialect.header is None and not self.kinds.keys() & set(self.names):
            self._check_header(columns)
        _check_twice(self.names)
        for column in columns:
            column.check(self.format)
        self._warn(columns)
        nothing = {i for i, column in enumerate(columns) if not cells[i] and column.kind(self.format) == "empty"}
        kept = {i: column for i, column in enumerate(columns) if i not in nothing or self.dialect.header is False}
        self.columns = kept

    def _check_header(self, columns: list[Inference]) -> None:
        """Raise if the first row is more like data."""
        told = [column.above(self.format, self.dialect) for column in columns]
        texts = [one for one, column in zip(told, columns, strict=True) if column.kind(self.format) == "text"]
        others = [one for one, column in zip(told, columns, strict=True) if column.kind(self.format) != "text"]
        if (True in others and False not in others) or (texts and all(texts) and not any(one is False for one in others)):
            raise RequestError(
                f"its first row, {', '.join(self.first[:4])}{', ...' if len(self.first) > 4 else ''}, looks like data rather"
                " than names of columns: say which it is (header=False or header=True; --no-header or --header)."
            )

    def _warn(self, columns: list[Inference]) -> None:
        """Say where words that often mean a missing cell are taken for values."""
        found = [c for c in columns if c.words and c.named == "" and c.kind(self.format) == "text"]
        if found and self.dialect.na_values is None:
            warnings.warn(
                f"{self.about}: the text in {', '.join(c.name for c in found[:5])} holds words such as NA, which are taken for"
                " values. Name those that mean a missing cell by na_values (--na-values); an empty na_values says that none"
                " does.",
                UserWarning,
                stacklevel=2,
            )

    def _framed(self, batch: Any) -> Any:
        import pandas as pd

        return pd.DataFrame(
            {column.name: column.converted(batch.column(i), self.format) for i, column in self.columns.items()}, copy=False
        )


def _without_blank_ends(content: Any) -> Any:
    """A buffer without blank lines at its beginning and end."""
    start, stop = 0, len(content)
    while start < stop and (part := content[start : min(start + CHUNK, stop)].to_pybytes())[0] in b"\r\n":
        start += len(part) - len(part.lstrip(b"\r\n"))
    while start < stop and (part := content[max(stop - CHUNK, start) : stop].to_pybytes())[-1] in b"\r\n":
        stop -= len(part) - len(part.rstrip(b"\r\n"))
    return content[start:stop]


def _check_twice(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"it has more than one column called {', '.join(twice[:5])}: rename them.")
