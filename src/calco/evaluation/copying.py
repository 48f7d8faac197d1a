"""Copying: whether samples lie closer to training examples than data do that no one trained on."""

from typing import Any, NamedTuple

from torch import Tensor

from calco.data import SeriesSchema
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure, same
from calco.maths.copying import CLOSE, Copying, copying

MOST = 10_000
"""Samples and held-out examples at most; training examples are all compared with, up to ten times as many."""
PAIRS = 10
"""Closest pairs that are kept to be shown."""


class Compared(NamedTuple):
    """What is known of copying, how many samples, training and held-out examples it rests on, and the closest pairs."""

    found: Copying
    sizes: tuple[int, int, int]
    closest: tuple[Tensor, Tensor]
    """Samples and the training examples nearest to them, as the model sees them: (`PAIRS`, ...) each."""


def copying_figures(context: EvalContext) -> list[Figure]:
    """The two shares that rise where a model copies; none where `compared` says nothing."""
    known, estimator = compared(context), context.estimator
    if known is None:
        return []
    found, (samples, examples, held), _ = known
    protocol = (
        f"{samples:,} samples ({estimator.ways_[0]}), {examples:,} training and {held:,}"
        f" {context.role} examples; Euclidean distance of values as the model sees them"
    )
    if isinstance(estimator.schema_, SeriesSchema) and found.suspected:
        protocol += "; both shares are high, as they are too where series changed after those that were learned from"
    elif found.suspected:
        protocol += "; both shares are more than three errors above what is expected: the model copies"
    shared: dict[str, Any] = {"unit": "share", "better": "lower", "protocol": protocol}
    return [
        Figure(
            name="samples close to training examples",
            value=found.close,
            error=found.close_error,
            baseline=found.usual,
            baseline_name=f"held-out examples that close: the nearest {CLOSE:.0%} of them and what is as near",
            **shared,
        ),
        Figure(
            name="samples nearest to a training example",
            value=found.sided,
            error=found.sided_error,
            baseline=found.expected,
            baseline_name="the part of the training examples among all that are compared with",
            **shared,
        ),
    ]


def compared(context: EvalContext) -> Compared | None:
    """What is known of copying.

    Nothing where examples are measured on of which some were trained on, or where there are too few to say what is close.
    """
    source, train = context.source, context.train
    if same(source, train) or source.describe()["fingerprint"] in train.describe().get("whole", ()):
        return None
    if min(len(source), len(train)) < 1 / CLOSE:
        return None
    return context.once("compared", lambda: _compared(context))


def _compared(context: EvalContext) -> Compared:
    held, known = context.encoded("source", MOST), context.encoded("train", 10 * MOST)
    samples = context.drawn(len(held))
    found = copying(samples.flatten(1), known.flatten(1), held.flatten(1))
    rows = found.pairs.distance.argsort()[:PAIRS]
    closest = samples[rows], known[found.pairs.row[rows]]
    return Compared(found, (len(samples), len(known), len(held)), closest)
