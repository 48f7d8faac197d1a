"""Figures, and the examples that they are measured on."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from calco.data import Source, Subset, fitting, measured, schema_from_json, split, valued
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.runs import AGAIN, DataName, Run


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

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise ValueError(f"Of the figure {self.name} it is said that {self.better} is better: say lower or higher.")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


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
        RequestError: they were in memory, are not where they were, or are others now.
    """
    run = estimator.run_
    if run is None or not run.opening():
        raise RequestError(f"The training data were in memory: give them again, {AGAIN}; the baselines are fitted on them.")
    apart = (run.record.get("held_out") or {}).get("fingerprint") == source.describe()["fingerprint"]
    return (data_of(run, "data") if apart else None) or run.reopen()


def data_of(run: Run, name: DataName) -> Source | None:
    """What a run learned from, or what it watched, opened again; None where there was nothing or it was in memory."""
    share = (run.record.get("held_out") or {}).get("share")
    used: DataName = "data" if share else name
    if not run.opening(used):
        return None
    source = run.reopen(used)
    if not share:
        return source
    rest, held = split(source, share, run.record["training"]["seed"])
    return rest if name == "data" else fitting(held, schema_from_json(run.field("schema", dict)))[0]
