"""Generative adversarial networks (Goodfellow et al. 2014).

A generator makes examples of codes drawn from N(0, I), a discriminator tells them from real ones; each learns from the other.
The model is implicit: it has samples but no density. The default game is the one that Huang et al. (2024) show to be well
behaved: relativistic pairs, with a penalty on the discriminator's slopes at real and at generated examples.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch

from calco.contract import Model
from calco.data import Schema, Source, TableSchema
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.models.adversarial.game import GANModel
from calco.models.adversarial.play import game_options
from calco.models.adversarial.rows import Rows, RowsModel, by_sampling, shares_of
from calco.nets.adversarial import FEATURES, make_adversarial_nets, make_discriminator
from calco.nets.mlp import MLP
from calco.nets.pairs import chosen_net
from calco.training import Training


class GAN(Estimator):
    """Generative adversarial network.

    Args:
        latent: numbers in a code.
        net: conv for images and series, recurrent for series, mlp for anything; auto takes conv where there is one.
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
        net: Literal["auto", "conv", "recurrent", "mlp"] = "auto",
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
        if isinstance(schema, TableSchema):
            return self._of_rows(schema, options)
        nets = make_adversarial_nets(
            schema.shape,
            self.latent,
            classes=options["classes"],
            bias=self.game != "relativistic",  # which looks at differences only: noise alone would move a bias
            **{name: getattr(self, name) for name in names},
        )
        return GANModel(*nets, schema.shape, self.latent, **options)

    def _of_rows(self, schema: TableSchema, options: dict[str, Any]) -> RowsModel:
        if self.conditional:
            raise RequestError("A table has its labels among its columns: leave conditional out, all its columns are learned.")
        chosen_net(self.net, schema.shape)
        (floats,), hidden = schema.shape, [self.width or 256] * (self.depth or 2)
        up = Rows(MLP(self.latent + floats, hidden, floats, self.activation), schema.pieces)
        body = MLP(2 * floats, hidden, FEATURES, self.activation)
        bias = self.game != "relativistic"
        down = make_discriminator(body, self.activation, self.spectral, bias=bias)
        return RowsModel(up, down, schema.pieces, schema.shape, self.latent, **options)

    def drawn(self, source: Source, schema: Schema, model: Model) -> Source:
        """The rows of a table as training by sampling draws them; all else as it is."""
        if not isinstance(model, RowsModel) or not isinstance(schema, TableSchema):
            return source
        shares = shares_of(source, schema)
        model.know(torch.from_numpy(shares))
        return by_sampling(source, schema, shares, self.settings().seed)
