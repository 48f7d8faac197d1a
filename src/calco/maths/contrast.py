"""Telling views of one example from views of others."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_view_entropy(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Mean cross entropy of finding the other view of each among all views in the batch (Chen et al. 2020, equation 1).

    Args:
        a: of views, (n, width); scaled to length 1 here.
        b: of other views of the same examples, (n, width).
        temperature: that cosines are divided by.

    Returns:
        A scalar, nats; log(2 n - 1) for views that tell nothing.
    """
    n = len(a)
    both = F.normalize(torch.cat((a, b)), dim=1)
    cosines = both @ both.T / temperature
    own = torch.eye(2 * n, dtype=torch.bool, device=both.device)
    return F.cross_entropy(cosines.masked_fill(own, -torch.inf), torch.arange(2 * n, device=both.device).roll(n))
