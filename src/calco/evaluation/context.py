"""What metrics and sections share while one evaluation or report lasts; nothing of a model is kept beyond it."""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from calco.data import Source, labelled_part
from calco.estimator import Estimator
from calco.evaluation.figures import as_data, as_tensor, classed, role, some_of, training_data

KEPT = 1 << 29
"""Bytes of encoded examples up to which they are kept for the next who asks; more of them are encoded again."""

Part = Literal["source", "train"]


class EvalContext:
    """A model, what it is measured on and what it learned from, with what follows from them, each computed once.

    It is of the model as it is now: make a new one after weights or settings have changed.

    Args:
        estimator: fitted or loaded.
        source: to measure on; of examples some of which have labels only those.
        train: the training data; opened as the run did when they are first asked for, if not given.
    """

    def __init__(self, estimator: Estimator, source: Source, train: Source | None = None) -> None:
        self.estimator, self.source = estimator, labelled_part(source)
        self._given, self._found = train, dict[Hashable, Any]()

    @cached_property
    def train(self) -> Source:
        """The training data.

        Raises:
            RequestError: they were in memory, are no more, or are others now.
        """
        return labelled_part(training_data(self.estimator, self.source) if self._given is None else self._given)

    @property
    def has_train(self) -> bool:
        """Whether the training data were given, or a run says where they are."""
        run = self.estimator.run_
        return self._given is not None or bool(run and run.opening())

    def classed(self) -> "EvalContext":
        """The same without labels, where those are values and not classes."""
        parts = [classed(self.estimator, part, self.train) for part in (self.source, self.train)]
        other = EvalContext(self.estimator, *parts)
        other._found = self._found
        return other

    @cached_property
    def role(self) -> str:
        """What to call the examples that are measured on."""
        return role(self.source, self.estimator, train=self.train)

    def once(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made when it is first asked for by this name."""
        if name not in self._found:
            self._found[name] = make()
        return self._found[name]

    def some(self, part: Part, most: int | None = None) -> Source:
        """Evenly spaced examples of a part, `most` of them at most."""
        return some_of(self.source if part == "source" else self.train, most)

    def encoded(self, part: Part, most: int | None = None) -> Tensor:
        """Examples as the model sees them, evenly spaced ones where there are more than `most`: (n, ...)."""
        some = self.some(part, most)
        name = ("encoded", part, len(some))
        x = self._found[name] if name in self._found else as_tensor(self.estimator, some)
        if x.nbytes <= KEPT:
            self._found[name] = x
        return x

    def codes(self, part: Part, most: int | None = None) -> np.ndarray:
        """Codes of the examples that `some` gives: (n, width)."""
        some = self.some(part, most)
        return self.once(("codes", part, len(some)), lambda: self.estimator.encode(some))

    def sampled(self, n: int, seed: int = 0) -> Tensor:
        """`n` samples as the model gives them: (n, ...)."""
        return self.once(("sampled", n, seed), lambda: self.estimator.sample_tensor(n, seed=seed))

    def drawn(self, n: int, seed: int = 0) -> Tensor:
        """`n` samples as the model sees them, as precise as the data are: (n, ...)."""
        return self.once(("drawn", n, seed), lambda: as_data(self.estimator, self.sampled(n, seed)))

    def classified(self) -> tuple[np.ndarray, np.ndarray]:
        """The class of each example that is measured on, (n,), and the probabilities predicted, (n, classes)."""
        return self.once("classified", self._classify)

    def _classify(self) -> tuple[np.ndarray, np.ndarray]:
        model: Any = self.estimator.model_
        with torch.inference_mode():
            parts = [(batch.y, model.probabilities(batch.x)) for batch in self.estimator.batches(self.source, labelled=True)]
        truth, p = zip(*parts, strict=True)
        return torch.cat(truth).cpu().numpy(), torch.cat(p).cpu().double().numpy()
