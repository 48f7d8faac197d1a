"""Examples as the visible units of a Boltzmann machine: binary, made binary, or real with Gaussian noise."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model
from calco.data import Schema
from calco.errors import RequestError, at_least
from calco.maths import noise
from calco.nets.annealing import LogZ, exact_or_estimated, start
from calco.nets.boltzmann import Machine, Pair, Scale

REPLICAS = 20
"""Temperatures of tempered sampling."""
HELD = 0.2
"""Share of the training in which Gaussian units keep their scale."""


class UnitsModel(Model):
    """What machines with visible units have in common.

    Args:
        shape: of an example.
        hidden: units of each hidden layer.
        units: what the visible units are: binary (as the data), threshold (of values in [0, 1] at 1/2), stochastic (ones with
            the probability that a value in [0, 1] gives, drawn anew each time) or gaussian.
        samples: annealed walks of the estimate of log Z, in either direction.
        betas: temperatures of those walks.
        burn_in: sweeps before states are taken from chains.
        thin: sweeps between two states taken from one chain.
        draw: `sample` draws the visible units instead of giving their means.
    """

    chained = True
    adjustable = ("samples", "betas", "burn_in", "thin")

    scale: Scale
    pair0: Pair
    mean: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...],
        units: str,
        *,
        samples: int,
        betas: int,
        burn_in: int,
        thin: int,
        draw: bool,
    ) -> None:
        super().__init__()
        self.samples, self.betas, self.burn_in, self.thin, self.draw = samples, betas, burn_in, thin, draw
        self._known: dict[tuple[int, ...], LogZ] = {}
        visible = torch.Size(shape).numel()
        self.shape, self.units, self.sizes = shape, units, (visible, *hidden)
        self.gaussian = self.continuous = units == "gaussian"
        if self.gaussian:
            self.scale = Scale(visible)
        for i, upper in enumerate(hidden):
            self.add_module(f"pair{i}", Pair(self.sizes[i], upper, self.gaussian and i == 0))
        self.register_buffer("mean", torch.full((visible,), 0.0 if self.gaussian else 0.5))

    def pair(self, i: int) -> Pair:
        """The pair of layers i and i + 1, or what a training loop wraps around it."""
        return getattr(self, f"pair{i}")

    def begin(self, batches: Iterable[Batch]) -> None:
        """Set the visible offsets and biases from the data's mean, the scale from their deviation."""
        x = torch.cat([batch.x.flatten(1) for batch in batches])
        if self.gaussian:
            self.mean.copy_(x.mean(0))
            self.scale.start(x.std(0, correction=0))
            self.pair0.start(self.independent())
        else:
            ones = self._expected(x)[0].sum(0)
            self.mean.copy_((ones + 1) / (len(x) + 2))  # one of each added: no bias is infinite
            self.pair0.start(self.mean)

    def independent(self) -> Tensor:
        """Means of visible units that are independent and have the data's mean: (units,)."""
        return self.scale(self.mean[None])[0][0].detach() if self.gaussian else self.mean

    def chances(self, x: Tensor) -> Tensor | None:
        """Probabilities of ones, (n, values), where the density is of values that are made binary; None where they are not."""
        return self._expected(x)[0] if self.units in ("threshold", "stochastic") else None

    def _highest(self) -> tuple[Machine, tuple[int, ...]]:
        """The undirected part of the model, whose log Z is asked for, and the units of its layers."""
        raise NotImplementedError

    def _fantasies(self) -> list[Tensor]:
        """States of the undirected part that training left, as many of each of its even layers."""
        raise NotImplementedError

    @property
    def ways(self) -> tuple[str, ...]:
        """The chains of the training continued, or new ones by parallel tempering, which do not depend on those."""
        return ("gibbs", "tempering")

    def _continued(self, rows: Tensor, sweeps: int, clamp: tuple[Tensor, Tensor] | None = None) -> list[Tensor]:
        """Chains that set out from these rows of those of the training; with `clamp` units keep known values in the sweeps."""
        machine, states = self._highest()[0], [state[rows] for state in self._fantasies()]
        for _ in range(sweeps):
            if clamp is not None:
                states[0] = torch.where(*clamp, states[0])
            states = machine.gibbs(states)
        return states

    def _of_chains(self, n: int, way: str) -> list[Tensor]:
        """`n` states of the undirected part after `burn_in` sweeps, several of one chain `thin` sweeps apart."""
        with noise.share(*noise.fresh()):  # there are fewer chains than examples
            return self._walked(n, way)

    def _walked(self, n: int, way: str) -> list[Tensor]:
        machine, sizes = self._highest()
        if way == "tempering":
            count = min(n, max(1, 500 // REPLICAS))
            ladder = torch.linspace(0, 1, REPLICAS, device=machine.mean.device)
            states = start(machine, sizes, REPLICAS * count)
            move = partial(machine.tempered, betas=ladder)
        else:
            chains = self._fantasies()[0]
            count = min(n, len(chains))
            states, move = self._continued(dealt(count, chains), 0), machine.gibbs
        for _ in range(self.burn_in):
            states = move(states)
        taken = [[state[-count:] for state in states]]
        while len(taken) * count < n:
            for _ in range(self.thin):
                states = move(states)
            taken.append([state[-count:] for state in states])
        return [torch.cat(layer)[:n] for layer in zip(*taken, strict=True)]

    def _log_z(self) -> LogZ:
        """log Z of the undirected part; estimated once for all examples, and again when the weights have changed."""
        versions = [tensor._version for tensor in (*self.parameters(), *self.buffers())]
        key = (self.samples, self.betas, self.burn_in, *noise.key(), *versions)
        if key not in self._known:
            with noise.share(*noise.key()):
                states = self._continued(dealt(self.samples, self._fantasies()[0]), self.burn_in)
                self._known[key] = exact_or_estimated(*self._highest(), self.samples, self.betas, states)
        return self._known[key]

    def feed_forward(self) -> nn.Module:
        """Layers of sigmoid units with the weights of the pairs (Hinton and Salakhutdinov 2006): (n, ...) to (n, units).

        The lowest takes the values as they are, or scaled, whatever way they became binary.
        """
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(len(self.sizes) - 1):
            pair, layer = self.pair(i), nn.Linear(self.sizes[i], self.sizes[i + 1])
            with torch.no_grad():
                weight = pair.weight * self._upward(i)
                bias = pair.upper_bias - pair.mu @ weight
                if self.gaussian and i == 0:
                    weight = self.scale(weight.T)[0].T
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
            layers += [layer, nn.Sigmoid()]
        return nn.Sequential(*layers)

    def _upward(self, layer: int) -> float:
        """What the weights above a layer are multiplied by on a way up that no layer above joins."""
        return 1.0

    @property
    def made(self) -> str:
        """How examples become units, for a sentence on a density."""
        ways = {"threshold": ", of the values made binary at 1/2", "stochastic": ", of the values made binary at random"}
        return ways.get(self.units, "")

    def _expected(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Visible units, or their expectations, of examples: (n, units); and log |d units / d x|."""
        flat = x.flatten(1)
        if self.gaussian:
            return self.scale(flat)
        return (flat >= 0.5).to(flat.dtype) if self.units == "threshold" else flat, torch.zeros(())

    def _drawn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Visible units of examples, drawn where they are stochastic."""
        units, log_det = self._expected(x)
        return noise.flips(units) if self.units == "stochastic" else units, log_det

    def _example(self, inputs: Tensor) -> Tensor:
        """The mean example for inputs of the visible units."""
        flat = self.scale(inputs, back=True)[0] if self.gaussian else torch.sigmoid(inputs)
        return flat.unflatten(1, self.shape)

    def _as_example(self, units: Tensor) -> Tensor:
        return (self.scale(units, back=True)[0] if self.gaussian else units).unflatten(1, self.shape)


def contrast(machine: Machine, data: Sequence[Tensor], states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Mean energy of data, even layers (n, units), minus that of a machine's own states, (m, units); 0-dimensional.

    Each mean has its own count: there may be fewer examples than chains. With it the states' inputs to the odd layers.
    """
    own, inputs = machine.seen([torch.cat(parts) for parts in zip(data, states, strict=True)])
    energy, n = machine.mean_energy(own, inputs), len(data[0])
    return energy[:n].mean() - energy[n:].mean(), [field[n:].detach() for field in inputs]


def dealt(n: int, chains: Tensor) -> Tensor:
    """`n` of the rows of `chains`, (count, units), at random, none again before all were taken: (n,)."""
    return torch.cat([noise.uniform(chains[:, 0]).argsort() for _ in range(-(-n // len(chains)))])[:n]


def chain_options(estimator: Any, schema: Schema, hidden: tuple[int, ...]) -> dict[str, Any]:
    """The arguments of a model that an estimator's hyper-parameters on units, chains and estimates stand for.

    Raises:
        RequestError: one is out of range, or does not fit the data.
    """
    at_least(estimator, 1, "sweeps", "chains", "samples", "betas", "thin")
    at_least(estimator, 0, "recentre", "burn_in")
    if estimator.recentre > 1:
        raise RequestError(f"recentre is {estimator.recentre}: it is a share of the way, from 0 to 1.")
    if min(hidden, default=1) < 1:
        raise RequestError(f"hidden is {estimator.hidden}: a layer has at least 1 unit.")
    units = units_for(schema, estimator.visible, estimator.binarise)
    means = units == "stochastic" or (units != "binary" and len(schema.shape) == 3)
    draw = not means if estimator.draw == "auto" else estimator.draw == "yes"
    names = ("sweeps", "chains", "recentre", "samples", "betas", "burn_in", "thin")
    return {"hidden": hidden, "units": units, "draw": draw, **{name: getattr(estimator, name) for name in names}}


def units_for(schema: Schema, visible: str, binarise: str) -> str:
    """What visible units suit data of this schema, given what was asked for.

    Raises:
        RequestError: the data do not fit what was asked for.
    """
    image = len(schema.shape) == 3
    if schema.levels == 2:
        if visible == "gaussian":
            raise RequestError("These data are binary: Gaussian visible units do not suit them. Use visible 'bernoulli'.")
        return "binary"
    if visible == "gaussian" or (visible == "auto" and not image):
        if binarise != "auto":
            raise RequestError(f"binarise {binarise!r} is for Bernoulli visible units on images; these units are Gaussian.")
        return "gaussian"
    found = f"{schema.levels} grey levels" if schema.levels else "real numbers"
    if not image:
        raise RequestError(
            f"Bernoulli visible units take values 0 and 1, and these vectors hold {found}: use visible 'gaussian', or make them"
            " binary first: x > threshold, or at random where x in [0, 1] is a probability."
        )
    if visible == "bernoulli" and binarise == "auto":
        raise RequestError(
            f"Bernoulli visible units take values 0 and 1, and these images hold {found}: say how they become binary, binarise"
            " 'threshold' (at the middle grey) or 'stochastic' (the grey is the probability of a 1); or use visible 'gaussian'."
        )
    return "stochastic" if binarise == "auto" else binarise


def said_of(estimator: Any, schema: Schema) -> str:
    """What was chosen for data of this schema, and how to choose otherwise; nothing where there was no choice to make."""
    if schema.levels == 2 or estimator.visible != "auto" or estimator.binarise != "auto":
        return ""
    if units_for(schema, "auto", "auto") == "gaussian":
        return "These vectors are real numbers: the visible units are Gaussian."
    found = f"{schema.levels} grey levels" if schema.levels else "continuous greys"
    return (
        f"These images have {found}: each pixel is made binary at random, its grey the probability of a 1, anew at each step."
        " Choose otherwise by binarise 'threshold' or visible 'gaussian'."
    )
