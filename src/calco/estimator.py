"""The front door's base: scikit-learn's manners around any model of the contract.

A family's estimator declares its hyper-parameters in `__init__` and builds its model in `build`; everything else, from
fitting and run folders to each verb a model can answer, is here.
"""

import itertools
import os
import platform
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor

import calco
from calco.contract import Batch, Model, capabilities
from calco.data import Schema, Source, batches, infer_schema, open_data, schema_from_json, split
from calco.errors import RequestError, one_of
from calco.maths import noise
from calco.runs import Run
from calco.training import Interrupted, Report, Training, check_type, train

CHUNK = 500
"""Examples worked on at once after training."""

CONCLUDE = 10_000
"""Training examples that `Model.conclude` sees at most."""


def _can(verb: str) -> Callable[[Any], bool]:
    """A check for `available_if`: does the estimator's model have this capability?"""

    def check(self: "Estimator") -> bool:
        self.require(verb)
        return True

    return check


class Estimator(TransformerMixin, BaseEstimator):
    """Base of all families.

    After `fit`: `model_` (the torch module), `schema_` (what an example is), `history_` (lines of the log), `run_` (the run
    folder or None).
    """

    family: ClassVar[str]
    """Its name on the command line."""
    model_class: ClassVar[type[Model]]
    """What it builds; its methods say what the family can do."""
    recipe: ClassVar[Training] = Training()
    """How it trains by default."""

    demo: ClassVar[dict[str, Any] | None] = None
    """Hyper-parameters for the demonstration on the digits; None to be left out of it."""

    training: Training | Mapping[str, Any] | None
    model_: Model
    schema_: Schema
    history_: list[dict[str, Any]]
    run_: Run | None

    @abstractmethod
    def build(self, schema: Schema) -> Model:
        """The model for data of this schema, freshly initialised.

        Raises:
            RequestError: a hyper-parameter does not fit the data.
        """

    # -- what it is and what it can do --------------------------------------------------------------------------------

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

    def settings(self) -> Training:
        """The training settings: the family's recipe with the changes of `training`."""
        return self.recipe.changed(self.training)

    def check_params(self) -> None:
        """Check hyper-parameters against their annotations.

        Raises:
            RequestError: one has the wrong type or is not among its choices.
        """
        hints = get_type_hints(type(self).__init__)
        for name, value in self.get_params(deep=False).items():
            if name != "training":
                check_type(name, value, hints[name])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # codes are float32 whatever the data were
        return tags

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first, or calco.load a run.")

    # -- learning ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        out: str | os.PathLike[str] | None = None,
        report: Report | None = None,
    ) -> Self:
        """Learn from data.

        Args:
            x: an array (n, features), (n, height, width) or (n, height, width, channels), a tensor, a data frame, a source,
                the name of a named set, a file or a folder.
            y: labels, one per example.
            validation: more of the same, to measure on while training.
            out: a folder that does not exist yet, for the run; without it nothing is written.
            report: called with each line of the log.

        Raises:
            RequestError: data or settings are wrong; nothing was started.
            RunError: training failed; the last checkpoint is in `out`.
        """
        self.check_params()
        source = self._open(x, y, reset=True)
        held = None if validation is None else self._open(validation)
        settings = self.settings()
        schema = infer_schema(source)
        run = None
        main = int(os.environ.get("RANK", "0")) == 0
        if out is not None:
            record = self._record(source, held, schema, settings)
            run = Run.create(out, record) if main else Run.created(out)
        return self._learn(source, schema, settings, run, held, report)

    def _learn(
        self, source: Source, schema: Schema, settings: Training, run: Run | None, held: Source | None, report: Report | None
    ) -> Self:
        if held is None and settings.validation:
            source, held = split(source, settings.validation, settings.seed)
        with torch.random.fork_rng():
            torch.manual_seed(noise.mix(settings.seed))
            model = self.build(schema)
        lines: list[dict[str, Any]] = []

        def tell(line: dict[str, Any]) -> None:
            lines.append(line)
            if report is not None:
                report(line)

        finished = train(model, source, schema, settings, held=held, run=run, report=tell)
        with torch.random.fork_rng(), torch.no_grad():
            model.conclude(self._some(source, schema, settings, model))
        self.model_, self.schema_, self.run_ = model, schema, run
        self.history_ = run.history() if run else lines
        if run is not None and int(os.environ.get("RANK", "0")) == 0:
            status = "finished" if finished else "interrupted"
            seconds = self.history_[-1]["seconds"] if self.history_ else 0.0
            run.save_model(model.state_dict(), status=status, seconds=seconds)
        if not finished:
            if run is None:
                warnings.warn("Training was stopped by a signal: the model is as it was then.", stacklevel=3)
                return self
            raise Interrupted(f"Stopped by a signal; the run is saved. Go on with: calco resume {run.path}")
        return self

    def _some(self, source: Source, schema: Schema, settings: Training, model: Model) -> Iterator[Batch]:
        """Training examples for `conclude`, the same ones every time."""
        rng = np.random.default_rng([settings.seed, 2**31])
        rows = rng.permutation(len(source))[:CONCLUDE]
        device = _device(model)
        for i, part in enumerate(np.array_split(rows, -(-len(rows) // CHUNK))):
            raw = source.take(part)
            with noise.share(settings.seed, -2, i):
                y = None if raw.y is None else torch.from_numpy(raw.y).to(device)
                yield Batch(schema.encode(raw.x).to(device), y)

    def _record(self, source: Source, held: Source | None, schema: Schema, settings: Training) -> dict[str, Any]:
        params = {k: v for k, v in self.get_params(deep=False).items() if k != "training"}
        return {
            "calco": calco.__version__,
            "family": self.family,
            "status": "running",
            "parameters": params,
            "training": settings.to_json(),
            "schema": schema.to_json(),
            "data": source.describe(),
            "held_out": held and held.describe(),
            "machine": {
                "torch": torch.__version__,
                "python": platform.python_version(),
                "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count(),
            },
        }

    @classmethod
    def from_run(cls, run: Run, *, weights: bool = True) -> Self:
        """The estimator that a run folder holds.

        Raises:
            RequestError: the folder is damaged, or does not fit this version.
        """
        try:
            settings = Training(**{**run.field("training", dict), "trackers": tuple(run.record["training"]["trackers"])})
            estimator = cls(**{**run.field("parameters", dict), "training": settings})
            estimator.check_params()
        except (TypeError, KeyError) as error:
            raise RequestError(f"{run.path / 'run.json'} does not fit this calco: {error}.") from error
        estimator.schema_ = schema_from_json(run.field("schema", dict))
        estimator.run_ = run
        if weights:
            model, saved = estimator.build(estimator.schema_), run.load_model()
            try:
                model.load_state_dict(saved)
            except RuntimeError as error:
                raise RequestError(f"The weights in {run.path} do not fit its run.json: {error}") from error
            estimator.model_, estimator.history_ = model.eval(), run.history()
        return estimator

    def resume(self, x: Any = None, y: Any = None, *, validation: Any = None, report: Report | None = None) -> Self:
        """Go on with a run that was stopped; its end is the same, bit for bit, as if it had not been.

        Args:
            x: the data, where the run was fitted on data in memory; otherwise they are opened again from where they were.
            y: their labels.
            validation: the held-out data, where those were in memory.
            report: called with each line of the log.

        Raises:
            RequestError: the data are not those of the run.
        """
        run = self.run_
        if run is None:
            raise RequestError("There is no run to resume: fit with out=FOLDER, or load one.")
        source = self._reopen(run.field("data", dict), x, y)
        held = self._reopen(run.record["held_out"], validation, None) if run.record.get("held_out") else None
        return self._learn(source, self.schema_, self.settings(), run, held, report)

    def _reopen(self, record: dict[str, Any], x: Any, y: Any) -> Source:
        """Data that a run used, from where they were or as given again."""
        if x is None and record.get("open") is None:
            raise RequestError(f"This run used data in memory ({record.get('about')}): give the same data to resume it.")
        source = self._open(x, y) if x is not None else open_data(**record["open"])
        if source.describe().get("fingerprint") != record.get("fingerprint"):
            raise RequestError(f"These are not the data of the run ({record.get('about')}): their fingerprints differ.")
        return source

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
        source, device = self._open(x, y), _device(self.model_)
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
        with torch.inference_mode():
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
        codes = torch.as_tensor(np.asarray(z), dtype=torch.float32, device=_device(model))
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
                y = y.to(_device(model))
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


class Unable(RequestError, AttributeError):
    """The family does not have this capability."""


def _device(model: Model) -> torch.device:
    return next(itertools.chain(model.parameters(), model.buffers())).device


def at_least(estimator: Estimator, least: float, *names: str) -> None:
    """Raise unless each of these hyper-parameters is at least `least`.

    Raises:
        RequestError: one is smaller.
    """
    for name in names:
        if getattr(estimator, name) < least:
            raise RequestError(f"{name} is {getattr(estimator, name)}: it must be at least {least}.")
