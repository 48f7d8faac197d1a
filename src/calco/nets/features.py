"""Fixed features to compare sets of examples by."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RandomFeatures(nn.Module):
    """Means and deviations over space of a convolutional net with fixed random weights; vectors and series stay as they are.

    The weights follow from the shape of an example alone: the same for everybody, and never trained. They are buffers.
    """

    def __init__(self, shape: tuple[int, ...], widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        self.depth = len(widths) if len(shape) == 3 else 0
        generator, channels = torch.Generator().manual_seed(0), shape[0]
        for i, width in enumerate(widths[: self.depth]):
            filters = torch.randn(width, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
            self.register_buffer(f"filters{i}", filters)
            channels = width
        self.width = 2 * sum(widths) if self.depth else math.prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(n, *shape) to (n, width)."""
        if not self.depth:
            return x.flatten(1)
        found, x = [], 2 * x - 1
        for i in range(self.depth):
            x = F.leaky_relu(F.conv2d(x, getattr(self, f"filters{i}"), padding=1), 0.2)
            found += [x.mean((2, 3)), x.std((2, 3), correction=0)]
            x = F.avg_pool2d(x, 2, ceil_mode=True) if min(x.shape[2:]) > 1 else x
        return torch.cat(found, 1)
