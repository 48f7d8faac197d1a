"""Priors over codes, and the diagonal Gaussian posterior that an encoder's output stands for."""

import math

import torch
from torch import Tensor, nn

from calco.maths import noise
from calco.maths.divergences import normal_log_prob
from calco.nets.flow import RealNVP

# The posterior's log variance is kept within these, so that neither a spike nor a flat code overflows.
LOG_VAR = (-14.0, 6.0)


class Prior(nn.Module):
    """A density over codes. `components` is the encoder's output for pseudo-inputs, where a prior has such."""

    def forward(self, z: Tensor, components: Tensor | None) -> Tensor:
        """log p(z): (n, latent) to (n,)."""
        raise NotImplementedError

    def sample(self, u: Tensor, components: Tensor | None) -> Tensor:
        """Standard normal u to z."""
        raise NotImplementedError


class NormalPrior(Prior):
    """N(0, I)."""

    def forward(self, z: Tensor, components: Tensor | None) -> Tensor:
        """log p(z): (n, latent) to (n,)."""
        return normal_log_prob(z).sum(-1)

    def sample(self, u: Tensor, components: Tensor | None) -> Tensor:
        """Standard normal u to z."""
        return u


class FlowPrior(Prior):
    """A RealNVP flow over N(0, I)."""

    def __init__(self, latent: int, layers: int = 8, hidden: int = 256) -> None:
        super().__init__()
        self.flow = RealNVP(latent, layers, hidden)

    def forward(self, z: Tensor, components: Tensor | None) -> Tensor:
        """log p(z): (n, latent) to (n,)."""
        u, log_det = self.flow(z)
        return normal_log_prob(u).sum(-1) + log_det

    def sample(self, u: Tensor, components: Tensor | None) -> Tensor:
        """Standard normal u to z."""
        return self.flow.inverse(u)


class VampPrior(Prior):
    """The mixture of the posteriors of learned pseudo-inputs (Tomczak and Welling 2018); `components` are those."""

    def forward(self, z: Tensor, components: Tensor | None) -> Tensor:
        """log p(z): z of shape (n, latent), components of shape (k, 2 latent), to (n,)."""
        mean, log_var = posterior(_given(components))
        # Expanded squares turn the (n, k, latent) differences into two matrix products.
        precision = torch.exp(-log_var)
        square = (z**2) @ precision.T - 2 * z @ (mean * precision).T + (mean**2 * precision).sum(1)
        log_normal = -0.5 * (square + (log_var + math.log(2 * math.pi)).sum(1))
        return torch.logsumexp(log_normal, 1) - math.log(len(mean))

    def sample(self, u: Tensor, components: Tensor | None) -> Tensor:
        """Standard normal u to z."""
        mean, log_var = posterior(_given(components))
        pick = noise.indices(u[:, 0], len(mean))
        return mean[pick] + u * torch.exp(0.5 * log_var[pick])


def _given(components: Tensor | None) -> Tensor:
    if components is None:
        raise TypeError("VampPrior needs the encoder's output for its pseudo-inputs")
    return components


class PseudoInputs(nn.Module):
    """Learned inputs of the VampPrior, in [0, 1], near 1/2 at the start."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(count, *shape))

    def forward(self) -> Tensor:
        """(count, *shape)."""
        return torch.sigmoid(self.logits)


def posterior(out: Tensor) -> tuple[Tensor, Tensor]:
    """The encoder's output (n, 2 latent) as mean and log variance."""
    mean, log_var = out.chunk(2, -1)
    return mean, log_var.clamp(*LOG_VAR)


class PosteriorMean(nn.Module):
    """The mean alone of what an encoder gives."""

    def forward(self, out: Tensor) -> Tensor:
        """(n, 2 latent) to (n, latent)."""
        return posterior(out)[0]
