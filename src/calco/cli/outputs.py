"""Writing what a model makes: pictures, arrays and tables, by the suffix of the file; never half a file."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from calco.data import Schema
from calco.errors import RequestError
from calco.runs import written_aside


def check_output(path: Path, *, images: bool) -> None:
    """Raise before any work is done unless `path` can be written.

    Raises:
        RequestError: its suffix means nothing here.
    """
    allowed = [".npy", ".csv", ".parquet"] + ([".png"] if images else [])
    if path.suffix not in allowed and not (images and not path.suffix):
        folder = ", or a folder" if images else ""
        raise RequestError(f"Cannot write {path}: give a file ending in {', '.join(allowed)}{folder}.")
    if not path.suffix and path.exists() and not path.is_dir():
        raise RequestError(f"{path} is a file, not a folder.")


def write_examples(path: Path, raw: Any, schema: Schema) -> None:
    """Examples as they went in: a png (a grid), a folder of png, npy, csv or parquet."""
    if path.suffix == ".png":
        _write_png(path, _tiled(_pixels(raw, schema)))
    elif not path.suffix:
        digits = len(str(len(raw) - 1))
        for i, image in enumerate(_pixels(raw, schema)):
            _write_png(path / f"{i:0{digits}}.png", image)
    else:
        write_array(path, raw)


def write_array(path: Path, values: Any, names: list[str] | None = None) -> None:
    """An array or data frame to npy, csv or parquet; an example a row."""
    with written_aside(path) as aside:
        if path.suffix == ".npy":
            with aside.open("wb") as file:
                np.save(file, np.asarray(values), allow_pickle=False)
            return
        import pandas as pd

        frame = values
        if not isinstance(values, pd.DataFrame):
            flat = np.asarray(values).reshape(len(values), -1)
            frame = pd.DataFrame(flat, columns=names or [f"x{i}" for i in range(flat.shape[1])])
        if path.suffix == ".csv":
            frame.to_csv(aside, index=False)
        else:
            frame.to_parquet(aside, index=False)


def _pixels(raw: np.ndarray, schema: Schema) -> np.ndarray:
    """Images as bytes, (n, height, width) or (n, height, width, channels), whatever their raw range."""
    x = schema.encode(raw).permute(0, 2, 3, 1)
    pixels = (x.clamp(0, 1) * 255).round().byte().numpy()
    return pixels[..., 0] if pixels.shape[3] not in (3, 4) else pixels


def _tiled(images: np.ndarray) -> np.ndarray:
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:3]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:]), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _write_png(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, "PNG")
