"""Nets that clean a noisy example, told how noisy it is and what of it is known."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.nets.dropout import Dropout
from calco.nets.patches import patch_of

FREQUENCIES = 64
"""Sines and cosines that a level of noise is told by."""
WHOLE, PART, TOKENS = 256, 32, 128
"""Values of a series up to which it is one piece; values of a piece of longer ones, and pieces at most."""


class Level(nn.Module):
    """A level of noise, and perhaps a class, as a vector of `width` numbers."""

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(math.log(0.5), math.log(500.0), FREQUENCIES)))
        self.body = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes, width) if classes else None

    def forward(self, level: Tensor, y: Tensor | None = None) -> Tensor:
        """(n,) and labels (n,) to (n, width)."""
        angles = level[:, None] * self.get_buffer("frequencies")
        found = self.body(torch.cat((angles.cos(), angles.sin()), 1))
        return found if self.labels is None or y is None else found + self.labels(y)


class Attention(nn.Module):
    """Pieces look at those that are like what they ask for."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.look, self.seen = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        q, k, v = self.look(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.seen(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mixing(nn.Module):
    """A perceptron over the pieces, the same for each of their numbers (Tolstikhin et al. 2021).

    Moments of series have their places, which attention would have to learn to tell; it takes nearly twice as long.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.think = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        return self.think(x.transpose(1, 2)).transpose(1, 2)


class Block(nn.Module):
    """What looks at other pieces, if any, and a perceptron, each a residual branch that begins at zero.

    They are shifted and scaled by the level of noise, after Peebles and Xie (2023).
    """

    def __init__(self, width: int, look: nn.Module | None, dropout: float = 0.0) -> None:
        super().__init__()
        self.look = look
        self.told = nn.Linear(width, (6 if look else 3) * width)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(n, tokens, width) and (n, width) to (n, tokens, width)."""
        told = self.told(F.silu(level))[:, None].chunk(6 if self.look else 3, 2)
        if self.look:
            shift, scale, gate = told[3:]
            x = x + gate * self.look(self.norm(x) * (1 + scale) + shift)
        shift, scale, gate = told[:3]
        return x + gate * self.think(self.norm(x) * (1 + scale) + shift)


class Denoiser(nn.Module):
    """Noisy examples to what they are without, or whatever else is learned of them.

    An image is cut into patches, which look at one another in `depth` blocks, and a series of more than `WHOLE` values into
    pieces of moments, which are mixed; all else is one piece, which is many times faster, and samples as well while there are
    few values.

    Args:
        shape: of an example, (channels, *sides) or (features,).
        width: numbers that a piece is thought of with.
        depth: blocks.
        heads: of attention.
        classes: of a conditional model, 0 for none.
        dropout: share of hidden units dropped in training.
    """

    def __init__(
        self, shape: tuple[int, ...], width: int = 128, depth: int = 4, heads: int = 4, classes: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.shape = shape
        self.piece = _piece(shape)
        self.grid = tuple(-(-side // piece) for side, piece in zip(shape[1:], self.piece, strict=True))
        values = shape[0] * math.prod(self.piece)
        self.tokens = tokens = math.prod(self.grid)
        self.level = Level(width, classes)
        self.enter = nn.Linear(3 * values, width)
        self.places = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(Block(width, self._look(width, heads, tokens), dropout) for _ in range(depth))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, values)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, level: Tensor, given: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        """What is learned of each value.

        Args:
            x: noisy examples, (n, *shape), of variance about 1.
            level: of the noise, (n,).
            given: known values and 0 elsewhere, (n, *shape).
            known: 1 where a value is known, else 0, (n, *shape).
            y: class indices, (n,), of a conditional model.
        """
        pieces = torch.cat([self._cut(one) for one in (x, given, known)], 2)
        h, told = self.enter(pieces) + self.places, self.level(level, y)
        for block in self.blocks:
            h = block(h, told)
        return self._joined(self.leave(self.norm(h)))

    def _look(self, width: int, heads: int, tokens: int) -> nn.Module | None:
        if tokens == 1:
            return None
        return Mixing(tokens) if len(self.grid) == 1 else Attention(width, heads)

    def _cut(self, x: Tensor) -> Tensor:
        """(n, channels, *sides) to (n, pieces, values)."""
        if not self.piece:
            return x[:, None]
        rest = [(0, piece * count - side) for side, piece, count in zip(x.shape[2:], self.piece, self.grid, strict=True)]
        x = F.pad(x, [end for ends in reversed(rest) for end in ends]) if any(end for _, end in rest) else x
        for axis, (piece, count) in enumerate(zip(self.piece, self.grid, strict=True)):
            x = x.unflatten(2 + 2 * axis, (count, piece))
        dims = len(self.piece)
        grid, inner = (tuple(2 + 2 * i + j for i in range(dims)) for j in (0, 1))
        return x.permute(0, *grid, 1, *inner).flatten(1, dims).flatten(2)

    def _joined(self, pieces: Tensor) -> Tensor:
        """(n, pieces, values) to (n, channels, *sides)."""
        if not self.piece:
            return pieces[:, 0]
        dims = len(self.piece)
        x = pieces.unflatten(2, (self.shape[0], *self.piece)).unflatten(1, self.grid)
        order = [axis for i in range(dims) for axis in (1 + i, 2 + dims + i)]
        x = x.permute(0, 1 + dims, *order)
        for axis in range(2, 2 + dims):
            x = x.flatten(axis, axis + 1)
        return x[(..., *(slice(side) for side in self.shape[1:]))]


def _piece(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of a piece of an image, or of a series."""
    channels, *sides = shape
    if len(sides) == 1:
        length = sides[0]
        return (length if channels * length <= WHOLE else max(1, PART // channels, -(-length // TOKENS)),)
    return (patch_of((sides[0], sides[1])),) * len(sides) if sides else ()
