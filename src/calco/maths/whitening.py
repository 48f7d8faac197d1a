"""Coordinates in which data of strongly correlated values have deviation 1 each, and are not correlated."""

import torch
from torch import Tensor, nn

FLOOR = 0.02
"""Deviation, of values of deviation 1, below which a direction is taken for constant."""


class Whitening(nn.Module):
    """Principal components over their deviations, and back; values as they are until it is fitted.

    Series move little from one moment to the next: noise that hides what is fine in them is as strong as all of them, and a net
    that should remove it everywhere would have to pass on as many numbers as a window has values. In these coordinates what is
    fine counts as much as what is coarse; directions that move by less than `FLOOR` are left out.

    Args:
        shape: of an example; `prod(shape)` values.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor
    kept: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        count = torch.Size(shape).numel()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("axes", torch.eye(count))
        self.register_buffer("scale", torch.ones(count))
        self.register_buffer("kept", torch.ones(shape))

    def fit(self, x: Tensor) -> None:
        """Take the components of examples (n, *shape); of fewer than twice as many as values nothing is taken."""
        flat = x.flatten(1).double()
        if len(flat) < 2 * flat.shape[1]:
            return
        mean = flat.mean(0)
        variances, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        deviations = variances.clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.scale.copy_(deviations.clamp_min(FLOOR))
        self.kept.copy_((deviations >= FLOOR).view(self.kept.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Values to coordinates, (n, *shape)."""
        with torch.autocast(x.device.type, enabled=False):
            return (((x.flatten(1) - self.mean) @ self.axes) / self.scale).view(x.shape) * self.kept

    def back(self, z: Tensor) -> Tensor:
        """Coordinates to values, (n, *shape)."""
        return self.turned(z) + self.mean.view(z.shape[1:])

    def turned(self, z: Tensor) -> Tensor:
        """Differences of coordinates to those of values, (n, *shape)."""
        with torch.autocast(z.device.type, enabled=False):
            return ((z * self.kept).flatten(1) * self.scale @ self.axes.T).view(z.shape)
