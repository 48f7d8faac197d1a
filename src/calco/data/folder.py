"""Folders of images: decoded by workers, kept as one array, or decoded batch by batch where that would be too large."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.cache import keep, recall
from calco.data.contents import WORKERS, digests
from calco.data.decoding import SUFFIXES, Corrupt, decode
from calco.data.labels import encode_labels
from calco.data.source import ArraySource, Raw, as_text, of_files
from calco.errors import RequestError

IN_MEMORY = 4 << 30
"""Decoded bytes up to which a folder is held in memory."""

DECODING = 1
"""To be counted up where the same files give other values than before: the cache then holds them anew."""


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
        first: np.ndarray,
        key: str,
        about: dict[str, Any],
        called: Sequence[str] = (),
    ) -> None:
        self.files, self.size, self.mode, self.first, self.about = files, size, mode, _kind(first), about
        self.called = called or [path.name for path in files]
        self.y, self.classes, self.labels = encode_labels(y, len(files))
        told = hashlib.sha256(f"{key} {self.classes}".encode() + (b"" if self.y is None else self.y.tobytes()))
        self.fingerprint = told.hexdigest()
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
        check_alike([self.files[i] for i in rows], images, self.first)
        return Raw(np.stack(images), None if self.y is None else self.y[rows])

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples some rows are: by their files."""
        return of_files(self.called, rows)

    def describe(self) -> dict[str, Any]:
        """What it is; the fingerprint is of the contents of the files, and the labels."""
        return {"n": len(self), "fingerprint": self.fingerprint, **self.about}


Kind = tuple[tuple[int, ...], str]
"""Shape and dtype of an image."""


def _kind(image: np.ndarray) -> Kind:
    return image.shape, str(image.dtype)


def check_alike(files: list[Path], images: list[np.ndarray], usual: Kind | None = None) -> None:
    """Raise unless all images have one size, depth and as many channels: these, or those of most.

    Raises:
        RequestError: with some that differ from the most frequent.
    """
    kinds = [_kind(image) for image in images]
    usual = usual or Counter(kinds).most_common(1)[0][0]
    odd = [(file, kind) for file, kind in zip(files, kinds, strict=True) if kind != usual]
    if odd:
        named = ", ".join(f"{as_text(file.name)} {_words(kind)}" for file, kind in odd[:5])
        raise RequestError(
            f"{len(odd)} of {len(images)} images are not {_words(usual)} like the others: {named}."
            " Give a size (height and width) to fit them to, and a mode (L or RGB) where channels differ."
        )


def _words(kind: Kind) -> str:
    shape, dtype = kind
    channels = shape[2] if len(shape) == 3 else 1
    depth = "" if dtype == "uint8" else f" of {dtype}"
    return f"{shape[0]}x{shape[1]} with {channels} channel{'s' * (channels > 1)}{depth}"


def open_folder(
    folder: Path, y: Any, size: tuple[int, int] | None, mode: str | None, skip_corrupt: bool, open: dict[str, Any] | None
) -> ArraySource | Folder:
    """A folder of images; class subfolders give the labels unless `y` does.

    Raises:
        RequestError: there are no images, one is corrupt, or they differ in size or channels.
    """
    whole = image_files(folder)
    contents, asked = b"".join(digests(folder, whole)), repr((size, mode, skip_corrupt)).encode()
    held = _decoded(contents + asked, whole, size, mode, skip_corrupt)
    files = [whole[row] for row in held["rows"]]
    if y is not None and len(y) == len(whole):
        y = np.asarray(y)[held["rows"]]
    if y is None and all(path.parent != folder for path in files):
        y = [as_text(path.relative_to(folder).parts[0]) for path in files]
    called = [path.relative_to(folder).as_posix() for path in files]
    skipped = [as_text(path.relative_to(folder).as_posix()) for path in sorted(set(whole) - set(files))]
    about = f"the folder {as_text(folder.name)}"
    if "images" in held:
        return ArraySource(held["images"], y, open=open, about=about, files=called, more={"skipped": skipped})
    described = {"about": about, "skipped": skipped, "open": open}
    return Folder(files, y, size, mode, held["first"], hashlib.sha256(contents + asked).hexdigest(), described, called)


def _decoded(
    made_of: bytes, files: list[Path], size: tuple[int, int] | None, mode: str | None, skip_corrupt: bool
) -> dict[str, np.ndarray]:
    """Which files can be read, their `rows`, and all `images`; only the `first` where all would be too large.

    They are kept in the cache by what they are made of: the contents of the files, how they are read, and by what.
    """
    import PIL

    key = hashlib.sha256(f"{DECODING} {PIL.__version__} ".encode() + made_of).hexdigest()
    kept = recall("images", key)
    if kept is not None:
        return kept
    rows = _readable(files, size) if skip_corrupt else np.arange(len(files))
    found, read = {"rows": rows}, [files[row] for row in rows]
    first = decode(read[0], size, mode)
    if first.nbytes * len(read) > IN_MEMORY:
        found["first"] = first
    else:
        with ThreadPoolExecutor(WORKERS) as pool:
            images = list(pool.map(lambda path: decode(path, size, mode), read))
        check_alike(read, images)
        found["images"] = np.stack(images)
    keep("images", key, **found)
    return found


def _readable(files: list[Path], size: tuple[int, int] | None) -> np.ndarray:
    """Rows of the files that are not corrupt.

    Raises:
        RequestError: all are.
    """

    def good(path: Path) -> bool:
        try:
            decode(path, size)
        except Corrupt:
            return False
        return True

    with ThreadPoolExecutor(WORKERS) as pool:
        rows = np.flatnonzero(list(pool.map(good, files)))
    if not len(rows):
        raise RequestError(f"None of the {len(files)} images can be read.")
    return rows
