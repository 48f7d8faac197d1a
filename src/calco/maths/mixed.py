"""Examples whose channels are of several kinds: real numbers, flags and choices, some of which may be missing."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.maths import noise
from calco.maths.divergences import normal_log_prob
from calco.maths.likelihoods import Likelihood, gumbel, learned_log_var


class Piece(NamedTuple):
    """Channels `start` to `stop` of an example.

    A real is one channel; a flag is one that is 0 or 1; a choice is as many as there are options, one of which is 1. Where
    `gate` spans channels, a flag or options, the piece counts only where one of those is 1: elsewhere it has no value.
    """

    kind: Literal["real", "flag", "choice"]
    start: int
    stop: int
    gate: tuple[int, int] = (0, 0)

    def open(self, x: Tensor, axis: int) -> Tensor:
        """1 where the piece counts, else 0, with one channel on `axis`."""
        return x.narrow(axis, self.gate[0], self.gate[1] - self.gate[0]).sum(axis, keepdim=True)


def counted(x: Tensor, pieces: tuple[Piece, ...]) -> Tensor:
    """1 where a value of examples (n, channels, ...) is known, 0 where it is missing: like x."""
    found = torch.ones_like(x)
    for piece in pieces:
        if piece.gate[1]:
            found[:, piece.start : piece.stop] = (piece.open(x, 1) > 0.5).to(x.dtype)
    return found


@dataclass(frozen=True)
class Mixed(Likelihood):
    """Pieces independent given the parameters: reals normal, of a learned deviation of 1e-3 at least; the rest discrete.

    What is missing has no part in the log probability; that it is missing has, by its flag.
    """

    pieces: tuple[Piece, ...] = ()

    continuous: ClassVar[bool] = True

    @property
    def params_shape(self) -> tuple[int, ...]:
        """Two parameters for a real, one for a flag and for each option of a choice."""
        return (self.shape[0] + sum(piece.kind == "real" for piece in self.pieces), *self.shape[1:])

    @property
    def variables(self) -> int:
        """The pieces."""
        return len(self.pieces)

    def each(self, params: Tensor, x: Tensor) -> Tensor:
        """Nats of each piece: (*batch, pieces)."""
        found, axis = [], -len(self.shape)
        for piece, own in zip(self.pieces, self._parts(params), strict=True):
            nats = _nats(piece.kind, own, x.narrow(axis, piece.start, piece.stop - piece.start), axis)
            found.append((nats * piece.open(x, axis) if piece.gate[1] else nats).flatten(axis).sum(-1))
        return torch.stack(found, -1)

    def drawn_at(self, i: int, params: Tensor, x: Tensor, asked: Tensor) -> Tensor:
        """Examples x with a draw of piece i where `asked`, (n, pieces), is 1: no other piece is drawn."""
        piece, axis = self.pieces[i], -len(self.shape)
        drawn = _values(piece.kind, self._parts(params)[i], axis, draw=True)
        old = x.narrow(axis, piece.start, piece.stop - piece.start)
        here = asked[:, i].view(-1, *[1] * (x.ndim - 1)) > 0
        after = x.narrow(axis, piece.stop, self.shape[0] - piece.stop)
        return torch.cat((x.narrow(axis, 0, piece.start), torch.where(here, drawn, old), after), axis)

    def spread(self, flags: Tensor) -> Tensor:
        """A number for each piece, (n, pieces), at each of its values: (n, *shape)."""
        sizes = torch.tensor([piece.stop - piece.start for piece in self.pieces], device=flags.device)
        order = torch.tensor([c for piece in self.pieces for c in range(piece.start, piece.stop)], device=flags.device)
        wide = torch.empty(len(flags), self.shape[0], dtype=flags.dtype, device=flags.device)
        wide[:, order] = flags.repeat_interleave(sizes, 1)
        return wide.reshape(*wide.shape, *[1] * (len(self.shape) - 1)).expand(len(flags), *self.shape)

    def gathered(self, flags: Tensor) -> Tensor:
        """1 for each piece all of whose values are 1, else 0: (n, *shape) to (n, pieces)."""
        return torch.stack([flags[:, p.start : p.stop].flatten(1).amin(1) for p in self.pieces], 1)

    def ready(self, known: Tensor) -> Tensor:
        """1 where a piece is not gated, or by one that is known."""
        return torch.stack([torch.ones_like(known[:, 0]) if g < 0 else known[:, g] for g in self._gates], 1)

    def together(self, keys: Tensor) -> Tensor:
        """A gated piece comes at once after that which gates it."""
        return torch.stack([keys[:, i] if g < 0 else keys[:, g] + 1e-6 for i, g in enumerate(self._gates)], 1)

    @cached_property  # asked for at every step
    def _gates(self) -> list[int]:
        """Of each piece the one that gates it, or -1."""
        starts = [next((i for i, p in enumerate(self.pieces) if p.start <= q.gate[0] < p.stop), -1) for q in self.pieces]
        return [g if q.gate[1] else -1 for g, q in zip(starts, self.pieces, strict=True)]

    def constant(self, x: Tensor) -> Tensor:
        """Parameters of pieces that are independent of all else, from examples (n, *shape): (*params_shape).

        A count is added to each option and flag; deviations are at least 1e-3.
        """
        found = []
        for piece in self.pieces:
            value = x[:, piece.start : piece.stop]
            share = piece.open(x, 1).expand_as(value) if piece.gate[1] else torch.ones_like(value)
            count = share.sum(0)
            if piece.kind == "real":
                mean = (share * value).sum(0) / count.clamp_min(1)
                spread = ((share * (value - mean).square()).sum(0) / count.clamp_min(1)).sqrt().clamp_min(2e-3)
                # The raw scale whose softplus, squared and with the floor of 1e-6, is the variance.
                found += [mean, torch.log(torch.expm1((spread.square() - 1e-6).sqrt()))]
            elif piece.kind == "flag":
                chance = ((share * value).sum(0) + 1) / (count + 2)
                found.append(torch.logit(chance))
            else:
                found.append(torch.log((share * value).sum(0) + 1))
        return torch.cat(found)

    def mean(self, params: Tensor) -> Tensor:
        """The expected example: probabilities in place of flags and choices."""
        return self._joined(params, draw=False)

    def sample(self, params: Tensor) -> Tensor:
        """One draw for each set of parameters."""
        return self._joined(params, draw=True)

    def _joined(self, params: Tensor, draw: bool) -> Tensor:
        axis = -len(self.shape)
        found = [_values(p.kind, own, axis, draw) for p, own in zip(self.pieces, self._parts(params), strict=True)]
        order = sorted(range(len(found)), key=lambda i: self.pieces[i].start)
        return torch.cat([found[i] for i in order], axis)

    def _parts(self, params: Tensor) -> tuple[Tensor, ...]:
        sizes = [2 if piece.kind == "real" else piece.stop - piece.start for piece in self.pieces]
        return params.split(sizes, -len(self.shape))


def _log_var(own: Tensor, axis: int) -> Tensor:
    return learned_log_var(own.narrow(axis, 1, 1))


def _nats(kind: str, own: Tensor, value: Tensor, axis: int) -> Tensor:
    """Log probabilities with one channel."""
    if kind == "real":
        return normal_log_prob(value, own.narrow(axis, 0, 1), _log_var(own, axis))
    if kind == "flag":
        logit, value = torch.broadcast_tensors(own, value)
        return -F.binary_cross_entropy_with_logits(logit, value, reduction="none")
    return (torch.log_softmax(own, axis) * value).sum(axis, keepdim=True)


def _values(kind: str, own: Tensor, axis: int, draw: bool) -> Tensor:
    """Means or draws of a piece's channels."""
    if kind == "real":
        mean = own.narrow(axis, 0, 1)
        return mean + torch.exp(0.5 * _log_var(own, axis)) * noise.normal(mean) if draw else mean
    if kind == "flag":
        return noise.flips(torch.sigmoid(own)) if draw else torch.sigmoid(own)
    if not draw:
        return torch.softmax(own, axis)
    picked = (own + gumbel(noise.uniform(own))).argmax(axis, keepdim=True)
    return torch.zeros_like(own).scatter(axis, picked, 1.0)
