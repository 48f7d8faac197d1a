"""Likelihoods: how a decoder's raw output becomes a distribution over one example.

A likelihood knows the shape of an example, `(channels, *space)`. It takes parameters of shape
`(*batch, width * channels, *space)` and examples of shape `(*batch, *shape)`, values in [0, 1] where they are discrete;
the batch axes broadcast. Log probabilities are in nats, summed over an example: shape `(*batch,)`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.errors import one_of
from calco.maths import noise
from calco.maths.divergences import normal_log_prob


@dataclass(frozen=True)
class Likelihood(ABC):
    """A distribution over examples of `shape`: variables that are independent given the parameters."""

    shape: tuple[int, ...]

    continuous: ClassVar[bool] = False
    """Whether it gives densities of real values instead of probabilities of discrete ones."""

    @property
    @abstractmethod
    def params_shape(self) -> tuple[int, ...]:
        """Shape of the parameters of one example."""

    @property
    @abstractmethod
    def variables(self) -> int:
        """How many variables an example has, each with a distribution of its own."""

    @abstractmethod
    def each(self, params: Tensor, x: Tensor) -> Tensor:
        """Nats of each variable: (*batch, variables)."""

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Nats per example."""
        return self.each(params, x).sum(-1)

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """The expected example."""

    @abstractmethod
    def sample(self, params: Tensor) -> Tensor:
        """One draw for each set of parameters."""

    @abstractmethod
    def drawn_at(self, i: int, params: Tensor, x: Tensor, asked: Tensor) -> Tensor:
        """Examples x with a draw of variable i where `asked`, (n, variables), is 1."""

    @abstractmethod
    def spread(self, flags: Tensor) -> Tensor:
        """A number for each variable, (n, variables), at each of its values: (n, *shape)."""

    @abstractmethod
    def gathered(self, flags: Tensor) -> Tensor:
        """1 for each variable all of whose values are 1, else 0: (n, *shape) to (n, variables)."""

    def ready(self, known: Tensor) -> Tensor:
        """1 where a variable can be asked for, given which are known, else 0: (n, variables) to the same. Here always."""
        return torch.ones_like(known)

    def together(self, keys: Tensor) -> Tensor:
        """Random keys of variables, (n, variables), so that what belongs together keeps its order when they are sorted."""
        return keys


class Elementwise(Likelihood):
    """A likelihood whose variables are the values, all of one kind and with as many parameters."""

    @property
    def width(self) -> int:
        """Parameters per value."""
        return 1

    @property
    def params_shape(self) -> tuple[int, ...]:
        """Shape of the parameters of one example."""
        return (self.width * self.shape[0], *self.shape[1:])

    @property
    def variables(self) -> int:
        """The values."""
        return math.prod(self.shape)

    def each(self, params: Tensor, x: Tensor) -> Tensor:
        """Nats of each value: (*batch, variables)."""
        return self._log_prob(self._split(params), x).flatten(-len(self.shape))

    def mean(self, params: Tensor) -> Tensor:
        """The expected example."""
        return self._mean(self._split(params))

    def sample(self, params: Tensor) -> Tensor:
        """One draw for each set of parameters."""
        return self._sample(self._split(params))

    def drawn_at(self, i: int, params: Tensor, x: Tensor, asked: Tensor) -> Tensor:
        """Examples x with a draw of value i where `asked`, (n, variables), is 1."""
        return torch.where(self.spread(asked) > 0, self.sample(params), x)

    def spread(self, flags: Tensor) -> Tensor:
        """A number for each value, (n, variables), at its place: (n, *shape)."""
        return flags.unflatten(1, self.shape)

    def gathered(self, flags: Tensor) -> Tensor:
        """The flags of all values in one row: (n, *shape) to (n, variables)."""
        return flags.flatten(1)

    def _split(self, params: Tensor) -> tuple[Tensor, ...]:
        axis = -len(self.shape)
        return params.unflatten(axis, (self.width, self.shape[0])).unbind(axis - 1)

    @abstractmethod
    def _log_prob(self, parts: tuple[Tensor, ...], x: Tensor) -> Tensor: ...

    @abstractmethod
    def _mean(self, parts: tuple[Tensor, ...]) -> Tensor: ...

    @abstractmethod
    def _sample(self, parts: tuple[Tensor, ...]) -> Tensor: ...


def learned_log_var(raw: Tensor) -> Tensor:
    """The logarithm of a variance from a net's output, elementwise; the deviation is at least 1e-3."""
    return torch.log(F.softplus(raw) ** 2 + 1e-6)


def gumbel(u: Tensor, edge: float = 1e-7) -> Tensor:
    """Standard Gumbel noise from uniform numbers, which are kept `edge` away from 0 and 1."""
    return -torch.log(-torch.log(u.clamp(edge, 1 - edge)))


class Bernoulli(Elementwise):
    """Values 0 or 1; the parameter is the logit of a one."""

    def _log_prob(self, parts: tuple[Tensor, ...], x: Tensor) -> Tensor:
        logit, x = torch.broadcast_tensors(parts[0], x)
        return -F.binary_cross_entropy_with_logits(logit, x, reduction="none")

    def _mean(self, parts: tuple[Tensor, ...]) -> Tensor:
        return torch.sigmoid(parts[0])

    def _sample(self, parts: tuple[Tensor, ...]) -> Tensor:
        return noise.flips(torch.sigmoid(parts[0]))


@dataclass(frozen=True)
class Gaussian(Elementwise):
    """Real values. With `scale` the standard deviation is fixed, else it is learned for each value, at least 1e-3."""

    scale: float | None = None

    continuous = True

    @property
    def width(self) -> int:
        """Parameters per value."""
        return 2 if self.scale is None else 1

    def _log_var(self, parts: tuple[Tensor, ...]) -> Tensor:
        if self.scale is not None:
            return torch.full_like(parts[0], 2 * math.log(self.scale))
        return learned_log_var(parts[1])

    def _log_prob(self, parts: tuple[Tensor, ...], x: Tensor) -> Tensor:
        return normal_log_prob(x, parts[0], self._log_var(parts))

    def _mean(self, parts: tuple[Tensor, ...]) -> Tensor:
        return parts[0]

    def _sample(self, parts: tuple[Tensor, ...]) -> Tensor:
        return parts[0] + torch.exp(0.5 * self._log_var(parts)) * noise.normal(parts[0])


@dataclass(frozen=True)
class DiscretisedLogistic(Elementwise):
    """Grey values k / (levels - 1): a mixture of logistics, integrated over each value's bin.

    The outermost bins reach to infinity (Salimans et al. 2017, equation 2, without their coupling of channels).
    """

    levels: int = 256
    components: int = 5

    @property
    def width(self) -> int:
        """Parameters per value."""
        return 3 * self.components

    def _parts(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        k = self.components
        log_mix = torch.log_softmax(torch.stack(parts[:k]), 0)
        # Spread the components' starting points over [0, 1]; a scale starts at about a tenth of the range.
        start = torch.linspace(0, 1, k + 2, dtype=parts[0].dtype, device=parts[0].device)[1:-1]
        mean = torch.stack(parts[k : 2 * k]) + start.reshape(-1, *[1] * parts[0].ndim)
        log_scale = (torch.stack(parts[2 * k :]) - 2.5).clamp(-9.0, 3.0)
        return log_mix, mean, log_scale

    def _log_prob(self, parts: tuple[Tensor, ...], x: Tensor) -> Tensor:
        log_mix, mean, log_scale = self._parts(parts)
        half, sharp = 0.5 / (self.levels - 1), torch.exp(-log_scale)
        above, below = (x - mean + half) * sharp, (x - mean - half) * sharp
        low, high = x < half, x > 1 - half
        # log(sigmoid(a) - sigmoid(b)) = log_sigmoid(a) + log_sigmoid(-b) + log(1 - exp(b - a))
        inner = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(below - above))
        edge = torch.where(low, F.logsigmoid(above), F.logsigmoid(-below))
        return torch.logsumexp(log_mix + torch.where(low | high, edge, inner), 0)

    def _mean(self, parts: tuple[Tensor, ...]) -> Tensor:
        log_mix, mean, _ = self._parts(parts)  # the clipping of tails is ignored: each component counts by its centre
        return (log_mix.exp() * mean.clamp(0, 1)).sum(0)

    def _sample(self, parts: tuple[Tensor, ...]) -> Tensor:
        log_mix, mean, log_scale = self._parts(parts)
        pick = (log_mix + gumbel(noise.uniform(log_mix.movedim(0, 1)).movedim(1, 0))).argmax(0, keepdim=True)
        mean, log_scale = mean.gather(0, pick)[0], log_scale.gather(0, pick)[0]
        u = noise.uniform(mean).clamp(1e-6, 1 - 1e-6)
        x = mean + log_scale.exp() * (torch.log(u) - torch.log1p(-u))
        return (x * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)


@dataclass(frozen=True)
class Categorical(Elementwise):
    """Grey values k / (levels - 1), each with a probability of its own; the parameters are logits."""

    levels: int = 256

    @property
    def width(self) -> int:
        """Parameters per value."""
        return self.levels

    def _log_prob(self, parts: tuple[Tensor, ...], x: Tensor) -> Tensor:
        logits = torch.log_softmax(torch.stack(parts), 0)
        index = (x * (self.levels - 1)).round().long()
        shape = torch.broadcast_shapes(logits.shape[1:], index.shape)
        return logits.expand(-1, *shape).gather(0, index.expand(shape)[None])[0]

    def _mean(self, parts: tuple[Tensor, ...]) -> Tensor:
        values = torch.linspace(0, 1, self.levels, dtype=parts[0].dtype, device=parts[0].device)
        return torch.einsum("k...,k->...", torch.softmax(torch.stack(parts), 0), values)

    def _sample(self, parts: tuple[Tensor, ...]) -> Tensor:
        probs = torch.softmax(torch.stack(parts, -1), -1)
        return noise.picks(probs).to(probs.dtype) / (self.levels - 1)


def make_likelihood(name: str, shape: tuple[int, ...], levels: int | None = None) -> Likelihood:
    """A likelihood by name: bernoulli, gaussian (learned scale), logistic or categorical (both need `levels`).

    Raises:
        RequestError: the name is unknown.
    """
    discrete = {"logistic": DiscretisedLogistic, "categorical": Categorical} if levels else {}
    makers = {"bernoulli": Bernoulli, "gaussian": Gaussian, **discrete}
    if name not in makers:
        raise one_of("likelihood for these data", name, makers)
    return makers[name](shape, levels=levels) if name in discrete else makers[name](shape)
