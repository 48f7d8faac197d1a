"""Deep Boltzmann machines."""

from collections.abc import Mapping
from typing import Any, Literal

from calco.data import Schema
from calco.errors import RequestError, at_least
from calco.estimator import Estimator
from calco.models.boltzmann.machine import BoltzmannModel
from calco.models.boltzmann.units import chain_options, said_of
from calco.training import Training


class DBM(Estimator):
    """Deep Boltzmann machine: two hidden layers or more, one undirected model.

    Args:
        hidden: units of each hidden layer, from the lowest.
        visible: bernoulli or gaussian units; auto takes gaussian for vectors of real numbers.
        binarise: how grey values become binary: at the threshold 1/2, or stochastic, each time anew with the probability that
            the value gives; auto takes stochastic for images, unless bernoulli units were asked for.
        greedy: share of the training in which layers join one after the other before all learn together.
        inference: sweeps of the mean field in a step.
        sweeps: Gibbs sweeps of the persistent chains in a step.
        last_sweeps: what they rise to over the second half of the training, for chains that mix while the learning rate falls.
        chains: how many there are.
        recentre: share of the way that the hidden units' offsets follow persistent chains in a step of the greedy start and
            of the first fifth after it, done every tenth step and ten times as far, at most all of it; 0 fixes them at 1/2.
        draw: samples are draws of the visible units, or their means; auto takes means for grey images.
        samples: annealed walks of the estimate of log Z.
        betas: temperatures of that estimate.
        burn_in: Gibbs sweeps before a sample is taken.
        thin: sweeps between two samples of one chain.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "dbm"
    model_class = BoltzmannModel
    recipe = Training(
        steps=6000, batch_size=100, optimizer="sgd", lr=0.05, momentum=0.0, schedule="linear", lr_warmup=0, ema=0.995
    )

    def __init__(
        self,
        hidden: tuple[int, ...] = (500, 500),
        *,
        visible: Literal["auto", "bernoulli", "gaussian"] = "auto",
        binarise: Literal["auto", "threshold", "stochastic"] = "auto",
        greedy: float = 0.4,
        inference: int = 5,
        sweeps: int = 1,
        last_sweeps: int = 1,
        chains: int = 100,
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
        self.greedy = greedy
        self.inference = inference
        self.sweeps = sweeps
        self.last_sweeps = last_sweeps
        self.chains = chains
        self.recentre = recentre
        self.draw = draw
        self.samples = samples
        self.betas = betas
        self.burn_in = burn_in
        self.thin = thin
        self.training = training

    def build(self, schema: Schema) -> BoltzmannModel:
        """The machine for data of this schema."""
        at_least(self, 1, "inference")
        at_least(self, 0, "greedy")
        if len(self.hidden) < 2 or self.greedy >= 1:
            raise RequestError("A deep machine has two hidden layers or more, and greedy is a share, below 1.")
        options = {"greedy": self.greedy, "inference": self.inference, "last_sweeps": self.last_sweeps}
        return BoltzmannModel(schema.shape, **chain_options(self, schema, tuple(self.hidden)), **options)

    def chosen(self, schema: Schema) -> str:
        """What visible units were taken for data of this schema, where nobody said."""
        return said_of(self, schema)
