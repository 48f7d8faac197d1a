"""How well the boundaries of classes agree (Csurka, Larlus and Perronnin 2013)."""

from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt

from calco.maths.overlap import IGNORED

TOLERANCE = 0.0075
"""How far apart two boundaries may lie and still agree, as a share of the diagonal: the customary one."""


def boundary_score(predicted: np.ndarray, mask: np.ndarray, classes: int) -> float:
    """F1 of boundary places that have one of the other's within the tolerance, the mean over classes that either mask holds.

    A boundary is where a place of a class touches a place of another class; borders of the example and of what is ignored
    are none. A class without boundaries in both masks says nothing; NaN where no class says anything.

    Args:
        predicted: class indices, (*sides).
        mask: the true ones, or IGNORED.
        classes: how many.
    """
    known = mask != IGNORED
    reach = max(1.0, TOLERANCE * float(np.linalg.norm(mask.shape)))
    scores = []
    distances: Any = distance_transform_edt
    for index in range(classes):
        true, found = _boundary(mask == index, known), _boundary((predicted == index) & known, known)
        if not (true.any() or found.any()):
            continue
        if not (true.any() and found.any()):
            scores.append(0.0)
            continue
        precision = float((distances(~true)[found] <= reach).mean())
        recall = float((distances(~found)[true] <= reach).mean())
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return float(np.mean(scores)) if scores else float("nan")


def _boundary(places: np.ndarray, known: np.ndarray) -> np.ndarray:
    return places & binary_dilation(known & ~places)
