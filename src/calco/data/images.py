"""The schema of images."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.labels import TEXT
from calco.data.source import Source
from calco.data.values import as_tensor, check_depth, check_finite, check_levels, check_scale, chunks, size_of, within
from calco.errors import RequestError
from calco.maths.mixed import Piece

LARGE = 1e30
"""Values up to which float32 is precise enough for a range that begins at 0."""


@dataclass(frozen=True)
class ImageSchema:
    """Images, raw as (n, height, width) or (n, height, width, channels), in [0, 1] and channels first for a model.

    `low` and `high` are the raw values of 0 and 1; `levels` counts the grey levels between them, None if continuous.
    """

    kind: ClassVar[str] = "image"
    channels: int
    height: int
    width: int
    dtype: str
    low: float
    high: float
    levels: int | None
    channel_axis: bool
    classes: tuple[str, ...] = ()
    label_dtype: str = TEXT

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def raw_axes(self) -> int:
        """Axes of one raw example."""
        return 3 if self.channel_axis else 2

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What the channels are, where they are of several kinds: they are not."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a data frame: images have none."""
        return ()

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """Likelihoods that suit these values, the best first."""
        if self.levels is None:
            return ("gaussian",)
        return ("bernoulli",) if self.levels == 2 else ("logistic", "categorical", "gaussian")

    def log_dets(self, x: Tensor) -> np.ndarray:
        """What turns the log densities of encoded images into those of the raw ones: (n,)."""
        return np.full(len(x), -math.prod(self.shape) * math.log(self.high - self.low))

    def encode(self, raw: Any) -> Tensor:
        """Raw images to float32 of shape (n, channels, height, width), in [0, 1] where they lie in the range of the training.

        Values beyond it lie beyond [0, 1]: nothing is clipped. Of a range of more than 2^24 steps neighbors become one.

        Raises:
            RequestError: their size or channels are others than those trained on, or a value is not finite, is none of
                the grey levels, or lies so far off that it is of another scale.
        """
        raw = np.asarray(raw)
        if raw.ndim == 3:
            raw = raw[..., None]
        if raw.ndim != 4 or raw.shape[1:] != (self.height, self.width, self.channels):
            raise RequestError(
                f"These images are {size_of(raw)}; the model knows {self.height} x {self.width} x {self.channels}."
            )
        check_finite(raw)
        check_depth(raw, self.dtype, self.high)
        if self.levels:
            check_levels(raw, self.low, self.high, self.levels)
        else:
            check_scale(raw, self.low, self.high)
        # Of a small range far from 0, or of one that float32 does not hold.
        exact = torch.float64 if raw.dtype.itemsize > 2 and (self.low or self.high > LARGE) else torch.float32
        x = as_tensor(raw).permute(0, 3, 1, 2)
        x = x.to(exact, memory_format=torch.contiguous_format, copy=True)  # never the caller's own memory
        if self.low:
            x = x.sub_(self.low)
        return x.div_(self.high - self.low).float()

    def flags(self, mask: np.ndarray) -> Tensor:
        """Booleans of the shape of one raw image, as a model sees it: (channels, height, width)."""
        return torch.from_numpy(mask if mask.ndim == 3 else mask[..., None]).permute(2, 0, 1)

    def decode(self, x: Tensor) -> np.ndarray:
        """Floats in [0, 1] to raw images: clipped, rounded to the levels, in the raw dtype and layout."""
        x = x.detach().cpu().double().clamp(0, 1)
        if self.levels:
            x = (x * (self.levels - 1)).round() / (self.levels - 1)
        raw = (x * (self.high - self.low) + self.low).permute(0, 2, 3, 1).numpy()
        raw = within(raw, self.dtype).astype(self.dtype)
        return raw if self.channel_axis else raw[..., 0]

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        sides = all(type(side) is int and side > 0 for side in self.shape) and self.channels <= 4
        named = all(isinstance(name, str) for name in self.classes) and isinstance(self.classes, tuple)
        levels = self.levels is None or (type(self.levels) is int and self.levels >= 2)
        fields = sides and levels and named and isinstance(self.channel_axis, bool)
        return (
            fields
            and isinstance(self.dtype, str)
            and -math.inf < self.low < self.high < math.inf
            and np.dtype(self.dtype).kind in "biuf"
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


def fit_images(source: Source, first: np.ndarray) -> ImageSchema:
    """The schema of a source of images; `first` is an example of it, (1, ...).

    Raises:
        RequestError: all pixels are alike, or one is not finite.
    """
    height, width = first.shape[1:3]
    low, high, extremes = _range(source)
    if high <= low:
        raise RequestError(f"Every pixel is {low:g}: there is nothing to learn.")
    if high - low == math.inf:
        raise RequestError(f"Pixels go from {low:g} to {high:g}, a range too wide for numbers: scale them down.")
    kind, levels = first.dtype.kind, source.levels
    if levels is not None:
        low, high = 0.0, float(levels - 1)
    elif extremes and (low, high) in ((0.0, 1.0), (0.0, 255.0)):
        levels = 2
    elif first.dtype == np.uint8:
        low, high, levels = 0.0, 255.0, 256
    elif kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return ImageSchema(
        channels=first.shape[3] if first.ndim == 4 else 1,
        height=int(height),
        width=int(width),
        dtype=str(first.dtype),
        low=low,
        high=high,
        levels=levels,
        channel_axis=first.ndim == 4,
        classes=source.classes,
    )


def _range(source: Source) -> tuple[float, float, bool]:
    """Least and greatest value, and whether there are no others."""
    low, high, extremes = math.inf, -math.inf, True
    seen: set[float] = set()
    for x in chunks(source):
        least, most = float(x.min()), float(x.max())
        low, high = min(low, least), max(high, most)
        # What was an extreme so far need not remain one: hence `seen`.
        seen |= {least, most}
        extremes = extremes and len(seen) <= 2 and bool(((x == least) | (x == most)).all())
    return low, high, extremes
