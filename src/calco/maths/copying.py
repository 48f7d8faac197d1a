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
TIE = 1e-5
"""Share of a squared distance by which neighbours may differ and count as equally near."""
SURE = 3.0
"""Standard errors that both shares must lie above their expectations to speak of copies."""


class Nearest(NamedTuple):
    """Of each example, the Euclidean distance to its nearest neighbour in another set, and that one's row: (n,) each."""

    distance: Tensor
    row: Tensor


def nearest(x: Tensor, others: Tensor) -> Nearest:
    """The nearest of `others`, (m, width), to each of x, (n, width).

    By matrix products, whose distances lose the digits that tell a copy from what is nearly one: the best are taken again, and
    where rounding may have hidden a nearer one, all are, each time more exactly.
    """
    kinds = [(x.dtype, BEST)]
    if x.dtype == torch.float32 and x.device.type == "cpu" and quick_bf16():
        kinds.insert(0, (torch.bfloat16, BEST_LOW))
    distance, row = x.new_empty(len(x)), torch.empty(len(x), dtype=torch.long, device=x.device)
    left = torch.arange(len(x), device=x.device)
    for kind, best in kinds:
        if not len(left):
            break
        distance[left], row[left], sure = _by_products(x[left], others, kind, best)
        left = left[~sure]
    for some in left.split(ROWS):
        apart = torch.cdist(x[some], others, compute_mode="donot_use_mm_for_euclid_dist")
        distance[some], row[some] = apart.min(1)
    return Nearest(distance, row)


def _by_products(x: Tensor, others: Tensor, kind: torch.dtype, best: int) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest among the `best` by products in this precision, and whether it is nearest of all: distance, row, sure."""
    middle, best = others.mean(0), min(best, len(others))
    centred = others - middle
    square = centred.square().sum(1)
    centred, far = centred.to(kind), square.max().sqrt()
    parts = []
    for part in x.split(ROWS):
        here = part - middle
        short = (square - 2 * (here.to(kind) @ centred.T).to(x.dtype)).topk(best, 1, False)
        distance, which = (part[:, None] - others[short.indices]).norm(dim=2).min(1)
        # In low precision both factors and their product were rounded, by half an eps each; else what a sum of so many adds.
        slack = (3 if kind != x.dtype else 8 + x.shape[1] ** 0.5) * torch.finfo(kind).eps
        own = here.square().sum(1)
        least = own + short.values[:, -1] - slack * own.sqrt() * far
        sure = (distance == 0) | (distance.square() * (1 - TIE) <= least)
        parts.append((distance, short.indices.gather(1, which[:, None])[:, 0], sure | (best == len(others))))
    distances, rows, sures = zip(*parts, strict=True)
    return torch.cat(distances), torch.cat(rows), torch.cat(sures)


class Copying(NamedTuple):
    """Two shares of the samples that rise where a model copies, each with its standard error, and the pairs."""

    close: float
    """As near to a training example as the nearest `CLOSE` of the held-out examples are. Blur raises it too."""
    close_error: float
    usual: float
    """The share of held-out examples as near: what `close` is without copying; above `CLOSE` where many are equally near."""
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
        return self.close - self.usual > SURE * self.close_error and self.sided - self.expected > SURE * self.sided_error


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
    pairs, other = nearest(samples, train), nearest(held, train).distance
    bound = other.quantile(CLOSE)
    close, usual = (pairs.distance <= bound).double(), float((other <= bound).double().mean())
    share = float(close.mean())
    by_example = torch.zeros(len(train), dtype=torch.float64).index_add_(0, pairs.row, close - share)
    # The bound is itself an estimate, of a quantile.
    close_error = float((by_example.square().sum() / n**2 + usual * (1 - usual) / len(held)).sqrt())
    expected = len(train) / (len(train) + len(held))
    other = nearest(samples, held)
    # Where both are equally near, as duplicates are, the sample is shared out as chance would.
    sided = torch.where(pairs.distance == other.distance, expected, (pairs.distance < other.distance).double())
    crowd = torch.bincount(torch.where(sided >= expected, pairs.row, len(train) + other.row)).double()
    sided_error = float(crowd.norm() / n) * (expected * (1 - expected)) ** 0.5
    return Copying(share, close_error, usual, float(sided.mean()), sided_error, expected, pairs)
