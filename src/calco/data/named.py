"""Named sets: what can be asked for by name. Files are checked against the checksum of their contents."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calco.data.files import parse_idx, read_bytes, read_table
from calco.data.recordings import SeriesSource, series
from calco.data.source import ArraySource, Source
from calco.errors import RequestError, one_of


@dataclass(frozen=True)
class NamedSet:
    """A data set that calco knows.

    `files` maps each part to its files, the examples' first, then the labels' if there are any; `checksums` maps a file to
    the SHA-256 of its uncompressed contents; `folders` are the names of folders in which the files may lie; `instead` maps a
    file to others that hold the same.
    """

    name: str
    about: str
    licence: str
    home: str
    folders: tuple[str, ...]
    files: dict[str, tuple[str, ...]]
    checksums: dict[str, str]
    read: Callable[..., Source]
    instead: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts; the first is for training, the last for testing."""
        return tuple(self.files)

    def open(self, part: str, **series: Any) -> Source:
        """One part of it; `series` says how series are cut into windows, as in `open_data`.

        Raises:
            RequestError: there is no such part, its files are not here or not the right ones, or it holds no series.
        """
        if part not in self.files:
            raise one_of(f"part of {self.name}", part, self.files)
        if series and self.read is not _read_series:
            raise RequestError(f"{self.name} holds no series: leave the window out.")
        return self.read(self, part, **series)

    def find(self, file: str) -> Path | None:
        """Where a file of it lies, if anywhere: under CALCO_DATA, or at a usual place."""
        candidates = (folder / name for folder in self.places() for name in self.called(file))
        return next((path for path in candidates if path.is_file()), None)

    def called(self, file: str) -> tuple[str, ...]:
        """The names under which a file of it may lie: its own, decompressed, or another that holds the same."""
        return (file, *([file.removesuffix(".gz")] if file.endswith(".gz") else []), *self.instead.get(file, ()))

    def places(self) -> list[Path]:
        """The folders that are looked in."""
        roots = [Path(os.environ["CALCO_DATA"])] if os.environ.get("CALCO_DATA") else []
        roots += [Path.home() / "data", Path("/usr/share/datasets")]
        return [root / folder for root in roots for folder in (*self.folders, "")]

    def contents(self, file: str) -> bytes:
        """A file's uncompressed contents.

        Raises:
            RequestError: it is not here, or is another file of that name.
        """
        path = self.path(file)
        content = read_bytes(path)
        self.check(path, content, file)
        return content

    def path(self, file: str) -> Path:
        """Where a file of it lies.

        Raises:
            RequestError: it is not here.
        """
        path = self.find(file)
        if path is None:
            raise RequestError(
                f"The data set {self.name} is not on this machine: {file} was not found. Get it from {self.home},"
                f" put its files into a folder {self.folders[0]}, and set CALCO_DATA to the folder above it."
            )
        return path

    def check(self, path: Path, content: bytes, file: str) -> None:
        """Raise unless these are the contents that `file` should have.

        Raises:
            RequestError: their checksum differs.
        """
        if hashlib.sha256(content).hexdigest() != self.checksums[file]:
            raise RequestError(
                f"{path} is not the {file} of {self.name}: the checksum of its contents differs. Get it again from {self.home}."
            )


def _read_idx(named: NamedSet, part: str) -> ArraySource:
    images, labels = (parse_idx(named.contents(file), Path(file)) for file in named.files[part])
    return ArraySource(images, labels, open=_again(named, part), about=f"{named.name}, {part} part")


def _again(named: NamedSet, part: str) -> dict[str, str]:
    return {"data": f"{named.name}:{part}"}


def _read_binary(named: NamedSet, part: str) -> ArraySource:
    """From text, as it is distributed, or from an npz file of packed bits. The checksum is of the sorted rows."""
    (file,) = named.files[part]
    path = named.path(file)
    packed = _packed_npz(path, part) if path.suffix == ".npz" else _packed_text(path)
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != 98:
        raise RequestError(f"{path} does not hold images of 784 bits, packed by np.packbits(axis=1).")
    named.check(path, np.sort(np.ascontiguousarray(packed).view("S98").ravel()).tobytes(), file)
    bits = np.unpackbits(packed, axis=1)
    return ArraySource(bits.reshape(-1, 28, 28), open=_again(named, part), about=f"{named.name}, {part} part", levels=2)


def _packed_npz(path: Path, part: str) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays[part]
    except (ValueError, EOFError, OSError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise RequestError(f"{path} is not a readable npz file with an array {part!r}: {error}.") from error


def _packed_text(path: Path) -> np.ndarray:
    """One image a line, 784 digits 0 or 1, a blank after each."""
    digits = np.frombuffer(b"".join(read_bytes(path).split()), np.uint8) - ord("0")
    if digits.size % 784 or digits.max(initial=0) > 1:
        raise RequestError(f"{path} is truncated or damaged: it should hold lines of 784 digits, 0 or 1.")
    return np.packbits(digits.reshape(-1, 784), axis=1)


def _read_series(
    named: NamedSet, part: str, window: int = 24, stride: int = 1, time: str = "", actions: Sequence[str] = ()
) -> SeriesSource:
    """Windows of one recording: its first four fifths, its last fifth, or all of it."""
    (file,) = named.files[part]
    path = named.path(file)
    frame = read_table(path)
    named.check(path, np.ascontiguousarray(frame.to_numpy(dtype=np.float32)).tobytes(), file)
    cut = round(0.8 * len(frame))
    frame = {"train": frame.iloc[:cut], "test": frame.iloc[cut:]}.get(part, frame)
    options: dict[str, Any] = {"window": window or 24, "stride": stride, "time": time, "actions": actions}
    again = _again(named, part) | options | {"actions": list(actions)}
    return series(frame, **options, open=again, about=f"{named.name}, {part} part, windows of {window or 24}")


ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race"),
    *("sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
]
"""The columns of the census of 1994."""


def _read_adult(named: NamedSet, part: str) -> Source:
    from calco.data.delimited import Delimited
    from calco.data.dialect import Dialect
    from calco.data.frames import TableSource

    (file,) = named.files[part]
    lines = [line.rstrip(".") for line in named.contents(file).decode().splitlines() if line and not line.startswith("|")]
    content = "\n".join([",".join(ADULT), *(line.replace(", ", ",") for line in lines)]).encode()
    frame = Delimited(content, Dialect(",", header=True, na_values=("?",)), about=named.name).frame()
    return TableSource(frame, open=_again(named, part), about=f"{named.name}, {part} part")


def _read_digits(named: NamedSet, part: str) -> ArraySource:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits: Any = load_digits()
    rows = train_test_split(np.arange(len(digits.target)), test_size=360, random_state=0, stratify=digits.target)
    chosen = np.sort(rows[part == "test"])
    images = digits.images[chosen].astype(np.uint8)
    return ArraySource(images, digits.target[chosen], levels=17, open=_again(named, part), about=f"{named.name}, {part} part")


def _idx_files(train: str = "train", test: str = "t10k") -> dict[str, tuple[str, ...]]:
    return {
        part: (f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz")
        for part, stem in (("train", train), ("test", test))
    }


SETS = {
    named.name: named
    for named in (
        NamedSet(
            "digits",
            "1,797 handwritten digits, 8 x 8, 17 grey levels; inside scikit-learn. It has no official split: 360 examples,"
            " stratified, drawn once with seed 0, are the test part",
            "BSD-3-Clause",
            "https://scikit-learn.org",
            ("digits",),
            {"train": (), "test": ()},
            {},
            _read_digits,
        ),
        NamedSet(
            "mnist",
            "60,000 and 10,000 handwritten digits, 28 x 28, 256 grey levels",
            "CC BY-SA 3.0",
            "http://yann.lecun.com/exdb/mnist/",
            ("mnist", "MNIST/raw"),
            _idx_files(),
            {
                "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            },
            _read_idx,
        ),
        NamedSet(
            "binarized-mnist",
            "Larochelle's fixed binarisation of MNIST: 50,000, 10,000 and 10,000 black and white images, 28 x 28, no labels",
            "CC BY-SA 3.0",
            "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            ("binarized_mnist",),
            {part: (f"binarized_mnist_{part}.amat",) for part in ("train", "valid", "test")},
            {
                "binarized_mnist_train.amat": "aae6de292e6b68d898acf52062a1ac62907fc7ab417c59582d6523a1da0f9a61",
                "binarized_mnist_valid.amat": "d10b4edf2e0765693846b51a5895f81f69fa37b6459b7f665bfa9c8cc9723622",
                "binarized_mnist_test.amat": "87ff96664646cc41575aeb3ae4fbbabc1475ca3d42be4659d7a829d9f22c845a",
            },
            _read_binary,
            {f"binarized_mnist_{part}.amat": ("binarized_mnist_larochelle.npz",) for part in ("train", "valid", "test")},
        ),
        NamedSet(
            "fashion-mnist",
            "60,000 and 10,000 pictures of clothes, 28 x 28, 256 grey levels",
            "MIT",
            "https://github.com/zalandoresearch/fashion-mnist (Debian: the package dataset-fashion-mnist)",
            ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
            _idx_files(),
            {
                "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            },
            _read_idx,
        ),
        NamedSet(
            "adult",
            "32,561 and 16,281 people of the census of 1994: a table of 15 columns, the last whether their income is above 50K",
            "CC BY 4.0",
            "https://archive.ics.uci.edu/dataset/2/adult",
            ("adult",),
            {"train": ("adult.data",), "test": ("adult.test",)},
            {
                "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
                "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
            },
            _read_adult,
        ),
        NamedSet(
            "stocks",
            "3,685 days of Google's stock from 2004 on, six channels, in windows of 24 days. The parts train and test are its"
            " first four fifths and the rest; all is all of it",
            "Apache-2.0",
            "https://github.com/jsyoon0823/TimeGAN (data/stock_data.csv)",
            ("stocks",),
            dict.fromkeys(("train", "all", "test"), ("stock_data.csv",)),
            {"stock_data.csv": "d732bf56ad37f2f6f1350689f4376c80d8561cb6a62712d706bafdf866bec905"},
            _read_series,
        ),
        NamedSet(
            "energy",
            "19,735 times, ten minutes apart, of the energy that appliances took and the weather in and around a house, 28"
            " channels, in windows of 24. The parts train and test are its first four fifths and the rest; all is all of it",
            "CC BY 4.0",
            "https://archive.ics.uci.edu/dataset/374 (without the column of dates) or TimeGAN's data/energy_data.csv",
            ("energy",),
            dict.fromkeys(("train", "all", "test"), ("energy_data.csv",)),
            {"energy_data.csv": "23fb7ebf85489816cfa9f89b0d4ed604ba9d5219d1931c23cbb32bf83670f62c"},
            _read_series,
        ),
    )
}
