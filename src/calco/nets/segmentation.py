"""Fully convolutional nets that label every place of a signal, an image or a volume.

A trunk halves the sides level by level; a decoder brings the classes' scores back to full size. Two decoders make all
architectures: scores of the coarsest level, refined by those of finer ones (FCN), or a mirror of the trunk, with or without
its maps (SegNet, DeconvNet, U-Net). How either goes up is an operator of `calco.nets.upsampling`, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from calco.nets.upsampling import CONVOLUTIONS, UPSAMPLINGS, max_pooling

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Levels(NamedTuple):
    """What a trunk makes of an example: at each level its map before pooling, that after it and the pooling's switches."""

    maps: list[Tensor]
    pooled: list[Tensor]
    switches: list[Tensor]
    bottom: Tensor


def block(channels: int, out: int, dims: int, kernel: int = 3, act: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation, and a ReLU unless `act` is False: (n, channels, ...) to (n, out, ...)."""
    conv = CONVOLUTIONS[dims](channels, out, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, NORMS[dims](out), *([nn.ReLU(inplace=True)] if act else []))


def stage(channels: int, widths: Sequence[int], dims: int, act: bool = True) -> nn.Sequential:
    """Blocks one after the other, of these widths."""
    steps = zip((channels, *widths[:-1]), widths, strict=True)
    return nn.Sequential(*(block(a, b, dims, act=act) for a, b in steps))


class Trunk(nn.Module):
    """Levels of `blocks` convolutions and a max pooling each, as in VGG, and perhaps a bottom below the last.

    Args:
        channels: of an example.
        widths: of the levels.
        blocks: convolutions in a level.
        dims: sides of an example, 1 to 3.
        bottom: side of the first kernel of the bottom, two convolutions at the coarsest sides; 0 for none.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, dims: int, bottom: int = 3) -> None:
        super().__init__()
        self.dims, self.widths = dims, tuple(widths)
        entries = (channels, *widths[:-1])
        self.levels = nn.ModuleList(stage(a, [b] * blocks, dims) for a, b in zip(entries, widths, strict=True))
        last = widths[-1]
        self.bottom = (
            nn.Sequential(block(last, 2 * last, dims, bottom), block(2 * last, last, dims)) if bottom else nn.Identity()
        )

    def forward(self, x: Tensor) -> Levels:
        """(n, channels, ...) to its levels, the sides of each half of those before, rounded up."""
        maps, pooled, switches = [], [], []
        for level in self.levels:
            x = level(x)
            maps.append(x)
            x, switch = max_pooling(x, 2)
            pooled.append(x)
            switches.append(switch)
        return Levels(maps, pooled, switches, self.bottom(x))


class ScoreDecoder(nn.Module):
    """Scores of the coarsest level and, added to them on the way up, of the pooled maps of `skips` finer ones (FCN).

    Long, Shelhamer and Darrell 2015. The finer scores start at zero: a net with skips begins as one without.
    """

    def __init__(self, trunk: Trunk, classes: int, upsampling: str, skips: int) -> None:
        super().__init__()
        dims, widths = trunk.dims, trunk.widths
        operator = UPSAMPLINGS[upsampling]
        self.score = CONVOLUTIONS[dims](widths[-1], classes, 1)
        finer = [len(widths) - 2 - i for i in range(skips)]
        self.finer = finer
        self.scores = nn.ModuleList(CONVOLUTIONS[dims](widths[i], classes, 1) for i in finer)
        for score in self.scores:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)
        self.ups = nn.ModuleList(operator(classes, dims) for _ in finer)
        self.last = operator(classes, dims, 2 ** (len(widths) - skips))

    def forward(self, levels: Levels, size: Sequence[int]) -> list[Tensor]:
        """Scores (n, classes, *size), and the coarser ones on the way to them, the finest first."""
        score = self.score(levels.bottom)
        coarser = []
        for i, head, up in zip(self.finer, self.scores, self.ups, strict=True):
            coarser.insert(0, score)
            skip = levels.pooled[i]
            score = up(score, skip.shape[2:]) + head(skip)
        return [self.last(score, size), *coarser]


class MirrorDecoder(nn.Module):
    """The trunk's levels backwards: each goes up, takes the trunk's map of that level or not, and has as many convolutions.

    Args:
        trunk: whose mirror it is.
        classes: how many.
        upsampling: by name.
        skips: none, add or concat the maps.
        act: whether its convolutions have a ReLU.
        deep: scores of the coarser levels too.
    """

    def __init__(self, trunk: Trunk, classes: int, blocks: int, upsampling: str, skips: str, act: bool, deep: bool) -> None:
        super().__init__()
        self.skips, dims, widths = skips, trunk.dims, trunk.widths
        self.ups = nn.ModuleList(UPSAMPLINGS[upsampling](width, dims) for width in widths)
        self.levels, self.heads = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            out = widths[max(i - 1, 0)]
            entry = 2 * width if skips == "concat" else width
            self.levels.append(stage(entry, [width] * (blocks - 1) + [out], dims, act))
            self.heads.append(CONVOLUTIONS[dims](out, classes, 1) if i == 0 or deep else nn.Identity())
        self.deep = deep

    def forward(self, levels: Levels, size: Sequence[int]) -> list[Tensor]:
        """Scores (n, classes, *size), and with `deep` those of coarser levels, the finest first."""
        x, scores = levels.bottom, []
        for i in range(len(self.levels) - 1, -1, -1):
            skip = levels.maps[i]
            x = self.ups[i](x, skip.shape[2:], levels.switches[i])
            if self.skips != "none":
                x = x + skip if self.skips == "add" else torch.cat((x, skip), 1)
            x = self.levels[i](x)
            if i == 0 or self.deep:
                scores.insert(0, self.heads[i](x))
        return scores


@dataclass(frozen=True)
class Architecture:
    """What makes one net of the shared parts: the kernel of the bottom, the decoder's skips, its operator by default."""

    upsampling: str
    skips: int | str
    bottom: int = 3
    act: bool = True


ARCHITECTURES = {
    "fcn32s": Architecture("transpose", 0, bottom=7),
    "fcn16s": Architecture("transpose", 1, bottom=7),
    "fcn8s": Architecture("transpose", 2, bottom=7),
    "deconvnet": Architecture("max_unpooling", "none", bottom=7),
    "segnet": Architecture("max_unpooling", "none", bottom=0, act=False),
    "unet": Architecture("transpose", "concat"),
}
"""By name. The numbers of the first three are those of five levels: the coarsest cell that is scored has 2^levels places."""


class SegmentationNet(nn.Module):
    """A trunk and a decoder."""

    def __init__(self, trunk: Trunk, decoder: nn.Module) -> None:
        super().__init__()
        self.trunk, self.decoder = trunk, decoder

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, channels, ...) of any size to scores (n, classes, ...), and coarser ones the decoder gives beside them."""
        return self.decoder(self.trunk(x), x.shape[2:])
