"""Examples with masks, and examples to find masks of: from folders, files and arrays."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.contents import WORKERS
from calco.data.decoding import SUFFIXES, decode, opened
from calco.data.files import read_npy
from calco.data.folder import IN_MEMORY
from calco.data.mask_files import Listed, read_classes, read_mask
from calco.data.masks import VOID, MaskedSource, refuse
from calco.data.pairing import example_files, pairs, stem
from calco.data.source import as_text
from calco.data.values import unmasked
from calco.data.volumes import VOLUMES, read_volume
from calco.errors import RequestError


def read_example(path: Path, mode: str | None = None, *, asked: bool = True) -> np.ndarray:
    """One image, signal or volume.

    Args:
        path: the file.
        mode: L, LA, RGB or RGBA, to convert an image to.
        asked: whether somebody asked for that; else nothing may be lost by it.

    Raises:
        RequestError: it cannot be read.
    """
    image = path.suffix.lower() in SUFFIXES
    return decode(path, None, mode, asked=asked) if image else read_volume(path)


class Decoded(Sequence[np.ndarray]):
    """Files read one by one when they are asked for."""

    def __init__(self, files: list[Path], read: Callable[[Path], np.ndarray]) -> None:
        self.files, self.read = files, read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        return self.read(self.files[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(WORKERS) as pool:
            for start in range(0, len(self), 4 * WORKERS):
                yield from pool.map(self.read, self.files[start : start + 4 * WORKERS])


def read_all(files: list[Path], read: Callable[[Path], np.ndarray], size: int) -> Sequence[np.ndarray]:
    """All files, in memory where their `size` in bytes fits."""
    lazy = Decoded(files, read)
    return lazy if size > IN_MEMORY else list(lazy)


def open_masked(
    data: Any,
    masks: Any,
    *,
    ignore: int = VOID,
    instances: bool = False,
    classes: Sequence[str] = (),
    mode: str | None = None,
    open: dict[str, Any] | None = None,
) -> MaskedSource:
    """Examples with their masks.

    Args:
        data: a folder of images or volumes, an npy file, an array (n, ...) or a list of arrays.
        masks: the same of masks, perhaps in the same folder; what masked arrays mask is ignored.
        ignore: the value of places that do not count.
        instances: all that is not 0 is an object, numbered or 255: learn objects against the rest.
        classes: their names; those of a classes.txt where not given.
        mode: L or RGB, to convert images to.
        open: how `open_data` opens it again.

    Raises:
        RequestError: something is missing, cannot be read, or does not fit.
    """
    called, about, listed = [], "the examples", Listed()
    if isinstance(data, (str, os.PathLike)) != isinstance(masks, (str, os.PathLike)):
        raise RequestError("Give examples and masks alike: two paths, or two arrays.")
    if isinstance(data, (str, os.PathLike)):
        examples_at, masks_at = Path(data), Path(masks)
        for path in (examples_at, masks_at):
            if not path.exists():
                raise RequestError(f"There is no file or folder {path}.")
        if examples_at.is_dir() != masks_at.is_dir():
            raise RequestError(f"Give two folders or two files: {examples_at} and {masks_at} are one of each.")
        if examples_at.is_dir():
            files, found = pairs(examples_at, masks_at)
            about, called = f"the folder {as_text(examples_at.name)}", [str(path.relative_to(examples_at)) for path in files]
            listed = read_classes(masks_at, examples_at, masks_at.parent)
            data, masks = _images(files, mode), _masks(found, listed.table(classes or listed.names, ignore))
        else:
            about, data, masks = examples_at.name, read_npy(examples_at), read_npy(masks_at)
    names = listed.names
    if instances:
        masks = [(np.asarray(mask) > 0).astype(np.uint8) for mask in masks]
        names = ("background", "object")
    if names and ignore == len(names) - 1:
        names = names[:-1]  # the last of the list names the places to ignore
    masks = unmasked(masks, ignore)
    return MaskedSource(data, masks, classes=classes or names, ignore=ignore, called=called, about=about, open=open)


def _images(files: list[Path], mode: str | None) -> Sequence[np.ndarray]:
    """Images and volumes: in the mode asked for, else in one that keeps what all hold."""
    with ThreadPoolExecutor(WORKERS) as pool:
        modes, sizes = zip(*pool.map(_header, files), strict=True)
    common = mode or _common_mode(files, modes)
    return read_all(files, lambda path: read_example(path, common, asked=mode is not None), sum(sizes))


def _masks(files: list[Path], table: dict[tuple[int, ...], int]) -> Sequence[np.ndarray]:
    with ThreadPoolExecutor(WORKERS) as pool:
        sizes = [size for _, size in pool.map(_header, files)]
    return read_all(files, lambda path: read_mask(path, table), sum(sizes))


def _header(path: Path) -> tuple[str, int]:
    """The mode of an image, and bytes that it takes decoded."""
    if path.suffix.lower() not in SUFFIXES:
        return "", path.stat().st_size
    with opened(path) as image:
        return image.mode, image.width * image.height * (4 if image.mode[0] in "IF" else len(image.getbands()))


def _common_mode(files: list[Path], modes: Sequence[str]) -> str | None:
    """What all images have in common; RGB where some have colors and some have not.

    Raises:
        RequestError: some have 8 bits and some have more.
    """
    found = set(modes) - {""}
    deep = [mode for mode in found if mode[0] in "IF"]
    if len(deep) == len(found):
        return None
    if deep:
        odd = [as_text(path.name) for path, mode in zip(files, modes, strict=True) if mode in deep]
        refuse(odd, len(files), "Convert all to one depth.", "images have more than 8 bits and the others have not")
    found = {"L" if mode == "1" else mode for mode in found}
    return next((mode for mode in ("L", "LA", "RGBA") if found == {mode}), "RGB")


def open_examples(data: Any, schema: Any, mode: str | None = None) -> tuple[list[str], Sequence[np.ndarray]]:
    """Examples without masks, of any sizes, and their names.

    Args:
        data: a folder of images or volumes, one file, an array of one example or (n, ...), a list of arrays, or a source.
        schema: what an example is, of places.
        mode: what images were converted to in training, where that was asked for.

    Raises:
        RequestError: there is no such thing, or it cannot be read.
    """
    own = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(schema.channels) if schema.dims == 2 and schema.dtype == "uint8" else None

    def read(path: Path) -> np.ndarray:
        found = read_example(path, own, asked=mode is not None)
        if path.suffix.lower() in SUFFIXES and str(found.dtype) != schema.dtype:
            raise RequestError(f"{path} holds {found.dtype}, and the model knows {schema.dtype}: convert it first.")
        return found

    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if path.is_dir():
            files = example_files(path)
            return _called([file.relative_to(path) for file in files]), Decoded(files, read)
        if path.suffix.lower() in SUFFIXES or path.name.lower().endswith(VOLUMES):
            if not path.is_file():
                raise RequestError(f"There is no file or folder {path}.")
            data = read(path)
            if data.ndim == schema.raw_axes:
                return [stem(path)], [data]
        else:
            from calco.data import open_data

            data = open_data(data)
    if isinstance(data, MaskedSource):
        return _called([Path(name) for name in data.called]), data.x
    if hasattr(data, "take") and hasattr(data, "describe"):
        data = [data.take(np.arange(i, i + 1)).x[0] for i in range(len(data))]
    if isinstance(data, (list, tuple)):
        items = [np.asarray(item) for item in unmasked(data)]
    else:
        array = np.asarray(unmasked(data))
        items = [array] if array.ndim == schema.raw_axes else list(array)
    digits = len(str(max(0, len(items) - 1)))
    return [f"{i:0{digits}}" for i in range(len(items))], items


def _called(files: list[Path]) -> list[str]:
    """Names without suffixes, but for those that would be alike."""
    names = [str(file.with_name(stem(file))) for file in files]
    several = Counter(names)
    return [str(file) if several[name] > 1 else name for file, name in zip(files, names, strict=True)]
