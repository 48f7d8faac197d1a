"""Segmentation: the figures of Long, Shelhamer and Darrell 2015 and a boundary score, beside the most frequent class."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calco.data import Source, with_classes
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure
from calco.maths.boundaries import TOLERANCE, boundary_score
from calco.maths.overlap import Overlap, confusion, overlap
from calco.tiling import whole

OUTLINED = 200
"""Examples whose boundaries are compared at most, spread evenly."""
RESAMPLED = 200
"""Bootstrap samples of the examples, for standard errors."""


class Segmented(NamedTuple):
    """What a segmenter makes of examples: a confusion matrix and a boundary score of each."""

    counts: Tensor
    """(n, classes, classes), rows the truth."""
    outlines: np.ndarray
    """(some of n,), NaN where there is none."""


def case(estimator: Estimator, source: Source, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One example, its mask as class indices and the predicted one: raw, (*sides) and (*sides)."""
    found: Any = source.take(np.array([row]))
    (x,), (mask,) = found
    return x, mask, whole(estimator.bands(x), mask.shape)


def check_masks(source: Source) -> None:
    """Raise unless examples have masks.

    Raises:
        RequestError: they have none.
    """
    y = source.take(np.array([0])).y
    if y is None or y.ndim == 1:
        raise RequestError("Segmentation is measured against masks: give them too, on the command line with --masks.")


def segmented(context: EvalContext) -> Segmented:
    """The estimator on all examples."""
    return context.once("segmented", lambda: segmented_by(context.estimator, context.source))


def segmented_by(estimator: Estimator, source: Source) -> Segmented:
    """An estimator on all examples of a source.

    Raises:
        RequestError: they have no masks.
    """
    classes = len(estimator.schema_.classes)
    check_masks(source)
    source = with_classes(source, estimator.schema_.classes)
    outlined = set(np.linspace(0, len(source) - 1, min(OUTLINED, len(source))).round().astype(int).tolist())
    counts, outlines = [], []
    for row in range(len(source)):
        _, mask, predicted = case(estimator, source, row)
        counts.append(confusion(torch.from_numpy(predicted).long(), torch.from_numpy(mask), classes))
        if row in outlined:
            outlines.append(boundary_score(predicted, mask, classes))
    return Segmented(torch.stack(counts), np.array(outlines))


def segmentation_figures(context: EvalContext) -> list[Figure]:
    """Pixel accuracy, mean accuracy, mean and frequency-weighted IU, the IU of each class, and the boundary score."""
    schema: Any = context.estimator.schema_
    found = segmented(context)
    counts, n = found.counts, len(found.counts)
    constant = torch.zeros_like(counts[0])
    commonest = int(np.argmax(schema.pixels))
    constant[:, commonest] = counts.sum((0, 2))
    base, rng = overlap(constant), np.random.default_rng(0)
    drawn = [overlap(counts[rng.integers(0, n, n)].sum(0)) for _ in range(RESAMPLED)]
    known = int(counts.sum())
    shared: dict[str, Any] = {"better": "higher", "unit": "share"}
    shared["baseline_name"] = f"{schema.classes[commonest]} everywhere, the commonest class of the training data"
    protocol = (
        f"accumulated over the {known:,} places of {n:,} {context.role} examples that are not ignored;"
        " standard error by bootstrap over examples"
    )
    total, figures = overlap(counts.sum(0)), []
    for name, key in (
        ("pixel accuracy", "pixel_accuracy"),
        ("mean accuracy", "mean_accuracy"),
        ("mean IU", "mean_iu"),
        ("frequency-weighted IU", "weighted_iu"),
    ):
        error = float(np.std([getattr(one, key) for one in drawn])) if n > 1 else None
        value, baseline = getattr(total, key), getattr(base, key)
        told = protocol + _absent(schema.classes, total) * (key in ("mean_iu", "mean_accuracy"))
        figures.append(Figure(name=name, value=value, error=error, baseline=baseline, protocol=told, **shared))
    figures += _by_class(schema.classes, counts, drawn, base, shared)
    outlines = found.outlines[~np.isnan(found.outlines)]
    if len(outlines):
        figures.append(
            Figure(
                name="boundary score",
                value=float(outlines.mean()),
                error=float(outlines.std() / np.sqrt(len(outlines))) if len(outlines) > 1 else None,
                protocol=(
                    f"F1 of boundary places within {TOLERANCE:.2%} of the diagonal, at least 1 place; mean over the classes of"
                    f" an example, then over {len(outlines):,} {context.role} examples"
                ),
                better="higher",
                unit="share",
            )
        )
    return figures


def _absent(classes: tuple[str, ...], total: Overlap) -> str:
    """Which classes count in no mean, for a protocol."""
    names = [name for name, iu in zip(classes, total.iu.tolist(), strict=True) if iu != iu]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"; neither true nor predicted anywhere, and so in no mean: {', '.join(names[:8])}{more}" if names else ""


def _by_class(
    classes: tuple[str, ...], counts: Tensor, drawn: list[Overlap], base: Overlap, shared: dict[str, Any]
) -> list[Figure]:
    """The IU of each class that is true or predicted somewhere."""
    true, found, ius = counts.sum((0, 2)).tolist(), counts.sum((0, 1)).tolist(), overlap(counts.sum(0)).iu.tolist()
    errors = np.stack([one.iu.numpy() for one in drawn])
    figures = []
    for i, name in enumerate(classes):
        if true[i] + found[i] == 0:
            continue
        own = errors[~np.isnan(errors[:, i]), i]  # a sample of the examples may lack the class
        told = f"over {true[i]:,} places of this class and {found[i]:,} predicted to be of it; otherwise as mean IU"
        error = float(own.std()) if len(counts) > 1 and len(own) else None
        baseline = None if base.iu[i].isnan() else float(base.iu[i])
        figures.append(Figure(name=f"IU of {name}", value=ius[i], error=error, baseline=baseline, protocol=told, **shared))
    return figures
