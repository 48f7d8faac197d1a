"""In-network upsampling in one, two and three dimensions: what undoes a pooling, or a convolution with a stride.

An encoder halves sides rounding up: cell i of the smaller side covers places f i to f i + f - 1 of the larger one, and the
last cell may stick out. Every operator here makes the full f n places and crops those that stick out, at the far end, so
that whatever the size nothing is shifted. All take (n, channels, ...) to (n, channels, *size), by the same call, and may be
put into any decoder by name.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""torch's convolutions by their number of dimensions."""
SPREAD: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOL: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first `size` places of every side: (n, channels, ...) to (n, channels, *size)."""
    return x[(..., *(slice(side) for side in size))]


# -- operators without weights --------------------------------------------------------------------------------------


def nearest(x: Tensor, factor: int) -> Tensor:
    """Every value in all places of its block: sides times `factor`. The adjoint of the sum over blocks."""
    return F.interpolate(x, scale_factor=factor, mode="nearest-exact")  # exact: no rounding of places, whatever the factor


def bed_of_nails(x: Tensor, factor: int) -> Tensor:
    """Every value in the first place of its block, zeros elsewhere: the adjoint of x[::factor]."""
    out = x.new_zeros((*x.shape[:2], *(factor * side for side in x.shape[2:])))
    out[(..., *(slice(None, None, factor) for _ in x.shape[2:]))] = x
    return out


def linear(x: Tensor, factor: int) -> Tensor:
    """Linear interpolation along every side, between the centres of blocks; constant beyond the last centre."""
    return F.interpolate(x, scale_factor=factor, mode=LINEAR[x.ndim - 2], align_corners=False)


def max_pooling(x: Tensor, factor: int, kernel: int = 0) -> tuple[Tensor, Tensor]:
    """Maxima of blocks, the last block smaller where sides do not divide, and switches: where in its plane each came from.

    A switch is the flat index into a plane of x, (n, channels, ...) for each. Of equal values the first has it.

    Args:
        x: (n, channels, ...).
        factor: the stride, and the side of a block unless `kernel` says otherwise.
        kernel: side of a block; larger than the stride, blocks overlap.
    """
    return MAX_POOL[x.ndim - 2](x, kernel or factor, factor, ceil_mode=True, return_indices=True)


def max_unpooling(y: Tensor, switches: Tensor, size: Sequence[int]) -> Tensor:
    """Values where their switches point, zeros elsewhere: (n, channels, ...) to (n, channels, *size).

    `size` has to be that of the tensor that was pooled: switches count along its sides. Blocks that overlap can share a
    maximum; what is sent to one place is added, so that this is the adjoint of reading values at the switches. Without
    overlaps the result, pooled again, is max(y, 0).
    """
    flat = y.new_zeros((*y.shape[:2], math.prod(size)))
    return flat.scatter_add(2, switches.flatten(2), y.flatten(2)).unflatten(2, tuple(size))


def shuffled(x: Tensor, factor: int) -> Tensor:
    """Groups of factor^dims channels dealt out to the places of a block (pixel shuffle): channels fall, sides grow."""
    dims, sides = x.ndim - 2, x.shape[2:]
    if dims == 2:
        return F.pixel_shuffle(x, factor)
    blocks = x.unflatten(1, (-1, *(dims * [factor])))
    order = [0, 1, *itertools.chain.from_iterable((2 + dims + i, 2 + i) for i in range(dims))]
    return blocks.permute(order).reshape(len(x), -1, *(factor * side for side in sides))


# -- kernels --------------------------------------------------------------------------------------------------------


def tent(kernel: int) -> Tensor:
    """Weights of linear interpolation along one side, `kernel` places wide: (kernel,).

    With a stride s the kernel 2 s - s mod 2 interpolates between centres; each of its phases sums to 1.
    """
    half = (kernel + 1) // 2
    centre = half - 1 if kernel % 2 else half - 0.5
    return 1 - (torch.arange(kernel) - centre).abs() / half


def interpolating(channels: int, dims: int, kernel: int) -> Tensor:
    """A weight of a transpose convolution that interpolates each channel by itself: (channels, channels, kernel, ...).

    Long, Shelhamer and Darrell 2015: a product of tents on the diagonal, zeros elsewhere, since a dense weight would mix
    the channels.
    """
    profile = tent(kernel)
    product = profile
    for _ in range(dims - 1):
        product = product[..., None] * profile
    weight = torch.zeros(channels, channels, *product.shape)
    weight[range(channels), range(channels)] = product
    return weight


# -- operators for decoders -----------------------------------------------------------------------------------------


class Upsampling(nn.Module):
    """What every operator is in a decoder.

    Args:
        channels: of input and output.
        dims: sides of an example, 1 to 3.
        factor: how much larger the sides become.
    """

    switched = False
    """Whether it needs the switches of the pooling that it undoes."""

    def __init__(self, channels: int, dims: int, factor: int = 2) -> None:
        super().__init__()
        self.channels, self.dims, self.factor = channels, dims, factor

    def full(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to sides `factor` times as long."""
        raise NotImplementedError

    def forward(self, x: Tensor, size: Sequence[int], switches: Tensor | None = None) -> Tensor:
        """(n, channels, ...) to (n, channels, *size), where each side of x is that of `size` over the factor, rounded up."""
        return crop(self.full(x), size)


class Nearest(Upsampling):
    """Nearest unpooling."""

    def full(self, x: Tensor) -> Tensor:
        """Copies."""
        return nearest(x, self.factor)


class BedOfNails(Upsampling):
    """Bed of nails."""

    def full(self, x: Tensor) -> Tensor:
        """Values at the first place of each block."""
        return bed_of_nails(x, self.factor)


class Linear(Upsampling):
    """Linear, bilinear or trilinear interpolation."""

    def full(self, x: Tensor) -> Tensor:
        """Interpolated values."""
        return linear(x, self.factor)


class MaxUnpooling(Upsampling):
    """Max unpooling with the switches of the pooling that it undoes (Zeiler and Fergus 2014; SegNet)."""

    switched = True

    def forward(self, x: Tensor, size: Sequence[int], switches: Tensor | None = None) -> Tensor:
        """Values where the switches, of the shape of x, point in planes of `size`."""
        if switches is None or switches.shape != x.shape:
            found = "none" if switches is None else str(tuple(switches.shape))
            raise ValueError(f"Max unpooling of {tuple(x.shape)} needs switches of that shape; found {found}.")
        return max_unpooling(x, switches, size)


class Transpose(Upsampling):
    """Transpose convolution that starts as linear interpolation of each channel, and learns the rest."""

    def __init__(self, channels: int, dims: int, factor: int = 2) -> None:
        super().__init__(channels, dims, factor)
        kernel = 2 * factor - factor % 2
        self.padding = math.ceil((factor - 1) / 2)
        self.weight = nn.Parameter(interpolating(channels, dims, kernel))

    def full(self, x: Tensor) -> Tensor:
        """Every value's copies of the filter, summed; the padding leaves exactly `factor` times the sides."""
        return SPREAD[self.dims](x, self.weight, stride=self.factor, padding=self.padding)


class PixelShuffle(Upsampling):
    """A convolution to factor^dims times the channels, dealt out to blocks; it starts with equal values in each block."""

    def __init__(self, channels: int, dims: int, factor: int = 2) -> None:
        super().__init__(channels, dims, factor)
        self.conv = CONVOLUTIONS[dims](channels, channels * factor**dims, 3, padding=1)
        with torch.no_grad():  # one filter for all places of a block, so that no checkerboard is there to begin with
            for parameter in self.conv.parameters():
                parameter.copy_(parameter[:channels].repeat_interleave(factor**dims, 0))

    def full(self, x: Tensor) -> Tensor:
        """Convolved and dealt out."""
        return shuffled(self.conv(x), self.factor)


class ResizeConvolution(Upsampling):
    """Nearest unpooling, then a convolution: every place sees as many inputs as its neighbours (Odena et al. 2016)."""

    def __init__(self, channels: int, dims: int, factor: int = 2) -> None:
        super().__init__(channels, dims, factor)
        self.conv = CONVOLUTIONS[dims](channels, channels, 3, padding=1)

    def full(self, x: Tensor) -> Tensor:
        """Copied and convolved."""
        return self.conv(nearest(x, self.factor))


UPSAMPLINGS: dict[str, type[Upsampling]] = {
    "nearest": Nearest,
    "bed_of_nails": BedOfNails,
    "max_unpooling": MaxUnpooling,
    "transpose": Transpose,
    "bilinear": Linear,
    "pixel_shuffle": PixelShuffle,
    "resize_convolution": ResizeConvolution,
}
"""The operators by their names."""
