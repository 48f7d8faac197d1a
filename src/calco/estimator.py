"""The front door's base: scikit-learn's manners around any model of the contract.

A family's estimator declares its hyper-parameters in `__init__` and builds its model in `build`; fitting, run folders,
resuming and loading are here, the verbs in `calco.verbs`.
"""

import contextlib
import copy
import os
import platform
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.metaestimators import available_if

import calco
from calco.contract import Batch, Model
from calco.data import (
    PartlyLabelled,
    PlacesSchema,
    Schema,
    Source,
    batches,
    fitting,
    infer_schema,
    schema_from_json,
    split,
    with_classes,
)
from calco.data.lookup import looked_up
from calco.errors import RequestError, native
from calco.maths import noise
from calco.maths.likelihoods import Likelihood, make_likelihood
from calco.maths.mixed import Mixed
from calco.maths.seeding import seeded
from calco.runs import DataName, Run, duration_of
from calco.training import Diverged, Interrupted, Report, Training, check_type, train
from calco.verbs import Verbs, can, chunk_of, device_of

CONCLUDE = 10_000
"""Training examples that `Model.conclude` sees at most."""


def classes_for(estimator: Any, schema: Schema) -> int:
    """How many classes a model of these data is told: all of them where its estimator is `conditional`, else 0.

    Raises:
        RequestError: the data have no labels to be conditional on.
    """
    if estimator.conditional and not schema.classes:
        raise RequestError("A conditional model needs labels: give y, or data whose class subfolders name them.")
    return len(schema.classes) if estimator.conditional else 0


def likelihood_for(asked: str, schema: Schema) -> Likelihood:
    """The likelihood of examples of this schema by its name; auto takes the first that suits them.

    Raises:
        RequestError: there is none of that name for them.
    """
    name = schema.likelihoods[0] if asked == "auto" else asked
    if name == "mixed" and schema.pieces:
        return Mixed(schema.shape, schema.pieces)
    return make_likelihood(name, schema.shape, schema.levels)


class Estimator(TransformerMixin, Verbs, auto_wrap_output_keys=None):
    """Base of all families.

    After `fit`: `model_` (the torch module), `schema_` (what an example is), `history_` (lines of the log), `run_` (the run
    folder or None).
    """

    recipe: ClassVar[Training] = Training()
    """How it trains by default."""

    demo: ClassVar[dict[str, Any] | None] = None
    """Hyper-parameters for the demonstration on the digits; None to be left out of it."""

    training: Training | Mapping[str, Any] | None
    history_: list[dict[str, Any]]
    run_: Run | None
    gathered_: dict[str, Any]

    @abstractmethod
    def build(self, schema: Schema) -> Model:
        """The model for data of this schema, freshly initialised.

        Raises:
            RequestError: a hyper-parameter does not fit the data.
        """

    def chosen(self, schema: Schema) -> str:
        """What it chooses by itself for data of this schema and the user should know of: a sentence, or nothing."""
        return ""

    def understood(self, source: Source) -> Schema:
        """What one example of the data is.

        Raises:
            RequestError: the family, or a run that it takes something from, does not know such examples.
        """
        return infer_schema(source)

    def fed(self, source: Source, schema: Schema, model: Model) -> Source:
        """The data as training takes them, those to learn from and those to measure on."""
        return with_classes(source, schema.classes) if getattr(model, "classes", 0) else source

    def drawn(self, source: Source, schema: Schema, model: Model) -> Source:
        """The examples to learn from, where they are not those of `fed`, each as often as the others."""
        return source

    def gather(self, source: Source, schema: Schema) -> dict[str, Any]:
        """What `build` must know of other runs, as JSON: `gathered_`, kept in the run's record since those may go.

        Raises:
            RequestError: a run is not what it is taken for.
        """
        return {}

    def initialise(self, model: Model) -> None:
        """Take weights from other runs, before the first step."""

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

    def _plain(self) -> Self:
        """Its like, with Python's own numbers in place of NumPy's, which are less precise and which torch does not all know."""
        found = copy.copy(self)
        vars(found).update({name: native(value) for name, value in self.get_params(deep=False).items()})
        return found

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Hyper-parameters and, with `deep`, the training settings under names such as `training__lr`."""
        found = super().get_params(deep)
        if not deep:
            return found
        with contextlib.suppress(RequestError):  # settings that are wrong are told so by `fit`
            found |= {f"training__{name}": value for name, value in vars(self.settings()).items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters, and training settings under names such as `training__lr`.

        Raises:
            RequestError: there is no such training setting.
            ValueError: there is no such hyper-parameter.
        """
        changes = {name.removeprefix("training__"): v for name, v in params.items() if name.startswith("training__")}
        super().set_params(**{name: value for name, value in params.items() if not name.startswith("training__")})
        self.recipe.check_names(changes)
        if isinstance(self.training, Training):
            self.training = self.training.changed(changes)
        elif changes:
            self.training = {**(self.training or {}), **changes}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # codes are float32 whatever the data were
        return tags

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
            validation: more of the same, to measure on while training; a pair is of examples and their labels.
            out: a folder that does not exist yet, for the run; without it nothing is written.
            report: called with each line of the log.

        Raises:
            RequestError: data or settings are wrong; nothing was started.
            RunError: training failed, or a signal stopped it; the last checkpoint is in `out`. Without a folder the
                estimator is fitted as far as it had come.
        """
        self.check_params()
        source, settings = self._open(x, y, reset=True), self.settings()
        # What is held out has no say in what an example is; its classes are those of all labels, as in scikit-learn.
        share = settings.validation if validation is None else 0.0
        rest, apart = self._split(source, share, settings)
        schema = self.understood(rest)
        if not self.__sklearn_tags__().target_tags.required:
            if isinstance(schema, PlacesSchema):
                raise RequestError(f"The family {self.family!r} learns nothing from masks: leave them out.")
            if isinstance(source, PartlyLabelled):
                raise RequestError(f"The family {self.family!r} takes all examples alike: give them as one set.")
        self.gathered_ = self.gather(source, schema)
        like = copy.copy(self)
        like.schema_ = schema
        held, note = like._watched(apart, validation)
        run = None
        main = int(os.environ.get("RANK", "0")) == 0
        if out is not None:
            watched = held.describe() | ({"share": share, "left_out": note} if share else {}) if held else None
            record = self._record(source, watched, schema, settings)
            run = Run.create(out, record) if main else Run.created(out)
        try:
            return self._learn(rest, schema, settings, run, held, note, report)
        except RequestError:
            if run is not None and main:
                run.forget()
            raise

    @available_if(can("encode"))
    def fit_transform(self, x: Any, y: Any = None) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`fit`, then `encode` of the same data."""
        return self.fit(x, y).encode(x, y)

    def _split(self, source: Source, share: float, settings: Training) -> tuple[Source, Source | None]:
        """What is learned from, and a share that is held out; a run that is resumed holds out the same examples."""
        return split(source, share, settings.seed) if share else (source, None)

    def _watched(self, apart: Source | None, given: Any) -> tuple[Source | None, str]:
        """What is measured on while training: what was split off, as far as the schema takes it, and a word on what it does
        not take; or what was given, a pair of examples and labels too.

        Raises:
            RequestError: the schema takes none of what was split off, or not all of what was given.
        """
        if apart is not None:
            return fitting(apart, self.schema_, chunk_of(self.schema_))
        if given is None:
            return None, ""
        held = self._open(*given) if isinstance(given, tuple) and len(given) == 2 else self._open(given)
        for _ in batches(held, self.schema_, chunk_of(self.schema_)):
            pass  # refused now, rather than in the midst of training
        return held, ""

    def _learn(
        self,
        source: Source,
        schema: Schema,
        settings: Training,
        run: Run | None,
        held: Source | None,
        note: str,
        report: Report | None,
    ) -> Self:
        with seeded(noise.mix(settings.seed)):
            model = self._plain().build(schema)
        if not (run and run.checkpointed):
            self.initialise(model)
        source = looked_up(self.fed(source, schema, model), schema, settings.steps * settings.batch_size)
        held = held and looked_up(self.fed(held, schema, model), schema, settings.evaluations * len(held))
        source = self.drawn(source, schema, model)
        lines: list[dict[str, Any]] = []

        def tell(line: dict[str, Any]) -> None:
            lines.append(line)
            if report is not None:
                report(line)

        note = " ".join(filter(None, (self.chosen(schema), note)))
        if note and not (run and run.history()):
            tell({"step": 0, "note": note})
            if run and int(os.environ.get("RANK", "0")) == 0:
                run.log(lines[0])
        with torch.no_grad(), noise.share(settings.seed, -3):
            model.begin(self._some(source, schema, settings, model))
        try:
            finished = train(model, source, schema, settings, held=held, run=run, report=tell)
        except Diverged as error:
            if error.usable:
                self._conclude(model, source, schema, settings, run, lines, "diverged")
            raise
        self._conclude(model, source, schema, settings, run, lines, "finished" if finished else "interrupted")
        if not finished:
            left = f"the run is saved. Go on with: calco resume {run.path}" if run else "the model is as it was then."
            raise Interrupted(f"Stopped by a signal; {left}")
        return self

    def _conclude(
        self,
        model: Model,
        source: Source,
        schema: Schema,
        settings: Training,
        run: Run | None,
        lines: list[dict[str, Any]],
        status: str,
    ) -> None:
        """Become the estimator of a trained model, and save it."""
        # Weights lie as those that are loaded do, so that both answer alike to the last bit.
        model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        with torch.no_grad(), noise.share(settings.seed, -4):
            model.conclude(self._some(source, schema, settings, model))
        self.model_, self.schema_, self.run_ = model, schema, run
        self.history_ = run.history() if run else lines
        if run is not None and int(os.environ.get("RANK", "0")) == 0:
            run.save_model(model.state_dict(), status=status, seconds=duration_of(self.history_))

    def _some(self, source: Source, schema: Schema, settings: Training, model: Model) -> Iterator[Batch]:
        """Training examples for `conclude`, the same ones every time."""
        rng = np.random.default_rng([settings.seed, 2**31])
        rows, chunk = rng.permutation(len(source))[:CONCLUDE], chunk_of(schema)
        device = device_of(model)
        start = 0
        for part in np.array_split(rows, -(-len(rows) // chunk)):
            raw = source.take(part)
            with noise.rows(settings.seed, -2, start=start, count=len(part)):
                y = None if raw.y is None else torch.from_numpy(raw.y).to(device)
                yield Batch(schema.encode(raw.x).to(device), y)
            start += len(part)

    def _record(self, source: Source, held: dict[str, Any] | None, schema: Schema, settings: Training) -> dict[str, Any]:
        return {
            "calco": calco.__version__,
            "status": "running",
            **self._plan_for(schema),
            "training": settings.to_json(),
            "data": source.describe(),
            "held_out": held,
            "machine": {
                "torch": torch.__version__,
                "python": platform.python_version(),
                "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count(),
            },
        }

    def _plan_for(self, schema: Schema) -> dict[str, Any]:
        params = {k: v for k, v in self.get_params(deep=False).items() if k != "training"}
        for name, value in params.items():
            if isinstance(value, Estimator):
                params[name] = str(value.run_.path) if value.run_ else f"{type(value).__name__} in memory"
        return {"family": self.family, "parameters": params, "schema": schema.to_json(), "gathered": self.gathered_}

    def record(self) -> dict[str, Any]:
        """What makes another estimator of the same nets, as JSON, for `from_record`."""
        self._fitted()
        return self._plan_for(self.schema_)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], **more: Any) -> Self:
        """An estimator with a schema but no weights.

        Raises:
            RequestError: hyper-parameters or schema are not of this family.
        """
        try:
            given = {k: tuple(v) if isinstance(v, list) else v for k, v in record["parameters"].items()}
            estimator = cls(**{**given, **more})
            estimator.check_params()
        except (TypeError, KeyError, AttributeError) as error:
            raise RequestError(f"A record of family {cls.family!r} does not fit this calco: {error}.") from error
        estimator.schema_, estimator.gathered_ = schema_from_json(record["schema"]), record.get("gathered", {})
        return estimator

    @classmethod
    def from_run(cls, run: Run, *, weights: bool = True) -> Self:
        """The estimator that a run folder holds.

        Raises:
            RequestError: the folder is damaged, or does not fit this version.
        """
        for name in ("parameters", "schema"):
            run.field(name, dict)
        try:
            settings = Training(**{**run.field("training", dict), "trackers": tuple(run.record["training"]["trackers"])})
        except (TypeError, KeyError) as error:
            raise RequestError(f"{run.path / 'run.json'} does not fit this calco: {error}.") from error
        estimator = cls.from_record(run.record, training=settings)
        estimator.run_ = run
        if weights:
            saved = run.load_model()
            with seeded(0):  # weights that are replaced
                model = estimator.build(estimator.schema_)
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
        source, settings = self._reopen(run, "data", x, y), self.settings()
        watched = run.record.get("held_out") or {}
        given = self._reopen(run, "held_out", validation, None) if watched and "share" not in watched else None
        rest, apart = self._split(source, watched.get("share", 0.0), settings)
        held, note = self._watched(apart, given)
        return self._learn(rest, self.schema_, settings, run, held, note, report)

    def _reopen(self, run: Run, name: DataName, x: Any, y: Any) -> Source:
        """Data that a run used, from where they are or as given again."""
        if x is None:
            return run.reopen(name)
        source, record = self._open(x, y), run.field(name, dict)
        if source.describe().get("fingerprint") != record.get("fingerprint"):
            raise RequestError(f"These are not the data of the run ({record.get('about')}): their fingerprints differ.")
        return source
