"""RealNVP: an invertible net of affine couplings (Dinh, Sohl-Dickstein and Bengio 2017)."""

import torch
from torch import Tensor, nn

from calco.nets.mlp import MLP


class Coupling(nn.Module):
    """One half of the code shifts and scales the other; `flip` says which. It starts as the identity."""

    def __init__(self, features: int, hidden: int, flip: bool) -> None:
        super().__init__()
        self.split = features // 2
        self.flip = flip
        fixed, moved = self.split, features - self.split
        if flip:
            fixed, moved = moved, fixed
        self.net = MLP(fixed, [hidden, hidden], 2 * moved)
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def _halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        low, high = z[:, : self.split], z[:, self.split :]
        return (high, low) if self.flip else (low, high)

    def _join(self, fixed: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, fixed) if self.flip else (fixed, moved), 1)

    def _affine(self, fixed: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.net(fixed).to(fixed.dtype).chunk(2, 1)  # the net may run in less precision
        return shift, 2 * torch.tanh(raw / 2)  # a log scale within (-2, 2) keeps the inverse well conditioned

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z of shape (n, features) to u of the same shape and log |det du/dz| of shape (n,)."""
        fixed, moved = self._halves(z)
        shift, log_scale = self._affine(fixed)
        return self._join(fixed, moved * log_scale.exp() + shift), log_scale.sum(1)

    def inverse(self, u: Tensor) -> Tensor:
        """u to z."""
        fixed, moved = self._halves(u)
        shift, log_scale = self._affine(fixed)
        return self._join(fixed, (moved - shift) * torch.exp(-log_scale))


class RealNVP(nn.Module):
    """`layers` couplings in turn, each moving the half that the one before left in place."""

    def __init__(self, features: int, layers: int = 8, hidden: int = 256) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(features, hidden, flip=bool(i % 2)) for i in range(layers))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z of shape (n, features) to u of the same shape and log |det du/dz| of shape (n,)."""
        log_det = z.new_zeros(len(z))
        for coupling in self.couplings:
            z, step = coupling(z)
            log_det = log_det + step
        return z, log_det

    def inverse(self, u: Tensor) -> Tensor:
        """u to z."""
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, Coupling)
            u = coupling.inverse(u)
        return u
