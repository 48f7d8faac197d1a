"""Boltzmann machines: the energy of two joined layers, and the machine of two sides that any number of them makes.

A pair of layers (x, y) with weights W, biases b and c and offsets mu and lambda has the centred energy (Montavon and Müller
2012; Melchior, Fischer and Wiskott 2016)

    E(x, y) = -(x - mu) b - (y - lambda) c - (x - mu) W (y - lambda)

or, where x is Gaussian of unit variance, |x - b|^2 / 2 in place of -(x - mu) b. Offsets change the gradient, not the family
of distributions: plain gradients of centred energies learn faster, and as well from data as from their negative.

In a deep machine every layer is joined to the next. Its even layers are independent of one another given its odd ones, and
the other way round, so that whatever its depth it is a machine of two sides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.maths import noise


class Pair(nn.Module):
    """Two joined layers of `lower` and `upper` units, the lower one perhaps `gaussian`."""

    mu: Tensor
    lam: Tensor

    def __init__(self, lower: int, upper: int, gaussian: bool = False) -> None:
        super().__init__()
        self.gaussian = gaussian
        self.weight = nn.Parameter(torch.randn(lower, upper) / math.sqrt(100 * (lower + upper)))
        self.lower_bias, self.upper_bias = nn.Parameter(torch.zeros(lower)), nn.Parameter(torch.zeros(upper))
        self.register_buffer("mu", torch.full((lower,), 0.0 if gaussian else 0.5))
        self.register_buffer("lam", torch.full((upper,), 0.5))

    def forward(self, states: Tensor, up: bool, recentre: float = 0.0, energy: bool = True) -> tuple[Tensor, Tensor]:
        """What one layer's states, (n, units), are to the other layer.

        Args:
            states: of the lower layer if `up`, else of the upper one.
            up: which.
            recentre: how far the layer's offsets move towards the mean of these states. The distribution stays as it is.
            energy: whether `own` is wanted; else it is 0, which saves time.

        Returns:
            `own`, (n,), and the other layer's `inputs`, (n, units). Given the states the other layer's units are
            independent: Bernoulli with these logits, or Gaussian with these means. E = own - inputs (other states), and
            for a Gaussian lower layer seen from above E = own - inputs x + |x|^2 / 2.
        """
        if recentre:
            self._recentre(states.mean(0), up, recentre)
        # Sums of products rather than matrix-vector products: those would run in the precision of the matrix products.
        if up:
            centred = states - self.mu
            inputs = (centred @ self.weight).to(centred.dtype) + self.upper_bias
            if not energy:
                return torch.zeros(()), inputs
            mine = 0.5 * (states - self.lower_bias).square() if self.gaussian else -centred * self.lower_bias
            return mine.sum(1) + (inputs * self.lam).sum(1), inputs
        centred = states - self.lam
        field = F.linear(centred, self.weight).to(centred.dtype)  # not a product with the transpose, whose cast is not kept
        inputs = field + self.lower_bias
        if not energy:
            return torch.zeros(()), inputs
        own = ((field if self.gaussian else inputs) * self.mu).sum(1) - (centred * self.upper_bias).sum(1)
        return (own + 0.5 * self.lower_bias.square().sum() if self.gaussian else own), inputs

    @torch.no_grad()
    def _recentre(self, mean: Tensor, up: bool, rate: float) -> None:
        offsets, bias = (self.mu, self.upper_bias) if up else (self.lam, self.lower_bias)
        move = rate * (mean - offsets)
        offsets += move
        bias += move @ self.weight if up else self.weight @ move

    @torch.no_grad()
    def start(self, mean: Tensor) -> None:
        """Centre the lower layer on its mean in the data, (units,), and let its biases alone give that mean."""
        self.mu.copy_(mean)
        self.lower_bias.copy_(mean if self.gaussian else torch.logit(mean))


class Scale(nn.Module):
    """Standard deviations of Gaussian units, learned: examples to units of unit variance."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
        """x / scale, or x scale on the way `back`: (n, units) to the same; and log |d result / d x|, 0-dimensional."""
        # A floor, because values that repeat exactly would pull it to 0.
        log_scale = self.log_scale.clamp_min(LEAST_LOG_SCALE)
        return (x * log_scale.exp(), log_scale.sum()) if back else (x * (-log_scale).exp(), -log_scale.sum())

    @torch.no_grad()
    def start(self, deviation: Tensor) -> None:
        """Begin with half of the data's standard deviations, (units,): all of them would leave nothing to explain."""
        self.log_scale.copy_((0.5 * deviation).clamp_min(0.1).log())


LEAST_LOG_SCALE = math.log(0.02)

Joined = Callable[..., tuple[Tensor, Tensor]]
"""A `Pair`, or what a training loop wraps around one."""


@dataclass(frozen=True)
class Machine:
    """Pairs joined into one machine, annealed between independent units (beta 0) and the machine itself (beta 1).

    Its states are lists of tensors (n, units): the even layers, beginning with the visible one, or the odd ones. With A the
    energy of independent visible units with the means `mean`, (units,), the annealed energy is (1 - beta) A + beta E; beta is a
    number or a tensor (n, 1). `bottom` is the place of its lowest layer, where it is a part of a deeper machine.
    """

    pairs: Sequence[Joined]
    gaussian: bool
    mean: Tensor
    bottom: int = 0

    @cached_property
    def base(self) -> Tensor:
        """Biases, or Gaussian means, of the independent visible units: (units,)."""
        return self.mean if self.gaussian else torch.logit(self.mean)

    def seen(
        self, states: Sequence[Tensor], odd: bool = False, recentre: float = 0.0, energy: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """What the states of one side are to the other: the sums over the pairs of what `Pair.forward` gives.

        `recentre` moves the offsets of hidden layers: the visible one keeps its own.
        """
        own, inputs = torch.zeros(()), dict[int, Tensor]()
        for i, pair in enumerate(self.pairs):
            up = (i % 2 == 1) == odd
            layer, other = (i, i + 1) if up else (i + 1, i)
            mine, field = pair(states[layer // 2], up, recentre if layer + self.bottom else 0.0, energy)
            own = own + mine
            inputs[other] = inputs[other] + field if other in inputs else field
        return own, [inputs[layer] for layer in sorted(inputs)]

    def inputs(self, states: Sequence[Tensor], odd: bool = False, recentre: float = 0.0) -> list[Tensor]:
        """The inputs alone of what `seen` gives."""
        return self.seen(states, odd, recentre, energy=False)[1]

    def log_weight(self, evens: Sequence[Tensor], own: Tensor, inputs: Sequence[Tensor], beta: Tensor | float = 1.0) -> Tensor:
        """log of the unnormalised probability of the even layers' states, the odd ones summed out: (n,).

        `own` and `inputs` are what `seen` gives for them. At beta 1 it is minus their free energy.
        """
        odd = sum((F.softplus(beta * field).sum(1) for field in inputs), torch.zeros(()))
        weight = beta.squeeze(1) if isinstance(beta, Tensor) else beta
        if isinstance(weight, float) and weight == 1:
            return odd - own
        v = evens[0]
        alone = -0.5 * (v - self.base).square().sum(1) if self.gaussian else (v * self.base).sum(1)
        return (1 - weight) * alone - weight * own + odd

    def mean_energy(self, own: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """Energy of the states that `own` and `inputs` are of, the mean over the other side's Bernoulli units: (n,).

        Those keep their means when it is differentiated: its gradient is that of the free energy, at half of the cost.
        """
        return own - sum(((field * torch.sigmoid(field.detach())).sum(1) for field in inputs), torch.zeros(()))

    def draw_odd(self, inputs: Sequence[Tensor], beta: Tensor | float = 1.0) -> list[Tensor]:
        """States of the odd layers given their inputs."""
        return [bernoulli(field * beta) for field in inputs]

    def even_inputs(self, odds: Sequence[Tensor], beta: Tensor | float = 1.0, recentre: float = 0.0) -> list[Tensor]:
        """Logits of the even layers given the odd ones, means where they are Gaussian."""
        inputs = self.inputs(odds, odd=True, recentre=recentre)
        if isinstance(beta, float) and beta == 1:
            return inputs
        return [(1 - beta) * self.base + beta * inputs[0], *(beta * field for field in inputs[1:])]

    def draw_even(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """States of the even layers given their inputs."""
        visible = inputs[0] + noise.normal(inputs[0]) if self.gaussian else bernoulli(inputs[0])
        return [visible, *(bernoulli(field) for field in inputs[1:])]

    def gibbs(
        self,
        evens: Sequence[Tensor],
        beta: Tensor | float = 1.0,
        recentre: float = 0.0,
        inputs: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """One sweep: the odd layers given the even ones, with `inputs` if known, then the even ones given those."""
        if inputs is None:
            inputs = self.inputs(evens, recentre=recentre)
        return self.draw_even(self.even_inputs(self.draw_odd(inputs, beta), beta, recentre))

    def tempered(self, evens: Sequence[Tensor], betas: Tensor, recentre: float = 0.0) -> list[Tensor]:
        """A sweep of parallel tempering: neighbouring temperatures may exchange their states, then each does a sweep.

        Rows are grouped by temperature, as many for each of `betas`, (temperatures,).
        """
        own, inputs = self.seen(evens, recentre=recentre)
        beta = betas.repeat_interleave(len(evens[0]) // len(betas))[:, None]
        rows = self._exchange(evens, own, inputs, beta, len(betas))
        odds = self.draw_odd([field[rows] for field in inputs], beta)
        return self.draw_even(self.even_inputs(odds, beta, recentre))

    def _exchange(self, evens: Sequence[Tensor], own: Tensor, inputs: Sequence[Tensor], beta: Tensor, count: int) -> Tensor:
        """Which row each row takes its states from: (temperatures x chains,)."""
        chains = len(beta) // count
        rows = torch.arange(len(beta), device=beta.device).view(count, chains)
        first = int(noise.uniform(own[:1]) < 0.5)  # pairs (0, 1), (2, 3), ... or (1, 2), (3, 4), ...
        low = torch.arange(first, count - 1, 2, device=beta.device)
        partner = torch.arange(count, device=beta.device)
        partner[low], partner[low + 1] = low + 1, low
        other = beta.view(count, chains)[partner].view(-1, 1)
        gain = (self.log_weight(evens, own, inputs, other) - self.log_weight(evens, own, inputs, beta)).view(count, chains)
        chance = torch.exp((gain + gain[partner]).clamp(max=0.0))
        one_a_pair = torch.minimum(partner, torch.arange(count, device=beta.device))
        accepted = noise.uniform(gain)[one_a_pair] < chance
        return torch.where(accepted, rows[partner], rows).flatten()

    def mean_field(self, visible: Tensor, sizes: Sequence[int], sweeps: int) -> list[Tensor]:
        """Means of the even layers under the best factorised posterior of the hidden layers given the visible one.

        Coordinate ascent by the sides (Salakhutdinov and Hinton 2009, equations 7 and 8). A machine of one hidden layer has
        nothing to find: its posterior is factorised.

        Args:
            visible: (n, units).
            sizes: units of all layers.
            sweeps: of the ascent.

        Returns:
            The visible states and the means of the even hidden layers.
        """
        hidden = Machine(self.pairs[1:], False, self.mean)  # its even layers are the odd ones of this machine
        means = [torch.full((len(visible), size), 0.5, dtype=visible.dtype, device=visible.device) for size in sizes[2::2]]
        below = self.pairs[0](visible, True, energy=False)[1] if means else visible
        for _ in range(sweeps if means else 0):
            inputs = hidden.inputs(means, odd=True)
            odds = [torch.sigmoid(field) for field in (inputs[0] + below, *inputs[1:])]
            means = [torch.sigmoid(field) for field in hidden.inputs(odds)]
        return [visible, *means]


def bernoulli(logits: Tensor) -> Tensor:
    """Zeros and ones of the shape of `logits`."""
    return noise.flips(torch.sigmoid(logits))
