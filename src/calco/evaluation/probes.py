"""What codes are good for without more learning: a linear probe, nearest neighbours and clusters, beside simpler features."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calco.clusters import k_means
from calco.data import with_classes
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure, labels_of, same, some_of
from calco.evaluation.reconstruction import fitted_pca
from calco.maths.clusters import cluster_accuracy

FITTED_ON, MEASURED_ON = 5_000, 10_000
"""Training examples that a probe learns from, and examples that it is measured on, at most."""
PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the linear probe's penalty, the best of which on a fifth of its examples is taken."""
NEIGHBOURS = 5

Codes = tuple[np.ndarray, np.ndarray]
"""Features of training and of measured examples, (n, width) and (m, width)."""


def probe_figures(context: EvalContext) -> list[Figure]:
    """Accuracies of codes and agreement of their clusters with classes; none where there are no labels to measure by."""
    estimator, source, train = context.estimator, context.source, context.train
    conditional = getattr(estimator.model_, "classes", 0)  # its codes were made with the labels in sight
    if conditional or len(train.classes) < 2 or not source.classes or same(source, train):
        return []
    source = with_classes(source, train.classes)
    fitted, tested = some_of(train, FITTED_ON), some_of(source, MEASURED_ON)
    y, truth = (labels_of(part) for part in (fitted, tested))
    if len(np.unique(y)) < 2:
        return []
    codes = context.codes("train", FITTED_ON), context.codes("source", MEASURED_ON)
    seen = context.encoded("train", FITTED_ON), context.encoded("source", MEASURED_ON)
    raw = tuple(x.flatten(1).numpy() for x in seen)
    pca = fitted_pca(seen[0], codes[0].shape[1])
    features: dict[str, Codes] = {"codes": codes, "raw values": (raw[0], raw[1])}
    features[f"PCA of {pca.n_components_}"] = pca.transform(raw[0]), pca.transform(raw[1])
    measured = f"measured on {len(truth):,} {context.role} ones"
    learned = f"learned from the codes, {codes[0].shape[1]} numbers each, of {len(y):,} training examples; {measured}"
    figures = []
    for name, probe, protocol in (
        ("linear probe", linear, f"logistic regression, penalty chosen on a fifth, {learned}"),
        ("nearest neighbours", neighbours, f"{NEIGHBOURS} nearest neighbours, {learned}"),
    ):
        right = {key: float((probe(*each, y) == truth).mean()) for key, each in features.items()}
        figures.append(_figure(name, "accuracy", right, protocol, len(truth)))
    clusters = {key: k_means(each, min(len(train.classes), len(truth))) for key, (_, each) in features.items()}
    protocol = f"k-means of the codes of {len(truth):,} examples into {len(train.classes)} clusters, 10 starts"
    agreed = {key: agreement(truth, each) for key, each in clusters.items()}
    return figures + [
        _figure("clusters", unit, {key: each[unit] for key, each in agreed.items()}, protocol) for unit in agreed["codes"]
    ]


def _figure(name: str, unit: str, values: dict[str, float], protocol: str, count: int = 0) -> Figure:
    """A figure of the codes, with the best of the simpler features as its baseline."""
    value = values.pop("codes")
    best = max(values, key=lambda key: values[key])
    others = ", ".join(f"{key} {each:.3f}" for key, each in values.items() if key != best)
    error = (value * (1 - value) / count) ** 0.5 if count else None
    return Figure(name, value, unit, protocol, "higher", error, values[best], f"{best} ({others})")


def agreement(classes: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """How far clusters and classes, (n,) each, tell the same, by the names of the figures."""
    return {
        "accuracy, the best match of clusters with classes": cluster_accuracy(classes, clusters),
        "normalised mutual information": float(normalized_mutual_info_score(classes, clusters)),
        "adjusted Rand index": float(adjusted_rand_score(classes, clusters)),
    }


def linear(fitted: np.ndarray, tested: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Classes that logistic regression gives: (m,). Its penalty is chosen on a fifth of what it learns from, 50 at least."""
    held = np.random.default_rng(0).permutation(len(y)) % 5 == 4

    def probe(penalty: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000, tol=1e-2))

    if len(y) < 50 or len(np.unique(y[~held])) < 2:
        return probe(1.0).fit(fitted, y).predict(tested)
    scores = [probe(penalty).fit(fitted[~held], y[~held]).score(fitted[held], y[held]) for penalty in PENALTIES]
    return probe(PENALTIES[int(np.argmax(scores))]).fit(fitted, y).predict(tested)


def neighbours(fitted: np.ndarray, tested: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Classes that the nearest neighbours have: (m,)."""
    return KNeighborsClassifier(min(NEIGHBOURS, len(y))).fit(fitted, y).predict(tested)
