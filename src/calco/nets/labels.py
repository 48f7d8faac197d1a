"""Labels as inputs of a net."""

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.errors import RequestError


def with_label(x: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """Append the label's one-hot code to axis 1 of x, spread over space; x itself where `classes` is 0.

    Raises:
        RequestError: there are classes but no labels.
    """
    if not classes:
        return x
    if y is None:
        raise RequestError("This model is conditional on a label: give labels with the data.")
    code = F.one_hot(y, classes).to(x.dtype).reshape(*y.shape, classes, *[1] * (x.ndim - 2))
    return torch.cat((x, code.expand(len(x), classes, *x.shape[2:])), 1)
