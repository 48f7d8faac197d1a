"""The schema of vectors."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from calco.data.columns import numbers
from calco.data.labels import TEXT
from calco.data.source import Source, column_labels_of
from calco.data.values import (
    as_tensor,
    check_exact,
    check_finite,
    check_levels,
    chunks,
    digits_of,
    in_steps,
    labelled,
    nearest_multiple,
    numpy_type,
    size_of,
    standardised,
    within,
)
from calco.errors import RequestError
from calco.maths.mixed import Piece


@dataclass(frozen=True)
class VectorSchema:
    """Vectors of named numbers, raw as (n, features), standardised for a model; binary ones stay 0 and 1.

    Values that all were multiples of a `grain`, such as 0.1, stay so. `column_labels` are names as they were, where not all
    were text.
    """

    kind: ClassVar[str] = "vector"
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    dtypes: tuple[str, ...]
    binary: bool
    frame: bool
    classes: tuple[str, ...] = ()
    label_dtype: str = TEXT
    grain: tuple[float, ...] = ()
    column_labels: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (features,)."""
        return (len(self.mean),)

    @property
    def raw_axes(self) -> int:
        """Axes of one raw example."""
        return 1

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What the features are, where they are of several kinds: they are not."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns where the data were a data frame; () otherwise."""
        return self.names if self.frame else ()

    @property
    def levels(self) -> int | None:
        """2 for binary vectors."""
        return 2 if self.binary else None

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """Likelihoods that suit these values, the best first."""
        return ("bernoulli",) if self.binary else ("gaussian",)

    def log_dets(self, x: Tensor) -> np.ndarray:
        """What turns the log densities of standardised vectors into those of the raw ones: (n,)."""
        return np.full(len(x), -sum(math.log(s) for s in self.scale))

    def encode(self, raw: Any) -> Tensor:
        """Raw vectors to float32 of shape (n, features).

        Raises:
            RequestError: there are more or fewer features than trained on, a value is not finite or is too far out, or one
                of binary vectors is neither 0 nor 1.
        """
        raw = _numbers(raw) if hasattr(raw, "columns") else np.asarray(raw)
        if raw.ndim != 2 or raw.shape[1] != len(self.mean):
            raise RequestError(f"These data are {size_of(raw)}; the model knows vectors of {len(self.mean)} features.")
        check_finite(raw, self.names)
        if self.binary:
            check_levels(raw, 0, 1, 2)
            return as_tensor(raw.astype(np.float32))
        return as_tensor(standardised(raw, self.mean, self.scale))

    def flags(self, mask: np.ndarray) -> Tensor:
        """Booleans of the shape of one raw vector, as a model sees it: (features,)."""
        return torch.from_numpy(mask)

    def decode(self, x: Tensor) -> Any:
        """Standardised vectors to raw ones; a data frame with the same columns and dtypes where the data were one."""
        raw = x.detach().cpu().double().numpy() * self.scale + self.mean
        if self.binary:
            raw = (raw >= 0.5).astype(np.float64)
        for i, grain in enumerate(self.grain):
            raw[:, i] = nearest_multiple(raw[:, i], grain) if grain else raw[:, i]
        if self.frame:
            import pandas as pd

            columns = zip(self.names, self.dtypes, raw.T, strict=True)
            found = {name: pd.Series(within(column, dtype)).astype(dtype) for name, dtype, column in columns}
            return labelled(pd.DataFrame(found), self.column_labels)
        return within(raw, self.dtypes[0]).astype(self.dtypes[0])

    def sound(self) -> bool:
        """Whether the fields can be those of a schema that was fitted."""
        lengths = {len(field) for field in (self.names, self.mean, self.scale, self.dtypes)}
        numbers = all(math.isfinite(m) and 0 < s < math.inf for m, s in zip(self.mean, self.scale, strict=False))
        named = all(isinstance(field, tuple) and all(isinstance(v, str) for v in field) for field in (self.names, self.classes))
        flags = isinstance(self.binary, bool) and isinstance(self.frame, bool)
        kinds = all(numpy_type(d).kind in "biuf" for d in self.dtypes)
        more = all(len(field) in (0, len(self.names)) for field in (self.grain, self.column_labels))
        grains = all(0 <= grain < math.inf for grain in self.grain)
        return len(lengths) == 1 and lengths != {0} and numbers and named and flags and kinds and more and grains

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


def _numbers(frame: Any) -> np.ndarray:
    """The columns of a data frame, which hold numbers in whatever way, as float64: (n, features).

    Raises:
        RequestError: one is missing, or is none.
    """
    for name in frame.columns:
        if gone := int(frame[name].isna().sum()):
            raise RequestError(f"{gone} values of the column {name} are missing, of which none was in training: fill them.")
    return np.stack([numbers(frame[name], str(name), "the table") for name in frame.columns], 1)


def fit_vectors(source: Source, first: np.ndarray) -> VectorSchema:
    """The schema of a source of vectors, its statistics over all of it; `first` is an example, (1, features).

    Raises:
        RequestError: a value is not finite, or too large to be squared.
    """
    count, features = len(source), first.shape[1]
    total, square, binary, row = np.zeros(features), np.zeros(features), True, 0
    names = source.names or tuple(f"x{i}" for i in range(features))
    shift = np.nan_to_num(first[0].astype(np.float64))  # keeps the sums of squares small
    even = np.ones((len(GRAINS), features), bool)
    dtypes = source.dtypes or (str(first.dtype),) * features
    digits = np.array([digits_of(dtype) for dtype in dtypes])
    for x in chunks(source, names):
        for i, name in enumerate(names):
            check_exact(x[:, i], name, row)
        row += len(x)
        even &= [in_steps(x, grain, digits).all(0) for grain in GRAINS]
        binary = binary and bool(((x == 0) | (x == 1)).all())
        with np.errstate(over="ignore"):
            moved = x.astype(np.float64) - shift
            total, square = total + moved.sum(0), square + (moved**2).sum(0)
    if not np.isfinite(square).all():
        huge = [names[i] for i in np.flatnonzero(~np.isfinite(square))[:5]]
        raise RequestError(f"Values are too large to be standardised in {', '.join(huge)}: change their unit.")
    mean = shift + total / count
    variance = np.maximum(square / count - (total / count) ** 2, 0.0)
    # A column that moves by no more than its own rounding would be blown up to noise: it keeps its scale.
    scale = np.where(np.sqrt(variance) > 8 * digits * abs(mean), np.sqrt(variance), 1.0)
    if binary:
        mean, scale = np.zeros(features), np.ones(features)
    return VectorSchema(
        names=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        dtypes=dtypes,
        binary=binary,
        frame=bool(source.names),
        classes=source.classes,
        grain=tuple(GRAINS[int(column.argmax())] if column.any() else 0.0 for column in even.T),
        column_labels=column_labels_of(source),
    )


GRAINS = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""What values may be multiples of, the coarsest first."""
