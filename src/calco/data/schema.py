"""Schemas: what one example is, how raw values become floats, and how they come back.

A schema is fitted on the training data and saved as JSON in the run folder. It is the only place that knows about dtypes,
column names and units.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.source import Source
from calco.errors import RequestError, one_of

FITTED_ON = 2048
"""Rows read at once when statistics are fitted."""


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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """Likelihoods that suit these values, the best first."""
        if self.levels is None:
            return ("gaussian",)
        return ("bernoulli",) if self.levels == 2 else ("logistic", "categorical", "gaussian")

    @property
    def log_det(self) -> float:
        """What turns the log density of an encoded example into that of the raw one; 0 for probability masses."""
        return 0.0 if self.levels else -math.prod(self.shape) * math.log(self.high - self.low)

    def encode(self, raw: Any) -> Tensor:
        """Raw images to float32 of shape (n, channels, height, width) in [0, 1].

        Raises:
            RequestError: their size or channels are others than those trained on, or a value is not finite.
        """
        raw = np.asarray(raw)
        if raw.ndim == 3:
            raw = raw[..., None]
        if raw.ndim != 4 or raw.shape[1:] != (self.height, self.width, self.channels):
            raise RequestError(
                f"These images are {_size(raw)}; the model knows {self.height} x {self.width} x {self.channels}."
            )
        _check_finite(raw)
        x = torch.from_numpy(np.ascontiguousarray(raw)).to(torch.float32)
        x = x.permute(0, 3, 1, 2).contiguous()
        if self.low:
            x = x.sub_(self.low)
        return x.div_(self.high - self.low)

    def decode(self, x: Tensor) -> np.ndarray:
        """Floats in [0, 1] to raw images: clipped, rounded to the levels, in the raw dtype and layout."""
        x = x.detach().float().clamp(0, 1)
        if self.levels:
            x = (x * (self.levels - 1)).round() / (self.levels - 1)
        raw = (x * (self.high - self.low) + self.low).permute(0, 2, 3, 1).numpy()
        if np.dtype(self.dtype).kind in "iub":
            raw = raw.round()
        raw = raw.astype(self.dtype)
        return raw if self.channel_axis else raw[..., 0]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class VectorSchema:
    """Vectors of named numbers, raw as (n, features), standardised for a model; binary ones stay 0 and 1."""

    kind: ClassVar[str] = "vector"
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    dtypes: tuple[str, ...]
    binary: bool
    frame: bool
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (features,)."""
        return (len(self.mean),)

    @property
    def levels(self) -> int | None:
        """2 for binary vectors."""
        return 2 if self.binary else None

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """Likelihoods that suit these values, the best first."""
        return ("bernoulli",) if self.binary else ("gaussian",)

    @property
    def log_det(self) -> float:
        """What turns the log density of a standardised example into that of the raw one; 0 for probability masses."""
        return 0.0 if self.binary else -sum(math.log(s) for s in self.scale)

    def encode(self, raw: Any) -> Tensor:
        """Raw vectors to float32 of shape (n, features).

        Raises:
            RequestError: there are more or fewer features than trained on, or a value is not finite.
        """
        raw = np.asarray(raw)
        if raw.ndim != 2 or raw.shape[1] != len(self.mean):
            raise RequestError(f"These data are {_size(raw)}; the model knows vectors of {len(self.mean)} features.")
        _check_finite(raw, self.names)
        if self.binary:
            return torch.from_numpy(raw.astype(np.float32))
        return torch.from_numpy(((raw.astype(np.float64) - self.mean) / self.scale).astype(np.float32))

    def decode(self, x: Tensor) -> Any:
        """Standardised vectors to raw ones; a data frame with the same columns and dtypes where the data were one."""
        raw = x.detach().double().numpy() * self.scale + self.mean
        if self.binary:
            raw = (raw >= 0.5).astype(np.float64)
        whole = [np.dtype(d).kind in "iub" for d in self.dtypes]
        if self.frame:
            import pandas as pd

            columns = {
                name: (raw[:, i].round() if whole[i] else raw[:, i]).astype(self.dtypes[i]) for i, name in enumerate(self.names)
            }
            return pd.DataFrame(columns)
        return (raw.round() if all(whole) else raw).astype(self.dtypes[0])

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


Schema = ImageSchema | VectorSchema


def _size(raw: np.ndarray) -> str:
    return " x ".join(str(side) for side in raw.shape[1:]) or "single numbers"


def _check_finite(raw: np.ndarray, names: tuple[str, ...] = ()) -> None:
    if raw.dtype.kind in "iub" or np.isfinite(raw).all():
        return
    bad = ~np.isfinite(raw)
    rows = np.flatnonzero(bad.reshape(len(raw), -1).any(1))
    columns = [names[i] for i in np.flatnonzero(bad.any(0))[:5]] if names else []
    where = f" (columns {', '.join(columns)})" if columns else ""
    raise RequestError(
        f"{len(rows)} of {len(raw)} examples hold NaN or infinity, the first in row {rows[0]}{where}: remove or fill them."
    )


def infer_schema(source: Source) -> Schema:
    """The schema of a source, its statistics fitted on all of it.

    Raises:
        RequestError: the examples are neither images nor vectors, or a value is not finite.
    """
    first = source.take(np.arange(1)).x
    if first.ndim == 2:
        return _fit_vectors(source, first)
    if first.ndim in (3, 4):
        return _fit_images(source, first)
    raise RequestError(
        f"Cannot tell what one example is from an array of {first.ndim} axes:"
        " give (n, features), (n, height, width) or (n, height, width, channels)."
    )


def _fit_images(source: Source, first: np.ndarray) -> ImageSchema:
    height, width = first.shape[1:3]
    low, high, extremes = _range(source)
    kind, levels = first.dtype.kind, source.levels
    if levels is not None:
        low, high = 0.0, float(levels - 1)
    elif extremes and (low, high) in ((0.0, 1.0), (0.0, 255.0)):
        levels = 2
    elif first.dtype == np.uint8:
        low, high, levels = 0.0, 255.0, 256
    elif kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    if high <= low:
        raise RequestError(f"Every pixel is {low:g}: there is nothing to learn.")
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
    for start in range(0, len(source), FITTED_ON):
        x = source.take(np.arange(start, min(start + FITTED_ON, len(source)))).x
        _check_finite(x)
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        extremes = extremes and bool(((x == low) | (x == high)).all())
    return low, high, extremes


def _fit_vectors(source: Source, first: np.ndarray) -> VectorSchema:
    count, features = len(source), first.shape[1]
    total, square, binary = np.zeros(features), np.zeros(features), True
    names = source.names or tuple(f"x{i}" for i in range(features))
    shift = np.nan_to_num(first[0].astype(np.float64))  # keeps the sums of squares small
    for start in range(0, count, FITTED_ON):
        x = source.take(np.arange(start, min(start + FITTED_ON, count))).x
        _check_finite(x, names)
        binary = binary and bool(np.isin(x, (0, 1)).all())
        moved = x.astype(np.float64) - shift
        total, square = total + moved.sum(0), square + (moved**2).sum(0)
    mean = shift + total / count
    variance = np.maximum(square / count - (total / count) ** 2, 0.0)
    # A column that hardly moves would be blown up to noise: it keeps its scale.
    scale = np.where(variance > 1e-12 * np.maximum(mean**2, 1e-12), np.sqrt(variance), 1.0)
    if binary:
        mean, scale = np.zeros(features), np.ones(features)
    dtypes = source.dtypes or (str(first.dtype),) * features
    return VectorSchema(
        names=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        dtypes=dtypes,
        binary=binary,
        frame=bool(source.names),
        classes=source.classes,
    )


def schema_from_json(content: dict[str, Any]) -> Schema:
    """The schema that `to_json` wrote.

    Raises:
        RequestError: the content is not such a schema.
    """
    kinds: dict[str, type[ImageSchema] | type[VectorSchema]] = {"image": ImageSchema, "vector": VectorSchema}
    fields = dict(content)
    kind = fields.pop("kind", None)
    if kind not in kinds:
        raise one_of("kind of schema", kind, kinds)
    try:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        schema = kinds[kind](**arguments)
        checks = [np.dtype(d) for d in ([schema.dtype] if isinstance(schema, ImageSchema) else schema.dtypes)]
        good = (
            bool(checks) and all(isinstance(side, int) and side > 0 for side in schema.shape) and math.isfinite(schema.log_det)
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise RequestError(f"The schema in run.json is damaged or was edited: {error}.") from error
    if not good:
        raise RequestError("The schema in run.json is damaged or was edited: its sizes make no sense.")
    return schema
