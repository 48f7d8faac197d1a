"""Writing what a model makes: pictures, arrays and tables, by the suffix of the file; never half a file."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calco.data import Schema, SeriesSchema
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
        write_array(path, schema.table(raw) if isinstance(schema, SeriesSchema) and path.suffix != ".npy" else raw)


class Segments:
    """A folder of what a segmenter finds: masks, overlays of images, perhaps probabilities, and the names of the classes.

    Images get masks as png with a palette, signals and volumes as npy. `masks` can be given where masks are asked for.
    """

    def __init__(self, folder: Path, schema: Schema, probabilities: bool) -> None:
        from calco.report.pictures import palette

        self.folder, self.schema, self.probabilities = folder, schema, probabilities
        self.images = len(schema.shape) == 3
        self.palette = palette(len(schema.classes))
        with written_aside(folder / "classes.txt") as aside:
            aside.write_text("".join(f"{name}\n" for name in schema.classes), encoding="utf-8")

    def write(self, name: str, raw: np.ndarray, bands: Iterator[tuple[slice, Any]]) -> None:
        """One example's files, from bands of the probabilities of its classes."""
        sides = raw.shape[: len(self.schema.shape) - 1]
        mask = np.zeros(sides, np.uint8)
        with contextlib.ExitStack() as stack:
            into = None
            if self.probabilities:
                aside = stack.enter_context(written_aside(self.folder / "probabilities" / f"{name}.npy"))
                into = np.lib.format.open_memmap(aside, "w+", np.float16, (*sides, len(self.schema.classes)))
            for rows, band in bands:
                mask[rows] = band.argmax(0).numpy()
                if into is not None:
                    into[rows] = band.movedim(0, -1).numpy()
                del band  # it is large, and the next is made before this name is given away
            if into is not None:
                into.flush()
        if not self.images:
            write_array(self.folder / "masks" / f"{name}.npy", mask)
            return
        _write_png(self.folder / "masks" / f"{name}.png", mask, self.palette)
        _write_png(self.folder / "overlays" / f"{name}.png", self._overlaid(raw, mask))

    def _overlaid(self, raw: np.ndarray, mask: np.ndarray) -> np.ndarray:
        from calco.report.pictures import overlay

        shown = np.empty((*mask.shape, 3), np.uint8)
        for top in range(0, len(mask), 256):  # a strip at a time: the image may be large
            rows = slice(top, top + 256)
            shown[rows] = overlay(_coloured(raw[None, rows], self.schema)[0], self.palette[mask[rows]])
        return shown


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
            with aside.open("wb") as file:  # whose name may not be UTF-8, which Arrow wants
                frame.to_parquet(file, index=False)


def _coloured(raw: np.ndarray, schema: Schema) -> np.ndarray:
    """`_pixels` with three channels."""
    pixels = _pixels(raw, schema)
    return pixels[..., None].repeat(3, -1) if pixels.ndim == 3 else pixels[..., :3]


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


def _write_png(path: Path, pixels: np.ndarray, palette: np.ndarray | None = None) -> None:
    from PIL import Image

    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette.tobytes())
    with written_aside(path) as aside:
        image.save(aside, "PNG")
