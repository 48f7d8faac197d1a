"""Dropout by the noise of a step, which is the same however its batch is shared out."""

from typing import Any

import torch
from torch import Tensor, nn

from calco.maths import noise


class Dropout(nn.Module):
    """In training sets a share of the values to 0, or of the channels as a whole, and scales the others up to make up for it.

    Args:
        share: from 0 to below 1.
        channels: drop whole channels, the second axis.
    """

    def __init__(self, share: float, channels: bool = False) -> None:
        super().__init__()
        self.share, self.channels = share, channels

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) to the same."""
        if not self.training or not self.share:
            return x
        kept: Any = self._kept
        if torch.compiler.is_dynamo_compiling():  # a compiled net asks for them as it runs; loading what disables takes seconds
            kept = torch.compiler.disable(kept)
        return x * kept(x)

    def _kept(self, x: Tensor) -> Tensor:
        """What values are multiplied by: 0, or more than 1."""
        shape = (*x.shape[:2], *[1] * (x.ndim - 2)) if self.channels else x.shape
        drawn = noise.uniform(torch.empty(shape, device=x.device))
        return (drawn >= self.share).to(x.dtype) / (1 - self.share)

    def extra_repr(self) -> str:
        """What it was made with."""
        return f"{self.share}, channels={self.channels}"
