"""Copying: whether samples lie closer to training examples than data do that no one trained on."""

from functools import lru_cache
from typing import Any

from torch import Tensor

from calco.data import Source
from calco.estimator import Estimator
from calco.evaluation.figures import Figure, as_tensor, drawn, role, same
from calco.maths.copying import CLOSE, Copying, copying

MOST = 10_000
"""Samples and held-out examples at most; training examples are all compared with, up to ten times as many."""


def copying_figures(estimator: Estimator, source: Source, train: Source) -> list[Figure]:
    """The two shares that rise where a model copies; none where examples are measured on that were trained on."""
    if same(source, train) or min(len(source), len(train)) < 1 / CLOSE:
        return []
    found, (n, known, held) = compared(estimator, source, train)
    protocol = (
        f"{n:,} samples ({estimator.ways_[0]}), {known:,} training and {held:,} {role(source, estimator, train=train)}"
        " examples; Euclidean distance of values as the model sees them"
    )
    verdict = "both shares are more than three errors above what is expected: the model copies" if found.suspected else ""
    protocol = f"{protocol}; {verdict}" if verdict else protocol
    shared: dict[str, Any] = {"unit": "share", "better": "lower"}
    return [
        Figure(
            name="samples close to training examples",
            value=found.close,
            error=found.close_error,
            baseline=CLOSE,
            baseline_name="the share of held-out examples that close, which defines what is called close",
            protocol=protocol,
            **shared,
        ),
        Figure(
            name="samples nearest to a training example",
            value=found.sided,
            error=found.sided_error,
            baseline=found.expected,
            baseline_name="the part of the training examples among all that are compared with",
            protocol=protocol,
            **shared,
        ),
    ]


def compared(estimator: Estimator, source: Source, train: Source) -> tuple[Copying, tuple[int, int, int]]:
    """What is known of copying, and how many samples, training examples and held-out ones it rests on."""
    return _compared(estimator.model_, estimator, source, train)


@lru_cache(maxsize=4)
def _compared(model: Any, estimator: Estimator, source: Source, train: Source) -> tuple[Copying, tuple[int, int, int]]:
    held, known = as_tensor(estimator, source, MOST).flatten(1), as_tensor(estimator, train, 10 * MOST).flatten(1)
    samples = drawn(estimator, len(held)).flatten(1)
    return copying(samples, known, held), (len(samples), len(known), len(held))


def closest_pairs(estimator: Estimator, source: Source, train: Source, count: int) -> tuple[Tensor, Tensor]:
    """The samples that lie nearest to a training example, and those examples, as the model sees them: (count, ...) each."""
    pairs = compared(estimator, source, train)[0].pairs
    rows = pairs.distance.argsort()[:count]
    samples = drawn(estimator, min(MOST, len(source)))[rows]
    known = as_tensor(estimator, train, 10 * MOST)[pairs.row[rows]]
    return samples, known
