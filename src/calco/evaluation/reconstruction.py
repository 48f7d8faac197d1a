"""Reconstruction: squared error, and of images PSNR and SSIM, beside PCA with a code of the same width."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from calco.data import Subset
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure, as_tensor

FITTED_ON = 20_000
"""Training examples that PCA is fitted on at most."""
WINDOW = 11
"""Sides of the window of SSIM, below which images have none."""


def squared_error(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error per value of each example: (n, ...) twice to (n,)."""
    return (again - x).square().flatten(1).mean(1)


def psnr(x: Tensor, again: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in [0, 1], dB: (n, channels, height, width) twice to (n,)."""
    return -10 * squared_error(x, again).clamp_min(1e-12).log10()


def ssim(x: Tensor, again: Tensor) -> Tensor:
    """Structural similarity of each image in [0, 1] (Wang et al. 2004): (n, channels, height, width) twice to (n,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found: Any = structural_similarity_index_measure(again, x, data_range=1.0, reduction="none")
    return found.reshape(len(x))


MEASURES: list[tuple[str, str, Any, Callable[[Tensor, Tensor], Tensor]]] = [
    ("reconstruction error", "squared error per value", "lower", squared_error),
    ("reconstruction PSNR", "dB", "higher", psnr),
    ("reconstruction SSIM", f"similarity in windows of {WINDOW} pixels", "higher", ssim),
]


def reconstruction_figures(context: EvalContext) -> list[Figure]:
    """What is lost on the way through the code, in the units that the model sees (images in [0, 1], vectors standardised)."""
    estimator, source = context.estimator, context.source
    shape = estimator.schema_.shape
    count = 1 if len(shape) != 3 else 2 if min(shape[1:]) < WINDOW else 3
    width = estimator.encode(Subset(source, np.arange(1))).shape[1] if "encode" in estimator.capabilities_ else 0
    pca = fitted_pca(context.encoded("train", FITTED_ON), width) if width else None
    ours: list[list[Tensor]] = [[] for _ in range(count)]
    theirs: list[list[Tensor]] = [[] for _ in range(count)]
    for rows in np.array_split(np.arange(len(source)), -(-len(source) // 500)):
        part = Subset(source, rows)
        x, again = as_tensor(estimator, part), estimator.reconstruct_tensor(part)
        simple = None if pca is None else project(pca, x)
        for i, (*_, measure) in enumerate(MEASURES[:count]):
            ours[i].append(measure(x, again).double())
            if simple is not None:
                theirs[i].append(measure(x, simple).double())
    base = pca and f"PCA, {pca.n_components_} components, fitted on {min(FITTED_ON, len(context.train)):,} training examples"
    figures = []
    for (name, unit, better, _), mine, other in zip(MEASURES[:count], map(torch.cat, ours), theirs, strict=True):
        figures.append(
            Figure(
                name=name,
                value=float(mine.mean()),
                unit=unit,
                protocol=f"mean over {len(source):,} {context.role} examples",
                better=better,
                error=float(mine.std(correction=0)) / len(mine) ** 0.5,
                baseline=float(torch.cat(other).mean()) if other else None,
                baseline_name=base or "",
            )
        )
    return figures


def fitted_pca(x: Tensor, width: int) -> PCA:
    """PCA of examples as the model sees them, (n, ...), with `width` components, or as many as there can be."""
    fitted = x.flatten(1).numpy()
    return PCA(min(width, *fitted.shape), svd_solver="auto", random_state=0).fit(fitted)


def project(pca: PCA, x: Tensor) -> Tensor:
    """What the components keep of examples: (n, ...) to the same."""
    return torch.from_numpy(pca.inverse_transform(pca.transform(x.flatten(1).numpy()))).view_as(x)
