"""Restricted Boltzmann machines."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from calco.data import Schema
from calco.errors import RequestError, at_least
from calco.estimator import Estimator
from calco.models.boltzmann.machine import BoltzmannModel
from calco.models.boltzmann.units import chain_options, said_of
from calco.training import Training


class RBM(Estimator):
    """Restricted Boltzmann machine, binary or Gaussian visible units.

    Args:
        hidden: units of the hidden layer.
        visible: bernoulli or gaussian units; auto takes gaussian for vectors of real numbers.
        binarise: how grey values become binary: at the threshold 1/2, or stochastic, each time anew with the probability that
            the value gives; auto takes stochastic for images, unless bernoulli units were asked for.
        method: persistent chains (pcd), or chains that start at the data (cd).
        sweeps: Gibbs sweeps in a step.
        last_sweeps: what they rise to over the second half of the training, for chains that mix while the learning rate falls.
        chains: how many there are, at each temperature.
        temperatures: of the chains in training; more than 1 is parallel tempering, which data in clusters far apart need: a
            chain that never crosses from one to another says nothing about how much each of them weighs.
        recentre: share of the way that the hidden units' offsets follow persistent chains in a step of the first fifth of the
            training, done every tenth step and ten times as far, at most all of it; 0 fixes them at 1/2.
        draw: samples are draws of the visible units, or their means; auto takes means for grey images.
        samples: annealed walks of the estimate of log Z.
        betas: temperatures of that estimate.
        burn_in: Gibbs sweeps before a sample is taken.
        thin: sweeps between two samples of one chain.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "rbm"
    model_class = BoltzmannModel
    recipe = Training(
        steps=5000, batch_size=100, optimizer="sgd", lr=0.1, momentum=0.0, schedule="linear", lr_warmup=0, ema=0.995
    )

    demo: ClassVar = {"hidden": 200, "betas": 3000, "training": {"steps": 4000}}

    def __init__(
        self,
        hidden: int = 500,
        *,
        visible: Literal["auto", "bernoulli", "gaussian"] = "auto",
        binarise: Literal["auto", "threshold", "stochastic"] = "auto",
        method: Literal["pcd", "cd"] = "pcd",
        sweeps: int = 1,
        last_sweeps: int = 1,
        chains: int = 100,
        temperatures: int = 1,
        recentre: float = 0.01,
        draw: Literal["auto", "yes", "no"] = "auto",
        samples: int = 100,
        betas: int = 10_000,
        burn_in: int = 1000,
        thin: int = 100,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.binarise = binarise
        self.method = method
        self.sweeps = sweeps
        self.last_sweeps = last_sweeps
        self.chains = chains
        self.temperatures = temperatures
        self.recentre = recentre
        self.draw = draw
        self.samples = samples
        self.betas = betas
        self.burn_in = burn_in
        self.thin = thin
        self.training = training

    def build(self, schema: Schema) -> BoltzmannModel:
        """The machine for data of this schema."""
        at_least(self, 1, "temperatures")
        if self.method == "cd" and self.temperatures > 1:
            raise RequestError("Chains that start at the data, method 'cd', are not tempered: use method 'pcd'.")
        options = {"persistent": self.method == "pcd", "temperatures": self.temperatures, "last_sweeps": self.last_sweeps}
        return BoltzmannModel(schema.shape, **chain_options(self, schema, (self.hidden,)), **options)

    def chosen(self, schema: Schema) -> str:
        """What visible units were taken for data of this schema, where nobody said."""
        return said_of(self, schema)
