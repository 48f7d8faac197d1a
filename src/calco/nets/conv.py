"""Residual convolutional encoder and decoder for images of any size and any number of channels.

Sides are halved, rounding up, until the smaller one is at most 8; the decoder walks the same sides back and crops what
rounding added. There is no normalisation layer: each residual branch starts at zero, which trains as well at these depths,
is faster on a CPU, and makes an output depend on its own example alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.nets.mlp import activation


def halvings(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes an image goes through: itself, then halved, rounding up, at least once and until a side is at most 8."""
    sizes = [size]
    while len(sizes) == 1 or min(sizes[-1]) > 8:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), the last convolution starting at zero."""

    def __init__(self, channels: int, act: str = "silu", dropout: float = 0.0) -> None:
        super().__init__()
        self.act = activation(act)
        # Whole channels: single values are guessed from their neighbours, so that dropping those hardly regularises.
        self.drop = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) to the same."""
        return x + self.second(self.drop(self.act(self.first(self.act(x)))))


class ConvEncoder(nn.Module):
    """Images of `shape` (channels, height, width) to vectors of `out` numbers.

    The first level has `width` channels, the others twice as many; each has `blocks` residual blocks.
    """

    def __init__(
        self, shape: tuple[int, int, int], out: int, width: int = 32, blocks: int = 2, act: str = "silu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.plan = {"shape": shape, "out": out, "width": width, "blocks": blocks, "act": act, "dropout": dropout}
        """What makes another one like it."""
        sizes = halvings(shape[1:])
        layers: list[nn.Module] = []
        channels, level = shape[0], width
        for i in range(1, len(sizes)):
            layers.append(nn.Conv2d(channels, level, 3, stride=2, padding=1))
            # The largest maps cost most and gain least from depth: they get one block.
            layers += [ResidualBlock(level, act, dropout) for _ in range(1 if i == 1 and len(sizes) > 2 else blocks)]
            channels, level = level, 2 * width
        self.body = nn.Sequential(*layers, activation(act))
        self.head = nn.Linear(channels * sizes[-1][0] * sizes[-1][1], out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) to (n, out)."""
        return self.head(self.body(x).flatten(1))


class Upsample(nn.Module):
    """A convolution to four times the channels, shuffled into twice the sides and cropped to `size`."""

    def __init__(self, channels: int, out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out, 3, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ceil(height / 2), ceil(width / 2)) to (n, out, height, width)."""
        height, width = self.size
        return F.pixel_shuffle(self.conv(x), 2)[..., :height, :width]


class ConvDecoder(nn.Module):
    """Vectors of `features` numbers to images of `shape` (channels, height, width): the encoder's walk, backwards."""

    def __init__(
        self,
        features: int,
        shape: tuple[int, int, int],
        width: int = 32,
        blocks: int = 2,
        act: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        *sizes, smallest = halvings(shape[1:])
        channels = 2 * width if len(sizes) > 1 else width
        self.start = (channels, *smallest)
        self.head = nn.Linear(features, channels * smallest[0] * smallest[1])
        layers: list[nn.Module] = [ResidualBlock(channels, act, dropout) for _ in range(blocks)]
        for i in range(len(sizes) - 1, 0, -1):
            out = width if i == 1 else 2 * width
            layers.append(Upsample(channels, out, sizes[i]))
            layers += [ResidualBlock(out, act, dropout) for _ in range(1 if i == 1 else blocks)]
            channels = out
        layers += [activation(act), Upsample(channels, shape[0], sizes[0])]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """(n, features) to (n, channels, height, width)."""
        start = self.head(z).unflatten(1, self.start)
        return self.body(start.contiguous(memory_format=torch.channels_last))
