"""Clusters of codes: groups of examples that a model finds alike."""

import warnings
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from calco.errors import RequestError, one_of

Method = Literal["graph", "kmeans"]
MOST = 20
"""Clusters at most where their number is chosen."""
JOINED, JUDGED = 10_000, 2_000
"""Codes that a graph is made of, and codes by which a number of clusters is judged, at most."""
NEIGHBOURS = 10
"""Neighbours that each code is joined to in the graph, and that tell the cluster of a code outside of it."""


class Clusters(NamedTuple):
    """The cluster of each example, (n,), from 0 and the largest first, and how they were found."""

    cluster: np.ndarray
    about: str


def find_clusters(codes: np.ndarray, clusters: int = 0, method: Method = "graph", seed: int = 0) -> Clusters:
    """Clusters of codes, (n, width).

    The graph joins neighbours and is cut where it is thinnest (spectral clustering, Ng, Jordan and Weiss 2001): clusters may
    have any shape. Those of k-means are balls of one size.

    Args:
        codes: of the examples.
        clusters: how many; 0 chooses the number, 2 to 20, with the greatest silhouette (Rousseeuw 1987).
        method: graph or kmeans.
        seed: of the starts and of the examples that are judged by.

    Raises:
        RequestError: there are fewer different codes than clusters, or no such method.
    """
    if method not in get_args(Method):
        raise one_of("method", method, get_args(Method))
    different = len(np.unique(codes[: max(JUDGED, clusters)], axis=0))
    if clusters < 0 or clusters == 1 or different <= max(clusters, 2):
        raise RequestError(f"{len(codes)} examples, {different} of them different, cannot make {clusters or 'some'} clusters.")
    rng = np.random.default_rng(seed)
    if clusters:
        index, told = _cluster(codes, clusters, method, seed), "as asked"
    else:
        judged = codes[np.sort(rng.permutation(len(codes))[:JUDGED])]
        found = {k: _cluster(judged, k, method, seed) for k in range(2, min(MOST, different - 1) + 1)}
        worth = {k: silhouette_score(judged, each) for k, each in found.items() if len(np.unique(each)) > 1}
        clusters = max(worth, key=lambda k: worth[k])
        index, told = _cluster(codes, clusters, method, seed), f"chosen of 2 to {max(found)} by the silhouette"
    order = np.argsort(-np.bincount(index, minlength=clusters), kind="stable")
    how = f"a graph of {NEIGHBOURS} neighbours" if method == "graph" else "k-means"
    return Clusters(np.argsort(order)[index], f"{clusters} clusters, {told}, by {how}")


def k_means(codes: np.ndarray, clusters: int, seed: int = 0) -> np.ndarray:
    """The cluster of each code by k-means, the best of ten starts: (n, width) to (n,)."""
    starts: Any = 10  # the stubs know only "auto"
    return KMeans(clusters, n_init=starts, random_state=seed).fit_predict(codes)


def _cluster(codes: np.ndarray, clusters: int, method: Method, seed: int) -> np.ndarray:
    if method == "kmeans":
        return k_means(codes, clusters, seed)
    rows = np.random.default_rng(seed).permutation(len(codes))[:JOINED]
    joined = codes[rows]
    neighbours = min(NEIGHBOURS, len(joined) - 1)
    graph = SpectralClustering(
        clusters, affinity="nearest_neighbors", n_neighbors=neighbours, assign_labels="cluster_qr", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")  # parts that nothing joins are clusters too
        index = graph.fit_predict(joined)
    if len(rows) == len(codes):
        return index[np.argsort(rows)]
    return KNeighborsClassifier(neighbours).fit(joined, index).predict(codes)
