"""Data: sources of raw examples, and schemas that turn them into tensors and back."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calco.data.images import ImageSchema
from calco.data.schema import Schema, infer_schema, schema_from_json
from calco.data.source import ArraySource, Raw, Source, Subset, ahead, batches, split
from calco.data.vectors import VectorSchema
from calco.errors import RequestError, one_of

__all__ = [
    "ArraySource",
    "ImageSchema",
    "Raw",
    "Schema",
    "Source",
    "Subset",
    "VectorSchema",
    "ahead",
    "batches",
    "infer_schema",
    "open_data",
    "schema_from_json",
    "split",
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
) -> Source:
    """A source of what `data` names or holds.

    Args:
        data: a named set, also "name:part"; a file (idx, npy, npz, CSV, Parquet, also compressed idx); a folder of images;
            an array, tensor or data frame; or a source.
        y: labels, one per example.
        part: of a named set, where `data` does not say.
        labels: a file of labels (npy, idx, one-column CSV, or text with one a line).
        size: height and width to fit the images of a folder to.
        mode: L or RGB, to convert the images of a folder to.
        skip_corrupt: leave out images of a folder that cannot be read.

    Raises:
        RequestError: there is no such thing, or it cannot be read.
    """
    if labels is not None:
        from calco.data.files import read_labels

        y = read_labels(Path(labels))
    if isinstance(data, (str, os.PathLike)):
        return _open_named(str(data), y, part, labels, size, mode, skip_corrupt)
    if isinstance(data, Source):
        return data if y is None else _labelled(data, y)
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        from calco.data.files import frame_source

        return frame_source(data, y, None, "the data frame")
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        data = data.movedim(1, -1).numpy() if data.ndim == 4 else data.numpy()
    return _open_array(np.asarray(data), y)


def _open_array(x: np.ndarray, y: Any) -> ArraySource:
    if x.ndim == 4 and x.shape[-1] > 4:
        raise RequestError(
            f"An array of shape {x.shape} has {x.shape[-1]} channels: images are (n, height, width, 1 to 4 channels),"
            " or a tensor (n, channels, height, width). Move the axis with np.moveaxis(x, 1, -1) if it comes second."
        )
    return ArraySource(x, y, about="the array")


def _labelled(source: Source, y: Any) -> Source:
    if not isinstance(source, ArraySource):
        raise RequestError("Give the labels where the source is opened.")
    return ArraySource(source.x, y, levels=source.levels, names=source.names, dtypes=source.dtypes, about=source.about)


def _open_named(
    name: str,
    y: Any,
    part: str,
    labels: str | os.PathLike[str] | None,
    size: tuple[int, int] | None,
    mode: str | None,
    skip_corrupt: bool,
) -> Source:
    from calco.data.named import SETS

    stem, _, own_part = name.partition(":")
    if stem in SETS and not Path(name).exists():
        source = SETS[stem].open(own_part or part)
        return source if y is None else ArraySource(source.x, y, levels=source.levels, about=source.about)
    path = Path(name)
    again: dict[str, Any] | None = {"data": str(path.resolve())}
    options = {"labels": labels and str(Path(labels).resolve()), "size": size, "mode": mode, "skip_corrupt": skip_corrupt}
    again |= {key: value for key, value in options.items() if value}
    if y is not None and labels is None:
        again = None
    if path.is_dir():
        from calco.data.folder import open_folder

        return open_folder(path, y, size, mode, skip_corrupt, again)
    if path.is_file():
        from calco.data.files import file_source

        return file_source(path, y, again)
    if os.sep in name or path.suffix:
        raise RequestError(f"There is no file or folder {name}.")
    raise RequestError(f"{one_of('data set', stem, SETS)} There is no file or folder {name} either.")
