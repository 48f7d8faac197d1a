"""Recurrent encoder and decoder of series: gated units (Cho et al. 2014) that walk from moment to moment."""

import torch
from torch import Tensor, nn

from calco.nets.dropout import Dropout


class Walk(nn.Module):
    """`depth` layers of gated units, with dropout between them."""

    def __init__(self, features: int, width: int, depth: int, dropout: float, both: bool = False) -> None:
        super().__init__()
        # torch's own dropout between layers would draw from its global generator.
        self.stacks = depth if dropout else 1
        widths = [features, *[(2 if both else 1) * width] * (self.stacks - 1)]
        self.layers = nn.ModuleList(
            nn.GRU(own, width, depth // self.stacks, batch_first=True, bidirectional=both) for own in widths
        )
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, begin: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(n, length, features) and perhaps first states to states (n, length, units) and the last ones of each layer."""
        begins = [None] * self.stacks if begin is None else begin.chunk(self.stacks)
        last = []
        for i, (layer, first) in enumerate(zip(self.layers, begins, strict=True)):
            x, end = layer(self.drop(x) if i else x, first)
            last.append(end)
        return x, torch.cat(last)


class RecurrentEncoder(nn.Module):
    """Series of `shape` (channels, length) to vectors of `out` numbers.

    `depth` layers of `width` units read in both directions; the last states of both and their means over time are handed on.
    """

    def __init__(self, shape: tuple[int, ...], out: int, width: int = 64, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.walk = Walk(shape[0], width, depth, dropout, both=True)
        self.head = nn.Linear(4 * width, out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, length) to (n, out)."""
        states, last = self.walk(x.transpose(1, 2))
        return self.head(torch.cat((states.mean(1), last[-2], last[-1]), 1))


class RecurrentDecoder(nn.Module):
    """Vectors of `features` numbers to series of `shape` (channels, length).

    The code sets the first state and is read at every moment, beside a learned code of that moment.
    """

    def __init__(self, features: int, shape: tuple[int, ...], width: int = 64, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.depth = depth
        self.begin = nn.Linear(features, depth * width)
        self.moments = nn.Parameter(0.1 * torch.randn(shape[1], width))
        self.read = nn.Linear(features, width)
        self.walk = Walk(width, width, depth, dropout)
        self.head = nn.Linear(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        """(n, features) to (n, channels, length)."""
        begin = torch.tanh(self.begin(z)).unflatten(1, (self.depth, -1)).transpose(0, 1).contiguous()
        states, _ = self.walk(self.read(z)[:, None] + self.moments, begin)
        return self.head(states).transpose(1, 2)
