"""Files of examples and of masks, the two matched by the stems of their names."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.contents import WORKERS
from calco.data.decoding import SUFFIXES, Corrupt, decode
from calco.data.files import read_npy
from calco.data.folder import IN_MEMORY, files_below
from calco.data.masks import VOID, MaskedSource, refuse
from calco.errors import RequestError

VOLUMES = (".npy", ".nii", ".nii.gz")
ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_L")
"""What may follow the stem of an example in the name of its mask."""


def stem(path: Path) -> str:
    """A file's name without its suffix, or both of them for .nii.gz."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def example_files(folder: Path) -> list[Path]:
    """Images and volumes below a folder, sorted; hidden ones are left out.

    Raises:
        RequestError: there is none.
    """
    return files_below(folder, (*SUFFIXES, *VOLUMES), "images or volumes")


def partners(examples: list[Path], masks: list[Path]) -> list[Path]:
    """The mask of each example, by stem.

    Raises:
        RequestError: one has no mask, a mask has no example, or two files share a stem.
    """
    by_stem: dict[str, Path] = {}
    for kind, files in (("examples", examples), ("masks", masks)):
        stems = [stem(path) for path in files]
        twice = sorted({s for s in stems if stems.count(s) > 1}) if len(set(stems)) < len(stems) else []
        refuse(twice, len(files), "Give each a name of its own.", f"{kind} share their names with others")
        by_stem = dict(zip(stems, files, strict=True))
    found = {
        stem(e): next((by_stem[stem(e) + end] for end in ("", *ENDINGS) if stem(e) + end in by_stem), None) for e in examples
    }
    missing = [e.name for e in examples if found[stem(e)] is None]
    refuse(missing, len(examples), "Examples and masks are matched by the stems of their names.", "examples have no mask")
    unused = sorted(path.name for path in set(masks) - set(found.values()))
    refuse(unused, len(masks), "Examples and masks are matched by the stems of their names.", "masks have no example")
    return [path for path in found.values() if path is not None]


def read_example(path: Path, mode: str | None = None) -> np.ndarray:
    """One image, signal or volume.

    Raises:
        RequestError: it cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return _read_nifti(path)
    return decode(path, None, mode)


def _read_nifti(path: Path) -> np.ndarray:
    try:
        import nibabel
    except ImportError as error:
        raise RequestError(f"To read {path.name} calco needs nibabel: pip install 'calco[volumes]'.") from error
    try:
        return np.asanyarray(nibabel.load(path).dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:  # damaged files raise what their damage leads to
        raise Corrupt(f"{path} is not a readable NIfTI file: {error}.") from error


def read_mask(path: Path) -> np.ndarray:
    """A mask of whole numbers: indices of a palette, grey levels, or an array.

    Raises:
        RequestError: it cannot be read, or has colours in place of numbers.
    """
    if path.suffix.lower() not in SUFFIXES:
        mask = read_example(path)
        return mask.astype(np.int64) if mask.dtype.kind == "f" and (mask == mask.round()).all() else mask
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr"):
                raise RequestError(f"{path} is a picture in colours ({image.mode}): masks hold class numbers, or a palette.")
            return np.asarray(image).astype(np.int32)
    except RequestError:
        raise
    except Exception as error:
        raise Corrupt(f"{path} is corrupt or truncated ({error}): mend or remove it.") from error


def read_classes(*folders: Path) -> tuple[str, ...]:
    """Names from the first classes.txt in these folders: one a line in order, or each behind its number; () without one."""
    path = next((folder / "classes.txt" for folder in folders if (folder / "classes.txt").is_file()), None)
    if path is None:
        return ()
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    numbered = [line.split(maxsplit=1) for line in lines]
    if all(len(parts) == 2 and parts[0].isdigit() for parts in numbered):
        names = {int(number): name for number, name in numbered}
        if sorted(names) != list(range(len(names))):
            raise RequestError(f"{path} skips or repeats a number: give the classes the numbers 0 to {len(names) - 1}.")
        return tuple(names[i] for i in range(len(names)))
    return tuple(lines)


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


def read_all(files: list[Path], read: Callable[[Path], np.ndarray]) -> Sequence[np.ndarray]:
    """All files, in memory where they fit."""
    lazy = Decoded(files, read)
    return lazy if lazy[0].nbytes * len(files) > IN_MEMORY else list(lazy)


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
        masks: the same of masks.
        ignore: the value of places that do not count.
        instances: all that is not 0 is an object, numbered or 255: learn objects against the rest.
        classes: their names; those of a classes.txt where not given.
        mode: L or RGB, to convert images to.
        open: how `open_data` opens it again.

    Raises:
        RequestError: something is missing, cannot be read, or does not fit.
    """
    called, about, listed = [], "the examples", tuple[str, ...]()
    if isinstance(data, (str, os.PathLike)) != isinstance(masks, (str, os.PathLike)):
        raise RequestError("Give examples and masks alike: two paths, or two arrays.")
    if isinstance(data, (str, os.PathLike)):
        examples_at, masks_at = Path(data), Path(masks)
        for path in (examples_at, masks_at):
            if not path.exists():
                raise RequestError(f"There is no file or folder {path}.")
        if examples_at.is_dir() != masks_at.is_dir():
            raise RequestError(f"Give two folders or two files: {examples_at} and {masks_at} are one of each.")
        files = example_files(examples_at) if examples_at.is_dir() else [examples_at]
        about = f"the folder {examples_at.name}" if examples_at.is_dir() else examples_at.name
        if examples_at.is_dir():
            found = partners(files, example_files(masks_at))
            called, listed = [path.name for path in files], read_classes(masks_at, examples_at, masks_at.parent)
            mode = mode or _common_mode(files)
            data, masks = read_all(files, lambda path: read_example(path, mode)), read_all(found, read_mask)
        else:
            data, masks = read_npy(examples_at), read_npy(masks_at)
    if instances:
        masks = [(np.asarray(mask) > 0).astype(np.uint8) for mask in masks]
        listed = ("background", "object")
    if listed and ignore == len(listed) - 1:
        listed = listed[:-1]  # the last of the list names the places to ignore
    return MaskedSource(data, masks, classes=classes or listed, ignore=ignore, called=called, about=about, open=open)


def _common_mode(files: list[Path]) -> str | None:
    """RGB for images of which one has colours, else what they are."""
    from PIL import Image

    modes = set()
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            try:
                with Image.open(path) as image:
                    modes.add("L" if image.mode in ("L", "1") else "RGB")
            except Exception as error:
                raise Corrupt(f"{path} is corrupt or truncated ({error}): mend or remove it.") from error
    return "RGB" if "RGB" in modes else None


def open_examples(data: Any, schema: Any) -> tuple[list[str], Sequence[np.ndarray]]:
    """Examples without masks, of any sizes, and their names.

    Args:
        data: a folder of images or volumes, one file, an array of one example or (n, ...), a list of arrays, or a source.
        schema: what an example is, of places.

    Raises:
        RequestError: there is no such thing, or it cannot be read.
    """
    mode = {1: "L", 3: "RGB"}.get(schema.channels) if schema.dims == 2 and schema.dtype == "uint8" else None
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if path.is_dir():
            files = example_files(path)
            names = [str(file.relative_to(path).with_name(stem(file))) for file in files]
            return names, Decoded(files, lambda file: read_example(file, mode))
        if path.suffix.lower() in SUFFIXES or path.name.lower().endswith(VOLUMES):
            if not path.is_file():
                raise RequestError(f"There is no file or folder {path}.")
            data = read_example(path, mode)
            if data.ndim == schema.raw_axes:
                return [stem(path)], [data]
        else:
            from calco.data import open_data

            data = open_data(data)
    if isinstance(data, MaskedSource):
        return [stem(Path(name)) for name in data.called], data.x
    if hasattr(data, "take") and hasattr(data, "describe"):
        data = [data.take(np.arange(i, i + 1)).x[0] for i in range(len(data))]
    if isinstance(data, (list, tuple)):
        items = [np.asarray(item) for item in data]
    else:
        array = np.asarray(data)
        items = [array] if array.ndim == schema.raw_axes else list(array)
    digits = len(str(max(0, len(items) - 1)))
    return [f"{i:0{digits}}" for i in range(len(items))], items
