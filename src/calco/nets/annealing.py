"""The partition function of a Boltzmann machine: by annealing in both directions, or exactly where a side is small.

Annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008) goes from independent units to the machine and gives
an unbiased estimate of Z, so that log Z comes out too small where chains do not keep up, and likelihoods too high. The same
walk backwards, from states of the machine, gives an unbiased estimate of 1/Z if those states are exact: log Z too large,
likelihoods too low (Grosse, Ghahramani and Adams 2015). The two make a bracket.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.maths import noise
from calco.maths.divergences import importance_bound, importance_error
from calco.nets.boltzmann import Machine, bernoulli

SMALL = 20
"""Units of a side that can be enumerated."""


class LogZ(NamedTuple):
    """An estimate of log Z in nats, its standard error, and a second one that errs to the other side; 0-dimensional."""

    value: Tensor
    error: Tensor
    high: Tensor | None = None
    high_error: Tensor | None = None


def temperatures(count: int) -> list[float]:
    """`count` betas from 0 to 1, denser towards 1: 1/29 of them below 0.5, 8/29 below 0.9 (Salakhutdinov and Murray 2008)."""
    first, second = max(1, count // 29), max(1, 8 * count // 29)
    third = max(2, count - first - second)
    parts = (torch.linspace(a, b, n + 1, dtype=torch.float64)[:-1] for a, b, n in ((0, 0.5, first), (0.5, 0.9, second)))
    return torch.cat((*parts, torch.linspace(0.9, 1, third, dtype=torch.float64))).tolist()


def start(machine: Machine, sizes: Sequence[int], n: int) -> list[Tensor]:
    """Draws of the even layers at beta 0: `n` states each."""
    base = machine.base.expand(n, -1)
    visible = base + noise.normal(base) if machine.gaussian else bernoulli(base)
    return [visible, *(bernoulli(visible.new_zeros(n, size)) for size in sizes[2::2])]


def log_z_at_start(machine: Machine, sizes: Sequence[int]) -> Tensor:
    """log Z at beta 0, where all units are independent."""
    visible = 0.5 * math.log(2 * math.pi) * sizes[0] if machine.gaussian else F.softplus(machine.base.double()).sum()
    return torch.as_tensor(visible + sum(sizes[1:]) * math.log(2), dtype=torch.float64)


def annealed(machine: Machine, evens: list[Tensor], betas: Sequence[float]) -> tuple[Tensor, list[Tensor]]:
    """Log weights (n,), float64, of a walk of states along `betas`, and the states at its end."""
    weights = evens[0].new_zeros(len(evens[0]), dtype=torch.float64)
    for before, after in itertools.pairwise(betas):
        own, inputs = machine.seen(evens)
        step = machine.log_weight(evens, own, inputs, after) - machine.log_weight(evens, own, inputs, before)
        weights += step.double()
        evens = machine.draw_even(machine.even_inputs(machine.draw_odd(inputs, after), after))
    return weights, evens


def returned(machine: Machine, evens: list[Tensor], betas: Sequence[float]) -> Tensor:
    """Log weights (n,), float64, of the walk back from states at the last of `betas` to the first."""
    weights = evens[0].new_zeros(len(evens[0]), dtype=torch.float64)
    inputs = machine.inputs(evens)
    for before, after in itertools.pairwise(reversed(betas)):
        evens = machine.gibbs(evens, before, inputs=inputs)
        own, inputs = machine.seen(evens)
        step = machine.log_weight(evens, own, inputs, after) - machine.log_weight(evens, own, inputs, before)
        weights += step.double()
    return weights


def estimate_log_z(machine: Machine, sizes: Sequence[int], chains: int, betas: int, evens: list[Tensor]) -> LogZ:
    """log Z by annealing up from independent units and back from `evens`, states of the machine, `chains` walks each."""
    ladder, zero = temperatures(betas), log_z_at_start(machine, sizes)
    up = annealed(machine, start(machine, sizes, chains), ladder)[0]
    down = returned(machine, evens, ladder)
    return LogZ(zero + importance_bound(up), importance_error(up), zero - importance_bound(down), importance_error(down))


def quick_log_z(machine: Machine, sizes: Sequence[int], chains: int = 100, betas: int = 500) -> Tensor:
    """A rough log Z to watch over training by, exact where that is as quick; 0-dimensional."""
    exact = exact_log_z(machine, sizes, most=12)
    if exact is not None:
        return exact
    walks = annealed(machine, start(machine, sizes, chains), temperatures(betas))[0]
    return log_z_at_start(machine, sizes) + importance_bound(walks)


def exact_or_estimated(machine: Machine, sizes: Sequence[int], chains: int, betas: int, evens: list[Tensor]) -> LogZ:
    """log Z by enumeration where a side is small, else `estimate_log_z`."""
    exact = exact_log_z(machine, sizes)
    if exact is None:
        return estimate_log_z(machine, sizes, chains, betas, evens)
    return LogZ(exact, torch.zeros_like(exact))


def enumerated(sizes: Sequence[int], gaussian: bool) -> tuple[int, bool]:
    """Units of the side that an enumeration goes over, the smaller one that is binary; and whether it is the odd layers'."""
    even, odd = sum(sizes[::2]), sum(sizes[1::2])
    return (odd, True) if odd <= even or gaussian else (even, False)


def exact_log_z(machine: Machine, sizes: Sequence[int], most: int = SMALL) -> Tensor | None:
    """log Z by enumeration of the side with fewer units, None where both have more than `most`; 0-dimensional, float64."""
    units, by_odd = enumerated(sizes, machine.gaussian)
    if units > most:
        return None
    parts = []
    for states in binary_states(units, machine.base):
        side = list(states.split(list(sizes[1::2] if by_odd else sizes[::2]), 1))
        own, inputs = machine.seen(side, odd=by_odd)
        summed = sum((F.softplus(field.double()).sum(1) for field in inputs[machine.gaussian :]), -own.double())
        if machine.gaussian:
            summed = summed + 0.5 * (inputs[0].double().square() + math.log(2 * math.pi)).sum(1)
        parts.append(torch.logsumexp(summed, 0))
    return torch.logsumexp(torch.stack(parts), 0)


def binary_states(units: int, like: Tensor):
    """All states of `units` binary units, as tensors (at most 2^14, units) of the dtype and device of `like`."""
    place = torch.arange(units, device=like.device)
    for part in torch.arange(2**units, device=like.device).split(2**14):
        yield (part[:, None] >> place & 1).to(like.dtype)
