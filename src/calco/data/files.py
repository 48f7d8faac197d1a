"""Files of examples: idx, npy, npz, CSV and its like, and Parquet. Each failure names the file; nothing is unpickled."""

import gzip
import math
import re
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.columns import DTYPES
from calco.data.delimited import COMPRESSED, TEXTS, is_delimited, opened
from calco.data.dialect import Dialect
from calco.data.masks import MaskedSource
from calco.data.source import ArraySource, Source
from calco.data.values import check_exact, check_names, labels_in, numpy_type, room
from calco.errors import RequestError

PAIRS = {"x": ("y",), "data": ("labels",), "images": ("labels", "masks"), "signal": ("label",)}
"""Names in an archive: of examples, and of their labels or masks."""
MAPPED_FROM, MAPPED_TABLE = 1 << 30, 1 << 28
"""An npy file, and a table in CSV or Parquet, of more bytes than this is mapped rather than read."""

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
SUFFIXES = (".npy", ".npz", *TEXTS, ".parquet", ".idx", ".gz", "-ubyte")


def read_idx(path: Path) -> np.ndarray:
    """An array in the idx format of MNIST, compressed by gzip or not.

    Raises:
        RequestError: the file is missing, truncated or in another format.
    """
    return parse_idx(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """A file's contents, decompressed where its name ends in .gz."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RequestError(f"{path} is truncated or not a gzip file: {error}.") from error
    except OSError as error:
        raise RequestError(f"Cannot read {path}: {error.strerror}.") from error


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The array in these bytes of an idx file."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise RequestError(f"{path} is not an idx file: it does not begin with two zeros and a known type.")
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise RequestError(f"{path} is truncated: its header is cut short.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(IDX_TYPES[content[2]])
    if len(content) - start != dtype.itemsize * math.prod(shape):
        raise RequestError(f"{path} is truncated or damaged: its size does not fit the shape {shape} it names.")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_npy(path: Path) -> np.ndarray:
    """An npy file, mapped into memory when it is large."""
    try:
        mapped = "r" if path.stat().st_size > MAPPED_FROM else None
        array = np.load(path, mmap_mode=mapped, allow_pickle=False)
    except Exception as error:  # a damaged header raises what its damage leads to
        raise RequestError(f"{path} is not a readable npy file of numbers: {error}.") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise RequestError(f"{path} is an npz file: call it .npz.")
    return array


def read_npz(path: Path) -> tuple[np.ndarray, Any]:
    """An npz file: arrays of examples and of what belongs to them by the names of `PAIRS`, or one array alone."""
    if not zipfile.is_zipfile(path):
        raise RequestError(f"{path} is not an npz file, or it is truncated.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # as above
        raise RequestError(f"{path} is not a readable npz file of numbers: {error}.") from error
    for x, others in PAIRS.items():
        if x in arrays:
            found = [name for name in others if name in arrays]
            if len(found) > 1:
                raise RequestError(f"{path} holds {' and '.join(found)} of its {x}: keep one of them.")
            return arrays[x], arrays[found[0]] if found else None
    if len(arrays) == 1:
        return next(iter(arrays.values())), None
    raise RequestError(f"{path} holds {', '.join(arrays)}: name the examples 'x' and the labels 'y'.")


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its name."""
    return path.suffix.lower() == ".parquet" or is_delimited(path)


def read_table(path: Path, columns: Any = None, *, mapped: bool = False, dialect: Dialect | None = None) -> Any:
    """A data frame from CSV and its like, or Parquet.

    Args:
        path: the file.
        columns: kinds of columns by name, where they are known.
        mapped: columns of a large file are mapped from disk.
        dialect: what is said of how it is written as text.

    Raises:
        RequestError: it cannot be read, or is no text though something is said of that.
    """
    try:
        if is_delimited(path):
            return _text_table(path, columns, mapped, dialect)
        check_dialect(path, dialect)
        if mapped and path.stat().st_size > MAPPED_TABLE:
            from calco.data.columnar import mapped_table, parquet_parts

            return mapped_table(partial(parquet_parts, path), columns)
        import pandas as pd

        with path.open("rb") as file:
            return pd.read_parquet(file)
    except RequestError as error:
        raise RequestError(f"{path.name}: {error}") from error
    except Exception as error:  # a damaged Parquet file raises what its damage leads to
        raise RequestError(f"Cannot read the table {path}: {error}.") from error


def _text_table(path: Path, columns: Any, mapped: bool, dialect: Dialect | None) -> Any:
    table = opened(path, dialect, columns)
    if not mapped or len(table) <= MAPPED_TABLE:
        return table.frame()
    from calco.data.columnar import mapped_table

    return mapped_table(table.parts, columns)


def check_dialect(path: Path, dialect: Dialect | None) -> None:
    """Raise if something is said of how a file is written as text that is none.

    Raises:
        RequestError: with what was said.
    """
    if dialect is not None and dialect.given() and not is_delimited(path):
        raise RequestError(f"{path.name} is no table as text, such as CSV: leave {', '.join(dialect.given())} out.")


def read_labels(path: Path) -> np.ndarray:
    """Labels from npy, idx, a one-column table as text with a header, or text with one label a line.

    Labels in text are text, unless all are written as whole numbers are.

    Raises:
        RequestError: the file cannot be read, a line between others is blank, or the first is a heading.
    """
    suffix = path.suffix.lower()
    if suffix != ".txt" and is_delimited(path):
        try:
            frame = read_table(path, dialect=Dialect(na_values=()))  # "NA" is a class
        except RequestError as error:
            raise RequestError(f"{error} Labels without a heading are a txt file, one a line.") from error
        if frame.shape[1] != 1:
            raise RequestError(f"{path} has {frame.shape[1]} columns: a file of labels has one.")
        return frame.iloc[:, 0].to_numpy()
    if suffix == ".npy":
        return read_npy(path)
    if suffix in (".gz", ".idx") or path.name.endswith("-ubyte"):
        return read_idx(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"Cannot read the labels {path}: {error}.") from error
    lines = text.rstrip("\n").split("\n")  # other characters that end lines are part of a label
    blank = [i for i, line in enumerate(lines) if not line.strip()]
    if blank:
        raise RequestError(f"Line {blank[0] + 1} of the labels {path} is blank: give each example its label.")
    if not _are_whole(lines) and len(lines) > 1 and _are_whole(lines[1:]):
        raise RequestError(f"Line 1 of the labels {path}, {lines[0]!r}, is no whole number, as all others are: leave it out.")
    return np.array(lines).astype(np.int64) if _are_whole(lines) else np.array(lines)  # so that 10 comes after 9


def _are_whole(lines: list[str]) -> bool:
    """Whether all lines are written as whole numbers are, of at most 18 digits."""
    return all(re.fullmatch(r"0|-?[1-9]\d{0,17}", line, re.ASCII) for line in lines)


def frame_source(frame: Any, y: Any, open: dict[str, Any] | None, about: str) -> ArraySource:
    """A data frame of numbers as vectors.

    Raises:
        RequestError: two columns have one name, or numbers of several dtypes are beyond what float64, where they meet, holds.
    """
    check_names(frame, about)
    names = tuple(str(c) for c in frame.columns)
    before = frame.attrs.get(DTYPES, {})
    dtypes = tuple(before.get(name, str(d)) for name, d in zip(names, frame.dtypes, strict=True))
    # Columns of one dtype keep it; mixed ones meet in float64.
    kind = numpy_type(dtypes[0]) if len(set(dtypes)) == 1 else np.dtype(np.float64)
    values = room((len(frame), len(names)), kind)
    for i, name in enumerate(frame.columns):
        if kind.kind == "f":
            check_exact(frame[name].to_numpy(), names[i])
        values[:, i] = frame[name].to_numpy()
    return ArraySource(values, y, names=names, dtypes=dtypes, column_labels=labels_in(frame), open=open, about=about)


def plain(frame: Any) -> bool:
    """Whether a data frame holds numbers alone, none of them missing."""
    return all(dtype.kind in "biuf" for dtype in frame.dtypes) and not any(
        frame.iloc[:, i].hasnans for i in range(frame.shape[1])
    )


def table_source(frame: Any, y: Any, columns: Any, open: dict[str, Any] | None, about: str) -> Source:
    """A data frame: as vectors where it holds numbers alone and nothing is said of its columns, else as a table.

    Raises:
        RequestError: a column holds what cannot be learned.
    """
    if columns is None and plain(frame):
        return frame_source(frame, y, open, about)
    from calco.data.frames import TableSource

    return TableSource(frame, y, columns=columns, open=open, about=about)


def file_source(path: Path, y: Any, open: dict[str, Any] | None, columns: Any = None, dialect: Dialect | None = None) -> Source:
    """The examples in one file, by its suffix.

    Raises:
        RequestError: the file cannot be read, or its kind is unknown.
    """
    about, suffix = path.name, path.suffix.lower()
    if is_table(path):
        return table_source(read_table(path, columns, mapped=True, dialect=dialect), y, columns, open, about)
    check_dialect(path, dialect)
    if columns is not None:
        raise RequestError(f"{about} is no table: say nothing of columns.")
    if suffix == ".npy":
        return ArraySource(read_npy(path), y, open=open, about=about)
    if suffix == ".npz":
        x, own = read_npz(path)
        if y is None and own is not None and own.ndim > 1:
            return _masked(path, x, own, open)
        return ArraySource(x, own if y is None else y, open=open, about=about)
    if suffix in (".gz", ".idx") or path.name.endswith("-ubyte"):
        return ArraySource(read_idx(path), y, open=open, about=about)
    raise RequestError(
        f"{path} is of a kind that calco does not read: it reads {', '.join(SUFFIXES)}, tables as text"
        f" also as {', '.join(COMPRESSED)}, and folders of images."
    )


def _masked(path: Path, x: np.ndarray, y: np.ndarray, open: dict[str, Any] | None) -> MaskedSource:
    """Examples and masks of one npz file, and the names of their classes where it holds some."""
    with np.load(path, allow_pickle=False) as archive:
        classes = tuple(map(str, archive["classes"])) if "classes" in archive.files else ()
    return MaskedSource(x, y, classes=classes, about=path.name, open=open)
