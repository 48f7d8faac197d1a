"""Local contrast normalisation: examples that look alike in sun and in shade."""

import torch
from torch import Tensor, nn

FLOOR = 0.02
"""Added to the deviation, in parts of the data's range: what varies less is noise, not to be blown up."""


def window_means(x: Tensor, side: int) -> Tensor:
    """Means over windows of `side` places about each place, cut off at the borders: (n, channels, ...) to the same.

    An even side counts as the next odd one. It takes as long for large windows as for small ones.
    """
    # Differences of long sums lose digits, and what is left would depend on where a tile begins.
    total = torch.float32 if x.device.type == "mps" else torch.float64
    for axis in range(2, x.ndim):
        place = torch.arange(x.shape[axis], device=x.device)
        low, high = (place - side // 2).clamp_min(0), (place + side // 2 + 1).clamp_max(len(place))
        sums = torch.cat((torch.zeros_like(x.narrow(axis, 0, 1), dtype=total), x.cumsum(axis, dtype=total)), axis)
        counts = (high - low).view(-1, *[1] * (x.ndim - axis - 1))
        x = ((sums.index_select(axis, high) - sums.index_select(axis, low)) / counts).to(x.dtype)
    return x


class LocalContrast(nn.Module):
    """Examples less the mean of a window about each place, over the deviation of all channels in that window.

    Subtractive and divisive normalisation after Jarrett et al. 2009, with a flat window; SegNet's images of
    roads go through the like (Badrinarayanan, Kendall and Cipolla 2017).
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to the same."""
        x = x - window_means(x, self.side)
        return x / (window_means(x.square().mean(1, keepdim=True), self.side).clamp_min(0).sqrt() + FLOOR)
