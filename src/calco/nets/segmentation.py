"""Fully convolutional nets that label every place of a signal, an image or a volume.

A trunk halves the sides level by level; a decoder brings the classes' scores back to full size. Two decoders make all
architectures: scores of the coarsest level, refined by those of finer ones (FCN), or a mirror of the trunk, with or without
its maps (SegNet, DeconvNet, U-Net). How either goes up is an operator of `calco.nets.upsampling`, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from calco.errors import RequestError
from calco.nets.contrast import LocalContrast
from calco.nets.conv import ConvEncoder
from calco.nets.upsampling import CONVOLUTIONS, UPSAMPLINGS, crop, linear, max_pooling

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Levels(NamedTuple):
    """What a trunk makes of an example: at each level its map before pooling, that after it and the pooling's switches."""

    maps: list[Tensor]
    pooled: list[Tensor]
    switches: list[Tensor]
    bottom: Tensor


def block(channels: int, out: int, dims: int, kernel: int = 3, act: bool = True, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, and a ReLU unless `act` is False: (n, channels, ...) to (n, out, ...)."""
    conv = CONVOLUTIONS[dims](channels, out, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, NORMS[dims](out), *([nn.ReLU(inplace=True)] if act else []))


def stage(channels: int, widths: Sequence[int], dims: int, kernel: int, act: bool = True) -> nn.Sequential:
    """Blocks one after the other, of these widths."""
    steps = zip((channels, *widths[:-1]), widths, strict=True)
    return nn.Sequential(*(block(a, b, dims, kernel, act) for a, b in steps))


class Trunk(nn.Module):
    """What decoders know of a trunk: sides of an example, channels of the maps and of the bottom, sides of kernels.

    It works on what a stem made of an example; `stem` is the stride of that.
    """

    dims: int
    widths: tuple[int, ...]
    last: int
    stem: int = 1
    kernel: int = 3


class PoolingTrunk(Trunk):
    """Levels of `blocks` convolutions and a max pooling each, as in VGG, and perhaps a bottom below the last.

    Args:
        channels: of an example.
        widths: of the levels.
        blocks: convolutions in a level.
        dims: sides of an example, 1 to 3.
        bottom: side of the first kernel of the bottom, two convolutions at the coarsest sides; 0 for none.
        stem: stride of a convolution before the first level.
        kernel: sides of the kernels of the levels, odd.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], blocks: int, dims: int, bottom: int = 3, stem: int = 1, kernel: int = 3
    ) -> None:
        super().__init__()
        self.dims, self.widths, self.last, self.stem, self.kernel = dims, tuple(widths), widths[-1], stem, kernel
        self.entry = block(channels, widths[0], dims, stem + 2 + stem % 2, stride=stem) if stem > 1 else nn.Identity()
        entries = (widths[0] if stem > 1 else channels, *widths[:-1])
        self.levels = nn.ModuleList(stage(a, [b] * blocks, dims, kernel) for a, b in zip(entries, widths, strict=True))
        self.bottom = nn.Sequential()
        if bottom:
            self.bottom.extend((block(self.last, 2 * self.last, dims, bottom), block(2 * self.last, self.last, dims)))

    def forward(self, x: Tensor) -> Levels:
        """(n, channels, ...) to its levels, the sides of each half of those before, rounded up."""
        maps, pooled, switches = [], [], []
        x = self.entry(x)
        for level in self.levels:
            x = level(x)
            maps.append(x)
            x, switch = max_pooling(x, 2)
            pooled.append(x)
            switches.append(switch)
        return Levels(maps, pooled, switches, self.bottom(x))


class EncoderTrunk(Trunk):
    """The convolutions of an image encoder as a trunk: its first convolution with a stride is the stem, the others pool."""

    stem = 2
    dims = 2

    def __init__(self, encoder: ConvEncoder) -> None:
        super().__init__()
        layers = list(encoder.body)
        starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        ends = [*starts[1:], len(encoder.body)]
        self.steps = nn.ModuleList(encoder.body[i:j] for i, j in zip(starts, ends, strict=True))
        channels = [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)]
        if len(channels) < 2:
            raise RequestError("These images are too small for an encoder with levels to decode from.")
        self.widths, self.last = tuple(channels[:-1]), channels[-1]

    def forward(self, x: Tensor) -> Levels:
        """(n, channels, height, width) to its levels."""
        maps, pooled = [], []
        step: Any
        for i, step in enumerate(self.steps):
            x = step[0](x)
            if i:
                pooled.append(x)
            x = step[1:](x)
            maps.append(x)
        return Levels(maps[:-1], pooled, [], maps[-1])


class ScoreDecoder(nn.Module):
    """Scores of the coarsest level and, added to them on the way up, of the pooled maps of `skips` finer ones (FCN).

    Long, Shelhamer and Darrell 2015. The finer scores start at zero: a net with skips begins as one without.
    """

    def __init__(self, trunk: Trunk, classes: int, upsampling: str, skips: int) -> None:
        super().__init__()
        dims, widths = trunk.dims, trunk.widths
        operator = UPSAMPLINGS[upsampling]
        self.score = CONVOLUTIONS[dims](trunk.last, classes, 1)
        finer = [len(widths) - 2 - i for i in range(skips)]
        self.finer = finer
        self.scores = nn.ModuleList(CONVOLUTIONS[dims](widths[i], classes, 1) for i in finer)
        for parameter in self.scores.parameters():
            nn.init.zeros_(parameter)
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
        entries = (*widths[:-1], trunk.last)
        self.ups = nn.ModuleList(UPSAMPLINGS[upsampling](entry, dims) for entry in entries)
        self.levels, self.heads = nn.ModuleList(), nn.ModuleList()
        for i, (entry, width) in enumerate(zip(entries, widths, strict=True)):
            out = widths[max(i - 1, 0)]
            both = entry + width if skips == "concat" else entry
            self.levels.append(stage(both, [width] * (blocks - 1) + [out], dims, trunk.kernel, act))
            self.heads.append(CONVOLUTIONS[dims](out, classes, 1) if i == 0 or deep else nn.Identity())
        self.deep = deep

    def forward(self, levels: Levels, size: Sequence[int]) -> list[Tensor]:
        """Scores (n, classes, *size), and with `deep` those of coarser levels, the finest first."""
        x, scores = levels.bottom, []
        for i in range(len(self.levels) - 1, -1, -1):
            skip = levels.maps[i]
            x = self.ups[i](x, skip.shape[2:], levels.switches[i] if levels.switches else None)
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
    """A trunk, a decoder, and interpolation back over the trunk's stem; before them what all examples go through."""

    def __init__(self, trunk: Trunk, decoder: nn.Module, front: nn.Module) -> None:
        super().__init__()
        self.front, self.trunk, self.decoder = front, trunk, decoder
        self.cell = trunk.stem * 2 ** len(trunk.widths)
        """Sides of the coarsest cell, in places of an example."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, channels, ...) of any size to scores (n, classes, ...), and coarser ones the decoder gives beside them."""
        stem, size = self.trunk.stem, x.shape[2:]
        scores = self.decoder(self.trunk(self.front(x)), [-(-side // stem) for side in size])
        return scores if stem == 1 else [crop(linear(scores[0], stem), size), *scores[1:]]


def make_segmentation_net(
    architecture: str,
    trunk: Trunk,
    classes: int,
    *,
    upsampling: str = "auto",
    skips: str = "auto",
    blocks: int = 2,
    deep: bool = False,
    contrast: int = 0,
) -> SegmentationNet:
    """The net of an architecture's name.

    Args:
        architecture: one of `ARCHITECTURES`.
        trunk: whose levels it decodes.
        classes: how many.
        upsampling: one of `UPSAMPLINGS`, or auto for the architecture's own.
        skips: none, add or concat for decoders that mirror the trunk, or auto.
        blocks: convolutions in a level of such a decoder.
        deep: scores of coarser levels too.
        contrast: side of the windows of local contrast normalisation, 0 for none.

    Raises:
        RequestError: these do not go together.
    """
    plan = ARCHITECTURES[architecture]
    front = LocalContrast(contrast) if contrast else nn.Identity()
    operator = plan.upsampling if upsampling == "auto" else upsampling
    switched, pools = UPSAMPLINGS[operator].switched, isinstance(trunk, PoolingTrunk)
    if switched and not (pools and isinstance(plan.skips, str)):
        why = "scores have no pooling to undo" if pools else "the encoder of a run halves by convolutions, not by pooling"
        others = ", ".join(name for name, kind in UPSAMPLINGS.items() if not kind.switched)
        raise RequestError(f"max_unpooling does not go with {architecture} here: {why}. Choose from {others}.")
    if isinstance(plan.skips, int):
        if skips != "auto":
            raise RequestError(f"{architecture} has skips of its own: leave skips at auto.")
        if len(trunk.widths) <= plan.skips:
            raise RequestError(f"{architecture} needs {plan.skips + 1} levels or more; there are {len(trunk.widths)}.")
        return SegmentationNet(trunk, ScoreDecoder(trunk, classes, operator, plan.skips), front)
    kind = plan.skips if skips == "auto" else skips
    if kind == "add" and trunk.last != trunk.widths[-1]:
        raise RequestError("skips 'add' needs as many channels at the bottom as in the level above it: use 'concat'.")
    return SegmentationNet(trunk, MirrorDecoder(trunk, classes, blocks, operator, kind, plan.act, deep), front)
