"""Examples with a mask each: signals, images or volumes, every place of which has a class.

All masks are read and checked before anything is trained on them; what is wrong is named, one by one.
"""

import copy
import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from calco.data.places import PlacesSchema
from calco.data.source import Raw, Subset, of_files
from calco.data.values import check_finite
from calco.errors import RequestError
from calco.maths.overlap import IGNORED

CLASSES = 1 << 16
"""Classes at most: a png of 16 bits holds the index of each."""
PART = 1 << 22
"""Places of a mask that are counted at once."""
VOID = 255
"""The value of places to ignore, where nothing else is said: what most sets of images take."""


class MaskedSource:
    """Examples and their masks.

    Args:
        examples: raw, of one kind and perhaps different sizes: one array (n, ...), or as many arrays.
        masks: of the same sizes, whole numbers: (n, ...) or as many arrays. Values are class indices, or `ignore`.
        classes: names of the classes; numbered from 0 to the highest value where not given.
        ignore: the value of places that do not count.
        called: names of the examples, for messages.
        about: what to say of it.
        open: how it is opened again; None for data in memory.

    Raises:
        RequestError: an example and its mask do not fit, or a mask holds other values.
    """

    levels: int | None = None
    names: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    slow = False

    def __init__(
        self,
        examples: np.ndarray | Sequence[np.ndarray],
        masks: np.ndarray | Sequence[np.ndarray],
        *,
        classes: Sequence[str] = (),
        ignore: int = VOID,
        called: Sequence[str] = (),
        about: str = "the examples",
        open: dict[str, Any] | None = None,
    ) -> None:
        if len(examples) != len(masks) or not len(examples):
            raise RequestError(f"There are {len(examples)} examples and {len(masks)} masks: give one mask each.")
        self.called = list(called) or [f"example {i}" for i in range(len(examples))]
        self.about, self.open, self.ignore, self.of_files = about, open, ignore, bool(called)
        self.dims = masks[0].ndim
        self.channel_axis = examples[0].ndim == self.dims + 1
        problems = [text for text in map(self._misfit, self.called, examples, masks) if text]
        refuse(problems, len(examples), "Each mask has the size of its example, without channels.")
        self.classes = tuple(str(name) for name in classes) or tuple(str(i) for i in range(self._highest(masks) + 1))
        self._check_classes()
        self.x: Any = examples
        self.y, self.pixels, self.company = self._indexed(masks)
        self._fingerprint = ""

    def _misfit(self, name: str, x: np.ndarray, y: np.ndarray) -> str:
        if y.dtype.kind not in "biu":
            return f"{name}: its mask holds values of type {y.dtype}, not whole numbers"
        wanted = x.shape[: self.dims] if self.channel_axis else x.shape
        if x.ndim != self.dims + self.channel_axis or y.shape != wanted or not 1 <= self.dims <= 3:
            return f"{name}: {' x '.join(map(str, x.shape))} but its mask {' x '.join(map(str, y.shape))}"
        return ""

    def _highest(self, masks: Any) -> int:
        values = {int(v) for mask in masks for v in np.unique(mask)} - {self.ignore}
        held = ", ".join(map(str, sorted(values)[:6])) + (", ..." if len(values) > 6 else "") or "nothing"
        objects = "Where all that is not 0 is an object, as in masks of 0 and 255, ask for instances."
        if not values or max(values) == 0:
            raise RequestError(
                f"All masks hold {held} but for {self.ignore}, which is ignored: there are not two classes to tell apart."
                f" {objects} If {self.ignore} is a class of its own, give another value to ignore."
            )
        if max(values) + 1 > 2 * len(values) and min(values) >= 0:
            raise RequestError(
                f"Masks hold {held}: most classes from 0 to {max(values)} are nowhere. {objects}"
                " If these are classes, number them from 0 without gaps, or name them all in a classes.txt."
            )
        gaps = [str(i) for i in range(max(values)) if i not in values and i != self.ignore]
        if gaps:
            warnings.warn(
                f"Masks hold {held}, and nowhere {', '.join(gaps[:6])}{', ...' * (len(gaps) > 6)}: what learns from them never"
                " sees those classes. Number classes from 0 without gaps, or name all of them in a classes.txt.",
                stacklevel=2,
            )
        return max(values)

    def _check_classes(self) -> None:
        twice = [name for name, times in Counter(self.classes).items() if times > 1]
        refuse(twice, len(self.classes), "Give each a name of its own.", "classes have more than one number")
        if len(self.classes) > CLASSES:
            raise RequestError(f"There are {len(self.classes):,} classes: up to {CLASSES:,} can be told apart.")
        if self.ignore == VOID < len(self.classes):
            raise RequestError(
                f"{VOID} is a class of its own among these {len(self.classes)} ({self.classes[VOID]}), and the value to ignore:"
                " give another value to ignore, -1 where nothing is (ignore_index where the data are opened)."
            )

    def _indexed(self, masks: Any) -> tuple[list[np.ndarray], tuple[int, ...], tuple[int, ...]]:
        """Masks as class indices, and how many places each class has, and the examples that hold it."""
        count, indexed, problems = len(self.classes), [], []
        pixels, company = np.zeros(count, np.int64), np.zeros(count, np.int64)
        kind = np.int16 if count < 2**15 else np.int32
        for name, mask in zip(self.called, masks, strict=True):
            known = mask != self.ignore
            values = mask[known]
            odd = np.unique(values[(values < 0) | (values >= count)]) if values.size else values
            if len(odd):
                problems.append(f"{name}: {', '.join(map(str, odd[:5]))}")
                continue
            parts = (values[i : i + PART].astype(np.int64) for i in range(0, len(values), PART))
            found = sum((np.bincount(part, minlength=count) for part in parts), np.zeros(count, np.int64))
            pixels += found
            company += np.where(found > 0, found.sum(), 0)
            indexed.append(np.full(mask.shape, IGNORED, kind))
            indexed[-1][known] = values
        hint = f"Values are 0 to {count - 1} ({', '.join(self.classes[:3])}, ...), or {self.ignore} for places to ignore."
        refuse(problems, len(masks), hint, "masks hold values that are no class")
        return indexed, tuple(map(int, pixels)), tuple(map(int, company))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Raw:
        """Some examples and their masks, (n, ...), padded at the far end to the largest of them with places to ignore."""
        xs, ys = [self.x[i] for i in rows], [self.y[i] for i in rows]
        if len({y.shape for y in ys}) > 1:
            sides = np.max([y.shape for y in ys], 0)
            wide = [[(0, a - b) for a, b in zip(sides, y.shape, strict=True)] for y in ys]
            xs = [np.pad(x, [*w, *[(0, 0)] * self.channel_axis], mode="edge") for x, w in zip(xs, wide, strict=True)]
            ys = [np.pad(y, w, constant_values=IGNORED) for y, w in zip(ys, wide, strict=True)]
        return Raw(np.stack(xs), np.stack(ys).astype(np.int64))

    def part(self, rows: np.ndarray) -> "MaskedSource":
        """Some of its examples, of the same classes."""
        found = copy.copy(self)
        found.x, found._fingerprint = Picked(self.x, rows), ""
        found.y, found.called = [self.y[i] for i in rows], [self.called[i] for i in rows]
        counts = np.array([np.bincount(mask[mask != IGNORED], minlength=len(self.classes)) for mask in found.y])
        found.pixels = tuple(counts.sum(0).tolist())
        found.company = tuple(((counts > 0) * counts.sum(1, keepdims=True)).sum(0).tolist())
        return found

    def identify(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Which examples some rows are: by their files, or by number."""
        return of_files(self.called, rows) if self.of_files else {"row": np.asarray(rows)}

    def describe(self) -> dict[str, Any]:
        """What it is, with a SHA-256 of its contents."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            for x, y in zip(self.x, self.y, strict=True):
                digest.update(f"{x.shape} {x.dtype} {y.dtype}".encode())
                digest.update(np.ascontiguousarray(x).data)
                digest.update(np.ascontiguousarray(y).data)
            self._fingerprint = digest.hexdigest()
        return {"about": self.about, "n": len(self), "fingerprint": self._fingerprint, "open": self.open}

    def schema(self) -> PlacesSchema:
        """The schema of these examples.

        Raises:
            RequestError: they differ in type or channels, all values of a channel are alike, or one is not finite.
        """
        first = self.x[0]
        channels = first.shape[-1] if self.channel_axis else 1
        odd = [n for n, x in zip(self.called, self.x, strict=True) if x.dtype != first.dtype or self._channels(x) != channels]
        refuse(odd, len(self), f"The others hold {first.dtype} in {channels} channels.", "examples differ from the first")
        low, high = self._range(channels)
        return PlacesSchema(
            channels=channels,
            sides=tuple(int(side) for side in np.max([y.shape for y in self.y], 0)),
            dtype=str(first.dtype),
            low=low,
            high=high,
            channel_axis=self.channel_axis,
            classes=self.classes,
            ignore=self.ignore,
            pixels=self.pixels,
            company=self.company,
        )

    def _channels(self, x: np.ndarray) -> int:
        return x.shape[-1] if self.channel_axis else 1

    def _range(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.x[0].dtype == np.uint8:
            return (0.0,) * channels, (255.0,) * channels
        total, squares, count = np.zeros(channels), np.zeros(channels), 0
        for x in self.x:
            check_finite(x[None])
            values = x.reshape(-1, channels).astype(np.float64)
            total, squares, count = total + values.sum(0), squares + (values**2).sum(0), count + len(values)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        if not (deviation > 0).all():
            raise RequestError(f"Channel {int(np.argmin(deviation > 0))} holds the same value everywhere: leave it out.")
        return tuple(mean.tolist()), tuple((mean + deviation).tolist())


class Picked(Sequence[np.ndarray]):
    """Some of a sequence, each read when it is asked for."""

    def __init__(self, items: Any, rows: np.ndarray) -> None:
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.items[self.rows[index]]


def masked_of(source: Any) -> MaskedSource | None:
    """A source with masks itself, or the part of one that this is; None for all other examples."""
    if isinstance(source, Subset):
        whole = masked_of(source.source)
        return whole and whole.part(source.rows)
    return source if isinstance(source, MaskedSource) else None


def refuse(problems: list[str], count: int, hint: str, what: str = "pairs do not fit") -> None:
    """Raise where there are problems, naming the first ten.

    Raises:
        RequestError: there are.
    """
    if problems:
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise RequestError(f"{len(problems)} of {count} {what}: {'; '.join(problems[:10])}{more}. {hint}")
