"""Data: sources of raw examples, and schemas that turn them into tensors and back."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calco.data.delimited import is_delimited
from calco.data.dialect import Dialect
from calco.data.images import ImageSchema
from calco.data.masks import VOID, MaskedSource
from calco.data.paired import open_masked
from calco.data.partly import PartlyLabelled, labelled_part, marks, measured, mixed, valued
from calco.data.places import PlacesSchema
from calco.data.schema import Schema, infer_schema, schema_from_json
from calco.data.series import SeriesSchema
from calco.data.source import ArraySource, Raw, Source, Subset, ahead, batches, check_columns, identify, plan_of, with_classes
from calco.data.splitting import fitting, split
from calco.data.tables import TableSchema
from calco.data.values import unmasked
from calco.data.vectors import VectorSchema
from calco.errors import RequestError, one_of

__all__ = [
    "HELD_OUT",
    "ArraySource",
    "ImageSchema",
    "MaskedSource",
    "PartlyLabelled",
    "PlacesSchema",
    "Raw",
    "Schema",
    "SeriesSchema",
    "Source",
    "Subset",
    "TableSchema",
    "VectorSchema",
    "ahead",
    "batches",
    "check_columns",
    "fitting",
    "identify",
    "infer_schema",
    "labelled_part",
    "left_out",
    "marks",
    "measured",
    "mixed",
    "open_data",
    "opened_as",
    "parts_of",
    "plan_of",
    "reopened",
    "schema_from_json",
    "split",
    "valued",
    "with_classes",
]


def open_data(
    data: Any,
    y: Any = None,
    *,
    part: str = "train",
    labels: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    mode: str | None = None,
    skip_corrupt: bool = False,
    masks: Any = None,
    ignore_index: int = VOID,
    instances: bool = False,
    classes: Sequence[str] = (),
    unlabelled: Any = None,
    window: int | None = None,
    stride: int = 1,
    time: str = "",
    actions: Sequence[str] = (),
    columns: Mapping[str, str] | str | os.PathLike[str] | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    header: bool | None = None,
    na_values: Sequence[str] | None = None,
    encoding: str | None = None,
) -> Source:
    """A source of what `data` names or holds.

    Args:
        data: a named set, also "name:part"; a file (idx, npy, npz, Parquet, or CSV and its like: csv, tsv, txt; idx and text
            compressed too); a folder of images; an array, tensor or data frame; or a source.
        y: labels, one per example.
        part: of a named set, where `data` does not say.
        labels: a file of labels (npy, idx, one-column CSV, or text with one a line).
        size: height and width to fit the images of a folder to.
        mode: L or RGB, to convert the images of a folder to.
        skip_corrupt: leave out images of a folder that cannot be read.
        masks: a class for every place of the examples: a folder, an npy file or arrays like theirs.
        ignore_index: the value of places in masks that do not count.
        instances: all in the masks that is not 0 is an object, numbered or 255: learn objects against the rest.
        classes: names of the masks' classes, from 0; those of a classes.txt beside a folder of masks where not given.
        unlabelled: more examples without labels, named or held as `data` are.
        window: take the data as series, in windows of so many moments: rows of a table are moments then, and its columns
            channels. An array (n, length, channels) is n series; 0 leaves those whole.
        stride: moments between the beginnings of two windows.
        time: the column that tells the time of each row.
        actions: channels of series that somebody chooses, for planning.
        columns: what columns of a table hold, where that is not to be inferred: a mapping of names to number, choice, date or
            drop, or a TOML file of such lines. Data frames of numbers alone are vectors without it, and tables with it.
        delimiter: what separates the cells of a table as text, also "tab". This and what follows are found out where they are
            not given, and the table is refused where they cannot be.
        decimal: the decimal sign, "." or ",".
        thousands: what groups digits.
        header: whether the first row names the columns; without, they are called x0, x1, ...
        na_values: texts of missing cells, beside empty ones and, in columns of numbers, dates or booleans, `NA` and its like.
        encoding: of the text; UTF-8 where not given.

    Raises:
        RequestError: there is no such thing, or it cannot be read.
    """
    _check_options(size, mode)
    data, y, unlabelled = unmasked(data), unmasked(y), unmasked(unlabelled)
    dialect = Dialect(delimiter, decimal, thousands, header, na_values, encoding)
    if isinstance(columns, (str, os.PathLike)):
        from calco.data.columns import read_columns

        columns = read_columns(Path(columns))
    if window is not None and not plan_of(data):
        if unlabelled is not None or masks is not None:
            raise RequestError("Series take neither masks nor a second set of unlabelled examples: leave those out.")
        cut = {"window": window, "stride": stride, "time": time, "actions": actions}
        return _open_series(data, y, part, labels, cut, dialect)
    if window is None and (stride != 1 or time or actions):
        raise RequestError("stride, time and actions are of series: give the window too, the moments of an example.")
    if unlabelled is not None:
        reading: dict[str, Any] = {"size": size, "mode": mode, "skip_corrupt": skip_corrupt}
        labelled = open_data(data, y, part=part, labels=labels, columns=columns, **reading, **dialect.given())
        plan = plan_of(labelled)
        kinds = dict(columns or {}) | {column.name: column.kind for column in (plan if isinstance(plan, tuple) else ())}
        table = kinds if _paths(unlabelled) or hasattr(unlabelled, "columns") else {}
        return PartlyLabelled(
            labelled, open_data(unlabelled, columns=table or None, **_of_folders(unlabelled, reading, dialect))
        )
    if masks is not None:
        _no_text("examples with masks", dialect)
        if y is not None or labels is not None or size or skip_corrupt:
            raise RequestError("Examples with masks have no labels, and keep their size: leave labels and size out.")
        again = {"data": str(Path(data).resolve()), "masks": str(Path(masks).resolve())} if _paths(data, masks) else None
        more = {"ignore_index": ignore_index, "instances": instances, "mode": mode, "classes": list(classes)}
        named = {"ignore": ignore_index, "instances": instances, "mode": mode, "classes": classes}
        return open_masked(data, masks, **named, open=again and again | more)
    size = size and (size[0], size[1])  # JSON knows no tuples, and the fingerprint of a folder tells them from lists
    y = _labels(y, labels)
    if isinstance(data, (str, os.PathLike)):
        return _open_named(str(data), y, part, labels, size, mode, skip_corrupt, columns, dialect)
    _no_folder("the data", size=size, mode=mode, skip_corrupt=skip_corrupt)
    _no_text("the data", dialect)
    if isinstance(data, Source):
        return data if y is None else _labelled(data, y)
    if hasattr(data, "to_pandas"):  # data frames of other libraries
        data = data.to_pandas()
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        from calco.data.files import table_source

        return table_source(data, y, columns, None, "the data frame")
    if columns is not None:
        raise RequestError("These data are no table: say nothing of columns.")
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        data = data.float() if data.dtype == torch.bfloat16 else data  # NumPy does not know it
        data = data.movedim(1, -1).numpy() if data.ndim == 4 else data.numpy()
    try:
        return ArraySource(np.asarray(data), y, about="the array")
    except RequestError:
        raise
    except (ValueError, TypeError) as error:
        raise RequestError(f"These data are not one array of numbers, each example of one size: {error}.") from error


def opened_as(schema: Any, data: Any, y: Any = None, **options: Any) -> Source:
    """`open_data`, with tables read and series cut as those that a schema was fitted on: nothing is inferred anew.

    Raises:
        RequestError: as `open_data`, or a data frame has other columns.
    """
    if isinstance(data, Source):
        return open_data(data, y, **options)
    if isinstance(schema, (SeriesSchema, TableSchema)):
        options |= schema.opening()
    if isinstance(schema, TableSchema | VectorSchema) and hasattr(data, "columns"):
        check_columns(tuple(map(str, data.columns)), schema.columns)
        if isinstance(schema, VectorSchema):
            options["columns"] = dict.fromkeys(map(str, data.columns), "number")
    return open_data(data, y, **options)


def reopened(opening: Mapping[str, Any]) -> Source:
    """The source whose `describe` says how to open it again.

    Raises:
        RequestError: it is not there any more.
    """
    own = {name: value for name, value in opening.items() if name not in ("apart", "unlabelled")}
    source = open_data(**own)
    for share, seed, side in opening.get("apart", ()):
        source = split(source, share, seed)[side]
    others = opening.get("unlabelled")
    return PartlyLabelled(source, reopened(others)) if others else source


def left_out(opening: Mapping[str, Any]) -> Source | None:
    """What a split held back from the part that this opens; None where it opens no such part."""
    if not opening.get("apart"):
        return None
    *before, (share, seed, side) = opening["apart"]
    own = {name: value for name, value in opening.items() if name != "unlabelled"}
    return reopened({**own, "apart": [*before, (share, seed, 1 - side)]})


def _open_series(data: Any, y: Any, part: str, labels: Any, options: dict[str, Any], dialect: Dialect) -> Source:
    """Windows of a named set, of files or of what is in memory."""
    from calco.data.named import SETS
    from calco.data.recordings import series

    y = _labels(y, labels)
    if not isinstance(data, (str, os.PathLike)):
        _no_text("the data", dialect)
        if isinstance(data, torch.Tensor):
            data = data.detach().cpu().numpy()
        return series(data.to_pandas() if hasattr(data, "to_pandas") else data, y, **options)
    stem, _, own_part = str(data).partition(":")
    if stem in SETS and not Path(data).exists():
        _no_text(str(data), dialect)
        if y is not None:
            raise RequestError(f"{stem} is one recording, and its parts have no labels: leave them out.")
        return SETS[stem].open(own_part or part, **options)
    again = {**options, "data": str(Path(data).resolve()), "actions": list(options["actions"]), **dialect.given()}
    again |= {"labels": str(Path(labels).resolve())} if labels is not None else {}
    return series(data, y, **options, dialect=dialect, open=again if y is None or labels is not None else None)


HELD_OUT = 0.2
"""Share of the data that is measured on, where they have no part for that."""


def parts_of(data: Any, y: Any = None) -> tuple[Source, Source]:
    """What is learned from and what is measured on: the parts of a named set, or a fifth held out of other data."""
    from calco.data.named import SETS

    stem, _, part = data.partition(":") if isinstance(data, str) else ("", "", "")
    if stem in SETS and not part and y is None:
        return open_data(stem), open_data(f"{stem}:{SETS[stem].parts[-1]}")
    return split(open_data(data, y), HELD_OUT, 0)


def _labels(y: Any, file: str | os.PathLike[str] | None) -> Any:
    """Labels as they were given, or those of a file."""
    if file is None:
        return y
    if y is not None:
        raise RequestError("Labels were given both as y and as a file: give one of them.")
    from calco.data.files import read_labels

    return read_labels(Path(file))


def _of_folders(data: Any, reading: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """How to read `data`, where they are a folder of images, or a table as text."""
    if not isinstance(data, (str, os.PathLike)):
        return {}
    return reading if Path(data).is_dir() else dialect.given() if is_delimited(Path(data)) else {}


def _paths(*data: Any) -> bool:
    return all(isinstance(one, (str, os.PathLike)) for one in data)


def _check_options(size: Any, mode: Any) -> None:
    if mode not in (None, "L", "RGB"):
        raise one_of("mode", mode, ("L", "RGB"))
    if size is not None and not (len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        raise RequestError(f"The size {size} makes no sense: give height and width in pixels.")


def _no_folder(data: str, **options: Any) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise RequestError(f"{' and '.join(given)} can be given with a folder of images only; {data} is none.")


def _no_text(data: str, dialect: Dialect) -> None:
    if dialect.given():
        raise RequestError(f"{' and '.join(dialect.given())} can be given with a table as text only; {data} is none.")


def _labelled(source: Source, y: Any) -> Source:
    if not isinstance(source, ArraySource):
        raise RequestError("Give the labels where the source is opened.")
    kept: dict[str, Any] = {
        name: getattr(source, name) for name in ("levels", "names", "dtypes", "column_labels", "about", "files")
    }
    return ArraySource(source.x, y, **kept)


def _open_named(
    name: str,
    y: Any,
    part: str,
    labels: str | os.PathLike[str] | None,
    size: tuple[int, int] | None,
    mode: str | None,
    skip_corrupt: bool,
    columns: Mapping[str, str] | None,
    dialect: Dialect,
) -> Source:
    from calco.data.named import SETS

    if "\0" in name:
        raise RequestError(f"{name!r} is neither a data set nor a path.")
    stem, _, own_part = name.partition(":")
    if stem in SETS and not Path(name).exists():
        _no_text(name, dialect)
        _no_folder(name, size=size, mode=mode, skip_corrupt=skip_corrupt)
        source = SETS[stem].open(own_part or part)
        if y is None:
            return source
        if not isinstance(source, ArraySource):
            raise RequestError(f"{name} takes no labels of one's own.")
        reopen = {**(source.open or {}), "labels": str(Path(labels).resolve())} if labels else None
        return ArraySource(source.x, y, levels=source.levels, open=reopen, about=source.about)
    path = Path(name)
    again: dict[str, Any] | None = {"data": str(path.resolve())}
    options = {"labels": labels and str(Path(labels).resolve()), "size": size, "mode": mode, "skip_corrupt": skip_corrupt}
    options |= {"columns": columns and dict(columns)}
    again |= {key: value for key, value in options.items() if value} | dialect.given()
    if y is not None and labels is None:
        again = None
    if path.is_dir():
        from calco.data.folder import open_folder

        _no_text(name, dialect)
        return open_folder(path, y, size, mode, skip_corrupt, again)
    if path.is_file():
        from calco.data.files import file_source

        _no_folder(name, size=size, mode=mode, skip_corrupt=skip_corrupt)
        return file_source(path, y, again, columns, dialect)
    if os.sep in name or path.suffix:
        raise RequestError(f"There is no file or folder {name}.")
    raise RequestError(f"{one_of('data set', stem, SETS)} There is no file or folder {name} either.")
