"""Pictures of what upsampling operators do, with numbers small enough to follow by hand.

Every number in a picture comes from the operator itself; the pictures only place it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from calco.errors import RequestError, one_of
from calco.nets.upsampling import SPREAD, bed_of_nails, linear, max_pooling, max_unpooling, nearest, shuffled, tent
from calco.report.sheets import PLAIN, Sheet, extent, grid, heat, tint, told

NO_BREAK = "\N{NO-BREAK SPACE}"
MOST = 9
"""Copies of a filter that are drawn one by one at most."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: sides of kernel and input, stride, padding, output padding, dimensions."""

    kernel: int
    stride: int
    padding: int
    extra: int
    size: int
    dims: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return (self.size,) * self.dims


def numbers(asked: Asked) -> Tensor:
    """An input whose values are easily told apart: (1, 1, ...)."""
    return torch.arange(1.0, 1 + asked.size**asked.dims).view(1, 1, *asked.shape)


def plain(x: Tensor) -> np.ndarray:
    """(1, 1, ...) without the first two axes, two-dimensional."""
    return np.atleast_2d(x[0, 0].numpy())


def coloured(asked: Asked) -> Callable[[tuple[int, int]], Any]:
    """Each cell of the input in a colour of its own."""
    return lambda place: tint(place[0] * asked.size + place[1])


# -- the operators ------------------------------------------------------------------------------------------------------


def transpose(asked: Asked) -> Sheet:
    """Transpose convolution: copies of the filter, weighted by the input, summed where they overlap."""
    k, s, p, extra = asked.kernel, asked.stride, asked.padding, asked.extra
    x, weight = numbers(asked), torch.arange(1.0, 1 + k**asked.dims).view(1, 1, *(k,) * asked.dims)
    full = SPREAD[asked.dims](x, weight, stride=s)
    side = full.shape[2]
    kept = side - 2 * p + extra
    if kept < 1:
        raise RequestError(f"A padding of {p} takes all {side} places away: give less padding, or a larger input.")
    out = SPREAD[asked.dims](x, weight, stride=s, padding=p, output_padding=extra)
    if extra:
        full = torch.nn.functional.pad(full, (0, extra) * asked.dims)

    def cropped(place: tuple[int, int]) -> bool:
        places = place[2 - asked.dims :]
        return any(not p <= at < p + kept for at in places)

    side_of = f"({asked.size} - 1) x {s} + {k} - 2 x {p}{f' + {extra}' if extra else ''} = {kept}"
    sheet = Sheet(
        f"Transpose convolution: kernel {k}, stride {s}, padding {p}" + (f", output padding {extra}" if extra else ""),
        "Every input value multiplies a copy of the whole filter. Copies lie one stride apart; where they overlap they are "
        f"summed. Side of the output: {side_of.replace(' ', NO_BREAK)}.",
    )
    sheet.row(
        "",
        ("input", grid(plain(x), colour=coloured(asked)), extent(plain(x))),
        ("filter", grid(plain(weight)), extent(plain(weight))),
    )
    copies = []
    places = list(np.ndindex(*asked.shape))
    for index, place in enumerate(places[:MOST]):
        copy = float(x[0, 0][place]) * plain(weight)
        origin = tuple(s * at for at in place)
        origin = (0, origin[0]) if asked.dims == 1 else origin
        where = place[0] if asked.dims == 1 else f"{place[0]}, {place[1]}"
        copies.append(
            (f"{told(float(x[0, 0][place]))} x filter, at {where}", _copy(full, copy, origin, index), extent(plain(full)))
        )
    more = f" (the first {MOST} of {len(places)})" if len(places) > MOST else ""
    per = 1 if asked.dims == 1 else 4
    for start in range(0, len(copies), per):
        note = f"Copies of the filter, weighted by the input{more}" if start == 0 else ""
        sheet.row(note, *copies[start : start + per])
    counts = SPREAD[asked.dims](torch.ones_like(x), torch.ones_like(weight), stride=s)
    counts = torch.nn.functional.pad(counts, (0, extra) * asked.dims) if extra else counts
    most = float(counts.max())
    count = plain(counts)
    summed = grid(plain(full), colour=lambda place: heat(count[place], most), faded=cropped)
    covers = grid(count, colour=lambda place: heat(count[place], most), faded=cropped)
    if k % s == 0:
        verdict = "away from the border every place is covered alike, no checkerboard"
    else:
        verdict = "away from the border places are covered unevenly, as the kernel is no multiple of the stride: a checkerboard"
    sheet.row(
        f"{'What the padding crops is struck out. ' if p else ''}{verdict[0].upper()}{verdict[1:]}.",
        ("sum", summed, extent(count)),
        ("how many copies meet", covers, extent(count)),
        ("output", grid(plain(out)), extent(plain(out))),
    )
    return sheet


def _copy(full: Tensor, copy: np.ndarray, origin: tuple[int, ...], index: int) -> Callable[[Axes], None]:
    """A weighted filter in its place on the empty output."""
    base = plain(full)
    blank = grid(np.zeros_like(base), text=lambda place: "")
    mine = grid(copy, offset=origin, colour=lambda place: tint(index))

    def draw(axes: Axes) -> None:
        blank(axes)
        mine(axes)

    return draw


def _blocks(name: str, asked: Asked, text: str, operator: Callable[[Tensor, int], Tensor]) -> Sheet:
    """An operator that treats every block alike: input and output, in the colours of the input."""
    x, s = numbers(asked), asked.stride
    out = plain(operator(x, s))
    rows = 1 if asked.dims == 1 else s
    sheet = Sheet(f"{name}: factor {s}", text)
    owner = coloured(asked)
    sheet.row("", ("input", grid(plain(x), colour=owner), extent(plain(x))))
    shade = lambda place: owner((place[0] // rows, place[1] // s)) if out[place] else PLAIN  # noqa: E731
    sheet.row("", ("output", grid(out, colour=shade), extent(out)))
    return sheet


def nearest_sheet(asked: Asked) -> Sheet:
    """Nearest unpooling."""
    text = "Every input value fills its block. Going back, gradients of a block are summed."
    return _blocks("Nearest unpooling", asked, text, nearest)


def nails_sheet(asked: Asked) -> Sheet:
    """Bed of nails."""
    text = "Every input value stands at the first place of its block, with zeros around it."
    return _blocks("Bed of nails", asked, text, bed_of_nails)


def linear_sheet(asked: Asked) -> Sheet:
    """Linear interpolation."""
    s, x = asked.stride, numbers(asked)
    out = plain(linear(x, s))
    kernel = 2 * s - s % 2
    profile = tent(kernel).numpy()[None]
    name = {1: "Linear", 2: "Bilinear"}[asked.dims]
    sheet = Sheet(
        f"{name} interpolation: factor {s}",
        "Input values sit at the centres of their blocks; between centres the output goes straight from one to the next, "
        f"beyond the last it stays. A transpose convolution with these {kernel} weights along each side, stride {s}, does the "
        "same inside the border.",
    )
    sheet.row("", ("input", grid(plain(x), colour=coloured(asked)), extent(plain(x))))
    sheet.row("", ("weights along a side", grid(profile, size=6.5), extent(profile)))
    sheet.row("", ("output", grid(out, size=6.5, colour=lambda place: heat(out[place], float(out.max()))), extent(out)))
    return sheet


def switches_sheet(asked: Asked) -> Sheet:
    """Max pooling with switches, and max unpooling."""
    s, k, side = asked.stride, asked.kernel, asked.size * asked.stride
    if k < s:
        raise RequestError(f"Blocks of {k} places a stride of {s} apart leave places out: give a kernel of {s} or more.")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.permutation(side**asked.dims) + 1.0).view(1, 1, *(side,) * asked.dims)
    pooled, switches = max_pooling(x, s, k)
    out = max_unpooling(10 * pooled, switches, x.shape[2:])
    chosen = {int(v) for v in switches.flatten()}
    block = {int(v): i for i, v in enumerate(switches.flatten())}
    columns = plain(x).shape[1]
    shade = lambda place: tint(block[place[0] * columns + place[1]]) if place[0] * columns + place[1] in chosen else PLAIN  # noqa: E731
    small = plain(pooled)
    own = lambda place: tint(place[0] * small.shape[1] + place[1])  # noqa: E731
    sheet = Sheet(
        f"Max unpooling: blocks of {k}, stride {s}",
        "Pooling keeps the largest value of each block, and remembers where it stood: the switch, a place counted along the "
        "rows of its plane. Unpooling puts a value back at its switch, zeros elsewhere."
        + (" Blocks overlap here: two may have one switch, and what is sent there is added." if k > s else ""),
    )
    sheet.row("Down", ("what was pooled", grid(plain(x), colour=shade), extent(plain(x))))
    sheet.row(
        "",
        ("largest of each block", grid(small, colour=own), extent(small)),
        ("switches", grid(plain(switches), colour=own), extent(small)),
        ("values to bring up: ten times those", grid(10 * small, colour=own, size=7.5), extent(small)),
    )
    sheet.row("Up", ("unpooled", grid(plain(out), colour=shade, size=7.5), extent(plain(out))))
    return sheet


def shuffle_sheet(asked: Asked) -> Sheet:
    """Pixel shuffle."""
    s, count = asked.stride, asked.stride**asked.dims
    x = torch.stack([numbers(asked)[0, 0] + 10 * (i + 1) for i in range(count)])[None]
    out = plain(shuffled(x, s))
    sheet = Sheet(
        f"Pixel shuffle: factor {s}",
        f"A convolution makes {count} channels for each one of the output; they are dealt out to the {count} places of a block."
        " Tens name the channel and units the place: 13 is channel 1 at place 3.",
    )
    panels = [
        (f"channel {i + 1}", grid(np.atleast_2d(x[0, i].numpy()), colour=lambda place, i=i: tint(i)), extent(x[0, i].numpy()))
        for i in range(count)
    ]
    sheet.row("", *panels)
    sheet.row("", ("output", grid(out, colour=lambda place: tint(int(out[place]) // 10 - 1)), extent(out)))
    return sheet


def resize_sheet(asked: Asked) -> Sheet:
    """Resize-convolution."""
    k, s, x = asked.kernel, asked.stride, numbers(asked)
    large = nearest(x, s)
    weight = torch.ones(1, 1, *(k,) * asked.dims) / k**asked.dims
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}[asked.dims]
    out = plain(convolve(large, weight, padding=k // 2))
    rows = 1 if asked.dims == 1 else s
    owner = coloured(asked)
    sheet = Sheet(
        f"Resize-convolution: factor {s}, kernel {k}",
        "First every value fills its block, then a convolution goes over the result: each output place sees as many values as "
        "its neighbours, so that nothing can make a checkerboard. Drawn with a filter that averages.",
    )
    sheet.row("", ("input", grid(plain(x), colour=owner), extent(plain(x))))
    shade = lambda place: owner((place[0] // rows, place[1] // s))  # noqa: E731
    sheet.row("", ("nearest unpooling", grid(plain(large), colour=shade), extent(plain(large))))
    sheet.row("", ("output", grid(out, size=6.5, colour=lambda place: heat(out[place], float(out.max()))), extent(out)))
    return sheet


OPERATORS: dict[str, Callable[[Asked], Sheet]] = {
    "transpose-convolution": transpose,
    "nearest": nearest_sheet,
    "bed-of-nails": nails_sheet,
    "max-unpooling": switches_sheet,
    "bilinear": linear_sheet,
    "pixel-shuffle": shuffle_sheet,
    "resize-convolution": resize_sheet,
}
"""What can be drawn, by name."""


def explain(
    operator: str,
    path: Path,
    *,
    kernel: int = 3,
    stride: int = 2,
    padding: int = 0,
    output_padding: int = 0,
    size: int = 2,
    dims: int = 2,
) -> None:
    """Draw what an operator does to a png; its name may be that of a decoder's operator too.

    Raises:
        RequestError: there is no such operator, or the numbers make no sense.
    """
    operator = "transpose-convolution" if operator == "transpose" else operator.replace("_", "-")
    if operator not in OPERATORS:
        raise one_of("operator", operator, OPERATORS)
    for name, value, least, most in (
        ("kernel", kernel, 1, 9),
        ("stride", stride, 1, 6),
        ("padding", padding, 0, 8),
        ("output padding", output_padding, 0, stride - 1),
        ("size", size, 1, 6),
        ("dims", dims, 1, 2),
    ):
        if not least <= value <= most:
            raise RequestError(f"{name} is {value}: a picture can show {least} to {most}.")
    OPERATORS[operator](Asked(kernel, stride, padding, output_padding, size, dims)).save(path)
