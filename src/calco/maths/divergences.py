"""Normal densities, their divergences, and bounds made from importance weights. All in nats."""

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def normal_log_prob(z: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0) -> Tensor:
    """log N(z; mean, exp(log_var)), elementwise."""
    log_var = torch.as_tensor(log_var, dtype=z.dtype, device=z.device)
    return -0.5 * (LOG_2PI + log_var + (z - mean) ** 2 * torch.exp(-log_var))


def normal_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)), elementwise (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var)


def bernoulli_entropy(p: Tensor) -> Tensor:
    """Entropy of a Bernoulli variable of mean p, elementwise."""
    return torch.special.entr(p) + torch.special.entr(1 - p)


def importance_bound(log_w: Tensor) -> Tensor:
    """log of the mean of importance weights over the last axis (Burda et al. 2016, equation 8): (n, k) to (n,)."""
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def importance_error(log_w: Tensor) -> Tensor:
    """Standard error of `importance_bound` by the delta method: std(w) / (mean(w) sqrt(k)), (n, k) to (n,).

    Not a number for k = 1, where a spread cannot be known.
    """
    k = log_w.shape[-1]
    if k == 1:
        return torch.full(log_w.shape[:-1], math.nan, dtype=log_w.dtype, device=log_w.device)
    ratio = k * torch.softmax(log_w, -1)  # w over its mean
    return ratio.std(-1) / math.sqrt(k)
