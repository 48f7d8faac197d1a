"""Regressors, on features learned without labels or from scratch."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from torch import Tensor

from calco.contract import Batch, Model
from calco.data import Schema, Source, valued
from calco.errors import RequestError
from calco.models.supervised.head import PredictorModel
from calco.models.supervised.predictor import Predictor


class RegressorModel(PredictorModel):
    """The mathematics of regression: the output is a value in standard deviations of the labels from their mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, *nets: Any, **options: Any) -> None:
        super().__init__(*nets, **options)
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def begin(self, batches: Iterable[Batch]) -> None:
        """Take mean and deviation from the labels."""
        known = list(batches)
        super().begin(known)
        y = torch.cat([batch.y for batch in known if batch.y is not None])
        y = y[self.labelled(y)].double()
        self.mean.copy_(y.mean())
        spread = y.std(correction=0)
        self.scale.copy_(spread if spread > 0 else torch.ones(()))

    def labelled(self, y: Tensor) -> Tensor:
        """Those with a value: the others have what is not a number."""
        return ~torch.isnan(y)

    def losses(self, out: Tensor, y: Tensor) -> Tensor:
        """Squared errors in squared deviations, without meaning where there is no label: (n,)."""
        # What is not a number would be one in the gradient too, where it does not count in the loss.
        y = torch.where(self.labelled(y), y, self.mean.to(y.dtype))
        return (out[:, 0] - ((y - self.mean) / self.scale).to(out.dtype)).square()

    def apart(self, out: Tensor, moved: Tensor) -> Tensor:
        """The mean squared difference."""
        return (out.detach() - moved).square().mean()

    def predict(self, x: Tensor) -> Tensor:
        """Values in the unit of the labels: (n, ...) to (n,), float64."""
        return self.outputs(x)[:, 0].double() * self.scale + self.mean


class Regressor(RegressorMixin, Predictor):
    """Regressor: a head on an encoder, learned without labels or from scratch; labels are numbers to predict."""

    family = "regressor"
    model_class = RegressorModel

    def understood(self, source: Source) -> Schema:
        """The schema of the data, without classes."""
        valued(source)  # labels that are no numbers are refused before anything is begun
        return dataclasses.replace(super().understood(source), classes=())

    def fed(self, source: Source, schema: Schema, model: Model) -> Source:
        """With values in place of classes."""
        return valued(super().fed(source, schema, model))

    def score(self, x: Any, y: Any = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        """R squared: 1 minus the mean squared error over the variance of the labels."""
        if y is None:
            source = self._open(x)
            if not source.classes:
                raise RequestError("Predictions are measured by labels, and these data have none: give y.")
            y = valued(source).take(np.arange(len(source))).y
        return float(r2_score(y, self.predict(x)))

    def _outputs(self, schema: Schema) -> int:
        return 1
