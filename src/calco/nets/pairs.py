"""Encoders, and encoder and decoder as a matching pair."""

import math

from torch import nn

from calco.errors import RequestError
from calco.nets.conv import ConvDecoder, ConvEncoder
from calco.nets.mlp import MLP
from calco.nets.recurrent import RecurrentDecoder, RecurrentEncoder


def chosen_net(net: str, shape: tuple[int, ...]) -> str:
    """The kind of net for examples of `shape`: auto takes conv for images and series, mlp for vectors.

    Raises:
        RequestError: the net is not for such examples.
    """
    kind = {1: "vectors", 2: "series"}.get(len(shape), "images")
    fit = {"vectors": ("mlp",), "series": ("conv", "recurrent", "mlp")}.get(kind, ("conv", "mlp"))
    if net == "auto":
        return fit[0]
    if net not in fit:
        raise RequestError(f"net {net!r} is not for {kind}, which these data are: use {', '.join(map(repr, fit))} or 'auto'.")
    return net


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
        shape: of one example: (channels, *sides) or (features,).
        out_shape: of the decoder's output.
        code_out: what the encoder gives per example.
        code_in: what the decoder takes per example.
        net: conv (images and series), recurrent (series), mlp, or auto: conv where there is one.
        width: channels of the first conv level, or units per layer; 0 takes 32, or 64 of recurrent and 512 of mlp nets.
        depth: residual blocks per level, or layers.
        activation: by name; recurrent nets have their own.
        dropout: share of units, or of channels of conv nets, dropped in training.

    Raises:
        RequestError: the net is not for such data.
    """
    encoder = make_encoder(shape, code_out, net=net, width=width, depth=depth, activation=activation, dropout=dropout)
    if isinstance(encoder, MLP):
        return encoder, MLP(code_in, [width or 512] * depth, out_shape, activation, dropout)
    out = (out_shape[0], *shape[1:])
    if isinstance(encoder, RecurrentEncoder):
        return encoder, RecurrentDecoder(code_in, out, width or 64, depth, dropout)
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
        RequestError: the net is not for such data.
    """
    kind = chosen_net(net, shape)
    if kind == "mlp":
        return MLP(math.prod(shape), [width or 512] * depth, out, activation, dropout)
    if kind == "recurrent":
        return RecurrentEncoder(shape, out, width or 64, depth, dropout)
    return ConvEncoder(shape, out, width or 32, depth, activation, dropout)
