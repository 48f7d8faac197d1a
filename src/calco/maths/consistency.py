"""Learning from examples without labels: predictions that hold still where the class does."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.maths import noise

REACH, NEIGHBOUR = 0.25, 10
"""The radius of adversarial moves: this share of the distance to that neighbour, as in IMSAT (Hu et al. 2017)."""


def confident(logits: Tensor, moved: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of other logits with the classes that are surely predicted (Sohn et al. 2020, equation 4).

    Args:
        logits: that say the class, (n, classes); no gradient goes there.
        moved: that are to say the same, (n, classes).
        threshold: least probability of the most probable class of an example that counts.

    Returns:
        The sum over the sure examples over n, and their share: scalars.
    """
    sure, told = torch.softmax(logits.detach(), 1).max(1)
    counted = (sure >= threshold).to(moved.dtype)
    return (F.cross_entropy(moved, told, reduction="none") * counted).mean(), counted.mean()


def divergence(logits: Tensor, moved: Tensor) -> Tensor:
    """Mean KL divergence between the classes that two logits give, (n, classes) each; no gradient goes to the first."""
    target = torch.log_softmax(logits.detach(), 1)
    return F.kl_div(torch.log_softmax(moved, 1), target, reduction="batchmean", log_target=True)


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the classes that logits (n, classes) give, in nats."""
    log_p = torch.log_softmax(logits, 1)  # finite where a probability is 0, and so is its gradient
    return -(log_p.exp() * log_p).sum(1).mean()


def adversarial(
    predict: Callable[[Tensor], Tensor], apart: Callable[[Tensor, Tensor], Tensor], x: Tensor, radius: float
) -> Tensor:
    """x moved by `radius` to where the prediction changes most (Miyato et al. 2018), found by one step from a random move.

    The step sets out from a move as long, where the paper takes an infinitesimal one: low precision does not resolve that.

    Args:
        predict: x to predictions.
        apart: how far two predictions are apart, a scalar.
        x: (n, ...).
        radius: Euclidean.
    """
    with torch.no_grad():
        here = predict(x)
    start = (x + radius * unit(noise.normal(x))).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(apart(here, predict(start)), start)
    return (x + radius * unit(slope)).detach()


def unit(x: Tensor) -> Tensor:
    """Each of x, (n, ...), made of length 1; what has no length stays as it is."""
    length = x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))
    return x / length.clamp_min(torch.finfo(x.dtype).tiny)


def reach(x: Tensor) -> float:
    """How far examples (n, ...) may be moved and stay what they are: a share of the mean distance to a neighbour."""
    flat = x.flatten(1)
    k = min(NEIGHBOUR + 1, len(flat))
    near = torch.cat([torch.cdist(part, flat).topk(k, largest=False).values[:, -1] for part in flat.split(1000)])
    return REACH * float(near.mean())
