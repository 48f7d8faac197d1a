"""Figures, and the evaluation that gathers every one a model can answer."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from calco.data import (
    Source,
    Subset,
    fitting,
    labelled_part,
    measured,
    opened_as,
    reopened,
    schema_from_json,
    split,
    valued,
)
from calco.errors import RequestError, one_of
from calco.estimator import Estimator
from calco.runs import Run


@dataclass(frozen=True)
class Figure:
    """One number, how it was measured, and what a simple baseline gets under the same protocol."""

    name: str
    value: float
    unit: str
    protocol: str
    better: Literal["lower", "higher"]
    error: float | None = None
    baseline: float | None = None
    baseline_name: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


Metric = Callable[[Estimator, Source, Source], list[Figure]]


def metrics(target: str = "") -> list[tuple[str, Metric]]:
    """The metrics, each with the capability it needs; of tables the use for predicting the column `target`."""
    from calco.evaluation.copying import copying_figures
    from calco.evaluation.fidelity import fidelity_figures
    from calco.evaluation.likelihood import likelihood_figures
    from calco.evaluation.prediction import prediction_figures
    from calco.evaluation.probes import probe_figures
    from calco.evaluation.reconstruction import reconstruction_figures
    from calco.evaluation.segmentation import segmentation_figures
    from calco.evaluation.series import series_figures
    from calco.evaluation.tables import table_figures
    from calco.evaluation.two_sample import two_sample_figures

    return [
        ("predict", prediction_figures),
        ("reconstruct", reconstruction_figures),
        ("log_prob", likelihood_figures),
        ("sample", fidelity_figures),
        ("sample", copying_figures),
        ("sample", two_sample_figures),
        ("sample", series_figures),
        ("sample", partial(table_figures, target=target)),
        ("encode", probe_figures),
        ("segment", segmentation_figures),
    ]


def evaluate(estimator: Estimator, data: Any, train: Any = None, *, use: bool = False, target: str = "") -> list[Figure]:
    """Every figure that the estimator can answer on `data`.

    Args:
        estimator: fitted or loaded.
        data: what to measure on, anything that `open_data` opens; a named set's test part where it does not say.
        train: the training data, on which baselines are fitted; opened as the run did where not given.
        use: measure too what a classifier learns from samples, which takes minutes.
        target: of tables, the column that trees are to predict; the last choice of at most 20 options if not given.

    Raises:
        RequestError: the training data are needed and cannot be opened, the use of samples that have no labels is asked for,
            or there is no such column.
    """
    if target and target not in estimator.schema_.columns:
        raise one_of("column", target, estimator.schema_.columns)
    source = opened_as(estimator.schema_, data, part="test")
    fitted_on = training_data(estimator, source) if train is None else opened_as(estimator.schema_, train)
    source, fitted_on = labelled_part(source), labelled_part(fitted_on)
    found = []
    for verb, metric in metrics(target):
        if verb in estimator.capabilities_:
            # Predictions are measured by labels of any kind; all else takes them for classes.
            parts = source, fitted_on
            found += metric(
                estimator, *(parts if verb == "predict" else (classed(estimator, part, fitted_on) for part in parts))
            )
    if not use:
        return found
    from calco.evaluation.use import measure_use

    return found + measure_use(estimator, source, fitted_on)


def classed(estimator: Estimator, source: Source, train: Source | None = None) -> Source:
    """A source without labels, where those are values and not classes; of both parts of a set the training part tells."""
    predicts, classes = "predict" in estimator.capabilities_, bool(estimator.schema_.classes)
    if not source.classes or (classes and (predicts or getattr(estimator.model_, "classes", 0))):
        return source
    return valued(source) if predicts or measured(source if train is None else train) else source


def some_of(source: Source, most: int | None) -> Source:
    """A source itself, or evenly spaced examples of it where there are more than `most`."""
    if most is None or len(source) <= most:
        return source
    return Subset(source, np.linspace(0, len(source) - 1, most).round().astype(int))


def as_tensor(estimator: Estimator, source: Source, most: int | None = None) -> Tensor:
    """Examples as the model sees them, evenly spaced ones where there are more than `most`: (n, ...)."""
    part = some_of(source, most)
    rows = np.array_split(np.arange(len(part)), -(-len(part) // 500))
    return torch.cat([estimator.schema_.encode(part.take(some).x) for some in rows])


def labels_of(source: Source) -> np.ndarray:
    """Class indices, or values, of all examples: (n,).

    Raises:
        RequestError: they have none, or more than one each.
    """
    y = source.take(np.arange(len(source))).y
    if y is None or y.ndim != 1:
        raise RequestError("This is measured with labels, one an example: give them.")
    return y


def sampled(estimator: Estimator, n: int, seed: int = 0) -> Tensor:
    """`n` samples as the model gives them: (n, ...). Metrics that follow one another share them."""
    return _sampled(estimator.model_, estimator, n, seed)


@lru_cache(maxsize=2)
def _sampled(model: Any, estimator: Estimator, n: int, seed: int) -> Tensor:
    return estimator.sample_tensor(n, seed=seed)


def drawn(estimator: Estimator, n: int, seed: int = 0) -> Tensor:
    """`n` samples as the model sees them, as precise as the data are: (n, ...)."""
    return as_data(estimator, sampled(estimator, n, seed))


def as_data(estimator: Estimator, samples: Tensor) -> Tensor:
    """Samples no more precise than the data are, which would tell the two apart: (n, ...) to the same."""
    return estimator.schema_.encode(estimator.schema_.decode(samples))


def same(source: Source, train: Source) -> bool:
    """Whether two sources hold the same examples."""
    return source.describe()["fingerprint"] == train.describe()["fingerprint"]


def role(source: Source, *estimators: Estimator, train: Source | None = None) -> str:
    """What to call examples: training, validation where a run watched them while it trained, else held-out.

    Those of which a run learned from a part are called both.
    """
    about = source.describe()
    mine, wholes = about["fingerprint"], {about["fingerprint"], *about.get("whole", ())}
    records = [e.run_.record for e in estimators if e.run_]
    learned = [record.get("data") or {} for record in records] + ([train.describe()] if train is not None else [])
    watched = [record.get("held_out") or {} for record in records]
    if any(mine in (one.get("fingerprint"), *one.get("parts", ())) for one in learned):
        return "training"
    for name, used in (("validation", watched), ("training", learned)):
        if any(one.get("fingerprint") in wholes for one in used):
            return name
    return "training and held-out" if any(mine in one.get("whole", ()) for one in learned) else "held-out"


def training_data(estimator: Estimator, source: Source) -> Source:
    """What a run was given to learn from, opened again; without `source` where that is what the run split off.

    Otherwise with what it split off, so that all families are measured by one net of features and one floor.

    Raises:
        RequestError: they were in memory, or are there no more.
    """
    run = estimator.run_
    if run is None or not run.opening():
        raise RequestError("The training data were in memory: give them again, the baselines are fitted on them.")
    apart = (run.record.get("held_out") or {}).get("fingerprint") == source.describe()["fingerprint"]
    return (data_of(run, "data") if apart else None) or reopened(run.opening())


def data_of(run: Run, name: Literal["data", "held_out"]) -> Source | None:
    """What a run learned from, or what it watched, opened again; None where there was nothing or it was in memory."""
    share = (run.record.get("held_out") or {}).get("share")
    again = run.opening("data" if share else name)
    if not again:
        return None
    source = reopened(again)
    if not share:
        return source
    rest, held = split(source, share, run.record["training"]["seed"])
    return rest if name == "data" else fitting(held, schema_from_json(run.field("schema", dict)))[0]
