"""How far two sets of features lie apart: Fréchet and kernel distances, and what nearest neighbours say.

Every function takes features of real and of generated examples, (n, width) and (m, width).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from calco.errors import RequestError

ROWS = 1000
"""Rows of a matrix of distances that are held at once."""


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Squared Fréchet distance of the normal distributions with the sets' means and covariances (Heusel et al. 2017).

    Raises:
        RequestError: there are fewer than two of either.
    """
    need("The Fréchet distance", 2, real, fake)
    a, b = real.double(), fake.double()
    covariances = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(a.shape[1], -1)
    # Eigenvalues of a product of two positive matrices are real and positive, but for rounding.
    root = torch.linalg.eigvals(covariances[0] @ covariances[1]).sqrt().real.sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, float(apart + covariances[0].trace() + covariances[1].trace() - 2 * root))


def frechet_error(real: Tensor, fake: Tensor, *, resampled: int = 20, seed: int = 0) -> float:
    """The standard error of `frechet_distance`, by bootstrap of both sets.

    Raises:
        RequestError: there are fewer than two of either.
    """
    need("The Fréchet distance", 2, real, fake)
    generator = torch.Generator().manual_seed(seed)

    def again(x: Tensor) -> Tensor:
        return x[torch.randint(len(x), (len(x),), generator=generator).to(x.device)]

    return float(torch.tensor([frechet_distance(again(real), again(fake)) for _ in range(resampled)]).std())


def kernel_distance(real: Tensor, fake: Tensor, *, size: int = 1000, subsets: int = 100, seed: int = 0) -> tuple[float, float]:
    """Squared maximum mean discrepancy, kernel (x y / width + 1)^3 (Bińkowski et al. 2018), and its standard error.

    The mean of the unbiased estimate over `subsets` random parts of `size` examples of each set, or of all where there are
    fewer. The error, that of a mean over as many parts as the sets hold without overlap, is not known for a single one.

    Raises:
        RequestError: there are fewer than two of either.
    """
    need("The kernel distance", 2, real, fake)
    size = min(size, len(real), len(fake))
    apart = min(len(real), len(fake)) // size
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets if apart > 1 else 1):
        x, y = (part[torch.randperm(len(part), generator=generator)[:size].to(part.device)].double() for part in (real, fake))
        values.append(_unbiased(x, y))
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std()) / math.sqrt(apart) if apart > 1 else math.nan


def _unbiased(x: Tensor, y: Tensor) -> float:
    n, width = x.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / width + 1) ** 3

    xx, yy = kernel(x, x), kernel(y, y)
    same = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    return float(same / (n * (n - 1)) - 2 * kernel(x, y).mean())


class Neighbours(NamedTuple):
    """Shares of one set near the other, by balls around each example that reach to its k-th neighbour in its own set."""

    precision: float
    """Generated examples within a ball of a real one (Kynkäänniemi et al. 2019)."""
    recall: float
    """Real examples within a ball of a generated one."""
    density: float
    """Balls of real examples that hold a generated one, over k: 1 is expected of equal sets (Naeem et al. 2020)."""
    coverage: float
    """Real examples whose ball holds a generated one: 1 - 2^-k is expected of equal, large sets."""


def neighbours(real: Tensor, fake: Tensor, k: int = 5) -> Neighbours:
    """Precision, recall, density and coverage.

    Raises:
        RequestError: there are not more than k of either.
    """
    need(f"Precision, recall, density and coverage with k = {k}", k + 1, real, fake)
    near_real, near_fake = _radii(real, k), _radii(fake, k)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    balls, recalled, covered = 0, 0, 0
    for rows, distances in _distances(real, fake):
        inside = distances < near_real[rows, None]
        precise |= inside.any(0)
        balls += int(inside.sum())
        covered += int(inside.any(1).sum())
        recalled += int((distances < near_fake).any(1).sum())
    return Neighbours(float(precise.double().mean()), recalled / len(real), balls / (k * len(fake)), covered / len(real))


def _distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(a), ROWS):
        rows = slice(start, start + ROWS)
        yield (
            rows,
            torch.cdist(a[rows], b, compute_mode="donot_use_mm_for_euclid_dist" if len(a) < 2000 else "use_mm_for_euclid_dist"),
        )


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance from each to the k-th nearest of the others: (n,)."""
    return torch.cat([distances.kthvalue(k + 1, 1).values for _, distances in _distances(x, x)])


def need(what: str, count: int, *sets: Tensor) -> None:
    """Raise unless each set has at least `count` rows.

    Raises:
        RequestError: one has fewer.
    """
    fewest = min(len(one) for one in sets)
    if fewest < count:
        raise RequestError(f"{what} needs at least {count} examples of each set; one has {fewest}.")
