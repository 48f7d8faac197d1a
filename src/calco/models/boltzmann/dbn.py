"""Deep belief networks by greedy stacking (Hinton, Osindero and Teh 2006).

The two highest layers are a restricted Boltzmann machine, the layers below it generate one another downwards. Each pair of
layers is trained as a restricted machine on what the layers below it infer from the data, from the lowest upwards, one
after the other.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.contract import Batch, LogProb, Turn, Verdict
from calco.data import Schema
from calco.errors import RequestError, at_least
from calco.estimator import Estimator
from calco.maths.divergences import importance_bound, importance_error, normal_log_prob
from calco.models.boltzmann.units import HELD, UnitsModel, chain_options, contrast, said_of
from calco.nets.annealing import SMALL, enumerated, quick_log_z, start
from calco.nets.boltzmann import Machine, bernoulli
from calco.training import Training

SETTLE = 100
"""Sweeps of the chains before the first step of a pair of layers."""


class DBNModel(UnitsModel):
    """The mathematics of a deep belief network.

    Args:
        shape: of an example.
        hidden: units of each hidden layer.
        units: what the visible units are, as in `UnitsModel`.
        particles: importance samples of `log_prob`.
        sweeps: Gibbs sweeps of the chains in a step.
        chains: how many there are.
        recentre: how far the offsets of hidden layers follow the chains in a step.
        samples: annealed walks of the estimate of the top machine's log Z, in either direction.
        betas: temperatures of those walks.
        burn_in: sweeps of the top machine before states are taken.
        thin: sweeps between two states taken from one chain.
        draw: `sample` draws the visible units instead of giving their means.
    """

    adjustable = ("particles", *UnitsModel.adjustable)
    lacks: ClassVar = {
        "complete": "Its lower layers generate downwards only: nothing carries what is known up to them. rbm and dbm can."
    }

    chains: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...],
        *,
        units: str = "binary",
        particles: int = 10,
        sweeps: int = 1,
        chains: int = 100,
        recentre: float = 0.01,
        samples: int = 100,
        betas: int = 10_000,
        burn_in: int = 1000,
        thin: int = 100,
        draw: bool = True,
    ) -> None:
        super().__init__(shape, hidden, units, samples=samples, betas=betas, burn_in=burn_in, thin=thin, draw=draw)
        self.particles, self.sweeps, self.recentre = particles, sweeps, recentre
        self.top = len(hidden) - 1
        self.register_buffer("chains", torch.zeros(chains, max(self.sizes[:-1])))
        self._layer, self._pace, self._held = 0, 1.0, False

    def _machine(self, layer: int) -> Machine:
        """The pair above `layer` as a machine; its independent units have the chains' means, where there are chains yet."""
        gaussian = self.gaussian and layer == 0
        states = self.chains[:, : self.sizes[layer]]
        mean = self.independent() if layer == 0 else (states.sum(0) + 1) / (len(states) + 2)
        return Machine([self.pair(layer)], gaussian, mean, layer)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Set what the data give, and start the chains."""
        super().begin(batches)
        self.chains[:, : self.sizes[0]] = start(self._machine(0), self.sizes[:2], len(self.chains))[0]

    @torch.no_grad()
    def at_step(self, step: int, steps: int) -> None:
        """Say whose turn it is to learn, and move its chains on. Each pair's loss is weighted down towards its last step."""
        self._held = self.gaussian and step < HELD * steps / (self.top + 1)
        self._layer = step * (self.top + 1) // steps
        first = math.ceil(self._layer * steps / (self.top + 1))
        self._pace = 1 - 0.9 * (step - first) * (self.top + 1) / steps
        machine, states = self._machine(self._layer), [self.chains[:, : self.sizes[self._layer]]]
        if step == first and self._layer:
            states = [bernoulli(torch.zeros_like(states[0]))]
        recentre = self.recentre if self._pace > 0.8 else 0.0  # then offsets stay, so that weights can be averaged
        for _ in range(self.sweeps + SETTLE * (step == first)):
            states = machine.gibbs(states, recentre=recentre)
        self.chains[:, : self.sizes[self._layer]] = states[0]

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: mean energy of the layer that learns minus that of its chains."""
        units, log_det = self._drawn(batch.x)
        if self._held or self._layer:
            units, log_det = units.detach(), log_det.detach()
        with torch.no_grad():
            for i in range(self._layer):
                units = bernoulli(self.pair(i)(units, True)[1])
        states = self.chains[:, : self.sizes[self._layer]]
        yield Turn("model", self._pace * (contrast(self._machine(self._layer), [units], [states])[0] - log_det), {})

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """Minus the bound on the mean log likelihood, nats per example, one sample; log Z by a quick annealing."""
        weights = torch.cat([self._log_weight(*self._drawn(batch.x)) for batch in batches])
        return Verdict(float(quick_log_z(self._machine(self.top), self.sizes[-2:]) - weights.mean()))

    # -- density ----------------------------------------------------------------------------------------------------

    def _log_weight(self, units: Tensor, log_det: Tensor) -> Tensor:
        """log of Z p(x, h) / q(h | x) for hidden layers h drawn from q upwards: (n, units) to (n,), float64."""
        state, weight = units, torch.zeros(len(units), dtype=torch.float64, device=units.device)
        for i in range(self.top):
            logits = self.pair(i)(state, True)[1]
            above = bernoulli(logits)
            weight += F.binary_cross_entropy_with_logits(logits, above, reduction="none").sum(1).double()
            inputs = self.pair(i)(above, False)[1]
            if self.gaussian and i == 0:
                weight += normal_log_prob(state, inputs).sum(1).double()
            else:
                weight -= F.binary_cross_entropy_with_logits(inputs, state, reduction="none").sum(1).double()
            state = above
        machine = self._machine(self.top)
        weight += machine.log_weight([state], *machine.seen([state])).double()
        return weight + log_det

    def _highest(self) -> tuple[Machine, tuple[int, ...]]:
        return self._machine(self.top), self.sizes[-2:]

    @property
    def density(self) -> str:
        """What `log_prob` gives."""
        how = f"by annealed importance sampling, {self.samples:,} walks of {self.betas:,} temperatures"
        if enumerated(self.sizes[-2:], self.gaussian and self.top == 0)[0] <= SMALL:
            how = "exact by enumeration"
        bound = f"importance-weighted lower bound with {self.particles:,} samples given log Z of the two highest layers"
        return f"{bound}; log Z {how}; nats per example{self.made}"

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> LogProb:
        """A lower bound of log p(x) that tightens with `particles`: (n, ...) to (n,), nats."""
        z = self._log_z()
        drawn = self._drawn(x)  # once: the bound is of one binary image, whatever the number of particles
        weights = torch.stack([self._log_weight(*drawn) for _ in range(self.particles)], 1)
        error = importance_error(weights) if self.top else torch.zeros_like(weights[:, 0])
        return LogProb.given(importance_bound(weights), error, z.value, z.error, z.high, z.high_error)

    # -- features and samples ---------------------------------------------------------------------------------------

    def _up(self, x: Tensor) -> Tensor:
        """Probabilities of the highest layer's units, those of each layer standing for its states."""
        state = self._expected(x)[0]
        for i in range(self.top + 1):
            state = torch.sigmoid(self.pair(i)(state, True)[1])
        return state

    def _down(self, state: Tensor, layer: int, draw: bool) -> Tensor:
        """Inputs of the visible units for states of a layer; hidden layers between them are drawn, or have their means."""
        for i in reversed(range(layer)):
            inputs = self.pair(i)(state, False)[1]
            state = inputs if i == 0 else bernoulli(inputs) if draw else torch.sigmoid(inputs)
        return state

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Probabilities of the highest hidden layer's units: (n, ...) to (n, units)."""
        return self._up(x)

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of the visible units given the means of the layers above them."""
        return self._example(self._down(self._up(x), self.top + 1, draw=False))

    def _fantasies(self) -> list[Tensor]:
        """The chains of the top machine."""
        return [self.chains[:, : self.sizes[self.top]]]

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Draws of the layers downwards from states of the top machine, `thin` sweeps apart in each chain: (n, ...)."""
        machine, (lower,) = self._machine(self.top), self._of_chains(n, way)
        if self.top == 0:
            inputs = machine.even_inputs(machine.draw_odd(machine.inputs([lower])))[0]
        else:
            inputs = self._down(lower, self.top, draw=True)
        return self._as_example(self._machine(0).draw_even([inputs])[0]) if self.draw else self._example(inputs)


class DBN(Estimator):
    """Deep belief network: restricted Boltzmann machines stacked greedily, generating downwards.

    Args:
        hidden: units of each hidden layer, from the lowest.
        visible: bernoulli or gaussian units; auto takes gaussian for vectors of real numbers.
        binarise: how grey values become binary: at the threshold 1/2, or stochastic, each time anew with the probability that
            the value gives; auto takes stochastic for images, unless bernoulli units were asked for.
        sweeps: Gibbs sweeps of the persistent chains in a step.
        chains: how many there are.
        recentre: share of the way that the hidden units' offsets follow persistent chains in a step of the first fifth of
            each pair's training; 0 fixes them at 1/2.
        draw: samples are draws of the visible units, or their means; auto takes means for grey images.
        particles: importance samples of log_prob.
        samples: annealed walks of the estimate of log Z.
        betas: temperatures of that estimate.
        burn_in: Gibbs sweeps before a sample is taken.
        thin: sweeps between two samples of one chain.
        training: settings, or a dict of those that differ from the family's recipe; the steps are shared out evenly.
    """

    family = "dbn"
    model_class = DBNModel
    recipe = Training(
        steps=6000, batch_size=100, optimizer="sgd", lr=0.05, momentum=0.0, schedule="constant", lr_warmup=0, ema=0.995
    )

    def __init__(
        self,
        hidden: tuple[int, ...] = (500, 500),
        *,
        visible: Literal["auto", "bernoulli", "gaussian"] = "auto",
        binarise: Literal["auto", "threshold", "stochastic"] = "auto",
        sweeps: int = 1,
        chains: int = 100,
        recentre: float = 0.01,
        draw: Literal["auto", "yes", "no"] = "auto",
        particles: int = 10,
        samples: int = 100,
        betas: int = 10_000,
        burn_in: int = 1000,
        thin: int = 100,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.binarise = binarise
        self.sweeps = sweeps
        self.chains = chains
        self.recentre = recentre
        self.draw = draw
        self.particles = particles
        self.samples = samples
        self.betas = betas
        self.burn_in = burn_in
        self.thin = thin
        self.training = training

    def build(self, schema: Schema) -> DBNModel:
        """The network for data of this schema."""
        at_least(self, 1, "particles")
        if not self.hidden:
            raise RequestError("hidden is empty: a deep belief network has at least one hidden layer.")
        return DBNModel(schema.shape, **chain_options(self, schema, tuple(self.hidden)), particles=self.particles)

    def chosen(self, schema: Schema) -> str:
        """What visible units were taken for data of this schema, where nobody said."""
        return said_of(self, schema)
