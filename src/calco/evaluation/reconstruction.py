"""Reconstruction: mean squared error beside that of PCA with a code of the same width."""

import numpy as np
from sklearn.decomposition import PCA

from calco.data import Source, Subset
from calco.estimator import Estimator
from calco.evaluation.figures import Figure, as_tensor, role

FITTED_ON = 20_000
"""Training examples that PCA is fitted on at most."""


def reconstruction_figures(estimator: Estimator, source: Source, train: Source) -> list[Figure]:
    """Test mean squared error per value, in the units that the model sees (images in [0, 1], vectors standardised)."""
    per_example = []
    for rows in np.array_split(np.arange(len(source)), -(-len(source) // 500)):
        part = Subset(source, rows)
        again, x = estimator.reconstruct_tensor(part), estimator.schema_.encode(part.take(np.arange(len(rows))).x)
        per_example.append((again - x).square().flatten(1).mean(1).double().numpy())
    errors = np.concatenate(per_example)
    width = estimator.encode(Subset(source, np.arange(1))).shape[1] if "encode" in estimator.capabilities_ else 0
    baseline, name = pca_error(estimator, source, train, width) if width else (None, "")
    return [
        Figure(
            name="reconstruction error",
            value=float(errors.mean()),
            unit="squared error per value",
            protocol=f"mean over {len(source):,} {role(source, estimator, train=train)} examples",
            better="lower",
            error=float(errors.std() / np.sqrt(len(errors))),
            baseline=baseline,
            baseline_name=name,
        )
    ]


def pca_error(estimator: Estimator, source: Source, train: Source, width: int) -> tuple[float, str]:
    """Mean squared error of PCA with `width` components, and what to call it."""
    fitted = as_tensor(estimator, train, FITTED_ON).flatten(1).numpy()
    tested = as_tensor(estimator, source).flatten(1).numpy()
    width = min(width, *fitted.shape)
    pca = PCA(width, svd_solver="auto", random_state=0).fit(fitted)
    again = pca.inverse_transform(pca.transform(tested))
    return float(((again - tested) ** 2).mean()), f"PCA, {width} components, fitted on {len(fitted):,} training examples"
