"""The boundary score by hand."""

import numpy as np
import pytest

from calco.maths.boundaries import boundary_score
from calco.maths.overlap import IGNORED


def half(edge, side=100):
    mask = np.zeros((side, side), int)
    mask[:, edge:] = 1
    return mask


def test_boundaries_within_the_tolerance_agree():
    """A diagonal of 141 places tolerates 1.06: an edge one place off agrees, one three places off does not."""
    assert boundary_score(half(50), half(50), 2) == 1
    assert boundary_score(half(51), half(50), 2) == 1
    assert boundary_score(half(53), half(50), 2) == 0
    assert boundary_score(np.zeros((100, 100), int), half(50), 2) == 0


def test_half_of_the_boundaries_of_a_signal():
    """Places 2 and 6 of class 0 and 3 and 5 of class 1 touch the other; of the predicted ones, 2, 8, 3 and 7, half agree."""
    mask = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 0])
    assert boundary_score(np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0]), mask, 2) == pytest.approx(0.5)


def test_what_is_ignored_has_no_boundary():
    mask = half(50)
    mask[:, 45:55] = IGNORED
    assert np.isnan(boundary_score(half(50), mask, 2))
