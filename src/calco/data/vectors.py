"""The schema of vectors."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.source import Source
from calco.data.values import READ_AT_ONCE, check_finite, size_of
from calco.errors import RequestError


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
            raise RequestError(f"These data are {size_of(raw)}; the model knows vectors of {len(self.mean)} features.")
        check_finite(raw, self.names)
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

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        lengths = {len(field) for field in (self.names, self.mean, self.scale, self.dtypes)}
        numbers = all(math.isfinite(m) and 0 < s < math.inf for m, s in zip(self.mean, self.scale, strict=False))
        return len(lengths) == 1 and lengths != {0} and numbers and all(np.dtype(d).kind in "biuf" for d in self.dtypes)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


def fit_vectors(source: Source, first: np.ndarray) -> VectorSchema:
    """The schema of a source of vectors, its statistics over all of it; `first` is an example, (1, features).

    Raises:
        RequestError: a value is not finite.
    """
    count, features = len(source), first.shape[1]
    total, square, binary = np.zeros(features), np.zeros(features), True
    names = source.names or tuple(f"x{i}" for i in range(features))
    shift = np.nan_to_num(first[0].astype(np.float64))  # keeps the sums of squares small
    for start in range(0, count, READ_AT_ONCE):
        x = source.take(np.arange(start, min(start + READ_AT_ONCE, count))).x
        check_finite(x, names)
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
