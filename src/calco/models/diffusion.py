"""Denoising diffusion that predicts the clean example (Sohl-Dickstein et al. 2015; Ho, Jain and Abbeel 2020).

Examples with noise of any strength are cleaned by one net; sampling begins with noise alone and cleans step by step. The net
is conditioned as Karras et al. (2022) do: for noise of deviation s and data of deviation d,

    D(x, s) = d^2 / (s^2 + d^2) x + s d / sqrt(s^2 + d^2) F(x / sqrt(s^2 + d^2), log(s) / 4),

learned by the squared error of D, weighted by (s^2 + d^2) / (s d)^2, and of series also by that of its spectrum (Yuan and Qiao
2024). The net is told some of the values of some examples, so that it samples the rest given those: the future of a series
given its past, or what is missing.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn
from calco.data import Schema, SeriesSchema
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator, classes_for
from calco.maths import noise
from calco.maths.coordinates import Components, Innovations, Plain, White
from calco.maths.mixed import Piece, counted
from calco.nets.denoising import Denoiser
from calco.training import Training

LEAST, MOST = 0.002, 24.0
"""Deviations of the weakest and of the strongest noise that sampling passes through, of data of deviation 1; the strongest is
thrice the root of how many values an example has where that is more, up to 80: were they all one and the same, it would still
drown them."""
SCATTERED = 0.25
"""Share of the series of which something is told that are told random values, as where some are missing, not their past."""
LONG = 256
"""Moments up to which series are cleaned in coordinates of their own."""
CURVE = 7.0
"""How much closer together those are where noise is weak."""


class DiffusionModel(Model):
    """The mathematics of denoising diffusion, for any net.

    Args:
        denoiser: noisy examples (n, ...), their level (n,), known values, where they are known and labels to (n, ...).
        shape: of an example.
        spread: deviation of the data as the net sees them.
        bounded: examples lie in [0, 1]: the net works on [-1, 1], and what is sampled is clipped.
        classes: of a conditional model, 0 for none.
        told: share of the training examples of which some values are known.
        actions: channels of series that are known throughout where anything is.
        spectral: weight of the error of the spectrum along the last side.
        level: mean and deviation of the logarithm of the noise's deviation in training, over that of the data.
        stages: levels of noise that sampling passes through.
        pieces: what the channels are, where they are of several kinds: missing values then do not count.
        coordinates: to clean examples in; their values if none are given.
    """

    continuous = True
    adjustable = ("stages",)
    lacks: ClassVar = {"log_prob": "It learns to clean examples: samples, but no density that is cheap to compute."}

    def __init__(
        self,
        denoiser: nn.Module,
        shape: tuple[int, ...],
        *,
        spread: float = 1.0,
        bounded: bool = False,
        classes: int = 0,
        told: float = 0.0,
        actions: tuple[int, ...] = (),
        spectral: float = 0.0,
        level: tuple[float, float] = (-0.5, 1.4),
        stages: int = 24,
        pieces: tuple[Piece, ...] = (),
        coordinates: Plain | White | None = None,
    ) -> None:
        super().__init__()
        self.coordinates = coordinates or Plain()
        self.denoiser, self.shape, self.spread, self.bounded = denoiser, shape, spread, bounded
        self.classes, self.told, self.actions, self.spectral = classes, told, actions, spectral
        self.level, self.stages, self.pieces = level, stages, pieces

    def clean(self, x: Tensor, strength: Tensor, given: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        """The expected example given a noisy one: (n, ...) and the noise's deviation (n,) to (n, ...).

        Both are in the model's coordinates, `given` and `known` are values and where they are known, 1 or 0. Coordinates that
        are settled by known values are given back; of other known values the net is but told.
        """
        s = strength.view(-1, *[1] * (x.ndim - 1))
        whole = (s.square() + self.spread**2).sqrt()
        fixed, held = self.coordinates.settled(known), self.coordinates(given)
        seen = torch.where(fixed, held / self.spread, x / whole)
        out = self.denoiser(seen, strength.log() / 4, given / self.spread, known, y if self.classes else None)
        found = (self.spread / whole).square() * x + s * self.spread / whole * out.to(x.dtype)
        return torch.where(fixed, held, found)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Coordinates are those of some training examples."""
        self.coordinates.fit(self.seen(batch.x) for batch in batches)

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the weighted squared error of cleaned examples, and that of their spectra."""
        x = self.seen(batch.x)
        loss, terms = self.losses(x, self.pattern(x), batch.y)
        yield Turn("model", loss, terms)

    def losses(self, x: Tensor, known: Tensor, y: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of examples at random levels of noise, and its terms."""
        mean, deviation = self.level
        strength = self.spread * torch.exp(mean + deviation * noise.normal(x.flatten(1)[:, 0]))
        s = strength.view(-1, *[1] * (x.ndim - 1))
        clean = self.coordinates(x)
        found = self.clean(clean + s * noise.normal(x), strength, x * known, known, y)
        weight = (s.square() + self.spread**2) / (s * self.spread).square()
        wrong = counted(x, self.pieces) * (found - clean)
        error = (weight * wrong.square()).mean()
        if not self.spectral:
            return error, {}
        waves = torch.fft.rfft(self.coordinates.turned(wrong), norm="ortho")
        spectrum = (weight.sqrt() * torch.view_as_real(waves).norm(dim=-1)).mean()
        return error + self.spectral * spectrum, {"error": error, "spectrum": spectrum}

    def pattern(self, x: Tensor) -> Tensor:
        """Which values of examples are told: 1 or 0, like x.

        Of series mostly the past, of a random length, and of actions some or all of the future too, and of one in four random
        values; of all else random values. One at least stays unknown.
        """
        known = torch.zeros_like(x)
        if not self.told:
            return known
        some, share = (noise.uniform(x.flatten(1)[:, :1]).view(-1, *[1] * (x.ndim - 1)) for _ in range(2))
        if len(self.shape) == 2:
            place = (torch.arange(x.shape[2], device=x.device) + 0.5) / x.shape[2]
            share = share * (1 - 1 / x.shape[2])
            known = (place < share).expand_as(x).clone()
            if self.actions:
                ahead = (2 * noise.uniform(share)).clamp_max(1.0)  # as often to the end as not so far
                known[:, list(self.actions)] = place < share + (1 - share) * ahead
            known = torch.where(noise.uniform(share) < SCATTERED, noise.uniform(x) < share, known)
        else:
            known = noise.uniform(x) < share
        known = known & (some < self.told)
        return (known & ~known.flatten(1).all(1).view(some.shape)).to(x.dtype)

    def held_out(self, batch: Batch) -> Tensor:
        """The weighted squared error, nothing being known."""
        x = self.seen(batch.x)
        return self.losses(x, torch.zeros_like(x), batch.y)[0]

    def seen(self, x: Tensor) -> Tensor:
        """Examples as the net sees them."""
        return 2 * x - 1 if self.bounded else x

    @property
    def ways(self) -> tuple[str, ...]:
        """By the differential equation along which noise becomes an example."""
        return ("flow",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """`n` examples: (n, ...)."""
        first = next(self.denoiser.parameters())
        nothing = torch.zeros(n, *self.shape, dtype=first.dtype, device=first.device)
        return self._solved(nothing, nothing, y)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Draws of the unknown values given the known ones: x and the mask `known`, both (n, ...), to (n, ...)."""
        mask = known.to(x.dtype)
        return self._solved(self.seen(x) * mask, mask, None)

    def _solved(self, given: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        """Heun's method of second order from noise to an example (Karras et al. 2022, algorithm 1)."""
        levels = strengths(self.stages, math.prod(self.shape)).to(given) * self.spread
        x = levels[0] * noise.normal(given)
        for now, then in zip(levels, [*levels[1:], torch.zeros_like(levels[0])], strict=True):
            slope = (x - self.clean(x, now.expand(len(x)), given, known, y)) / now
            ahead = x + (then - now) * slope
            if then > 0:
                again = (ahead - self.clean(ahead, then.expand(len(x)), given, known, y)) / then
                ahead = x + (then - now) * 0.5 * (slope + again)
            x = ahead
        x = torch.where(known > 0, given, self.coordinates.back(x))
        return (0.5 + 0.5 * x).clamp(0, 1) if self.bounded else x


def strengths(stages: int, values: int) -> Tensor:
    """Deviations of noise that sampling of so many values passes through, of data of deviation 1, falling: (stages,)."""
    ends = (min(80.0, max(MOST, 3 * values**0.5)) ** (1 / CURVE), LEAST ** (1 / CURVE))
    return torch.linspace(*ends, stages, dtype=torch.float64) ** CURVE


class Diffusion(Estimator):
    """Denoising diffusion: samples by cleaning noise step by step, also given a part of an example.

    Args:
        width: numbers that a piece is thought of with: a vector, a series of up to 256 values, a part of others.
        depth: blocks of the net.
        heads: of attention, by which parts of images look at one another.
        dropout: share of hidden units dropped in training.
        told: share of the training examples of which some values are told, so that the rest can be sampled given those; of
            series, mostly their past.
        spectral: weight of the error of the spectrum of series.
        level: mean of the logarithm of the noise's deviation in training, over that of the data.
        level_spread: its deviation.
        stages: levels of noise that sampling passes through; more take longer and are more exact.
        conditional: learn to sample given a label; fit then needs labels.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "diffusion"
    model_class = DiffusionModel
    recipe = Training(steps=5000, lr=1e-3, ema=0.999, clip=1.0, beta2=0.99)

    def __init__(
        self,
        width: int = 256,
        *,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        told: float = 0.3,
        spectral: float = 0.1,
        level: float = -0.5,
        level_spread: float = 1.4,
        stages: int = 24,
        conditional: bool = False,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.told = told
        self.spectral = spectral
        self.level = level
        self.level_spread = level_spread
        self.stages = stages
        self.conditional = conditional
        self.training = training

    def build(self, schema: Schema) -> DiffusionModel:
        """The net for data of this schema."""
        at_least(self, 1, "width", "depth", "heads")
        at_least(self, 2, "stages")
        at_least(self, 0, "spectral", "level_spread")
        below_one(self, "dropout", "told")
        classes = classes_for(self, schema)
        image = len(schema.shape) == 3
        if image and self.width % self.heads:
            raise RequestError(f"width is {self.width}: for images it must be a multiple of the {self.heads} heads.")
        series = isinstance(schema, SeriesSchema)
        net = Denoiser(schema.shape, self.width, self.depth, self.heads, classes, self.dropout)
        return DiffusionModel(
            net,
            schema.shape,
            spread=0.5 if image else 1.0,
            bounded=image,
            classes=classes,
            told=self.told,
            actions=tuple(schema.names.index(name) for name in schema.actions) if series else (),
            spectral=self.spectral if series else 0.0,
            level=(self.level, self.level_spread),
            stages=self.stages,
            pieces=schema.pieces,
            coordinates=_coordinates(schema.shape, net.tokens) if series and not schema.pieces else None,
        )


def _coordinates(shape: tuple[int, ...], tokens: int) -> Plain | White:
    """Those that suit a net that sees a series as so many pieces."""
    if shape[1] > LONG:
        return Plain()
    return Innovations(shape) if tokens > 1 else Components(shape)
