"""The schema of signals, images and volumes of any size, of which every place has a class."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.values import as_tensor, check_depth, check_finite, check_levels, numpy_type, within
from calco.errors import RequestError
from calco.maths.mixed import Piece

SIDES = {1: "samples", 2: "height, width", 3: "depth, height, width"}


@dataclass(frozen=True)
class PlacesSchema:
    """Examples raw as (n, *sides) or (n, *sides, channels), with masks (n, *sides); channels first for a model.

    `low` and `high` are the raw values, by channel, of 0 and 1: the ends of the range of bytes, so that a model sees what
    one of plain images sees; else mean, and mean plus deviation, of the training data. `sides` are those of its largest
    example; others may have any. `pixels` counts the places of each class, `company` those of all examples that hold it.
    """

    kind: ClassVar[str] = "places"
    levels: ClassVar[None] = None
    likelihoods: ClassVar[tuple[str, ...]] = ()
    pieces: ClassVar[tuple[Piece, ...]] = ()
    channels: int
    sides: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    channel_axis: bool
    classes: tuple[str, ...]
    ignore: int
    pixels: tuple[int, ...]
    company: tuple[int, ...]

    @property
    def dims(self) -> int:
        """Sides of an example: 1 for signals, 2 for images, 3 for volumes."""
        return len(self.sides)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the largest example: (channels, *sides)."""
        return (self.channels, *self.sides)

    @property
    def raw_axes(self) -> int:
        """Axes of one raw example."""
        return self.dims + self.channel_axis

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a data frame: there are none."""
        return ()

    def encode(self, raw: Any) -> Tensor:
        """Raw examples of one size to float32 of shape (n, channels, *sides).

        Raises:
            RequestError: they have other axes or channels than those trained on, or a value is not finite or, where those
                were bytes, none.
        """
        raw = np.asarray(raw)
        if not self.channel_axis and raw.ndim == self.dims + 1:
            raw = raw[..., None]
        if raw.ndim != self.dims + 2 or raw.shape[-1] != self.channels or 0 in raw.shape[1:]:
            channels = f", {self.channels} channels" if self.channel_axis else ""
            raise RequestError(
                f"These examples are an array of shape {raw.shape}; the model knows (n, {SIDES[self.dims]}{channels})."
            )
        check_finite(raw)
        check_depth(raw, self.dtype)
        if self.dtype == "uint8":
            check_levels(raw, 0.0, 255.0, 256)
        exact = torch.float64 if raw.dtype.itemsize > 2 else torch.float32  # a small range far from 0
        low, high = torch.tensor(self.low, dtype=exact), torch.tensor(self.high, dtype=exact)
        x = (as_tensor(raw).to(exact) - low) / (high - low)
        return x.float().movedim(-1, 1).contiguous()

    def log_dets(self, x: Tensor) -> np.ndarray:
        """Nothing: such examples have no density."""
        return np.zeros(len(x))

    def flags(self, mask: np.ndarray) -> Tensor:
        """Booleans of the shape of one raw example, as a model sees it: (channels, *sides)."""
        return torch.from_numpy(mask if self.channel_axis else mask[..., None]).movedim(-1, 0)

    def decode(self, x: Tensor) -> np.ndarray:
        """What `encode` gave, back in the raw range, dtype and layout."""
        low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (self.low, self.high))
        raw = (x.detach().cpu().double().movedim(1, -1) * (high - low) + low).numpy()
        raw = within(raw, self.dtype).astype(numpy_type(self.dtype))
        return raw if self.channel_axis else raw[..., 0]

    def opening(self) -> dict[str, Any]:
        """How `open_data` reads masks as those of the training were."""
        return {"classes": self.classes, "ignore_index": self.ignore}

    def balance(self) -> tuple[float, ...]:
        """Weights of the classes by median frequency (Eigen and Fergus 2015).

        The frequency of a class is its share of the places of the examples that hold it; its weight is the median
        frequency over its own. A class that the training data lack gets 0.
        """
        frequencies = [p / c if c else math.nan for p, c in zip(self.pixels, self.company, strict=True)]
        median = float(np.nanmedian(frequencies))
        return tuple(median / f if f > 0 else 0.0 for f in frequencies)

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        counts = (self.channels, *self.sides, *self.pixels, *self.company)
        whole = all(type(count) is int and count >= 0 for count in counts) and min(self.channels, *self.sides) > 0
        ends = len(self.low) == len(self.high) == self.channels
        ends = ends and all(-math.inf < a < b < math.inf for a, b in zip(self.low, self.high, strict=True))
        named = len(self.classes) >= 2 and all(isinstance(name, str) for name in self.classes)
        each = len(self.pixels) == len(self.company) == len(self.classes)
        fields = type(self.ignore) is int and isinstance(self.channel_axis, bool) and 1 <= self.dims <= 3
        return whole and ends and named and each and fields and np.dtype(self.dtype).kind in "biuf"

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}
