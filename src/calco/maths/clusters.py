"""How well clusters agree with classes, whatever the clusters are called."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix


def cluster_accuracy(classes: np.ndarray, clusters: np.ndarray) -> float:
    """The share of examples in the cluster of their class, clusters matched one to one with classes for the best.

    By the Hungarian method (Yang et al. 2010). Where there are more of one than of the other, some stay without a match.

    Args:
        classes: of each example, (n,).
        clusters: of each example, (n,).
    """
    counts = contingency_matrix(classes, clusters)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / counts.sum())
