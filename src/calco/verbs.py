"""The verbs: what a fitted estimator can be asked for, each offered where its model has the capability."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from calco.clusters import Clusters, Method, find_clusters
from calco.contract import Batch, LogProb, Model, capabilities
from calco.data import Schema, SeriesSchema, Source, TableSchema, batches, open_data, opened_as, with_classes
from calco.data.files import plain
from calco.data.labels import as_array, encode_labels, name_of
from calco.data.paired import open_examples
from calco.data.schema import classes_of
from calco.data.values import check_names, unmasked
from calco.densities import Estimate
from calco.errors import RequestError, native, one_of
from calco.imputation import asked, imputed
from calco.maths import noise
from calco.maths.mixed import counted
from calco.memory import kept
from calco.simulation import begun, simulated
from calco.tiling import tiled, whole

PLACES = 2**18
"""Places of an example that are worked on at once when each gets a class."""
CHUNK, VALUES = 500, 2**23
"""Examples worked on at once after training, at most, and numbers in all of them."""


class Unable(RequestError, AttributeError):
    """The family does not have this capability."""


def can(verb: str) -> Callable[[Any], bool]:
    """A check for `available_if`: does the estimator's model have this capability?"""

    def check(self: "Verbs") -> bool:
        self.require(verb)
        return True

    return check


Verb = TypeVar("Verb", bound=Callable[..., Any])


def plainly(verb: Verb) -> Verb:
    """A verb that takes NumPy's numbers as Python's own, and refuses others than whole ones where it asks for those."""
    signature = inspect.signature(verb)
    whole = [name for name, parameter in signature.parameters.items() if parameter.annotation is int]

    @functools.wraps(verb)
    def taken(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options)
        given.arguments = {name: native(value) for name, value in given.arguments.items()}
        for name in whole:
            if type(given.arguments.get(name, 0)) is not int:
                raise RequestError(f"{name} is {given.arguments[name]!r}: it must be a whole number.")
        return verb(*given.args, **given.kwargs)

    return cast(Verb, taken)


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
            why = getattr(self.model_class, "lacks", {}).get(verb, "")
            told = f"The family {self.family!r} cannot {verb}: it can {', '.join(self.capabilities_)}."
            raise Unable(f"{told} {why}".strip())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first, or calco.load a run.")

    # -- segmentation -----------------------------------------------------------------------------------------------

    @available_if(can("segment"))
    @plainly
    def segment(self, x: Any, *, tile: int = 0) -> Any:
        """The class of every place: indices of `schema_.classes`, uint8, or uint16 where those are more than 256.

        Args:
            x: an array (n, ...), one example, a list of examples of any sizes, a folder, a file or a source.
            tile: sides of the pieces that larger examples are worked on in; 0 takes some 260,000 places.

        Returns:
            (n, *sides) where an array was given or all have one size, else a list.
        """
        self._fitted()
        found = [whole(self.bands(raw, tile), self.sides_of(raw)) for raw in self.examples(x)[1]]
        if isinstance(x, np.ndarray) and x.ndim == self.schema_.raw_axes:
            return found[0]
        return np.stack(found) if len({mask.shape for mask in found}) == 1 else found

    def examples(self, x: Any) -> tuple[list[str], Sequence[np.ndarray]]:
        """Names of examples without masks, and those, of any sizes; images are converted as those of the training were."""
        run = getattr(self, "run_", None)
        return open_examples(x, self.schema_, run.opening().get("mode") if run else None)

    def sides_of(self, raw: np.ndarray) -> tuple[int, ...]:
        """Sides of one raw example."""
        return raw.shape[: len(self.schema_.shape) - 1]

    def bands(self, raw: np.ndarray, tile: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """Probabilities of the classes of one raw example, a band of its first side at a time: (classes, ...), float32."""
        model: Any = self._model()
        sides, device = self.sides_of(raw), device_of(model)
        tile = tile or round(PLACES ** (1 / len(sides)))

        def probabilities(part: tuple[slice, ...]) -> Tensor:
            with torch.inference_mode():
                scores = model.scores(self.schema_.encode(raw[part][None]).to(device))
                return torch.softmax(scores.float(), 1)[0].cpu()

        with kept():
            yield from tiled(probabilities, sides, tile=tile, overlap=tile // 4, cell=model.cell)

    # -- data -------------------------------------------------------------------------------------------------------

    def _open(self, x: Any, y: Any = None, reset: bool = False) -> Source:
        """Open data; two-dimensional arrays and data frames go through scikit-learn's own checks, but those of series."""
        x = unmasked(x)
        known, y = None if reset else getattr(self, "schema_", None), self._looked_at(unmasked(y))
        if hasattr(x, "columns") and hasattr(x, "iloc"):
            check_names(x, "the data frame")
        if isinstance(known, (SeriesSchema, TableSchema)) or (hasattr(x, "iloc") and not plain(x)):
            return opened_as(known, x, y)
        if (getattr(x, "ndim", 0) in (1, 2) and not isinstance(x, Tensor)) or isinstance(x, list):
            # scikit-learn wants all names to be text, or none.
            several, rename = len(set(map(type, getattr(x, "columns", ())))) > 1, getattr(x, "rename", None)
            data: Any = rename(columns=str) if several and rename else x
            checked: Any = validate_data(self, data, reset=reset, dtype="numeric", ensure_min_samples=1)
            x = x if hasattr(x, "columns") else checked
        return open_data(x, y)

    def _looked_at(self, y: Any) -> Any:
        """Labels where the model learns from them, a column too; else those that can be classes: there it looks at none."""
        if y is None:
            return None
        if getattr(self, "conditional", False) or self.__sklearn_tags__().target_tags.required:
            y = as_array(y)
            return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        try:
            encode_labels(y, len(y))
        except (RequestError, TypeError):
            return None
        return y

    def batches(self, x: Any, y: Any = None, labelled: bool = False) -> Iterator[Batch]:
        """Data as batches of at most 500, fewer of large examples, in order.

        Labels, where they are wanted or the model is conditional on them, are indices of the classes trained on; other models
        do not look at labels, which may be of other classes.
        """
        self._fitted()
        source, device = self._open(x, y), device_of(self.model_)
        labelled = bool((labelled or getattr(self.model_, "classes", 0)) and source.classes and self.schema_.classes)
        if labelled:
            source = with_classes(source, self.schema_.classes)
        for batch in batches(source, self.schema_, chunk_of(self.schema_)):
            yield Batch(batch.x.to(device), batch.y.to(device) if labelled and batch.y is not None else None)

    def _map(self, verb: Callable[[Batch], Any], x: Any, y: Any = None) -> list[Any]:
        with torch.inference_mode(), kept():
            return [verb(batch) for batch in self.batches(x, y)]

    # -- the verbs --------------------------------------------------------------------------------------------------

    @available_if(can("encode"))
    def encode(self, x: Any, y: Any = None) -> np.ndarray:
        """Features of shape (n, width), float32."""
        model: Any = self._model()
        return torch.cat([z.cpu() for z in self._map(lambda b: model.encode(b.x, b.y), x, y)]).numpy()

    @available_if(can("encode"))
    def transform(self, x: Any) -> np.ndarray:
        """`encode`, under the name that scikit-learn's pipelines call."""
        return self.encode(x)

    @available_if(can("encode"))
    @plainly
    def cluster(self, x: Any, clusters: int = 0, *, method: Method = "graph", seed: int = 0) -> Clusters:
        """Groups of examples with codes alike.

        Args:
            x: the examples, anything that `fit` takes.
            clusters: how many; 0 chooses the number.
            method: graph, for clusters of any shape, or kmeans.
            seed: same seed, same clusters.

        Raises:
            RequestError: there are fewer different codes than clusters.
        """
        return find_clusters(self.encode(x), clusters, method, seed)

    @available_if(can("decode"))
    def decode(self, z: Any, y: Any = None) -> Any:
        """Codes of shape (n, width) to data as they went in."""
        model: Any = self._model()
        codes = torch.as_tensor(np.asarray(z), dtype=torch.float32, device=device_of(model))
        labels = None if y is None else torch.as_tensor([self.class_index(label) for label in y], device=codes.device)
        chunk = chunk_of(self.schema_)
        with torch.inference_mode():
            parts = [
                model.decode(codes[i : i + chunk], None if labels is None else labels[i : i + chunk])
                for i in range(0, len(codes), chunk)
            ]
        return self.schema_.decode(torch.cat(parts).cpu())

    @available_if(can("reconstruct"))
    def reconstruct(self, x: Any, y: Any = None) -> Any:
        """What the model keeps of each example, as data like those that went in; a data frame keeps its index."""
        found: Any = self.schema_.decode(self.reconstruct_tensor(x, y))
        return found.set_axis(x.index) if hasattr(found, "columns") and hasattr(x, "iloc") else found

    @available_if(can("reconstruct"))
    def reconstruct_tensor(self, x: Any, y: Any = None) -> Tensor:
        """`reconstruct` before the schema turns it back: (n, *schema_.shape), on the CPU."""
        model: Any = self._model()
        return torch.cat([r.cpu() for r in self._map(lambda b: model.reconstruct(b.x, b.y), x, y)])

    @available_if(can("reconstruct"))
    def errors(self, x: Any, y: Any = None) -> np.ndarray:
        """How far what the model keeps of an example is from it: what is odd is kept badly.

        Returns:
            The mean squared error of the values as the model sees them, missing ones left out: of series for each moment,
            (n, length), else (n,); float64.
        """
        model: Any = self._model()
        series = isinstance(self.schema_, SeriesSchema)

        def of(batch: Batch) -> Tensor:
            known = counted(batch.x, self.schema_.pieces)
            wrong = known * (model.reconstruct(batch.x, batch.y) - batch.x).square()
            axes = (1,) if series else tuple(range(1, batch.x.ndim))
            return (wrong.double().sum(axes) / known.double().sum(axes).clamp_min(1)).cpu()

        return torch.cat(self._map(of, x, y)).numpy()

    @available_if(can("predict"))
    def predict(self, x: Any) -> np.ndarray:
        """The class of each example, as the labels were given, or its value, float64: (n,)."""
        model: Any = self._model()
        with torch.inference_mode(), kept():
            found = [model.predict(batch.x).cpu() for batch in self.batches(x)]
        told = torch.cat(found).numpy()
        return classes_of(self.schema_)[told] if self.schema_.classes else told.astype(np.float64)

    @property
    def ways_(self) -> tuple[str, ...]:
        """The ways it can sample, the default one first."""
        model: Any = self._model()
        return model.ways if "sample" in self.capabilities_ else ()

    @available_if(can("sample"))
    @plainly
    def sample(
        self,
        n: int,
        *,
        way: str | None = None,
        label: Any = None,
        known: Any = None,
        mask: Any = None,
        history: Any = None,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Any:
        """`n` new examples, as data like those that went in.

        Args:
            n: how many, at least 1.
            way: one of `ways_`; the first if not given.
            label: the class to sample, for a conditional model; without it classes are drawn evenly.
            known: one example, or `n`, of which some values are given and the others are sampled.
            mask: which values are given: booleans of the shape of one example.
            history: how a series begins, (moments, channels) or a data frame: short for `known` and `mask`.
            where: of a table, values by the name of their column, None for what is missing; the others are sampled given those.
            seed: same seed, same samples.

        Raises:
            RequestError: n, way, label, known, mask, history or where are not possible.
        """
        if sum(given is not None for given in (history, where, known if known is not None else mask)) > 1:
            raise RequestError("Give one of these: the history of a series, columns of a table, or known values and a mask.")
        if history is not None:
            known, mask = begun(self.schema_, history)
        if known is None and mask is None and not where:
            return self.schema_.decode(self.sample_tensor(n, way=way, label=label, seed=seed))
        if way is not None or label is not None:
            raise RequestError("Samples with known values cannot have a way or a label too: leave those out.")
        if where:
            row, flags = asked(self.schema_, where)
            return self.schema_.decode(self.filled(row.expand(_some(n), -1), flags.expand(n, -1), seed=seed))
        return self.schema_.decode(self.complete_tensor(n, known, mask, seed=seed))

    @available_if(can("sample"))
    @plainly
    def sample_tensor(self, n: int, *, way: str | None = None, label: Any = None, seed: int = 0) -> Tensor:
        """`sample` before the schema turns it back: (n, *schema_.shape), on the CPU."""
        model: Any = self._model()
        _some(n)
        if way is not None and way not in model.ways:
            raise one_of("way of sampling", way, model.ways)
        classes = getattr(model, "classes", 0)
        if label is not None and not classes:
            raise RequestError("This model was not trained with labels to condition on: leave the label out.")
        y = None
        if classes:
            y = torch.full((n,), self.class_index(label)) if label is not None else torch.arange(n) % classes
            y = y.to(device_of(model))
        chunk = n if model.chained else chunk_of(self.schema_)

        def drawn(start: int, count: int) -> Tensor:
            own = None if y is None else y[start : start + count]
            return model.sample(count, way or model.ways[0], own).cpu()

        return torch.cat(_by_rows(drawn, n, chunk, seed))

    @available_if(can("complete"))
    @plainly
    def simulate(self, history: Any, steps: int, *, paths: int = 100, actions: Any = None, seed: int = 0) -> np.ndarray:
        """Futures of a series, `paths` draws of its next `steps` moments: (paths, steps, channels).

        Where they are longer than a window they are drawn piece by piece, each given the end of what was drawn before.

        Args:
            history: the past, (moments, channels) or a data frame with the columns of the training data; as much of its end as
                a window holds beside the future counts.
            steps: moments ahead.
            paths: draws.
            actions: values of the schema's action channels in those moments, (steps, actions) or (paths, steps, actions).
            seed: same seed, same futures.

        Raises:
            RequestError: the model is not of series, or one of these is not possible.
        """
        return simulated(self, history, steps, paths, actions, seed)

    @plainly
    def complete_tensor(self, n: int, known: Any, mask: Any, *, seed: int = 0) -> Tensor:
        """Samples with known values before the schema turns them back: (n, *schema_.shape), on the CPU.

        Raises:
            RequestError: the family cannot, or n, known or mask are not possible.
        """
        shape = self.schema_.shape
        _some(n)
        if known is None or mask is None:
            raise RequestError("Give both: known, an example, and mask, which of its values are known.")
        raw, flags = np.asarray(known), np.asarray(mask)
        if raw.dtype.kind not in "biuf":
            raise RequestError(f"The known example is an array of {raw.dtype}, not of numbers.")
        raw = raw[None] if raw.ndim == self.schema_.raw_axes else raw
        x = self.schema_.encode(raw)
        if flags.dtype != bool or flags.shape != raw.shape[1:]:
            raise RequestError(
                f"The mask is {flags.dtype} of shape {flags.shape}: give booleans of shape {raw.shape[1:]}, true where known."
            )
        if len(x) not in (1, n):
            raise RequestError(f"There are {len(x)} known examples for {n} samples: give one, or as many as samples.")
        return self.filled(x.expand(n, *shape), self.schema_.flags(flags).expand(n, *shape), seed=seed)

    @plainly
    def filled(self, x: Tensor, known: Tensor, *, seed: int = 0) -> Tensor:
        """Examples as the model sees them, (n, *schema_.shape), with draws of the values that are not known, on the CPU."""
        self.require("complete")
        model: Any = self._model()
        if getattr(model, "classes", 0):
            raise RequestError("A model that is conditional on labels fills in nothing, as it is told none: fit another.")
        device, chunk = device_of(model), chunk_of(self.schema_)

        def drawn(start: int, count: int) -> Tensor:
            part = slice(start, start + count)
            return model.complete(x[part].to(device), known[part].to(device)).cpu()

        return torch.cat(_by_rows(drawn, len(x), chunk, seed))

    @available_if(can("complete"))
    @plainly
    def impute(self, x: Any, *, seed: int = 0) -> Any:
        """Data with a draw of each missing value given those that are there; what is there stays as it is.

        Args:
            x: of tables a data frame; of series a recording, (moments, channels) or a data frame, of any length.
            seed: same seed, same draws.

        Returns:
            Data like `x`. A cell that the model takes for missing in every draw stays empty.

        Raises:
            RequestError: the data are neither, or have other columns.
        """
        return imputed(self, x, seed).data

    def class_index(self, label: Any) -> int:
        """The index of a class by its label, or by the text of that.

        Raises:
            RequestError: there is no such class.
        """
        name = name_of(label)
        if name not in self.schema_.classes:
            raise one_of("label", label, self.schema_.classes)
        return self.schema_.classes.index(name)

    @property
    def density_(self) -> str:
        """What the numbers of `log_prob` are."""
        model: Any = self._model()
        measure = getattr(self.schema_, "measure", "")
        return f"{model.density}, {measure}" if measure else model.density

    @available_if(can("log_prob"))
    @plainly
    def log_prob(self, x: Any, y: Any = None, *, with_error: bool = False, seed: int = 0) -> Any:
        """Log density of each example in nats, in the units of the data: (n,), float64.

        Probability mass where the model takes the values as discrete. With `with_error` also the standard error of each
        estimate, (n,).
        """
        found = self.log_prob_estimate(x, y, seed=seed)
        return (found.value, found.error) if with_error else found.value

    @available_if(can("log_prob"))
    @plainly
    def log_prob_estimate(self, x: Any, y: Any = None, *, seed: int = 0) -> Estimate:
        """`log_prob` with all that is known of how good it is."""
        model: Any = self._model()

        def of(batch: Batch) -> tuple[LogProb, np.ndarray]:
            with noise.examples(seed, x=batch.x):
                return model.log_prob(batch.x, batch.y), self.schema_.log_dets(batch.x)

        found = self._map(of, x, y)
        parts, log_dets = zip(*found, strict=True)
        return Estimate.joined(parts, np.concatenate(log_dets) if model.continuous else 0.0)

    @available_if(can("log_prob"))
    def score(self, x: Any, y: Any = None) -> float:
        """Mean log density in nats: higher is better."""
        return float(self.log_prob(x, y).mean())

    def adjust(self, **settings: int | None) -> Self:
        """Change numbers that a model can be asked with other values of after training; None changes nothing.

        Those are the ones of `model_.adjustable`: samples and temperatures of an estimate, sweeps of a chain.

        Raises:
            RequestError: the family has no such number, or it is too small.
        """
        known = getattr(self._model(), "adjustable", ())
        for name, value in ((name, native(value)) for name, value in settings.items()):
            if value is None:
                continue
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise RequestError(f"The family {self.family!r} has no {name} to change after training: {has}.")
            if value < 1:
                raise RequestError(f"{name} is {value}: it must be at least 1.")
            setattr(self.model_, name, value)
        return self

    def _model(self) -> Model:
        self._fitted()
        return self.model_

    def to(self, device: str) -> Self:
        """Move the model to a device."""
        self._fitted()
        self.model_.to(device)
        return self


def _by_rows(drawn: Callable[[int, int], Tensor], n: int, chunk: int, seed: int) -> list[Tensor]:
    """What `drawn` gives for the rows from a start on and their count, a chunk at a time; the noise of a row is its own."""
    parts = []
    with torch.inference_mode():
        for start in range(0, n, chunk):
            count = min(chunk, n - start)
            with noise.rows(seed, start=start, count=count):
                parts.append(drawn(start, count))
    return parts


def _some(n: int) -> int:
    """A number of samples.

    Raises:
        RequestError: it is none.
    """
    if n < 1:
        raise RequestError(f"Cannot sample {n} examples: ask for at least 1.")
    return n


def chunk_of(schema: Schema) -> int:
    """How many examples are worked on at once after training: fewer of large ones."""
    return max(1, min(CHUNK, VALUES // math.prod(schema.shape)))


def device_of(net: nn.Module) -> torch.device:
    """Where a net is; the CPU for one that has nothing to be anywhere."""
    return next(itertools.chain(net.parameters(), net.buffers()), torch.zeros(())).device
