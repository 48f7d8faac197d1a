"""Agreement of clusters with classes by hand."""

import numpy as np
import pytest

from calco.maths.clusters import cluster_accuracy


def test_clusters_are_matched_for_the_best():
    classes = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    clusters = np.array([2, 2, 0, 0, 0, 2, 1, 1, 1, 0])
    # 0 with 2 (2 of 3), 1 with 0 (2 of 3), 2 with 1 (3 of 4)
    assert cluster_accuracy(classes, clusters) == pytest.approx(7 / 10)


def test_names_of_clusters_do_not_count():
    classes = np.array([5, 5, 7, 7, 9])
    assert cluster_accuracy(classes, np.array([1, 1, 0, 0, 2])) == 1


def test_a_greedy_match_is_not_enough():
    classes, clusters = np.array([0] * 9 + [1] * 8), np.array([0] * 5 + [1] * 4 + [0] * 5 + [1] * 3)
    # class 0 prefers cluster 0 (5), but 0 with 1 and 1 with 0 is 4 + 5, more than 5 + 3
    assert cluster_accuracy(classes, clusters) == pytest.approx(9 / 17)


def test_clusters_without_a_class_count_as_wrong():
    assert cluster_accuracy(np.zeros(6, int), np.array([0, 0, 0, 1, 1, 2])) == 0.5
    assert cluster_accuracy(np.array([0, 0, 0, 1]), np.zeros(4, int)) == 0.75
