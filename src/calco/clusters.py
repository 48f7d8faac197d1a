"""Clusters of codes: groups of examples that a model finds alike."""

import ctypes
import os
from threading import Lock
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier, kneighbors_graph

from calco.errors import RequestError, one_of

Method = Literal["graph", "kmeans"]
MOST = 20
"""Clusters at most where their number is chosen."""
JOINED, JUDGED = 10_000, 2_000
"""Codes that a graph is made of, and codes by which a number of clusters of k-means is judged, at most."""
NEIGHBOURS = 15
"""Neighbours that each code is joined to in the graph, and that tell the cluster of a code outside of it."""
RESOLUTIONS = np.geomspace(0.1, 2.0, 21)
"""How finely a graph is cut where the number of clusters is chosen."""
HALVINGS = 20
"""Of the range of resolutions, in search of a number of clusters, at most."""

_ONE = Lock()
"""One graph is cut at a time: all threads have one generator of the C library."""


class TooFew(RequestError):
    """There are not as many different codes as clusters."""


class Clusters(NamedTuple):
    """The cluster of each example, (n,), from 0 and the largest first, and how they were found."""

    cluster: np.ndarray
    about: str


def find_clusters(codes: np.ndarray, clusters: int = 0, method: Method = "graph", seed: int = 0) -> Clusters:
    """Clusters of codes, (n, width).

    The graph joins neighbours; its clusters have more joins within than between them (modularity, by the Leiden algorithm of
    Traag, Waltman and van Eck 2019), whatever their shape. Those of k-means are balls of one size.

    Args:
        codes: of the examples.
        clusters: how many; 0 chooses the number, 2 to 20: the one that the graph has over the widest range of resolutions,
            or that has the greatest silhouette (Rousseeuw 1987) by k-means.
        method: graph or kmeans.
        seed: of the starts and of the examples that are judged by.

    Raises:
        TooFew: there are fewer different codes than clusters.
        RequestError: no such method.
    """
    if method not in get_args(Method):
        raise one_of("method", method, get_args(Method))
    different = len(np.unique(codes, axis=0))
    if clusters < 0 or clusters == 1 or different <= max(clusters, 2):
        raise TooFew(f"{len(codes)} examples, {different} of them different, cannot make {clusters or 'some'} clusters.")
    how = f"a graph of {NEIGHBOURS} neighbours" if method == "graph" else "k-means"
    index, told = (_by_graph if method == "graph" else _by_means)(codes, clusters, min(MOST, different - 1), seed)
    count = int(index.max()) + 1
    order = np.argsort(-np.bincount(index, minlength=count), kind="stable")
    return Clusters(np.argsort(order)[index], f"{count} clusters, {told}, by {how}")


def _by_means(codes: np.ndarray, clusters: int, most: int, seed: int) -> tuple[np.ndarray, str]:
    if clusters:
        return k_means(codes, clusters, seed), "as asked"
    judged = codes[np.sort(np.random.default_rng(seed).permutation(len(codes))[:JUDGED])]
    found = {k: k_means(judged, k, seed) for k in range(2, most + 1)}
    worth = {k: silhouette_score(judged, each) for k, each in found.items() if len(np.unique(each)) > 1}
    best = max(worth, key=lambda k: worth[k])
    return k_means(codes, best, seed), f"chosen of 2 to {most} by the silhouette"


def k_means(codes: np.ndarray, clusters: int, seed: int = 0) -> np.ndarray:
    """The cluster of each code by k-means, the best of ten starts: (n, width) to (n,)."""
    starts: Any = 10  # the stubs know only "auto"
    return KMeans(clusters, n_init=starts, random_state=seed).fit_predict(codes)


def _by_graph(codes: np.ndarray, clusters: int, most: int, seed: int) -> tuple[np.ndarray, str]:
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:JOINED])
    joined = codes[rows]
    neighbours = min(NEIGHBOURS, len(joined) - 1)
    ways: Any = kneighbors_graph(joined, neighbours)
    graph = csr_matrix((ways + ways.T) > 0, dtype=float)
    if clusters:
        index, told = _so_many(graph, clusters, seed), "as asked"
    else:
        index, told = _steadiest(graph, most, seed), f"chosen of 2 to {most} as those that last over resolutions"
    if len(rows) == len(codes):
        return index, told
    return KNeighborsClassifier(neighbours).fit(joined, index).predict(codes), told


def _communities(graph: csr_matrix, resolution: float, seed: int) -> np.ndarray:
    from sknetwork.clustering import Leiden

    leiden = Leiden(resolution=resolution, random_state=seed)
    with _ONE:  # it draws from the C library's generator too, which random_state leaves as it is
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).srand(seed + 1)
        return np.asarray(leiden.fit_predict(graph))


def _steadiest(graph: csr_matrix, most: int, seed: int) -> np.ndarray:
    """Communities in the number that most resolutions give."""
    found = [_communities(graph, resolution, seed) for resolution in RESOLUTIONS]
    counts = np.array([len(np.unique(each)) for each in found])
    votes = np.bincount(counts[(counts >= 2) & (counts <= most)], minlength=3)
    if not votes.any():  # it falls apart in more, or holds together
        return _so_many(graph, most if counts.min() > most else 2, seed)
    same = np.flatnonzero(counts == votes.argmax())
    return found[same[len(same) // 2]]


def _so_many(graph: csr_matrix, clusters: int, seed: int) -> np.ndarray:
    """Communities of a resolution that gives this number, or a few more of which the most joined are merged."""
    low, high = 1e-3, 1.0
    best = _communities(graph, high, seed)
    while len(np.unique(best)) < clusters and high < len(best):
        high *= 4
        best = _communities(graph, high, seed)
    for _ in range(HALVINGS):
        if len(np.unique(best)) == clusters:
            return best
        middle = (low * high) ** 0.5
        found = _communities(graph, middle, seed)
        if len(np.unique(found)) >= clusters:
            best, high = found, middle
        else:
            low = middle
    while len(np.unique(best)) > clusters:
        best = _merged(graph, best)
    return best


def _merged(graph: csr_matrix, index: np.ndarray) -> np.ndarray:
    """Communities with the two made one that have the most joins for their sizes."""
    count = int(index.max()) + 1
    member = csr_matrix((np.ones(len(index)), (np.arange(len(index)), index)), (len(index), count))
    sizes = np.bincount(index, minlength=count)
    joins = np.asarray((member.T @ graph @ member).todense()) / np.outer(sizes, sizes)
    np.fill_diagonal(joins, -1.0)
    keep, gone = sorted(np.unravel_index(joins.argmax(), joins.shape))
    return np.unique(np.where(index == gone, keep, index), return_inverse=True)[1]
