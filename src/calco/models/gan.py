"""Generative adversarial networks (Goodfellow et al. 2014).

A generator makes examples of codes drawn from N(0, I), a discriminator tells them from real ones; each learns from the other.
The model is implicit: it has samples but no density. The default game is the one that Huang et al. (2024) show to be well
behaved: relativistic pairs, with a penalty on the discriminator's slopes at real and at generated examples.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn, Verdict
from calco.data import Schema
from calco.errors import RequestError
from calco.estimator import Estimator, at_least
from calco.maths import noise
from calco.maths.fidelity import kernel_distance, neighbours
from calco.maths.games import GAMES, away_from_one, between, squared_slopes
from calco.nets.adversarial import make_adversarial_nets
from calco.nets.features import RandomFeatures
from calco.training import Training

PENALTIES = {"relativistic": "r1r2", "wasserstein": "gradient"}
"""The penalties that games need; the others do without, or with r1 (Mescheder, Geiger and Nowozin 2018)."""
NEIGHBOURS = 5


class GANModel(Model):
    """The mathematics of an adversarial network, for any nets.

    Args:
        generator: codes (n, latent), and labels (n,) if there are `classes`, to (n, *shape).
        discriminator: (n, *shape), and labels, to scores (n,).
        shape: of an example.
        latent: numbers in a code.
        bounded: examples lie in [0, 1]: the nets work on [-1, 1], and what is sampled is clipped.
        game: one of `maths.games.GAMES`.
        penalty: on the discriminator's slopes: none; r1, at real examples; r1r2, at real and generated ones; or gradient, that
            they be 1 between the two.
        gamma: weight of the penalty.
        penalty_every: steps between two penalties, each then weighs as much more (Karras et al. 2020).
        discriminator_steps: steps of the discriminator for one of the generator.
        classes: of a conditional model, 0 for none.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        shape: tuple[int, ...],
        latent: int,
        *,
        bounded: bool = False,
        game: str = "relativistic",
        penalty: str = "r1r2",
        gamma: float = 1.0,
        penalty_every: int = 1,
        discriminator_steps: int = 1,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator, self.features = generator, discriminator, RandomFeatures(shape)
        self.shape, self.latent, self.bounded, self.classes = shape, latent, bounded, classes
        self.game, self.penalty, self.gamma, self.penalty_every = game, penalty, gamma, penalty_every
        self.discriminator_steps = discriminator_steps
        self.at_step(0, 1)

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """Two of them."""
        return {"discriminator": [self.discriminator], "generator": [self.generator]}

    def at_step(self, step: int, steps: int) -> None:
        """Say whether this step has a penalty, and whether the generator moves in it."""
        self._penalised = self.penalty != "none" and step % self.penalty_every == 0
        self._generator_moves = (step + 1) % self.discriminator_steps == 0

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """The discriminator's turn, then the generator's, each on examples generated for it."""
        real, y = self._seen(batch.x), batch.y if self.classes else None
        yield self._discriminator_turn(real, y)
        if self._generator_moves:
            with frozen(self.discriminator):
                yield self._generator_turn(real, y)

    def _discriminator_turn(self, real: Tensor, y: Tensor | None) -> Turn:
        with torch.no_grad():
            fake = self.generator(self._codes(real), y)
        both = torch.cat((real, fake)).requires_grad_(self._penalised and self.penalty in ("r1", "r1r2"))
        outputs = self.discriminator(both, None if y is None else torch.cat((y, y)))
        on_real, on_fake = outputs.chunk(2)
        loss = GAMES[self.game].discriminator(on_real, on_fake)
        threshold = (on_real.detach().mean() + on_fake.detach().mean()) / 2  # scores have no zero of their own in every game
        terms = {
            "right_on_real": (on_real.detach() > threshold).float().mean(),
            "right_on_fake": (on_fake.detach() < threshold).float().mean(),
        }
        if self._penalised:
            terms["penalty"] = self._penalty(outputs, both, real, fake, y)
            loss = loss + terms["penalty"] * self.penalty_every
        return Turn("discriminator", loss, terms)

    def _penalty(self, outputs: Tensor, both: Tensor, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        if self.penalty == "gradient":
            points = between(real, fake)
            return self.gamma * away_from_one(squared_slopes(self.discriminator(points, y), points))
        slopes = squared_slopes(outputs, both)
        at = slopes[: len(real)].mean()
        return 0.5 * self.gamma * (at if self.penalty == "r1" else at + slopes[len(real) :].mean())

    def _generator_turn(self, real: Tensor, y: Tensor | None) -> Turn:
        with torch.no_grad():
            on_real = self.discriminator(real, y)
        on_fake = self.discriminator(self.generator(self._codes(real), y), y)
        return Turn("generator", GAMES[self.game].generator(on_real, on_fake), {})

    def _codes(self, like: Tensor) -> Tensor:
        return noise.normal(like.new_empty(len(like), self.latent))

    def _seen(self, x: Tensor) -> Tensor:
        return 2 * x - 1 if self.bounded else x

    def _example(self, out: Tensor) -> Tensor:
        return (0.5 + 0.5 * out).clamp(0, 1) if self.bounded else out

    # -- held-out data ----------------------------------------------------------------------------------------------

    def held_out(self, batch: Batch) -> Tensor:
        """`judge` on one batch."""
        return torch.tensor(self.judge([batch]).value)

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """Kernel distance of as many samples from the held-out examples, on fixed random features.

        Beside it their coverage, and the samples' variance over that of the data.
        """
        real, fake, spread = [], [], []
        for x, y in batches:
            made = self.decode(self._codes(x), y)
            real.append(self.features(x))
            fake.append(self.features(made))
            spread.append((made.var(0).mean(), x.var(0).mean()) if len(x) > 1 else (x.new_ones(()), x.new_ones(())))
        ours, theirs = (float(sum(parts)) for parts in zip(*spread, strict=True))
        one, two = torch.cat(real), torch.cat(fake)
        terms = {"variance": ours / max(theirs, 1e-12)}
        if len(one) > NEIGHBOURS:
            terms["coverage"] = neighbours(one, two, NEIGHBOURS).coverage
        return Verdict(kernel_distance(one, two)[0] if len(one) > 1 else math.inf, terms)

    def concern(self, verdicts: Sequence[Mapping[str, float]]) -> str:
        """Whether the generator has collapsed, or is about to: its samples are alike, or cover less than they did."""
        now, best = verdicts[-1], max(v.get("coverage", 0.0) for v in verdicts)
        if now["variance"] < 0.1:
            return f"Collapse: samples vary {now['variance']:.2g} times as much as the data. Try a larger gamma or a lower lr."
        covered = now.get("coverage", best)
        if best > 0.2 and covered < best / 2:
            return f"Collapse begins: samples cover {covered:.2f} of the held-out examples, after {best:.2f}. Keep the best."
        return ""

    # -- capabilities -----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What the generator makes of codes: (n, latent) to (n, ...)."""
        return self._example(self.generator(z, y if self.classes else None))

    @property
    def ways(self) -> tuple[str, ...]:
        """From codes drawn from N(0, I)."""
        return ("normal",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Generated examples of codes from N(0, I): (n, ...)."""
        first = next(self.generator.parameters())
        return self.decode(torch.randn(n, self.latent, dtype=first.dtype, device=first.device), y)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Within this context a net's parameters get no gradients."""
    learning = [p for p in net.parameters() if p.is_leaf]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class GAN(Estimator):
    """Generative adversarial network.

    Args:
        latent: numbers in a code.
        net: conv for images, mlp for anything; auto takes conv for images.
        width: channels of the first level of conv nets, or units per layer of mlp nets; 0 takes 32 or 256.
        depth: residual blocks per level, or hidden layers.
        activation: of the nets.
        game: what the players minimise.
        penalty: on the discriminator's slopes: r1 at real examples, r1r2 at generated ones too, gradient between them; auto
            takes what the game needs, and r1 for the others.
        gamma: weight of the penalty; 0 takes 10 for gradient and 1 for the others.
        penalty_every: steps between two penalties.
        spectral: spectral normalisation of the discriminator.
        discriminator_steps: steps of the discriminator for one of the generator.
        conditional: learn to sample given a label; fit then needs labels.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "gan"
    model_class = GANModel
    recipe = Training(
        steps=3000,
        optimizer="adam",
        lr=1e-3,
        momentum=0.0,
        beta2=0.99,
        ema=0.998,
        validation=0.1,
        keep="best",
    )

    demo: ClassVar = {"latent": 16, "training": {"steps": 2000}}

    def __init__(
        self,
        latent: int = 64,
        *,
        net: Literal["auto", "conv", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu", "tanh"] = "leaky_relu",
        game: Literal["relativistic", "nonsaturating", "minimax", "least_squares", "hinge", "wasserstein"] = "relativistic",
        penalty: Literal["auto", "none", "r1", "r1r2", "gradient"] = "auto",
        gamma: float = 0.0,
        penalty_every: int = 1,
        spectral: bool = False,
        discriminator_steps: int = 1,
        conditional: bool = False,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.latent = latent
        self.net = net
        self.width = width
        self.depth = depth
        self.activation = activation
        self.game = game
        self.penalty = penalty
        self.gamma = gamma
        self.penalty_every = penalty_every
        self.spectral = spectral
        self.discriminator_steps = discriminator_steps
        self.conditional = conditional
        self.training = training

    def build(self, schema: Schema) -> GANModel:
        """Nets for data of this schema."""
        at_least(self, 1, "latent", "depth", "penalty_every", "discriminator_steps")
        at_least(self, 0, "width", "gamma")
        classes = len(schema.classes) if self.conditional else 0
        if self.conditional and not classes:
            raise RequestError("A conditional model needs labels: give y, or data whose class subfolders name them.")
        names = ("net", "width", "depth", "activation", "spectral")
        nets = make_adversarial_nets(
            schema.shape,
            self.latent,
            classes=classes,
            bias=self.game != "relativistic",  # which looks at differences only: noise alone would move a bias
            **{k: getattr(self, k) for k in names},
        )
        penalty = PENALTIES.get(self.game, "r1") if self.penalty == "auto" else self.penalty
        return GANModel(
            *nets,
            schema.shape,
            self.latent,
            bounded=len(schema.shape) == 3,
            game=self.game,
            penalty=penalty,
            gamma=self.gamma or (10.0 if penalty == "gradient" else 1.0),
            penalty_every=self.penalty_every,
            discriminator_steps=self.discriminator_steps,
            classes=classes,
        )
