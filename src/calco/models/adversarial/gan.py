"""Generative adversarial networks (Goodfellow et al. 2014).

A generator makes examples of codes drawn from N(0, I), a discriminator tells them from real ones; each learns from the other.
The model is implicit: it has samples but no density. The default game is the one that Huang et al. (2024) show to be well
behaved: relativistic pairs, with a penalty on the discriminator's slopes at real and at generated examples.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, Turn
from calco.data import Schema
from calco.estimator import Estimator
from calco.models.adversarial.play import AdversarialModel, game_options
from calco.nets.adversarial import make_adversarial_nets
from calco.training import Training


class GANModel(AdversarialModel):
    """The mathematics of an adversarial network, for any nets.

    Args:
        generator: codes (n, latent), and labels (n,) if there are classes, to (n, *shape).
        discriminator: (n, *shape), and labels, to scores (n,).
        shape: of an example.
        latent: numbers in a code.
        options: of `AdversarialModel`.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, shape: tuple[int, ...], latent: int, **options: Any
    ) -> None:
        super().__init__(shape, **options)
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """Two of them."""
        return {"discriminator": [self.discriminator], "generator": [self.generator]}

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """The discriminator's turn, then the generator's."""
        real, y = self.seen(batch.x), batch.y if self.classes else None

        def discriminate(x: Tensor) -> Tensor:
            return self.discriminator(x, y if y is None or len(x) == len(y) else y.repeat(2))

        yield from self.play(
            "", real, lambda: self.generator(self.codes(real, self.latent), y), discriminate, self.discriminator
        )

    def make(self, like: Tensor, y: Tensor | None) -> Tensor:
        """As many generated examples as `like` has: (n, *shape)."""
        return self.decode(self.codes(like, self.latent), y)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What the generator makes of codes: (n, latent) to (n, ...)."""
        return self.example(self.generator(z, y if self.classes else None))

    @property
    def ways(self) -> tuple[str, ...]:
        """From codes drawn from N(0, I)."""
        return ("normal",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Generated examples of codes from N(0, I): (n, ...)."""
        first = next(self.generator.parameters())
        return self.decode(torch.randn(n, self.latent, dtype=first.dtype, device=first.device), y)


class GAN(Estimator):
    """Generative adversarial network.

    Args:
        latent: numbers in a code.
        net: conv for images, mlp for anything; auto takes conv for images.
        width: channels of the first level of conv nets, or units per layer of mlp nets; 0 takes 64 or 256.
        depth: residual blocks per level, or hidden layers; 0 takes 1 or 2.
        activation: of the nets.
        game: what the players minimise.
        penalty: on the discriminator's slopes: r1 at real examples, r1r2 at generated ones too, gradient between them; auto
            takes what the game needs, and r1 for the others.
        gamma: weight of the penalty; 0 takes 10 for gradient, and for the others 4 on images and 1 on vectors.
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

    demo: ClassVar = {"latent": 16, "width": 24, "training": {"steps": 1200}}

    def __init__(
        self,
        latent: int = 64,
        *,
        net: Literal["auto", "conv", "mlp"] = "auto",
        width: int = 0,
        depth: int = 0,
        activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu", "tanh"] = "leaky_relu",
        game: Literal["relativistic", "nonsaturating", "minimax", "least_squares", "hinge", "wasserstein"] = "relativistic",
        penalty: Literal["auto", "none", "r1", "r1r2", "gradient"] = "auto",
        gamma: float = 0.0,
        penalty_every: int = 4,
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
        options, names = game_options(self, schema), ("net", "width", "depth", "activation", "spectral")
        nets = make_adversarial_nets(
            schema.shape,
            self.latent,
            classes=options["classes"],
            bias=self.game != "relativistic",  # which looks at differences only: noise alone would move a bias
            **{name: getattr(self, name) for name in names},
        )
        return GANModel(*nets, schema.shape, self.latent, **options)
