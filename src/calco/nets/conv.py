"""Residual convolutional encoder and decoder for series, images or volumes of any size and any number of channels.

Sides are halved, rounding up, until the smallest is at most 8; the decoder walks the same sides back and crops what
rounding added. There is no normalisation layer: each residual branch starts at zero, which trains as well at these depths,
is faster on a CPU, and makes an output depend on its own example alone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.nets.dropout import Dropout
from calco.nets.mlp import activation

CONVS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def halvings(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sizes an example goes through: itself, then halved, rounding up, at least once and until a side is at most 8."""
    sizes = [size]
    while len(sizes) == 1 or min(sizes[-1]) > 8:
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    return sizes


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), the last convolution starting at zero."""

    def __init__(self, channels: int, act: str = "silu", dropout: float = 0.0, dims: int = 2) -> None:
        super().__init__()
        self.act = activation(act)
        # Whole channels: single values are guessed from their neighbours, so that dropping those hardly regularises.
        self.drop = Dropout(dropout, channels=True)
        self.first = CONVS[dims](channels, channels, 3, padding=1)
        self.second = CONVS[dims](channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, *sides) to the same."""
        return x + self.second(self.drop(self.act(self.first(self.act(x)))))


class ConvEncoder(nn.Module):
    """Examples of `shape` (channels, *sides) to vectors of `out` numbers.

    The first level has `width` channels, the others twice as many; each has `blocks` residual blocks.
    """

    def __init__(
        self, shape: tuple[int, ...], out: int, width: int = 32, blocks: int = 2, act: str = "silu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.plan = {"shape": shape, "out": out, "width": width, "blocks": blocks, "act": act, "dropout": dropout}
        """What makes another one like it."""
        sizes, dims = halvings(shape[1:]), len(shape) - 1
        layers: list[nn.Module] = []
        channels, level = shape[0], width
        for i in range(1, len(sizes)):
            layers.append(CONVS[dims](channels, level, 3, stride=2, padding=1))
            # The largest maps cost most and gain least from depth: they get one block.
            layers += [ResidualBlock(level, act, dropout, dims) for _ in range(1 if i == 1 and len(sizes) > 2 else blocks)]
            channels, level = level, 2 * width
        self.body = nn.Sequential(*layers, activation(act))
        self.head = nn.Linear(channels * math.prod(sizes[-1]), out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, *sides) to (n, out)."""
        return self.head(self.body(x).flatten(1))


class Upsample(nn.Module):
    """A convolution to 2 ** dims times the channels, shuffled into twice the sides and cropped to `size`."""

    def __init__(self, channels: int, out: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = CONVS[len(size)](channels, 2 ** len(size) * out, 3, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, *halved sides) to (n, out, *size)."""
        shuffled = F.pixel_shuffle(self.conv(x), 2) if len(self.size) == 2 else shuffle(self.conv(x))
        return shuffled[(..., *(slice(side) for side in self.size))]


def shuffle(x: Tensor) -> Tensor:
    """Channels into twice the sides, whatever their number: (n, 2 ** dims c, *sides) to (n, c, *(2 sides))."""
    dims = x.ndim - 2
    x = x.unflatten(1, (-1, *[2] * dims))
    order = [axis for i in range(dims) for axis in (2 + dims + i, 2 + i)]
    x = x.permute(0, 1, *order)
    for axis in range(2, 2 + dims):
        x = x.flatten(axis, axis + 1)
    return x


class ConvDecoder(nn.Module):
    """Vectors of `features` numbers to examples of `shape` (channels, *sides): the encoder's walk, backwards."""

    def __init__(
        self,
        features: int,
        shape: tuple[int, ...],
        width: int = 32,
        blocks: int = 2,
        act: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        *sizes, smallest = halvings(shape[1:])
        dims = len(smallest)
        channels = 2 * width if len(sizes) > 1 else width
        self.start = (channels, *smallest)
        self.head = nn.Linear(features, channels * math.prod(smallest))
        layers: list[nn.Module] = [ResidualBlock(channels, act, dropout, dims) for _ in range(blocks)]
        for i in range(len(sizes) - 1, 0, -1):
            out = width if i == 1 else 2 * width
            layers.append(Upsample(channels, out, sizes[i]))
            layers += [ResidualBlock(out, act, dropout, dims) for _ in range(1 if i == 1 else blocks)]
            channels = out
        layers += [activation(act), Upsample(channels, shape[0], sizes[0])]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """(n, features) to (n, channels, *sides)."""
        start = self.head(z).unflatten(1, self.start)
        return self.body(start.contiguous(memory_format=torch.channels_last) if start.ndim == 4 else start)
