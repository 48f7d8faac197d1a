"""The mathematics of Boltzmann machines: restricted (Smolensky 1986; Hinton 2002), deep (Salakhutdinov and Hinton 2009).

A machine gives states an energy E and the probability exp(-E) / Z. The gradient of the log likelihood is minus that of the
mean energy of data, their hidden layers as inferred, plus that of the mean energy of the machine's own states. Those come
from chains that go on from step to step (Tieleman 2008; tempered, Desjardins et al. 2010) or start at the data (contrastive
divergence).
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from calco.contract import Batch, LogProb, Turn, Verdict
from calco.maths import noise
from calco.maths.divergences import bernoulli_entropy
from calco.models.boltzmann.units import HELD, UnitsModel, contrast
from calco.nets.annealing import SMALL, annealed, enumerated, quick_log_z, start, temperatures
from calco.nets.boltzmann import Machine

INFERENCE = 50
"""Sweeps of the mean field outside of training."""
CENTRED = 0.2
"""Share of the training of all layers in which offsets follow, every tenth step; then they stay, so that averages of weights
over steps are averages of machines."""
SETTLE = 100
"""Sweeps of the chains before the first step of a machine that has just grown."""


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
        greedy: share of the training before all layers learn together: it begins with two of them, and others join one after
            the other on weights near zero, so that nothing jumps.
        samples: annealed walks of the estimate of log Z, in either direction.
        betas: temperatures of those walks.
        burn_in: sweeps before states are taken from chains.
        thin: sweeps between two states taken from one chain.
        draw: `sample` draws the visible units instead of giving their means.
    """

    ladder: Tensor
    chains: Tensor
    fields: Tensor

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
        self._pairs = len(hidden)
        self._sweeps = sweeps
        self._held = False

    def _machine(self, pairs: int | None = None) -> Machine:
        """The lowest pairs, by default all, as one machine."""
        return Machine([self.pair(i) for i in range(pairs or len(self.sizes) - 1)], self.gaussian, self.independent())

    # -- training ---------------------------------------------------------------------------------------------------

    def begin(self, batches: Iterable[Batch]) -> None:
        """Set what the data give, and start the chains."""
        super().begin(batches)
        keep(start(self._machine(), self.sizes, len(self.chains)), self.chains)

    @torch.no_grad()
    def at_step(self, step: int, steps: int) -> None:
        """Move the chains on; say how many pairs of layers learn.

        The inputs of their first half of a sweep are those that the last turn computed, one step of the weights ago.
        """
        # Weights that are still small explain nothing: the scale would grow to the data's deviation and leave nothing to them.
        self._held = self.gaussian and step < HELD * steps
        self._pairs = self._grown(step, steps)
        self._sweeps = self.sweeps + round(self.more * max(0.0, 2 * step / steps - 1))
        if self.persistent:
            new = step == 0 or self._pairs != self._grown(step - 1, steps)
            moving = step % 10 == 0 and step < (self.greedy + CENTRED * (1 - self.greedy)) * steps
            known = not new and not moving and len(self.ladder) == 1
            self._move(self._sweeps + SETTLE * new, min(1.0, 10 * self.recentre) if moving else 0.0, known)

    def _grown(self, step: int, steps: int) -> int:
        """How many pairs of layers learn at a step."""
        all_pairs, alone = len(self.sizes) - 1, math.ceil(self.greedy * steps)
        return all_pairs if step >= alone else 1 + step * (all_pairs - 1) // alone

    def _move(self, sweeps: int, recentre: float, known: bool) -> None:
        """Move the chains of what has grown on, from what they are to the odd layers where that is known."""
        machine, evens = self._machine(self._pairs), self._states()[: 1 + self._pairs // 2]
        inputs = self.fields.split(self.sizes[1::2], 1)[: (self._pairs + 1) // 2] if known else None
        for _ in range(sweeps):
            if len(self.ladder) > 1:
                evens = machine.tempered(evens, self.ladder, recentre)
            else:
                evens, inputs = machine.gibbs(evens, recentre=recentre, inputs=inputs), None
        keep(evens, self.chains)

    def _upward(self, layer: int) -> float:
        """Twice where the layer above would be told as much from further above (Salakhutdinov and Hinton 2009)."""
        return 1.0 if layer == len(self.sizes) - 2 else 2.0

    def _states(self) -> list[Tensor]:
        return list(self.chains.split(self.sizes[::2], 1))

    def _fantasies(self) -> list[Tensor]:
        """The chains' states at beta 1."""
        return [state[-(len(self.chains) // len(self.ladder)) :] for state in self._states()]

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: mean energy of the data minus that of the chains. Its value says nothing, its gradient all."""
        units, log_det = self._drawn(batch.x)
        if self._held:
            units, log_det = units.detach(), log_det.detach()
        machine = self._machine(self._pairs)
        with torch.no_grad():
            data = machine.mean_field(units, self.sizes[: self._pairs + 1], self.inference)
            states = self._fantasies()[: len(data)] if self.persistent else self._from_data(machine, data)
        energy, fields = contrast(machine, data, states)
        if self.persistent:
            keep(fields, self.fields)  # the next sweep of the chains begins with them
        yield Turn("model", energy - log_det, {})

    def _from_data(self, machine: Machine, means: list[Tensor]) -> list[Tensor]:
        states = [means[0], *(noise.flips(mean) for mean in means[1:])]
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
            if not self.persistent:  # no chains of the training say otherwise
                how += ", the walk back from states that annealing made, which may miss what it missed"
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
        return evens, [torch.sigmoid(field) for field in machine.inputs(evens)]

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
            keep(states, self.chains)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """States of chains after `burn_in` sweeps, several of one chain `thin` sweeps apart: (n, ...)."""
        return self._taken(self._machine(), self._of_chains(n, way))

    def _taken(self, machine: Machine, states: list[Tensor]) -> Tensor:
        """Examples of states: the states themselves, or the means that a further sweep gives."""
        if self.draw:
            return self._as_example(states[0])
        return self._example(machine.even_inputs(machine.draw_odd(machine.inputs(states)))[0])

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """The unknown values after `burn_in` sweeps in which the known ones stayed: (n, ...) to the same."""
        clamp = known.flatten(1), self._drawn(x)[0]
        chains = noise.indices(x.new_empty(len(x)), len(self._fantasies()[0]))
        states, machine = self._continued(chains, self.burn_in, clamp), self._machine()
        states[0] = torch.where(*clamp, states[0])
        return torch.where(known, x, self._taken(machine, states))


def keep(layers: Sequence[Tensor], place: Tensor) -> None:
    """Write layers, (n, units) each, side by side into the first columns of a buffer."""
    place[:, : sum(layer.shape[1] for layer in layers)] = layers[0] if len(layers) == 1 else torch.cat(tuple(layers), 1)
