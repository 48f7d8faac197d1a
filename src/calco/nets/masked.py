"""Nets that see some of the values of an example and say something of the others."""

import math

import torch
from torch import Tensor, nn

from calco.nets.dropout import Dropout
from calco.nets.labels import with_label
from calco.nets.mlp import activation


class MaskedNet(nn.Module):
    """Examples of `shape`, and which of their values are known, to outputs of `out_shape`.

    Args:
        shape: of an example.
        out_shape: of what is said of it.
        width: units of a layer.
        depth: residual blocks of two layers each.
        act: activation by name.
        dropout: share of units dropped in training.
        classes: of a conditional model, 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        width: int = 512,
        depth: int = 2,
        act: str = "silu",
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.classes, self.out_shape = classes, out_shape
        self.enter = nn.Linear(2 * math.prod(shape) + classes, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), activation(act), Dropout(dropout), nn.Linear(width, width)
            )
            for _ in range(depth)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), activation(act), nn.Linear(width, math.prod(out_shape)))
        for block in self.blocks:
            nn.init.zeros_(block[-1].weight)  # pyright: ignore[reportIndexIssue]
        nn.init.zeros_(self.leave[-1].weight)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        """Examples (n, *shape) and 1 where a value is known, else 0, of the same shape, to (n, *out_shape)."""
        seen = torch.cat(((x * known).flatten(1), known.flatten(1)), 1)
        h = self.enter(with_label(seen, y, self.classes))
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h).unflatten(1, self.out_shape)
