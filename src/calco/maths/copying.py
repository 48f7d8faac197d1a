"""Whether generated examples are copies of training examples: their nearest neighbours there, against held-out data's."""

from typing import NamedTuple

import torch
from torch import Tensor

from calco.processor import quick_bf16

ROWS = 64
"""Rows of a matrix of distances that are held at once: few, since new memory costs more time than the products."""
CLOSE = 0.05
"""The share of held-out examples by whose distance to the training examples a sample is called close."""
BEST, BEST_LOW = 4, 32
"""Neighbours by inexact distances of which the nearest is found by exact ones; the second where those are in bf16."""
SURE = 3.0
"""Standard errors that both shares must lie above their expectations to speak of copies."""


class Nearest(NamedTuple):
    """Of each example, the Euclidean distance to its nearest neighbour in another set, and that one's row: (n,) each."""

    distance: Tensor
    row: Tensor


def nearest(x: Tensor, others: Tensor) -> Nearest:
    """The nearest of `others`, (m, width), to each of x, (n, width)."""
    # Distances by matrix products lose the digits that tell a copy from what is nearly one, in low precision many: the best
    # are taken again.
    middle, low = others.mean(0), x.dtype == torch.float32 and x.device.type == "cpu" and quick_bf16()
    kind, best = (torch.bfloat16, BEST_LOW) if low else (x.dtype, BEST)
    centred = others - middle
    length, centred, best = centred.square().sum(1), centred.to(kind), min(best, len(others))
    rows = torch.cat(
        [
            (length - 2 * ((part - middle).to(kind) @ centred.T).to(x.dtype)).topk(best, 1, False).indices
            for part in x.split(ROWS)
        ]
    )
    distance, which = torch.cat(
        [(part[:, None] - others[some]).norm(dim=2) for part, some in zip(x.split(ROWS), rows.split(ROWS), strict=True)]
    ).min(1)
    return Nearest(distance, rows.gather(1, which[:, None])[:, 0])


class Copying(NamedTuple):
    """Two shares of the samples that rise where a model copies, each with its standard error, and the pairs."""

    close: float
    """Nearer to a training example than all but `CLOSE` of the held-out examples: `CLOSE` is expected. Blur raises it too."""
    close_error: float
    sided: float
    """Nearest to a training example among those and the held-out ones. Noise does not lower it."""
    sided_error: float
    expected: float
    """The part of the training examples among both: what `sided` is without copying."""
    pairs: Nearest
    """Of each sample, the nearest training example."""

    @property
    def suspected(self) -> bool:
        """Whether both lie far above what is expected of samples that know the distribution but not the examples."""
        return self.close - CLOSE > SURE * self.close_error and self.sided - self.expected > SURE * self.sided_error


def copying(samples: Tensor, train: Tensor, held: Tensor) -> Copying:
    """Shares of samples (n, width) that lie closer to training examples than data that were not trained on.

    After the three-sample test of Meehan, Chaudhuri and Dasgupta 2020. Samples that share a neighbour are no independent
    evidence, of a collapsed model in particular: errors count neighbours, not samples.

    Args:
        samples: of the model.
        train: (m, width), all training examples.
        held: (k, width), others from the same distribution.
    """
    n = len(samples)
    pairs, bound = nearest(samples, train), nearest(held, train).distance.quantile(CLOSE)
    close = (pairs.distance < bound).double()
    share = float(close.mean())
    by_example = torch.zeros(len(train), dtype=torch.float64).index_add_(0, pairs.row, close - share)
    # The bound is itself an estimate, of a quantile.
    close_error = float((by_example.square().sum() / n**2 + CLOSE * (1 - CLOSE) / len(held)).sqrt())
    expected = len(train) / (len(train) + len(held))
    other = nearest(samples, held)
    sided = pairs.distance <= other.distance
    crowd = torch.bincount(torch.where(sided, pairs.row, len(train) + other.row)).double()
    sided_error = float(crowd.norm() / n) * (expected * (1 - expected)) ** 0.5
    return Copying(share, close_error, float(sided.double().mean()), sided_error, expected, pairs)
