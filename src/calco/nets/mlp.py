"""Multilayer perceptrons."""

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from calco.errors import one_of
from calco.nets.dropout import Dropout

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """An activation by name.

    Raises:
        RequestError: the name is unknown.
    """
    if name not in ACTIVATIONS:
        raise one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


class MLP(nn.Sequential):
    """Layers of `hidden` units between `features` inputs, flattened, and outputs of shape `(out,)` or `out`."""

    def __init__(
        self,
        features: int,
        hidden: Sequence[int],
        out: int | tuple[int, ...],
        act: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        shape = (out,) if isinstance(out, int) else out
        widths = [features, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), activation(act)]
            if dropout:
                layers.append(Dropout(dropout))
        size = 1
        for side in shape:
            size *= side
        layers.append(nn.Linear(widths[-1], size))
        if len(shape) > 1:
            layers.append(nn.Unflatten(1, shape))
        super().__init__(*layers)
        for layer in self:
            if isinstance(layer, nn.Linear):  # torch's own bounds let signals fade with depth (Glorot and Bengio 2010)
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(n, ...) to (n, *out)."""
        return super().forward(input)
