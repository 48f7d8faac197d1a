"""Examples whose channels are of several kinds: real numbers, flags and choices, some of which may be missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.maths import noise
from calco.maths.cells import Cells, cells_of, normal_log_mass
from calco.maths.divergences import normal_log_prob
from calco.maths.knots import Knots
from calco.maths.likelihoods import Likelihood, gumbel, learned_log_var


class Piece(NamedTuple):
    """Channels `start` to `stop` of an example.

    A real is one channel; a flag is one that is 0 or 1; a choice is as many as there are options, one of which is 1, and
    `beside` more at the end that say something of what is chosen: they are seen and given, and 0 in all that is made. Where
    `gate` spans channels, a flag or options, the piece counts only where one of those is 1: elsewhere it has no value. A real
    with `cells` is the score of a cell in the bin that its gate says, and counts by the probability of that.
    """

    kind: Literal["real", "flag", "choice"]
    start: int
    stop: int
    gate: tuple[int, int] = (0, 0)
    beside: int = 0
    cells: Knots | None = None

    @property
    def end(self) -> int:
        """Where what is drawn ends."""
        return self.stop - self.beside

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
        return (sum(map(_size, self.pieces)), *self.shape[1:])

    @property
    def variables(self) -> int:
        """The pieces."""
        return len(self.pieces)

    def each(self, params: Tensor, x: Tensor) -> Tensor:
        """Nats of each piece: (*batch, pieces)."""
        found, axis, parts = [], -len(self.shape), self._parts(params)
        masses = self._masses(parts, x)
        for piece, own in zip(self.pieces, parts, strict=True):
            nats = next(masses) if piece.cells else _nats(piece, own, x, axis)
            found.append((nats * piece.open(x, axis) if piece.gate[1] else nats).flatten(axis).sum(-1))
        return torch.stack(found, -1)

    def _masses(self, parts: tuple[Tensor, ...], x: Tensor) -> Iterator[Tensor]:
        """Nats of the pieces that are cells, worked on together, which takes as long as one alone."""
        pieces, axis = [piece for piece in self.pieces if piece.cells], -len(self.shape)
        if not pieces:
            return iter(())
        own = [part for piece, part in zip(self.pieces, parts, strict=True) if piece.cells]
        mean, log_var = (torch.cat([part.narrow(axis, i, 1) for part in own], axis) for i in (0, 1))
        score = torch.cat([x.narrow(axis, piece.start, 1) for piece in pieces], axis)
        bins = torch.cat([x.narrow(axis, p.gate[0], p.gate[1] - p.gate[0]).argmax(axis, keepdim=True) for p in pieces], axis)
        columns = tuple(piece.cells for piece in pieces if piece.cells)
        cells = cells_of(columns, bins.movedim(axis, 0), score.movedim(axis, 0))
        cells = Cells(*(part.movedim(0, axis) for part in cells))
        found = normal_log_mass(cells, score, mean, learned_log_var(log_var))
        return iter(found.to(mean.dtype).split(1, axis))

    def drawn_at(self, i: int, params: Tensor, x: Tensor, asked: Tensor) -> Tensor:
        """Examples x with a draw of piece i where `asked`, (n, pieces), is 1: no other piece is drawn."""
        piece, axis = self.pieces[i], -len(self.shape)
        drawn = _values(piece, self._parts(params)[i], axis, draw=True)
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
            value = x[:, piece.start : piece.end]
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
        found = [_values(p, own, axis, draw) for p, own in zip(self.pieces, self._parts(params), strict=True)]
        order = sorted(range(len(found)), key=lambda i: self.pieces[i].start)
        return torch.cat([found[i] for i in order], axis)

    def _parts(self, params: Tensor) -> tuple[Tensor, ...]:
        return params.split([_size(piece) for piece in self.pieces], -len(self.shape))


def _size(piece: Piece) -> int:
    """How many parameters a piece has."""
    return 2 if piece.kind == "real" else piece.end - piece.start


def _log_var(own: Tensor, axis: int) -> Tensor:
    return learned_log_var(own.narrow(axis, 1, 1))


def _nats(piece: Piece, own: Tensor, x: Tensor, axis: int) -> Tensor:
    """Log probabilities of a piece of examples, with one channel."""
    value = x.narrow(axis, piece.start, piece.end - piece.start)
    if piece.kind == "real":
        mean, log_var = own.narrow(axis, 0, 1), _log_var(own, axis)
        return normal_log_prob(value, mean, log_var)
    if piece.kind == "flag":
        logit, value = torch.broadcast_tensors(own, value)
        return -F.binary_cross_entropy_with_logits(logit, value, reduction="none")
    return (torch.log_softmax(own, axis) * value).sum(axis, keepdim=True)


def _values(piece: Piece, own: Tensor, axis: int, draw: bool) -> Tensor:
    """Means or draws of a piece's channels."""
    if piece.kind == "real":
        mean = own.narrow(axis, 0, 1)
        return mean + torch.exp(0.5 * _log_var(own, axis)) * noise.normal(mean) if draw else mean
    if piece.kind == "flag":
        return noise.flips(torch.sigmoid(own)) if draw else torch.sigmoid(own)
    found = torch.softmax(own, axis)
    if draw:
        picked = (own + gumbel(noise.uniform(own))).argmax(axis, keepdim=True)
        found = torch.zeros_like(own).scatter(axis, picked, 1.0)
    return torch.cat((found, torch.zeros_like(own.narrow(axis, 0, piece.beside))), axis)
