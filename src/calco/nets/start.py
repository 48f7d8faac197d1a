"""Weights to begin with, from data."""

from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def unit_variance(net: nn.Module, x: Tensor) -> None:
    """Scale the weights of each linear map and convolution so that what it gives for x has variance 1.

    After Mishkin and Matas (2016), in one pass; a net without normalisation then neither fades nor grows with its depth.
    Maps that begin at zero stay there.

    Args:
        net: whose layers are called once each, in their order.
        x: some examples, (n, ...).
    """

    def scale(layer: Any, given: Any, out: Tensor) -> Tensor:
        bias = 0.0 if layer.bias is None else layer.bias.reshape(-1, *[1] * (out.ndim - 2))
        spread = (out - bias).std()
        if spread < 1e-8:
            return out
        layer.weight /= spread
        return (out - bias) / spread + bias

    layers = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    try:
        net(x)
    finally:
        for hook in hooks:
            hook.remove()
