"""The verbs: what a fitted estimator can be asked for, each offered where its model has the capability."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor

from calco.contract import Batch, Model, capabilities
from calco.data import Schema, Source, batches, open_data
from calco.errors import RequestError, one_of
from calco.maths import noise
from calco.memory import kept

CHUNK = 500
"""Examples worked on at once after training."""


class Unable(RequestError, AttributeError):
    """The family does not have this capability."""


def _can(verb: str) -> Callable[[Any], bool]:
    """A check for `available_if`: does the estimator's model have this capability?"""

    def check(self: "Verbs") -> bool:
        self.require(verb)
        return True

    return check


class Verbs(BaseEstimator):
    """The verbs of an estimator with a `model_` and a `schema_`."""

    family: ClassVar[str]
    """Its name on the command line."""
    model_class: ClassVar[type[Model]]
    """What it builds; its methods say what the family can do."""

    model_: Model
    schema_: Schema

    @property
    def capabilities_(self) -> list[str]:
        """The verbs that this family answers."""
        return capabilities(self.model_class)

    def require(self, verb: str) -> None:
        """Raise unless the family answers `verb`.

        Raises:
            Unable: with the verbs that it does answer.
        """
        if verb not in self.capabilities_:
            raise Unable(f"The family {self.family!r} cannot {verb}: it can {', '.join(self.capabilities_)}.")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first, or calco.load a run.")

    # -- data -------------------------------------------------------------------------------------------------------

    def _open(self, x: Any, y: Any = None, reset: bool = False) -> Source:
        """Open data; two-dimensional arrays and data frames go through scikit-learn's own checks."""
        if (getattr(x, "ndim", 0) in (1, 2) and not isinstance(x, Tensor)) or isinstance(x, list):
            data: Any = x
            checked: Any = validate_data(self, data, reset=reset, dtype="numeric", ensure_min_samples=1)
            x = x if hasattr(x, "columns") else checked
        return open_data(x, y)

    def batches(self, x: Any, y: Any = None) -> Iterator[Batch]:
        """Data as batches of at most 500, in order, labels as indices of the classes trained on."""
        self._fitted()
        source, device = self._open(x, y), device_of(self.model_)
        table = self._class_table(source)
        for batch in batches(source, self.schema_, CHUNK):
            label = None if batch.y is None or table is None else table[batch.y].to(device)
            yield Batch(batch.x.to(device), label)

    def _class_table(self, source: Source) -> Tensor | None:
        known = list(self.schema_.classes)
        if not source.classes or not known:
            return None
        for name in source.classes:
            if name not in known:
                raise one_of("label", name, known)
        return torch.tensor([known.index(name) for name in source.classes])

    def _map(self, verb: Callable[[Batch], Any], x: Any, y: Any = None) -> list[Any]:
        with torch.inference_mode(), kept():
            return [verb(batch) for batch in self.batches(x, y)]

    # -- the verbs --------------------------------------------------------------------------------------------------

    @available_if(_can("encode"))
    def encode(self, x: Any, y: Any = None) -> np.ndarray:
        """Features of shape (n, width), float32."""
        model: Any = self._model()
        return torch.cat([z.cpu() for z in self._map(lambda b: model.encode(b.x, b.y), x, y)]).numpy()

    @available_if(_can("encode"))
    def transform(self, x: Any) -> np.ndarray:
        """`encode`, under the name that scikit-learn's pipelines call."""
        return self.encode(x)

    @available_if(_can("decode"))
    def decode(self, z: Any, y: Any = None) -> Any:
        """Codes of shape (n, width) to data as they went in."""
        model: Any = self._model()
        codes = torch.as_tensor(np.asarray(z), dtype=torch.float32, device=device_of(model))
        labels = None if y is None else torch.as_tensor([self.class_index(label) for label in y], device=codes.device)
        with torch.inference_mode():
            parts = [
                model.decode(codes[i : i + CHUNK], None if labels is None else labels[i : i + CHUNK])
                for i in range(0, len(codes), CHUNK)
            ]
        return self.schema_.decode(torch.cat(parts).cpu())

    @available_if(_can("reconstruct"))
    def reconstruct(self, x: Any, y: Any = None) -> Any:
        """What the model keeps of each example, as data like those that went in."""
        return self.schema_.decode(self.reconstruct_tensor(x, y))

    @available_if(_can("reconstruct"))
    def reconstruct_tensor(self, x: Any, y: Any = None) -> Tensor:
        """`reconstruct` before the schema turns it back: (n, *schema_.shape), on the CPU."""
        model: Any = self._model()
        return torch.cat([r.cpu() for r in self._map(lambda b: model.reconstruct(b.x, b.y), x, y)])

    @property
    def ways_(self) -> tuple[str, ...]:
        """The ways it can sample, the default one first."""
        model: Any = self._model()
        return model.ways if "sample" in self.capabilities_ else ()

    @available_if(_can("sample"))
    def sample(self, n: int, *, way: str | None = None, label: Any = None, seed: int = 0) -> Any:
        """`n` new examples, as data like those that went in.

        Args:
            n: how many, at least 1.
            way: one of `ways_`; the first if not given.
            label: the class to sample, for a conditional model; without it classes are drawn evenly.
            seed: same seed, same samples.

        Raises:
            RequestError: n, way or label are not possible.
        """
        return self.schema_.decode(self.sample_tensor(n, way=way, label=label, seed=seed))

    @available_if(_can("sample"))
    def sample_tensor(self, n: int, *, way: str | None = None, label: Any = None, seed: int = 0) -> Tensor:
        """`sample` before the schema turns it back: (n, *schema_.shape), on the CPU."""
        model: Any = self._model()
        if n < 1:
            raise RequestError(f"Cannot sample {n} examples: ask for at least 1.")
        if way is not None and way not in model.ways:
            raise one_of("way of sampling", way, model.ways)
        classes = getattr(model, "classes", 0)
        if label is not None and not classes:
            raise RequestError("This model was not trained with labels to condition on: leave the label out.")
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(noise.mix(seed))
            y = None
            if classes:
                y = torch.full((n,), self.class_index(label)) if label is not None else torch.arange(n) % classes
                y = y.to(device_of(model))
            parts = [
                model.sample(min(CHUNK, n - i), way or model.ways[0], None if y is None else y[i : i + CHUNK]).cpu()
                for i in range(0, n, CHUNK)
            ]
        return torch.cat(parts)

    def class_index(self, label: Any) -> int:
        """The index of a class by its name.

        Raises:
            RequestError: there is no such class.
        """
        if str(label) not in self.schema_.classes:
            raise one_of("label", label, self.schema_.classes)
        return self.schema_.classes.index(str(label))

    @property
    def density_(self) -> str:
        """What the numbers of `log_prob` are."""
        model: Any = self._model()
        return model.density

    @available_if(_can("log_prob"))
    def log_prob(self, x: Any, y: Any = None, *, with_error: bool = False, seed: int = 0) -> Any:
        """Log density of each example in nats, in the units of the data: (n,), float64.

        Probability mass where the data are discrete. With `with_error` also the standard error of each estimate, (n,).
        """
        model: Any = self._model()
        with torch.random.fork_rng():
            torch.manual_seed(noise.mix(seed))
            parts = self._map(lambda b: model.log_prob(b.x, b.y), x, y)
        value = torch.cat([p.value.cpu() for p in parts]).double().numpy() + self.schema_.log_det
        return (value, torch.cat([p.error.cpu() for p in parts]).double().numpy()) if with_error else value

    @available_if(_can("log_prob"))
    def score(self, x: Any, y: Any = None) -> float:
        """Mean log density in nats: higher is better."""
        return float(self.log_prob(x, y).mean())

    def set_samples(self, samples: int | None) -> None:
        """Change how many samples an estimated density takes, where it is one; None changes nothing.

        Raises:
            RequestError: the number is not positive, or the density is not estimated.
        """
        if samples is None:
            return
        if not hasattr(self._model(), "samples"):
            raise RequestError(f"The family {self.family!r} does not estimate a density by samples: leave the number out.")
        if samples < 1:
            raise RequestError(f"Cannot estimate with {samples} samples: take at least 1.")
        self.model_.samples = samples  # type: ignore[assignment]

    def _model(self) -> Model:
        self._fitted()
        return self.model_

    def to(self, device: str) -> Self:
        """Move the model to a device."""
        self._fitted()
        self.model_.to(device)
        return self


def device_of(model: Model) -> torch.device:
    """Where a model is."""
    return next(itertools.chain(model.parameters(), model.buffers())).device
