"""The Parzen-window estimate of a log likelihood from samples, with the rows that show how little it can be trusted.

The protocol is that of Goodfellow et al. (2014), after Breuleux, Bengio and Vincent (2011): a Gaussian of one width around
each of 10,000 samples; the width, of ten between 0.1 and 1, that gives 1,000 validation examples the highest mean. Theis, van
den Oord and Bethge (2016) show what it rewards: centroids of k-means beat the data themselves.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calco.data import Subset, open_data
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.evaluation.figures import Figure, as_tensor, role
from calco.maths.fidelity import need

WIDTHS = np.logspace(-1, 0, 10)
SAMPLES = 10_000
VALIDATION = 1000
LLOYD = 4
"""Steps of k-means."""


class Parzen(NamedTuple):
    """Log density of each test example, nats, float64 (n,), and the figures: samples, and the two rows beside them."""

    values: np.ndarray
    figures: list[Figure]


def parzen(estimator: Estimator, source: Any, train: Any, *, samples: int = SAMPLES, seed: int = 0) -> Parzen:
    """The estimate for a model's samples, for as many real training examples, and for centroids of these.

    Of a sixth of the training data, drawn at random, which the model may have learned from all the same, 1,000 examples choose
    the width; the rest of the training data give the real examples and the centroids. Values are as the model sees them:
    images in [0, 1], vectors standardised. Source and training data are anything that `open_data` opens.

    Raises:
        RequestError: there are fewer than two training examples, or samples.
    """
    if samples < 2:
        raise RequestError(f"A Parzen-window estimate takes 2 samples at least, not {samples}.")
    source, train = open_data(source), open_data(train)
    # At random, because folders and files are often sorted by class.
    rows, first = np.random.default_rng(0).permutation(len(train)), len(train) * 5 // 6
    kept, validation = Subset(train, rows[:first]), Subset(train, rows[first : first + VALIDATION])
    chosen, test = (as_tensor(estimator, part).flatten(1) for part in (validation, source))
    real = as_tensor(estimator, kept, samples).flatten(1)
    need("A Parzen-window estimate", 2, real, chosen)
    centroids = k_means(as_tensor(estimator, kept).flatten(1), min(samples, len(kept) // 5))
    sets = {
        "samples": estimator.sample_tensor(samples, seed=seed).flatten(1),
        "real training examples": real,
        f"k-means centroids of {len(kept):,} training examples": centroids,
    }
    figures, values = [], {}
    for name, points in sets.items():
        width = max(WIDTHS, key=lambda width: float(log_density(chosen, points, width).mean()))
        values[name] = log_density(test, points, width).numpy()
        mean, error = float(values[name].mean()), float(values[name].std() / math.sqrt(len(test)))
        protocol = (
            f"{len(points):,} {name}; mean over {len(test):,} {role(source, estimator, train=train)} examples; width"
            f" {width:.3g}, chosen on {len(chosen):,} examples of the training data; of values as the model sees them"
        )
        label = "Parzen estimate" if name == "samples" else f"Parzen estimate of {name}"
        figures.append(Figure(label, mean, "nats per example", protocol, "higher", error))
    return Parzen(values["samples"], figures)


def log_density(x: Tensor, points: Tensor, width: float) -> Tensor:
    """log of the mean of N(x; point, width^2 I) over the points: (n, values) and (m, values) to (n,), float64."""
    n, size = points.shape
    parts = [torch.logsumexp(-0.5 * (torch.cdist(part, points).double() / width) ** 2, 1) for part in x.split(500)]
    return torch.cat(parts) - math.log(n) - size * (math.log(width) + 0.5 * math.log(2 * math.pi))


def k_means(x: Tensor, count: int) -> Tensor:
    """Centroids after a few steps of Lloyd's algorithm from random examples: (n, values) to (count, values)."""
    generator = torch.Generator().manual_seed(0)
    centres = x[torch.randperm(len(x), generator=generator)[: max(1, count)]].clone()
    for _ in range(LLOYD):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in x.split(1000)])
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        counts = torch.bincount(nearest, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres
