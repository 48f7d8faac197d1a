"""Adversarial networks of table rows, trained by sampling (Xu et al. 2019).

Rows are generated given the option of one column. In training that column is drawn evenly and its option by the logarithm of
how often it occurs, so that rare options are met; afterwards as often as it occurs, so that rows are those of the data.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.contract import Batch, Turn
from calco.data import Source, Subset, TableSchema, batches
from calco.maths import noise
from calco.maths.likelihoods import gumbel
from calco.maths.mixed import Piece
from calco.models.adversarial.game import GANModel

TEMPERATURE = 0.2
"""Of the softened draws that a generator gives in place of options (Jang, Gu and Poole 2017)."""


class Rows(nn.Module):
    """The raw outputs of a body as rows: soft draws of choices, and numbers as they are."""

    def __init__(self, body: nn.Module, pieces: tuple[Piece, ...]) -> None:
        super().__init__()
        self.body, self.pieces = body, pieces

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, codes) to (n, floats)."""
        out = self.body(z)
        drawn = out + gumbel(noise.uniform(out), 1e-6)
        parts = []
        for piece in sorted(self.pieces, key=lambda piece: piece.start):
            raw = out[:, piece.start : piece.stop]
            if piece.kind == "choice":
                soft = torch.softmax(drawn[:, piece.start : piece.end] / TEMPERATURE, 1)
                raw = torch.cat((soft, torch.zeros_like(raw[:, : piece.beside])), 1)
            parts.append(raw)
        return torch.cat(parts, 1)


class RowsModel(GANModel):
    """The mathematics of a conditional network of rows, for any nets.

    Args:
        generator: codes and what is asked for, (n, latent + floats), to rows (n, floats).
        discriminator: rows and what was asked for, (n, 2 floats), to scores (n,).
        pieces: what the floats are.
        shape: (floats,).
        latent: numbers in a code.
        options: of `AdversarialModel`.
    """

    shares: Tensor
    """How often each option occurs, (floats,), 0 at floats that are no option; `know` sets it."""
    favour: Tensor

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        pieces: tuple[Piece, ...],
        shape: tuple[int, ...],
        latent: int,
        **options: Any,
    ) -> None:
        super().__init__(generator, discriminator, shape, latent, **options)
        self.choices = [piece for piece in pieces if piece.kind == "choice"]
        self.register_buffer("shares", torch.zeros(shape))
        self.register_buffer("favour", torch.zeros(shape))

    def know(self, shares: Tensor) -> None:
        """Take how often each option occurs, (floats,)."""
        self.shares.copy_(shares)
        self.favour.copy_(favours(shares, self.choices))

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """The discriminator's turn, then the generator's, which also pays for options that are not those asked for."""
        real = batch.x
        asked = self._asked_of(real)
        made: list[Tensor] = []

        def generate() -> Tensor:
            made.append(self.generator(torch.cat((self.codes(real, self.latent), asked), 1)))
            return made[-1]

        def discriminate(x: Tensor) -> Tensor:
            return self.discriminator(torch.cat((x, asked if len(x) == len(asked) else asked.repeat(2, 1)), 1))

        for turn in self.play("", real, generate, discriminate, self.discriminator):
            if turn.player == "generator":
                # Only the column asked for has a one: the product picks its chance.
                missed = -torch.log((made[-1] * asked).sum(1).clamp_min(1e-6)).mean()
                turn = Turn(turn.player, turn.loss + missed, {"missed": missed})
            yield turn

    def _asked_of(self, real: Tensor) -> Tensor:
        """The option of one column of each row, the column drawn as training by sampling would: (n, floats)."""
        weights = torch.stack([(real * self.favour)[:, p.start : p.end].sum(1) for p in self.choices], 1)
        ends = weights.cumsum(1)
        at = (noise.uniform(real[:, :1]) * ends[:, -1:] > ends).sum(1).clamp_max(len(self.choices) - 1)
        return real * self._columns()[at]

    def _columns(self) -> Tensor:
        """1 at the options of each choice: (choices, floats)."""
        found = torch.zeros(len(self.choices), len(self.shares), dtype=self.shares.dtype, device=self.shares.device)
        for row, piece in zip(found, self.choices, strict=True):
            row[piece.start : piece.end] = 1
        return found

    def make(self, like: Tensor, y: Tensor | None) -> Tensor:
        """As many generated rows as `like` has: (n, floats)."""
        columns = self._columns()[noise.indices(like[:, 0], len(self.choices))]
        ends = (columns * self.shares).cumsum(1)
        at = (noise.uniform(like[:, :1]) * ends[:, -1:] >= ends).sum(1).clamp_max(len(self.shares) - 1)
        asked = F.one_hot(at, len(self.shares)).to(like.dtype)
        return self.generator(torch.cat((self.codes(like, self.latent), asked), 1))

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Generated rows: (n, floats)."""
        return self.make(self.shares.new_zeros(n, len(self.shares)), y)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What the generator makes of codes (n, latent), nothing being asked for: (n, floats)."""
        return self.generator(torch.cat((z, z.new_zeros(len(z), len(self.shares))), 1))


def favours(shares: Tensor, choices: list[Piece]) -> Tensor:
    """How much more often than it occurs training by sampling asks for an option: (floats,)."""
    found = torch.zeros_like(shares)
    for piece in choices:
        share = shares[piece.start : piece.end]
        log = torch.log1p(share / share[share > 0].min())
        found[piece.start : piece.end] = torch.where(share > 0, log / log.sum() / share.clamp_min(1e-12), 0.0)
    return found


def shares_of(source: Source, schema: TableSchema) -> np.ndarray:
    """How often each option occurs in a table: (floats,), 0 at floats that are no option."""
    found = np.zeros(schema.shape)
    for batch in batches(source, schema, CHUNK):
        found += batch.x.double().sum(0).numpy()
    choices = np.zeros(schema.shape)
    for piece in schema.pieces:
        choices[piece.start : piece.end] = piece.kind == "choice"
    return found * choices / len(source)


def by_sampling(source: Source, schema: TableSchema, shares: np.ndarray, seed: int) -> Subset:
    """As many rows, drawn as training by sampling does: a column evenly, an option by the log of its share, a row."""
    choices = [piece for piece in schema.pieces if piece.kind == "choice"]
    favour = favours(torch.from_numpy(shares), choices)
    weights = np.concatenate([(batch.x.double() @ favour).numpy() for batch in batches(source, schema, CHUNK)])
    rows = np.random.default_rng([seed, 2**33]).choice(len(source), len(source), p=weights / weights.sum())
    return Subset(source, rows)


CHUNK = 8192
"""Rows read at once."""
