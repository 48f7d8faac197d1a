"""Use: what a classifier learns from samples, from real examples, and from both; always measured on real ones.

Samples carry the label that they were asked for: they come from a conditional model, or from one model a class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calco.data import Schema, Source, Subset, open_data, with_classes
from calco.data.labels import name_of
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.evaluation.classify import learned, learner
from calco.evaluation.figures import Figure, as_tensor, labels_of, role, some_of

USE = "learned from samples alone"
"""The figure by which models are ranked."""
AMOUNTS = (10, 100)
"""Real examples of each class that are learned from."""
SYNTHETIC = 500
"""Samples of each class that are learned from."""
DRAWS = 5
MEASURED_ON = 10_000
"""Real examples that are measured on at most."""


def measure_use(
    model: Estimator | Mapping[Any, Estimator],
    source: Any,
    train: Any,
    *,
    amounts: Sequence[int] = AMOUNTS,
    synthetic: int = SYNTHETIC,
    draws: int = DRAWS,
) -> list[Figure]:
    """Accuracy on real examples after learning from samples alone, and at each amount from real examples with samples.

    The figures with samples stand beside those of the same draws without.

    Args:
        model: conditional on labels; or a mapping of each class to a model of it.
        source: real examples to measure on, with labels.
        train: real examples to learn from, with labels.
        amounts: of real examples of each class.
        synthetic: samples of each class.
        draws: of real examples, of samples and of initial weights, over which figures are means.

    Raises:
        RequestError: the model samples no labels, or a class has no model or too few real examples.
    """
    source, train = open_data(source), open_data(train)
    if not (isinstance(model, Mapping) or getattr(model.model_, "classes", 0)):
        raise RequestError("The use of samples is measured of a model that samples a class: fit one with --conditional.")
    first = next(iter(model.values())) if isinstance(model, Mapping) else model
    source = with_classes(source, train.classes)
    y, amounts = labels_of(train), amounts_of(train, amounts)
    tested = some_of(source, MEASURED_ON)
    new, truth = as_tensor(first, tested), torch.from_numpy(labels_of(tested))
    alone = list[float]()
    found: dict[int, list[tuple[float, float]]] = {amount: [] for amount in amounts}
    for draw in range(draws):
        made, asked = _made(model, first.schema_, train.classes, synthetic, draw)
        alone.append(_right(made, asked, new, truth, draw))
        for amount in amounts:
            rows = _drawn_rows(y, amount, draw)
            real, labels = as_tensor(first, Subset(train, rows)), torch.from_numpy(y[rows])
            # As many of both in a batch: real examples are repeated, or they would drown.
            times = max(1, round(len(made) / len(real)))
            both = torch.cat((made, real.repeat(times, *[1] * (real.ndim - 1))))
            mixed = _right(both, torch.cat((asked, labels.repeat(times))), new, truth, draw)
            found[amount].append((mixed, _right(real, labels, new, truth, draw)))
    protocol = (
        f"{learner(new)}, trained on {synthetic:,} samples of each of {len(train.classes)} classes{{}}; accuracy on"
        f" {len(truth):,} {role(source, first, train=train)} examples; mean of {draws} draws{_known(model)}"
    )
    most = max(amounts)
    figures = [_figure(USE, alone, [real for _, real in found[most]], most, protocol.format(""), paired=False)]
    for amount, values in found.items():
        mixed, real = ([value[i] for value in values] for i in (0, 1))
        more = protocol.format(f" and {amount:,} real examples of each")
        figures.append(_figure(f"learned from samples and {amount:,} real examples a class", mixed, real, amount, more))
    return figures


def amounts_of(train: Source, amounts: Sequence[int] = AMOUNTS) -> list[int]:
    """Those of these amounts of real examples a class that there are.

    Raises:
        RequestError: there are no labels, or a class has too few examples for any.
    """
    fewest = int(np.bincount(labels_of(train), minlength=len(train.classes)).min())
    found = [amount for amount in amounts if amount <= fewest]
    if not found:
        raise RequestError(f"A class has only {fewest} training examples: too few to compare samples with.")
    return found


def _figure(name: str, values: list[float], real: list[float], amount: int, protocol: str, paired: bool = True) -> Figure:
    spread = np.subtract(values, real) if paired else np.array(values)
    error = float(spread.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    said = "; the error is that of the difference to the baseline, draw by draw" if paired else ""
    base = f"the same from {amount:,} real examples of each class alone"
    return Figure(name, float(np.mean(values)), "accuracy", protocol + said, "higher", error, float(np.mean(real)), base)


def _drawn_rows(y: np.ndarray, amount: int, seed: int) -> np.ndarray:
    """Rows of `amount` examples of each class."""
    rng = np.random.default_rng([seed, amount])
    return np.concatenate([rng.choice(np.flatnonzero(y == label), amount, replace=False) for label in np.unique(y)])


def _made(
    model: Estimator | Mapping[Any, Estimator], schema: Schema, classes: tuple[str, ...], n: int, seed: int
) -> tuple[Tensor, Tensor]:
    """`n` samples of each class by one schema for all, as precise as the data are, and the classes asked for."""
    parts = []
    for name in classes:
        own = _model_of(model, name)
        samples = own.sample_tensor(n, label=None if isinstance(model, Mapping) else name, seed=seed)
        parts.append(schema.encode(own.schema_.decode(samples)))
    return torch.cat(parts), torch.arange(len(classes)).repeat_interleave(n)


def _known(model: Estimator | Mapping[Any, Estimator]) -> str:
    """How much what samples had itself learned from, where its run tells."""
    runs = [own.run_ for own in (model.values() if isinstance(model, Mapping) else [model])]
    count = sum(run.record["data"]["n"] for run in runs if run)
    return f"; what samples had learned from {count:,} labelled examples" if all(runs) else ""


def _model_of(model: Estimator | Mapping[Any, Estimator], name: str) -> Estimator:
    if not isinstance(model, Mapping):
        return model
    named = {name_of(key): value for key, value in model.items()}
    if name not in named:
        raise RequestError(f"There is no model of the class {name}: give one of each of the training data's classes.")
    return named[name]


def _right(x: Tensor, y: Tensor, new: Tensor, truth: Tensor, seed: int) -> float:
    return float((learned(x, y, new, seed) == truth).double().mean())
