"""Coordinates to work on examples in: their values, or such that all of what series do has deviation 1."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COARSE, FINE = 0.02, 0.002
"""Deviations, of values of deviation 1, below which a component, and what is new in a value, are taken for nothing."""


class Plain:
    """Values as they are."""

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Nothing is to be known of examples."""

    def __call__(self, x: Tensor) -> Tensor:
        """Values to coordinates."""
        return x

    def back(self, z: Tensor) -> Tensor:
        """Coordinates to values."""
        return z

    def turned(self, z: Tensor) -> Tensor:
        """Differences of coordinates to those of values."""
        return z

    def settled(self, known: Tensor) -> Tensor:
        """Which coordinates are known where values are: booleans like `known`, which is 1 or 0."""
        return known > 0


class White(nn.Module):
    """Uncorrelated coordinates of deviation 1 of each part of a series, and back; its values until they are fitted.

    Series move little from one moment to the next: noise that hides what is fine in them is as strong as all of them, and a net
    that should remove it everywhere would have to pass on as many numbers as a window has values. In such coordinates what is
    fine counts as much as what is coarse; those that hardly move are left out.

    Args:
        shape: of an example, (channels, length).
        parts: parts that each have coordinates of their own: 1, or as many as channels.
    """

    mean: Tensor
    root: Tensor
    inverse: Tensor
    kept: Tensor

    def __init__(self, shape: tuple[int, ...], parts: int) -> None:
        super().__init__()
        self.sides = (parts, torch.Size(shape).numel() // parts)
        self.register_buffer("mean", torch.zeros(self.sides))
        self.register_buffer("root", torch.eye(self.sides[1]).repeat(parts, 1, 1))
        self.register_buffer("inverse", self.root.clone())
        self.register_buffer("kept", torch.ones(self.sides))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take what examples (n, channels, length) have; of fewer than twice as many as a part has values nothing is taken."""
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            x = batch.double().reshape(-1, *self.sides)
            count, total, products = count + len(x), total + x.sum(0), products + torch.einsum("nps,npt->pst", x, x)
        if count < 2 * self.sides[1]:
            return
        mean = total / count
        root, inverse, kept = self.factors(products / count - mean[:, :, None] * mean[:, None])
        self.mean.copy_(mean)
        self.root.copy_(root)
        self.inverse.copy_(inverse)
        self.kept.copy_(kept)

    def factors(self, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A root of the covariance of each part, its inverse, (parts, values, values), and which coordinates are kept."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Values to coordinates, (n, channels, length)."""
        with torch.autocast(x.device.type, enabled=False):
            parts = x.reshape(-1, *self.sides) - self.mean
            return (torch.einsum("pst,npt->nps", self.inverse, parts) * self.kept).reshape(x.shape)

    def back(self, z: Tensor) -> Tensor:
        """Coordinates to values, (n, channels, length)."""
        return self.turned(z) + self.mean.reshape(z.shape[1:])

    def turned(self, z: Tensor) -> Tensor:
        """Differences of coordinates to those of values, (n, channels, length)."""
        with torch.autocast(z.device.type, enabled=False):
            parts = z.reshape(-1, *self.sides) * self.kept
            return torch.einsum("pst,npt->nps", self.root, parts).reshape(z.shape)

    def settled(self, known: Tensor) -> Tensor:
        """Which coordinates are known where values are: those left out."""
        return (self.kept == 0).reshape(known.shape[1:]).expand_as(known)


class Components(White):
    """Principal components of all moments and channels together, for nets to which a window is but a vector."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, 1)

    def factors(self, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Axes times and over their deviations."""
        variances, axes = torch.linalg.eigh(covariance)
        deviations = variances.clamp_min(0).sqrt()
        scale = deviations.clamp_min(COARSE)
        return axes * scale[:, None], (axes / scale[:, None]).mT, (deviations >= COARSE).to(axes)


class Innovations(White):
    """Errors of the best linear prediction of values from those before in their channel, for nets that go by moments.

    A value that often stays as it was is an innovation that often is 0, which components would mix with all others.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, shape[0])

    def factors(self, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The Cholesky factor, without columns for values that those before them tell."""
        left, root, kept = covariance.clone(), torch.zeros_like(covariance), torch.zeros_like(covariance[..., 0])
        for t in range(left.shape[1]):
            deviation = left[:, t, t].clamp_min(0).sqrt()
            kept[:, t] = deviation > FINE
            root[:, t:, t] = left[:, t:, t] * (kept[:, t] / deviation.clamp_min(FINE))[:, None]
            column = root[:, t + 1 :, t]
            left[:, t + 1 :, t + 1 :] -= column[:, :, None] * column[:, None]
        whole = root + torch.diag_embed(1 - kept)
        unit = torch.eye(whole.shape[1]).to(whole).expand_as(whole)
        return root, torch.linalg.solve_triangular(whole, unit, upper=False), kept

    def settled(self, known: Tensor) -> Tensor:
        """Also those of a past that is known from the beginning."""
        return (known.cumprod(2) > 0) | super().settled(known)
