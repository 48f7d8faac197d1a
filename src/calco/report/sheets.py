"""Sheets of panels, each a small grid of cells with numbers, drawn to a png."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calco.runs import written_aside

PLAIN, FAINT, INK = "#ffffff", "#ececec", "#222222"
PALETTE = colormaps["tab10"].colors  # type: ignore[attr-defined]


def tint(index: int, strength: float = 0.35) -> tuple[float, ...]:
    """A light shade of the palette's colour `index`."""
    return tuple(1 - strength * (1 - channel) for channel in PALETTE[index % len(PALETTE)][:3])


def told(value: float) -> str:
    """A number as one writes it."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.2f}".rstrip("0")


class Sheet:
    """A figure of rows of panels, each a small grid of numbers with a title."""

    def __init__(self, title: str, text: str) -> None:
        self.title, self.text = title, text
        self.rows: list[tuple[str, list[tuple[str, Callable[[Axes], None], tuple[float, float]]]]] = []

    def row(self, note: str, *panels: tuple[str, Callable[[Axes], None], tuple[float, float]]) -> None:
        """Add panels side by side: a title, what draws it, and its width and height in cells."""
        self.rows.append((note, list(panels)))

    def save(self, path: Path) -> None:
        """Draw everything to a png."""
        widths = [sum(slot(*panel) + GAP for panel in panels) for _, panels in self.rows]
        width = max(*widths, LEAST_WIDTH) + GAP
        head = lines_in(self.text, width)
        notes = [lines_in(note, width) if note else [] for note, _ in self.rows]
        tall = [max(size[1] for *_, size in panels) * CELL + CAPTION for _, panels in self.rows]
        height = 0.7 + LINE * len(head) + sum(tall) + sum(GAP + LINE * len(note) for note in notes) + GAP / 2
        figure = Figure(figsize=(width, height), dpi=150, facecolor=PLAIN)

        def write(text: str, x: float, y: float, **look: Any) -> None:
            figure.text(x / width, y / height, text, color=INK, **look)

        write(self.title, GAP, height - 0.35, size=14, weight="bold", va="center")
        y = height - 0.6
        for line in head:
            write(line, GAP, y, size=9, va="top")
            y -= LINE
        for (_, panels), note, row in zip(self.rows, notes, tall, strict=True):
            y -= GAP / 2
            for line in note:
                write(line, GAP, y, size=9, va="top", style="italic")
                y -= LINE
            x, base = GAP, y - CAPTION
            for title, draw, (columns, lines) in panels:
                write(title, x, base + 0.05, size=8, va="bottom")
                box = (x / width, (base - lines * CELL) / height, columns * CELL / width, lines * CELL / height)
                axes = figure.add_axes(box)
                axes.set_xlim(0, columns)
                axes.set_ylim(lines, 0)
                axes.set_axis_off()
                draw(axes)
                x += slot(title, draw, (columns, lines)) + GAP
            y -= row + GAP / 2
        with written_aside(path) as aside:
            figure.savefig(aside, format="png")


CELL, GAP, CAPTION, LINE, LETTER, LEAST_WIDTH = 0.42, 0.4, 0.25, 0.18, 0.066, 7.0
"""Inches: side of a cell, space between panels, height of a caption, of a line of text, width of a letter, of a page."""


def slot(title: str, draw: Callable[[Axes], None], size: tuple[float, float]) -> float:
    """Width that a panel takes, in inches: of its cells, or of its caption where that is longer."""
    return max(size[0] * CELL, len(title) * LETTER * 0.92)


def lines_in(text: str, width: float) -> list[str]:
    """A text in lines that fit a page of `width` inches."""
    return textwrap.wrap(text, int((width - 2 * GAP) / LETTER))


def grid(
    values: Any,
    *,
    offset: Sequence[int] = (0, 0),
    colour: Callable[[tuple[int, int]], Any] = lambda place: PLAIN,
    text: Callable[[tuple[int, int]], str] | None = None,
    faded: Callable[[tuple[int, int]], bool] = lambda place: False,
    size: float = 8.5,
) -> Callable[[Axes], None]:
    """What draws an array, (rows, columns), as cells with numbers; `faded` cells are struck out."""
    array = np.atleast_2d(np.asarray(values, dtype=float))

    def draw(axes: Axes) -> None:
        for place in np.ndindex(*array.shape):
            row, column = place[0] + offset[0], place[1] + offset[1]
            out = faded(place)
            face = FAINT if out else colour(place)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor="#888888", linewidth=0.8))
            label = text(place) if text else told(float(array[place]))
            shade = "#aaaaaa" if out else INK
            axes.text(column + 0.5, row + 0.5, label, ha="center", va="center", size=size, color=shade)
            if out:
                axes.plot((column, column + 1), (row, row + 1), color="#bbbbbb", linewidth=0.8)

    return draw


def extent(values: Any) -> tuple[float, float]:
    """Columns and rows of an array."""
    rows, columns = np.atleast_2d(np.asarray(values)).shape
    return float(columns), float(rows)


def heat(count: float, most: float) -> tuple[float, ...]:
    """A shade of orange, the stronger the nearer `count` is to `most`; white for 0."""
    return tuple(1 - 0.55 * count / most * (1 - channel) for channel in PALETTE[1][:3]) if count else (1.0, 1.0, 1.0)
