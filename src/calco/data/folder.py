"""Folders of images: decoded by workers, kept as one uint8 array, or decoded batch by batch where that would be too large."""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.source import ArraySource, Raw, encode_labels, of_files
from calco.errors import RequestError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
IN_MEMORY = 4 << 30
"""Decoded bytes up to which a folder is held in memory."""

WORKERS = min(16, 4 * (os.cpu_count() or 1))


def cache_folder() -> Path:
    """Where decoded folders are kept: CALCO_CACHE, else the user's cache folder."""
    if os.environ.get("CALCO_CACHE"):
        return Path(os.environ["CALCO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "calco"


def image_files(folder: Path) -> list[Path]:
    """The images below a folder, sorted; hidden files and folders are left out.

    Raises:
        RequestError: there is none.
    """
    return files_below(folder, tuple(SUFFIXES), "images")


def files_below(folder: Path, endings: tuple[str, ...], what: str) -> list[Path]:
    """The files below a folder whose names end so, in any case, sorted; hidden files and folders are left out.

    Raises:
        RequestError: there is none.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.lower().endswith(endings)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not files:
        raise RequestError(f"{folder} holds no {what} ({', '.join(sorted(endings))}).")
    return files


class Corrupt(RequestError):
    """An image that cannot be read, and may be skipped."""


def decode(path: Path, size: tuple[int, int] | None, mode: str | None) -> np.ndarray:
    """One image as uint8, (height, width) or (height, width, channels).

    Raises:
        Corrupt: it is corrupt or truncated.
        RequestError: it has more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # Pillow would clip them to 255
                raise RequestError(
                    f"{path} has more than 8 bits a channel (mode {image.mode}): convert the images to 8 bits,"
                    " or give them as one npy file."
                )
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
                mode = mode or "RGB"
            if mode or image.mode not in ("L", "RGB", "RGBA", "LA"):
                image = image.convert(mode or ("L" if image.mode == "1" else "RGB"))
            if size:
                image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
            return np.asarray(image, dtype=np.uint8)
    except RequestError:
        raise
    except Exception as error:  # decoders meet broken files with errors of many kinds
        raise Corrupt(f"{path} is corrupt or truncated ({error}): mend or remove it, or give skip_corrupt.") from error


class Folder:
    """A folder of images that is decoded batch by batch."""

    slow = True
    levels: int | None = None
    names: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    def __init__(
        self,
        files: list[Path],
        y: Any,
        size: tuple[int, int] | None,
        mode: str | None,
        shape: tuple[int, ...],
        described: dict[str, Any],
        called: Sequence[str] = (),
    ) -> None:
        self.files, self.size, self.mode, self.shape, self.described = files, size, mode, shape, described
        self.called = called or [path.name for path in files]
        self.y, self.classes = encode_labels(y, len(files))
        self.pool = ThreadPoolExecutor(WORKERS)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: threads stay behind."""
        return {name: value for name, value in vars(self).items() if name != "pool"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, pool=ThreadPoolExecutor(WORKERS))

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: np.ndarray) -> Raw:
        """Some images, decoded by several threads at once."""
        images = list(self.pool.map(lambda i: decode(self.files[i], self.size, self.mode), rows))
        check_alike([self.files[i] for i in rows], images, self.shape)
        return Raw(np.stack(images), None if self.y is None else self.y[rows])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples some rows are: by their files."""
        return of_files(self.called, rows)

    def describe(self) -> dict[str, Any]:
        """What it is; the fingerprint is over names, sizes and times of change of the files."""
        return self.described


def check_alike(files: list[Path], images: list[np.ndarray], usual: tuple[int, ...] | None = None) -> None:
    """Raise unless all images have one size and as many channels: these, or those of most.

    Raises:
        RequestError: with some that differ from the most frequent.
    """
    shapes = [image.shape for image in images]
    usual = usual or Counter(shapes).most_common(1)[0][0]
    odd = [(f, s) for f, s in zip(files, shapes, strict=True) if s != usual]
    if odd:
        named = ", ".join(f"{f.name} {_shape(s)}" for f, s in odd[:5])
        raise RequestError(
            f"{len(odd)} of {len(images)} images are not {_shape(usual)} like the others: {named}."
            " Give a size (height and width) to fit them to, and a mode (L or RGB) where channels differ."
        )


def _shape(shape: tuple[int, ...]) -> str:
    channels = shape[2] if len(shape) == 3 else 1
    return f"{shape[0]}x{shape[1]} with {channels} channel{'s' * (channels > 1)}"


def open_folder(
    folder: Path, y: Any, size: tuple[int, int] | None, mode: str | None, skip_corrupt: bool, open: dict[str, Any] | None
) -> ArraySource | Folder:
    """A folder of images; class subfolders give the labels unless `y` does.

    Raises:
        RequestError: there are no images, one is corrupt, or they differ in size or channels.
    """
    files = image_files(folder)
    key = _key(folder, files, size, mode, skip_corrupt)
    whole = files
    if skip_corrupt:
        files = _readable(files, size, mode)
    skipped = [path.relative_to(folder).as_posix() for path in sorted(set(whole) - set(files))]
    if skipped and y is not None and len(y) == len(whole):
        y = np.asarray(y)[np.isin([str(path) for path in whole], [str(path) for path in files])]
    if y is None and all(path.parent != folder for path in files):
        y = [path.relative_to(folder).parts[0] for path in files]
    about, called = f"the folder {folder.name}", [path.relative_to(folder).as_posix() for path in files]
    first = decode(files[0], size, mode)
    if first.nbytes * len(files) > IN_MEMORY:
        described = {"about": about, "n": len(files), "fingerprint": key, "skipped": skipped, "open": open}
        return Folder(files, y, size, mode, first.shape, described, called)
    return ArraySource(_cached(key, files, size, mode), y, open=open, about=about, files=called, more={"skipped": skipped})


def _key(folder: Path, files: list[Path], *options: Any) -> str:
    digest = hashlib.sha256(repr(options).encode())
    for path in files:
        stat = path.stat()
        digest.update(f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _readable(files: list[Path], size: tuple[int, int] | None, mode: str | None) -> list[Path]:
    def good(path: Path) -> bool:
        try:
            decode(path, size, mode)
        except Corrupt:
            return False
        return True

    with ThreadPoolExecutor(WORKERS) as pool:
        kept = [path for path, fine in zip(files, pool.map(good, files), strict=True) if fine]
    if not kept:
        raise RequestError(f"None of the {len(files)} images can be read.")
    return kept


def _cached(key: str, files: list[Path], size: tuple[int, int] | None, mode: str | None) -> np.ndarray:
    path = cache_folder() / f"{key[:32]}.npy"
    try:
        images = np.load(path, allow_pickle=False)
        if len(images) == len(files) and images.dtype == np.uint8 and images.ndim in (3, 4):
            return images
    except (OSError, ValueError, EOFError):
        pass
    with ThreadPoolExecutor(WORKERS) as pool:
        decoded = list(pool.map(lambda f: decode(f, size, mode), files))
    check_alike(files, decoded)
    images = np.stack(decoded)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:  # the cache only saves time: a disk that is full or read-only does no harm
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.save(file, images, allow_pickle=False)
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return images
