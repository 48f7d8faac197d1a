"""Unknown values of an example given the known ones, from a model of codes."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from calco.maths import noise

Posterior = TypeVar("Posterior")


def metropolis_within_gibbs(
    x: Tensor,
    known: Tensor,
    z: Tensor,
    posterior: Callable[[Tensor], Posterior],
    propose: Callable[[Posterior], Tensor],
    weight: Callable[[Tensor, Tensor, Posterior], Tensor],
    draw: Callable[[Tensor], Tensor],
    sweeps: int,
) -> Tensor:
    """Draws of the unknown values of examples (Mattei and Frellsen 2018, algorithm 2).

    Codes and unknown values are drawn in turn: a code from what the encoder proposes for the example as it is filled now, taken
    with the probability that makes the chain exact in the long run; values from the decoder. The first quarter of the sweeps
    takes every proposal, which brings chains near what is known.

    Args:
        x: examples (n, ...); only known values count.
        known: booleans like x.
        z: codes to begin with, (n, width).
        posterior: of examples.
        propose: codes drawn from a posterior.
        weight: log p(x, z) - log q(z | x) of examples, codes and their posterior: (n,).
        draw: examples drawn given codes.
        sweeps: of the chain, at least 1.
    """
    x = torch.where(known, x, draw(z))
    for sweep in range(sweeps):
        q = posterior(x)
        new = propose(q)
        if sweep < sweeps // 4:
            z = new
        else:
            taken = noise.uniform(x.new_empty(len(x))).log() < weight(x, new, q) - weight(x, z, q)
            z = torch.where(taken[:, None], new, z)
        x = torch.where(known, x, draw(z))
    return x
