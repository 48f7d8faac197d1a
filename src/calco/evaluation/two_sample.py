"""The classifier two-sample test: can anything tell samples from data? (Lopez-Paz and Oquab 2017)."""

import numpy as np
import torch
from torch import Tensor

from calco.evaluation.classify import learned, learner
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure

MOST = 10_000
"""Examples of either set at most."""
LEAST = 50
"""Examples of either set without which there is no test."""


def two_sample_figures(context: EvalContext) -> list[Figure]:
    """The accuracy of a classifier that learned to tell half of the samples from half of the data, on the other halves."""
    real = context.encoded("source", MOST)
    if len(real) < LEAST:
        return []
    accuracy, count = told_apart(real, context.drawn(len(real)))
    way = context.estimator.ways_[0]
    examples = f"{len(real):,} {context.role} examples"
    return [
        Figure(
            name="two-sample test",
            value=accuracy,
            unit="accuracy",
            protocol=f"{learner(real)}, trained to tell half of {examples} from half of as many samples ({way});"
            f" measured on the {count:,} others",
            better="lower",
            error=(max(accuracy * (1 - accuracy), 0.25 / count) / count) ** 0.5,
            baseline=0.5,
            baseline_name="chance, what samples get that are like the data",
        )
    ]


def told_apart(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, int]:
    """How well a classifier tells two sets of as many examples apart, (n, ...) each, images or vectors.

    Returns:
        The accuracy on the halves that it was not trained on, on how many examples that is.
    """
    rng = np.random.default_rng(seed)
    halves = [(x[order[: len(x) // 2]], x[order[len(x) // 2 :]]) for x in (real, fake) for order in [rng.permutation(len(x))]]
    (known, y), (new, truth) = (
        (torch.cat(parts), torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)]))
        for parts in zip(*halves, strict=True)
    )
    guessed = learned(known, y, new, seed)
    return float((guessed == truth).double().mean()), len(truth)
