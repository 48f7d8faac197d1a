"""Autoregressive models: one value after another, each given those before (Uria, Murray and Larochelle 2014).

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1))

One net gives every factor: it sees the values that are known, and which those are. It learns the order of the data, in which
it samples and in which its density is exact, and in part of the examples any order, so that it can be asked for any values
given any others.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, LogProb, Model, Turn
from calco.data import Schema
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator, classes_for, likelihood_for
from calco.maths import noise
from calco.maths.likelihoods import Likelihood
from calco.nets.masked import MaskedNet
from calco.training import Training


class AutoregressiveModel(Model):
    """The mathematics of an autoregressive model of any order, for any net.

    Args:
        net: examples, 1 where a value is known and 0 elsewhere, and labels, to the likelihood's parameters.
        likelihood: of each variable given the known ones.
        any_order: share of the training examples of which a random set of variables is known, rather than the first few.
        classes: of a conditional model, 0 for none.
    """

    density = "exact log density in the order of the data"

    def __init__(self, net: nn.Module, likelihood: Likelihood, *, any_order: float = 0.5, classes: int = 0) -> None:
        super().__init__()
        self.net, self.likelihood, self.any_order, self.classes = net, likelihood, any_order, classes
        self.continuous = likelihood.continuous
        self.density = f"{type(self).density}, nats per example"

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: minus the mean log density of what is unknown given what is known, times the number of variables, nats.

        All that is unknown is asked for, not the next variable alone, which teaches more a step.
        """
        known = self._known(batch.x, self.any_order)
        yield Turn("model", self._asked(batch, known, (1 - known) * self.likelihood.ready(known)), {})

    def _asked(self, batch: Batch, known: Tensor, asked: Tensor) -> Tensor:
        nats = self.likelihood.each(self._params(batch.x, known, batch.y), batch.x)
        return -(nats * asked).sum(1).div(asked.sum(1)).mul(self.likelihood.variables).mean()

    def _known(self, x: Tensor, any_order: float) -> Tensor:
        """Which variables of each example are known: some number of the first, of its own order or that of the data: (n, v)."""
        v = self.likelihood.variables
        order = torch.arange(v, device=x.device, dtype=x.dtype).expand(len(x), v)
        if any_order:
            drawn = self.likelihood.together(noise.uniform(x.new_empty(len(x), v)))
            free = noise.uniform(x.new_empty(len(x), 1)) < any_order
            order = torch.where(free, drawn.argsort(1).argsort(1).to(x.dtype), order)
        first = (noise.uniform(x.new_empty(len(x), 1)) * v).floor()
        return (order < first).to(x.dtype)

    def _params(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        return self.net(x, self.likelihood.spread(known), y if self.classes else None)

    def held_out(self, batch: Batch) -> Tensor:
        """Minus the log density in the order of the data, estimated at one random position of each example, nats."""
        known = self._known(batch.x, 0.0)
        before = torch.cat((torch.ones_like(known[:, :1]), known[:, :-1]), 1)
        return self._asked(batch, known, before - known)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> LogProb:
        """The exact log density in the order of the data: (n, ...) to (n,), nats."""
        total, known = x.new_zeros(len(x), dtype=torch.float64), x.new_zeros(len(x), self.likelihood.variables)
        for i in range(self.likelihood.variables):
            total += self.likelihood.each(self._params(x, known, y), x)[:, i].double()
            known[:, i] = 1
        return LogProb(total, torch.zeros_like(total))

    @property
    def ways(self) -> tuple[str, ...]:
        """Value by value, in the order of the data."""
        return ("ancestral",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """`n` examples: (n, ...)."""
        first = next(self.net.parameters())
        x = torch.zeros(n, *self.likelihood.shape, dtype=first.dtype, device=first.device)
        return self._filled(x, x.new_zeros(n, self.likelihood.variables), y)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Draws of the unknown values given the known ones: x and the mask `known`, both (n, ...), to (n, ...).

        A variable of several values counts as known where all of them are.
        """
        return self._filled(x, self.likelihood.gathered(known.to(x.dtype)), None)

    def _filled(self, x: Tensor, known: Tensor, y: Tensor | None) -> Tensor:
        for i in range(self.likelihood.variables):
            new = known.clone()
            new[:, i] = 1
            x = self.likelihood.drawn_at(i, self._params(x, known, y), x, new - known)
            known = new
        return x


class Autoregressive(Estimator):
    """Autoregressive model: an exact density, and any values given any others; strong on tables.

    Args:
        width: units of a layer.
        depth: residual blocks of two layers.
        activation: of the net.
        dropout: share of units dropped in training.
        likelihood: of each value given those before; auto takes the first that suits the data.
        any_order: share of the training examples that teach any order; the others teach that of the data.
        conditional: learn p(x | label); fit and log_prob then need labels.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "autoregressive"
    model_class = AutoregressiveModel
    recipe = Training(steps=5000, batch_size=256, lr=2e-3, ema=0.999, clip=100.0, weight_decay=1e-3)

    def __init__(
        self,
        width: int = 512,
        *,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        likelihood: Literal["auto", "bernoulli", "gaussian", "logistic", "categorical", "mixed"] = "auto",
        any_order: float = 0.5,
        conditional: bool = False,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.activation = activation
        self.dropout = dropout
        self.likelihood = likelihood
        self.any_order = any_order
        self.conditional = conditional
        self.training = training

    def build(self, schema: Schema) -> AutoregressiveModel:
        """The net for data of this schema."""
        at_least(self, 1, "width", "depth")
        below_one(self, "dropout")
        if not 0 <= self.any_order <= 1:
            raise RequestError(f"any_order is {self.any_order}: it is a share, from 0 to 1.")
        classes = classes_for(self, schema)
        found = likelihood_for(self.likelihood, schema)
        net = MaskedNet(schema.shape, found.params_shape, self.width, self.depth, self.activation, self.dropout, classes)
        return AutoregressiveModel(net, found, any_order=self.any_order, classes=classes)
