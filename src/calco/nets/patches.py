"""Residual convolutional encoder and decoder that begin and end with patches: most of the quality for a quarter of the time.

An image is cut into patches of 4 x 4 pixels (2 x 2 or none where it is small), whose values become channels. All layers but
the first and the last work on that coarse grid, where matrices are large and maps are small, which is what processors like;
a grid larger than 8 is halved further. Images of any size: what does not fill a patch is filled up, and cut off again.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.nets.conv import ResidualBlock, Upsample
from calco.nets.mlp import activation


def patch_of(size: tuple[int, int]) -> int:
    """The side of a patch for images of this height and width."""
    return 4 if min(size) >= 24 else 2 if min(size) >= 12 else 1


def grids(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Heights and widths of the grid of patches, and of its halvings until a side is at most 8."""
    patch = patch_of(size)
    found = [(-(-size[0] // patch), -(-size[1] // patch))]
    while min(found[-1]) > 8:
        found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
    return found


class PatchEncoder(nn.Module):
    """Images of `shape` (channels, height, width) to vectors of `out` numbers.

    The grid of patches has `width` channels, its halvings twice as many; each has `blocks` residual blocks.
    """

    def __init__(self, shape: tuple[int, int, int], out: int, width: int = 64, blocks: int = 1, act: str = "silu") -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.patch, sizes = patch_of(shape[1:]), grids(shape[1:])
        layers: list[nn.Module] = [nn.Conv2d(channels * self.patch**2, width, 3, padding=1)]
        level = width
        for i in range(len(sizes)):
            if i:
                layers.append(nn.Conv2d(level, 2 * width, 3, stride=2, padding=1))
                level = 2 * width
            layers += [ResidualBlock(level, act) for _ in range(blocks)]
        self.body = nn.Sequential(*layers, activation(act))
        self.head = nn.Linear(level * sizes[-1][0] * sizes[-1][1], out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) to (n, out)."""
        right, below = -self.width % self.patch, -self.height % self.patch
        x = F.pad(x, (0, right, 0, below)) if right or below else x
        x = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        return self.head(self.body(x).flatten(1))


class PatchDecoder(nn.Module):
    """Vectors of `features` numbers to images of `shape` (channels, height, width): the encoder's walk, backwards."""

    def __init__(self, features: int, shape: tuple[int, int, int], width: int = 64, blocks: int = 1, act: str = "silu") -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.patch, sizes = patch_of(shape[1:]), grids(shape[1:])
        level = 2 * width if len(sizes) > 1 else width
        self.start = (level, *sizes[-1])
        self.head = nn.Linear(features, level * sizes[-1][0] * sizes[-1][1])
        layers: list[nn.Module] = []
        for i in reversed(range(len(sizes))):
            layers += [ResidualBlock(level, act) for _ in range(blocks)]
            if i:
                below = width if i == 1 else 2 * width
                layers += [activation(act), Upsample(level, below, sizes[i - 1])]
                level = below
        self.body = nn.Sequential(*layers, activation(act), nn.Conv2d(width, channels * self.patch**2, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        """(n, features) to (n, channels, height, width)."""
        start = self.head(z).unflatten(1, self.start)
        out = self.body(start.contiguous(memory_format=torch.channels_last))
        return F.pixel_shuffle(out, self.patch)[..., : self.height, : self.width]
