"""What a page shows of a segmenter: its classes, and the cases it does worst and best."""

from typing import Any

import numpy as np

from calco.data import Source, with_classes
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.segmentation import case, segmented
from calco.maths.overlap import IGNORED, overlap
from calco.report.pictures import palette

CASES = 3
"""Worst cases shown, and best ones."""
TALL = 60
"""Rows of the strip that a signal is drawn as."""


def classes_of(context: EvalContext) -> tuple[np.ndarray, list[tuple[str, tuple[float, float, float]]]]:
    """The confusion matrix over all examples, and of each class its name, share of the places, accuracy and IU."""
    counts = segmented(context).counts.sum(0)
    found, share = overlap(counts), counts.sum(1).double() / counts.sum()
    values = zip(share.tolist(), found.accuracy.tolist(), found.iu.tolist(), strict=True)
    return counts.numpy(), list(zip(context.estimator.schema_.classes, values, strict=True))


def extremes(context: EvalContext) -> list[tuple[str, list[int]]]:
    """The examples with the least and the greatest pixel accuracy, none of them twice: a heading and rows of the source."""
    counts = segmented(context).counts.double()
    accuracy = counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2))
    order = [int(row) for row in accuracy.argsort() if not accuracy[row].isnan()]
    worst = order[:CASES]
    best = [row for row in order[::-1][:CASES] if row not in worst]
    return [(heading, rows) for heading, rows in (("worst", worst), ("best", best)) if rows]


def panels(estimator: Estimator, source: Source, row: int) -> tuple[list[np.ndarray], str]:
    """One example as pictures, bytes (height, width, 3): itself, truth, prediction, errors; and its pixel accuracy in words."""
    raw, mask, predicted = case(estimator, with_classes(source, estimator.schema_.classes), row)
    known = mask != IGNORED
    accuracy = (predicted == mask)[known].mean()
    colours = np.concatenate([palette(len(estimator.schema_.classes)), np.zeros((1, 3), np.uint8)])  # -1 is the last: black
    picture = _picture(estimator.schema_, raw)
    mask, predicted, known = (_plane(places) for places in (mask, predicted, known))
    errors = picture // 3 + 90
    errors[(predicted != mask) & known] = (200, 40, 30)
    errors[~known] = 0
    return [picture, colours[mask], colours[predicted], errors], f"{accuracy:.1%}"


def _plane(places: np.ndarray) -> np.ndarray:
    """Values of every place as a plane: a signal drawn out to a strip, an image, the middle slice of a volume."""
    if places.ndim == 1:
        return np.repeat(places[None], TALL, 0)
    return places if places.ndim == 2 else places[len(places) // 2]


def _picture(schema: Any, raw: np.ndarray) -> np.ndarray:
    """An example as bytes (height, width, 3)."""
    x = schema.encode(raw[None])[0].movedim(0, -1).numpy()
    if schema.dims == 1:
        return _drawn(x[:, 0])
    plane = x if schema.dims == 2 else x[len(x) // 2]
    plane = plane if plane.shape[-1] in (3, 4) else plane[..., :1].repeat(3, -1)
    low, high = (0.0, 1.0) if schema.dtype == "uint8" else np.quantile(plane, (0.01, 0.99))
    return ((plane[..., :3] - low) / max(high - low, 1e-9) * 255).clip(0, 255).round().astype(np.uint8)


def _drawn(signal: np.ndarray) -> np.ndarray:
    """A signal as a dark line on white, one column a sample."""
    low, high = float(signal.min()), float(signal.max())
    heights = ((high - signal) / max(high - low, 1e-9) * (TALL - 1)).round().astype(int)
    picture = np.full((TALL, len(signal), 3), 255, np.uint8)
    for column, (a, b) in enumerate(zip(heights, np.append(heights[1:], heights[-1]), strict=True)):
        picture[min(a, b) : max(a, b) + 1, column] = (29, 36, 48)
    return picture
