"""The mathematics of Boltzmann machines: restricted (Smolensky 1986; Hinton 2002), deep (Salakhutdinov and Hinton 2009).

A machine gives states an energy E and the probability exp(-E) / Z. The gradient of the log likelihood is minus that of the
mean energy of data, their hidden layers as inferred, plus that of the mean energy of the machine's own states. Those come
from chains that go on from step to step (Tieleman 2008; tempered, Desjardins et al. 2010) or start at the data (contrastive
divergence).
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from calco.contract import Batch, LogProb, Turn, Verdict
from calco.maths.divergences import bernoulli_entropy
from calco.models.boltzmann.units import HELD, UnitsModel, contrast
from calco.nets.annealing import SMALL, annealed, enumerated, quick_log_z, start, temperatures
from calco.nets.boltzmann import Machine, flips

INFERENCE = 50
"""Sweeps of the mean field outside of training."""
CENTRED = 0.2
"""Share of the training of all layers in which offsets follow, every tenth step; then they stay, so that averages of weights
over steps are averages of machines."""
SETTLE = 100
"""Sweeps of the chains before the first step of all layers."""


class BoltzmannModel(UnitsModel):
    """The mathematics of a machine with one hidden layer or more.

    Args:
        shape: of an example.
        hidden: units of each hidden layer.
        units: what the visible units are, as in `UnitsModel`.
        persistent: whether the chains of training go on from step to step; else each starts at an example.
        sweeps: Gibbs sweeps of the chains in a step.
        last_sweeps: what they rise to, evenly over the second half of the training: chains whose machine moves on more
            slowly as the learning rate falls no longer mix by that movement (Tieleman and Hinton 2009). Below `sweeps` they
            stay as they are.
        chains: how many there are, at each temperature.
        temperatures: of the chains in training; 1 is no tempering.
        recentre: share of the way that the hidden layers' offsets follow persistent chains in a step of the first fifth of the
            training; with 0, or without such chains, they stay at 1/2.
        inference: sweeps of the mean field in training, where there is more than one hidden layer.
        greedy: share of the training in which the pairs of layers learn one after the other before all learn together.
        samples: annealed walks of the estimate of log Z, in either direction.
        betas: temperatures of those walks.
        burn_in: sweeps before states are taken from chains.
        thin: sweeps between two states taken from one chain.
        draw: `sample` draws the visible units instead of giving their means.
    """

    ladder: Tensor
    chains: Tensor
    fields: Tensor
    below: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...],
        *,
        units: str = "binary",
        persistent: bool = True,
        sweeps: int = 1,
        last_sweeps: int = 1,
        chains: int = 100,
        temperatures: int = 1,
        recentre: float = 0.01,
        inference: int = 10,
        greedy: float = 0.0,
        samples: int = 100,
        betas: int = 10_000,
        burn_in: int = 1000,
        thin: int = 100,
        draw: bool = True,
    ) -> None:
        super().__init__(shape, hidden, units, samples=samples, betas=betas, burn_in=burn_in, thin=thin, draw=draw)
        self.persistent, self.recentre, self.inference = persistent, recentre, inference
        self.sweeps, self.more = sweeps, max(0, last_sweeps - sweeps)
        self.greedy = greedy if len(hidden) > 1 else 0.0
        self.register_buffer("ladder", torch.linspace(0, 1, temperatures + 1)[1:])
        self.register_buffer("chains", torch.zeros(temperatures * chains, sum(self.sizes[::2])))
        self.register_buffer("fields", torch.zeros(chains, sum(self.sizes[1::2])))
        if self.greedy:
            self.register_buffer("below", torch.zeros(chains, max(self.sizes[:-1])))
        self._layer: int | None = None
        self._sweeps = sweeps
        self._held = False

    def _machine(self) -> Machine:
        """All pairs as one machine."""
        return Machine([self.pair(i) for i in range(len(self.sizes) - 1)], self.gaussian, self.base())

    # -- training ---------------------------------------------------------------------------------------------------

    def begin(self, batches: Iterable[Batch]) -> None:
        """Set what the data give, and start the chains."""
        super().begin(batches)
        self._keep(start(self._machine(), self.sizes, len(self.chains)))
        if self.greedy:
            below = start(self._alone(0), self.sizes[:2], len(self.below))[0]
            self.below[:, : below.shape[1]] = below

    @torch.no_grad()
    def at_step(self, step: int, steps: int) -> None:
        """Move the chains on, with the weights as they are; say which pair of layers learns, None for all."""
        self._known.clear()
        # Weights that are still small explain nothing: the scale would grow to the data's deviation and leave nothing to them.
        self._held = self.gaussian and step < HELD * steps
        first, pairs = math.ceil(self.greedy * steps), len(self.sizes) - 1  # the first step of all layers together
        self._layer = step * pairs // first if step < first else None
        if self._layer is not None:
            self._move_below(self._layer)
        self._sweeps = self.sweeps + round(self.more * max(0.0, 2 * step / steps - 1))
        if self._layer is None and self.persistent:
            moving = step % 10 == 0 and step - first < CENTRED * (steps - first)
            known = step > first and not moving and len(self.ladder) == 1
            self._move(self._sweeps + SETTLE * (step == first), min(1.0, 10 * self.recentre) if moving else 0.0, known)

    def _move(self, sweeps: int, recentre: float, known: bool) -> None:
        """Move the chains of the whole machine on, from what they are to the odd layers where that is known."""
        machine, evens = self._machine(), self._states()
        inputs = self.fields.split(self.sizes[1::2], 1) if known else None
        for _ in range(sweeps):
            if len(self.ladder) > 1:
                evens = machine.tempered(evens, self.ladder, recentre)
            else:
                evens, inputs = machine.gibbs(evens, recentre=recentre, inputs=inputs), None
        self._keep(evens)

    def _keep(self, evens: list[Tensor]) -> None:
        self.chains.copy_(evens[0] if len(evens) == 1 else torch.cat(evens, 1))

    def _states(self) -> list[Tensor]:
        return list(self.chains.split(self.sizes[::2], 1))

    def _fantasies(self) -> list[Tensor]:
        """The chains' states at beta 1."""
        return [state[-(len(self.chains) // len(self.ladder)) :] for state in self._states()]

    def _alone(self, layer: int) -> Machine:
        """The pair above `layer` as a machine of its own."""
        return Machine([self.pair(layer)], self.gaussian and layer == 0, self.base(), layer)

    def _move_below(self, layer: int) -> None:
        """Move the chains of the pair above `layer`, whose units keep the bias that the layers below them give."""
        alone, below, bias = self._alone(layer), self.below[:, : self.sizes[layer]], torch.zeros(())
        mean = alone.base if self.gaussian else self.mean
        for i in range(layer):
            bias = self.pair(i)(mean[None], True)[1][0]
            mean = torch.sigmoid(bias)
        for _ in range(self.sweeps):
            above = alone.draw_odd(alone.seen([below], recentre=self.recentre)[1])
            (below,) = alone.draw_even([alone.even_inputs(above, recentre=self.recentre)[0] + bias])
        self.below[:, : self.sizes[layer]] = below

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: mean energy of the data minus that of the chains. Its value says nothing, its gradient all."""
        units, log_det = self._drawn(batch.x)
        if self._held:
            units, log_det = units.detach(), log_det.detach()
        if self._layer is None:
            machine = self._machine()
            with torch.no_grad():
                means = machine.mean_field(units, self.sizes, self.inference)[1:]
                states = self._fantasies() if self.persistent else self._from_data(machine, [units, *means])
            data = [units, *means]
        else:
            machine = self._alone(self._layer)
            with torch.no_grad():
                units = self.drawn_up(units, self._layer)
            data, states = [units], [self.below[:, : self.sizes[self._layer]]]
        energy, fields = contrast(machine, data, states)
        if self._layer is None and self.persistent:
            self.fields.copy_(torch.cat(fields, 1))  # the next sweep of the chains begins with them
        yield Turn("model", energy - log_det, {})

    def _from_data(self, machine: Machine, means: list[Tensor]) -> list[Tensor]:
        states = [means[0], *(flips(mean) for mean in means[1:])]
        for _ in range(self._sweeps):
            states = machine.gibbs(states)
        return states

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """Minus the mean log likelihood, or its bound, nats per example; log Z exact or by a quick annealing."""
        machine = self._machine()
        weights = torch.cat([self._log_weight(batch.x) for batch in batches])
        return Verdict(float(quick_log_z(machine, self.sizes) - weights.mean()))

    # -- density ----------------------------------------------------------------------------------------------------

    def _log_weight(self, x: Tensor) -> Tensor:
        """log Z p(x), or the mean field's bound on it: (n,), float64."""
        machine = self._machine()
        units, log_det = self._drawn(x)
        evens = machine.mean_field(units, self.sizes, INFERENCE)
        weight = machine.log_weight(evens, *machine.seen(evens)).double() + log_det
        return weight + sum(bernoulli_entropy(mean.double()).sum(1) for mean in evens[1:])

    def _highest(self) -> tuple[Machine, tuple[int, ...]]:
        return self._machine(), self.sizes

    @property
    def density(self) -> str:
        """What `log_prob` gives."""
        how = "log Z exact by enumeration"
        if enumerated(self.sizes, self.gaussian)[0] > SMALL:
            how = f"log Z by annealed importance sampling, {self.samples:,} walks of {self.betas:,} temperatures"
        bound = "mean-field lower bound given log Z" if len(self.sizes) > 2 else "exact given log Z"
        return f"{bound}; {how}; nats per example{self.made}"

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> LogProb:
        """log p(x), or its bound where there are several hidden layers; (n, ...) to (n,), nats."""
        z, weight = self._log_z(), self._log_weight(x)  # log Z first: its walks must not depend on the examples
        return LogProb.given(weight, torch.zeros_like(weight), z.value, z.error, z.high, z.high_error)

    # -- features and samples ---------------------------------------------------------------------------------------

    def _inferred(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Means of the even and of the odd layers given examples."""
        machine = self._machine()
        evens = machine.mean_field(self._expected(x)[0], self.sizes, INFERENCE)
        return evens, [torch.sigmoid(field) for field in machine.seen(evens)[1]]

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Probabilities of the highest hidden layer's units: (n, ...) to (n, units)."""
        evens, odds = self._inferred(x)
        return odds[-1] if len(self.sizes) % 2 == 0 else evens[-1]

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of the visible units given the means of the hidden ones."""
        return self._example(self._machine().even_inputs(self._inferred(x)[1])[0])

    def conclude(self, batches: Iterable[Batch]) -> None:
        """Where no chains went on during training, make some by annealing."""
        if not self.persistent:
            machine = self._machine()
            states = annealed(machine, start(machine, self.sizes, len(self.chains)), temperatures(max(self.burn_in, 30)))[1]
            self.chains.copy_(torch.cat(states, 1))

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """States of chains after `burn_in` sweeps, several of one chain `thin` sweeps apart: (n, ...)."""
        return self._taken(self._machine(), self._of_chains(n, way))

    def _taken(self, machine: Machine, states: list[Tensor]) -> Tensor:
        """Examples of states: the states themselves, or the means that a further sweep gives."""
        if self.draw:
            return self._as_example(states[0])
        return self._example(machine.even_inputs(machine.draw_odd(machine.seen(states)[1]))[0])

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """The unknown values after `burn_in` sweeps in which the known ones stayed: (n, ...) to the same."""
        clamp = known.flatten(1), self._drawn(x)[0]
        states, machine = self._continued(len(x), self.burn_in, clamp), self._machine()
        states[0] = torch.where(*clamp, states[0])
        return torch.where(known, x, self._taken(machine, states))
