"""Encoders, and encoder and decoder as a matching pair."""

import math

from torch import nn

from calco.errors import RequestError
from calco.nets.conv import ConvDecoder, ConvEncoder
from calco.nets.mlp import MLP


def make_autoencoder_nets(
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    *,
    code_out: int,
    code_in: int,
    net: str = "auto",
    width: int = 0,
    depth: int = 2,
    activation: str = "silu",
    dropout: float = 0.0,
) -> tuple[nn.Module, nn.Module]:
    """An encoder from `shape` to `code_out` numbers, and a decoder from `code_in` numbers to `out_shape`.

    Args:
        shape: of one example, (channels, height, width) or (features,).
        out_shape: of the decoder's output.
        code_out: what the encoder gives per example.
        code_in: what the decoder takes per example.
        net: conv (images only), mlp, or auto: conv for images.
        width: channels of the first conv level, or units per mlp layer; 0 takes 32 or 512.
        depth: residual blocks per level, or hidden layers.
        activation: by name.
        dropout: share of units, or of channels of conv nets, dropped in training.

    Raises:
        RequestError: conv nets were asked for data that are not images.
    """
    encoder = make_encoder(shape, code_out, net=net, width=width, depth=depth, activation=activation, dropout=dropout)
    if isinstance(encoder, MLP):
        return encoder, MLP(code_in, [width or 512] * depth, out_shape, activation, dropout)
    out = (out_shape[0], shape[1], shape[2])
    return encoder, ConvDecoder(code_in, out, width or 32, depth, activation, dropout)


def make_encoder(
    shape: tuple[int, ...],
    out: int,
    *,
    net: str = "auto",
    width: int = 0,
    depth: int = 2,
    activation: str = "silu",
    dropout: float = 0.0,
) -> nn.Module:
    """An encoder from examples of `shape` to `out` numbers; the arguments are those of `make_autoencoder_nets`.

    Raises:
        RequestError: conv nets were asked for data that are not images.
    """
    if net == "conv" and len(shape) != 3:
        raise RequestError("net 'conv' is for images, and these data are vectors: use 'mlp' or 'auto'.")
    if net == "mlp" or len(shape) != 3:
        return MLP(math.prod(shape), [width or 512] * depth, out, activation, dropout)
    channels, height, side = shape
    return ConvEncoder((channels, height, side), out, width or 32, depth, activation, dropout)
