"""Features on a common scale."""

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """(features - mean) / deviation, both taken once from data; nothing of it is learned."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Take them from features, (n, width); one that does not vary keeps its scale."""
        deviation = features.std(0, correction=0)
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) to the same."""
        return (features - self.mean) / self.deviation


class OnSphere(nn.Module):
    """Features scaled, example by example, to a mean square of 1."""

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) to the same."""
        return features * features.square().mean(1, keepdim=True).clamp_min(1e-12).rsqrt()
