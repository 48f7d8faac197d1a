"""How good predictions are: accuracy and log loss of classes, errors of values, beside the constant that is best."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from calco.data import Source, valued, with_classes
from calco.estimator import Estimator
from calco.evaluation.figures import Figure, labels_of, role


def prediction_figures(estimator: Estimator, source: Source, train: Source) -> list[Figure]:
    """Accuracy and log loss, or R squared and the root of the mean squared error; none where there are no labels."""
    if not source.classes:
        return []
    told = f"{len(source):,} {role(source, estimator, train=train)} examples"
    figures = _of_classes if estimator.schema_.classes else _of_values
    return figures(estimator, source, train, told)


def _of_classes(estimator: Estimator, source: Source, train: Source, told: str) -> list[Figure]:
    truth, p = classified(estimator, source)
    n, names = len(truth), estimator.schema_.classes
    right = p.argmax(1) == truth
    known = labels_of(with_classes(train, names))
    shares = (np.bincount(known[known >= 0], minlength=len(names)) + 1.0) / ((known >= 0).sum() + len(names))
    loss = -np.log(np.maximum(p[np.arange(n), truth], 1e-12))
    constant = f"{names[int(shares.argmax())]} always, the commonest class of the training data"
    base = float((truth == shares.argmax()).mean())
    spread = float(loss.std() / n**0.5)
    return [
        Figure("accuracy", float(right.mean()), "share", told, "higher", float(right.std() / n**0.5), base, constant),
        Figure(
            "log loss",
            float(loss.mean()),
            "nats",
            f"mean of minus the log of the true class's probability, over {told}",
            "lower",
            spread,
            float(-np.log(shares[truth]).mean()),
            "the shares of the classes in the training data, one of each added",
        ),
    ]


def _of_values(estimator: Estimator, source: Source, train: Source, told: str) -> list[Figure]:
    truth = labels_of(valued(source))
    mean = float(np.nanmean(labels_of(valued(train))))
    wrong, base = (estimator.predict(source) - truth) ** 2, (truth - mean) ** 2
    n, constant = len(truth), "the mean of the training data always"
    rng, rows = np.random.default_rng(0), np.arange(n)
    drawn = [wrong[some].mean() / max(base[some].mean(), 1e-300) for some in (rng.choice(rows, n) for _ in range(200))]
    error = float(np.std(drawn)) if n > 1 else None
    protocol = f"1 minus the mean squared error over that of the baseline, {told}; standard error by bootstrap"
    root = float(wrong.mean() ** 0.5)
    about = f"root of the mean squared error, {told}"
    spread = float(wrong.std() / n**0.5 / (2 * root)) if root else None
    return [
        Figure("R squared", float(1 - wrong.mean() / max(base.mean(), 1e-300)), "", protocol, "higher", error, 0.0, constant),
        Figure("error of values", root, "unit of the labels", about, "lower", spread, float(base.mean() ** 0.5), constant),
    ]


def classified(estimator: Estimator, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The class of each example, (n,), and the probabilities predicted, (n, classes); once, however often asked for."""
    return _classified(estimator.model_, estimator, source)


@lru_cache(maxsize=4)
def _classified(model: Any, estimator: Estimator, source: Source) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        parts = [(batch.y, model.probabilities(batch.x)) for batch in estimator.batches(source, labelled=True)]
    truth, p = zip(*parts, strict=True)
    return torch.cat(truth).cpu().numpy(), torch.cat(p).cpu().double().numpy()
