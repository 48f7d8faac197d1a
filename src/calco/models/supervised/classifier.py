"""Classifiers, on features learned without labels or from scratch."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor
from torch.nn import functional as F

from calco.contract import Batch, Model, Verdict
from calco.data import Schema, Source, with_classes
from calco.data.labels import as_array
from calco.data.schema import classes_of
from calco.errors import RequestError
from calco.maths.consistency import confident, divergence, entropy
from calco.memory import kept
from calco.models.supervised.head import PredictorModel
from calco.models.supervised.predictor import Predictor

UNDECIDED = 0.3
"""Weight of the entropy of classes beside consistency: 1 in the paper, which decides too early where labels are few."""


class ClassifierModel(PredictorModel):
    """The mathematics of classification: outputs are logits of the classes.

    Args:
        threshold: least probability of a class at which it counts for other views.
        options: as of `PredictorModel`.
    """

    def __init__(self, *nets: Any, threshold: float = 0.8, **options: Any) -> None:
        super().__init__(*nets, **options)
        self.threshold = threshold

    def labelled(self, y: Tensor) -> Tensor:
        """Those with a class: the index of the others is negative."""
        return y >= 0

    def losses(self, out: Tensor, y: Tensor) -> Tensor:
        """Cross entropy, nats: (n,)."""
        return F.cross_entropy(out, y.clamp_min(0), reduction="none")

    def apart(self, out: Tensor, moved: Tensor) -> Tensor:
        """The mean KL divergence."""
        return divergence(out, moved)

    def agreement(self, out: Tensor, moved: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy with the classes that are surely predicted, and their share."""
        loss, sure = confident(out, moved, self.threshold)
        return loss, {"sure": sure}

    def unsure(self, out: Tensor) -> Tensor:
        """A share of the mean entropy of the classes."""
        return UNDECIDED * entropy(out)

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """Mean cross entropy in nats; beside it accuracy."""
        total, right, count = 0.0, 0, 0
        for batch in batches:
            out = self.outputs(batch.x)
            total += float(self.held_out(batch)) * len(out)
            right, count = right + int((out.argmax(1) == batch.y).sum()), count + len(out)
        return Verdict(total / count, {"accuracy": right / count})

    def probabilities(self, x: Tensor) -> Tensor:
        """Of the classes: (n, ...) to (n, classes)."""
        return torch.softmax(self.outputs(x).float(), 1)

    def predict(self, x: Tensor) -> Tensor:
        """The index of the most probable class: (n, ...) to (n,)."""
        return self.outputs(x).argmax(1)


class Classifier(ClassifierMixin, Predictor):
    """Classifier: a head on an encoder, learned without labels or from scratch."""

    family = "classifier"
    model_class = ClassifierModel

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of `predict_proba`."""
        self._fitted()
        return classes_of(self.schema_)

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities of the classes, (n, classes), float32."""
        model: Any = self._model()
        with torch.inference_mode(), kept():
            return torch.cat([model.probabilities(b.x).cpu() for b in self.batches(x)]).numpy()

    def score(self, x: Any, y: Any = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        """The share of examples whose class is predicted.

        Raises:
            RequestError: there are no labels, or they are text where those of the training were not, or the other way round.
        """
        if y is None:
            source = with_classes(self._open(x), self.schema_.classes)
            y = self.classes_[source.take(np.arange(len(source))).y]
        truth, known = as_array(y), self.classes_
        if len({found.dtype.kind in "OUT" for found in (truth, known)}) > 1:
            raise RequestError(f"The labels are {truth.dtype}, and the model learned {known.dtype}: give them as those were.")
        return float(np.mean(self.predict(x) == column_or_1d(truth)))

    def _checked(self, y: Any) -> Any:
        y = super()._checked(y)
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise RequestError(str(error)) from error
        return y

    def fed(self, source: Source, schema: Schema, model: Model) -> Source:
        """With labels as indices of the classes trained on."""
        return super().fed(source, schema, model) if source.classes == schema.classes else with_classes(source, schema.classes)

    def _outputs(self, schema: Schema) -> int:
        return len(schema.classes)

    def _more(self, schema: Schema) -> dict[str, Any]:
        return {"threshold": self.threshold}
