"""Pictures for a page: grids of examples, curves and maps, each as a data URI."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from calco.data import Schema
from calco.runs import written_aside

INK = "#7a8290"
"""A grey that reads on light and on dark."""

ROW = 14
"""Pixels that a vector takes in height at most, where it is drawn as a row of cells."""

COLOURS = ("#3b6fd4", "#d4573b", "#2f9e6b", "#a05bd0", "#c99a1e", "#3aa6b9", "#d1498b", "#7d8a2e", "#8c6d5a", "#6b7280")


def palette(count: int) -> np.ndarray:
    """Colours that are told apart, one for each class: (count, 3), bytes."""
    named = [tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in COLOURS[:count]]
    more = np.asarray(colormaps["turbo"](np.linspace(0.03, 0.97, max(0, count - len(named)))))[:, :3] * 255
    return np.concatenate([np.array(named, np.uint8).reshape(-1, 3), more.astype(np.uint8)])


def overlay(pixels: np.ndarray, colours: np.ndarray, share: float = 0.55) -> np.ndarray:
    """Colours laid over an image, both bytes (height, width, 3)."""
    return ((1 - share) * pixels + share * colours).round().astype(np.uint8)


def uri(content: bytes, kind: str) -> str:
    """Bytes as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def picture(source: str, caption: str = "", pixels: bool = False) -> str:
    """A picture, by its data URI, as HTML."""
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    alt = html.escape(caption or "picture")
    return f'<figure><img src="{source}" alt="{alt}"{" class=pixels" if pixels else ""}>{text}</figure>'


def grid(schema: Schema, rows: Sequence[Tensor]) -> str:
    """Examples in rows, each row a tensor (n, *shape) as the model sees it: tiles of images, curves of series, or strips."""
    if len(schema.shape) == 2:
        return _lines(rows)
    if len(schema.shape) == 3:
        strips = [_tiles(row) for row in rows]
    else:
        low, high = (float(t) for t in np.quantile(np.concatenate([r.numpy().ravel() for r in rows]), (0.01, 0.99)))
        strips = [_heat(row, low, high) for row in rows]
        return _png(np.concatenate(strips, 0), ROW)  # few numbers are broad cells, and not high ones
    return _png(np.concatenate(strips, 0))


def _tiles(images: Tensor) -> np.ndarray:
    n, channels, height, width = images.shape
    pixels = (images.clamp(0, 1) * 255).round().byte().numpy()
    if channels not in (3, 4):
        pixels = pixels[:, :1].repeat(3, 1)
    pixels = pixels[:, :3]
    gap = max(1, min(height, width) // 16)
    padded = np.full((n, 3, height + gap, width + gap), 128, np.uint8)
    padded[:, :, :height, :width] = pixels
    return padded.transpose(2, 0, 3, 1).reshape(height + gap, n * (width + gap), 3)


def _lines(rows: Sequence[Tensor]) -> str:
    """Series (n, channels, length) as small curves on one scale, a colour for each of the first channels."""
    shown = rows[0].shape[1] if rows[0].shape[1] <= len(COLOURS) else 6
    low, high = (float(t) for t in np.quantile(np.concatenate([r[:, :shown].numpy().ravel() for r in rows]), (0.002, 0.998)))
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    most = max(map(len, rows))
    figure = Figure((12, 1.3 * len(rows)), layout="constrained")
    figure.patch.set_alpha(0)
    # All in one system of axes, each in a cell of side 1: axes of their own take longer to lay out than all else to draw.
    axes = figure.add_subplot(xlim=(-0.02, 1.1 * most - 0.08), ylim=(-1.1 * len(rows) + 1.08, 1.02))
    axes.set_axis_off()
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    places = [[np.array([1.1 * i, -1.1 * j]) for i in range(most)] for j in range(len(rows))]
    axes.add_collection(LineCollection([corners + place for row in places for place in row], colors=INK, linewidths=0.5))
    time = np.linspace(0.02, 0.98, rows[0].shape[2])
    for channel, colour in zip(range(shown), COLOURS, strict=False):
        curves = [
            np.stack((time, ((series[channel].numpy() - low) / max(high - low, 1e-9)).clip(0, 1)), 1) + place
            for row, along in zip(rows, places, strict=True)
            for series, place in zip(row, along, strict=False)
        ]
        axes.add_collection(LineCollection(curves, colors=colour, linewidths=0.9))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return uri(buffer.getvalue(), "png")


def _heat(vectors: Tensor, low: float, high: float) -> np.ndarray:
    scaled = (vectors.numpy() - low) / max(high - low, 1e-9)
    cells = (np.asarray(colormaps["viridis"](scaled.clip(0, 1)))[..., :3] * 255).astype(np.uint8)
    return np.concatenate([cells, np.full((1, cells.shape[1], 3), 128, np.uint8)], 0)


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> str:
    """Pictures (height, width, 3) in rows, each in the upper left of a cell as large as the largest."""
    height, width = (max(picture.shape[axis] for row in rows for picture in row) for axis in (0, 1))
    gap = max(2, min(height, width) // 40)
    whole = np.full((len(rows) * (height + gap) - gap, len(rows[0]) * (width + gap) - gap, 3), 128, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return _png(whole)


def _png(pixels: np.ndarray, most: int | None = None) -> str:
    """Pixels enlarged to some 900 in width, and as much in height, or by `most` at most."""
    buffer, scale = io.BytesIO(), max(1, 900 // pixels.shape[1])
    Image.fromarray(pixels.repeat(min(scale, most or scale), 0).repeat(scale, 1)).save(buffer, "PNG", optimize=True)
    return uri(buffer.getvalue(), "png")


def figure_of(width: float, height: float) -> tuple[Figure, Any]:
    """A figure that reads on light and on dark, and its axes."""
    figure = Figure((width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    bare(axes)
    return figure, axes


def bare(axes: Any) -> None:
    """Axes without a frame, in a grey that reads on light and on dark."""
    axes.patch.set_alpha(0)
    axes.tick_params(colors=INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def as_uri(figure: Figure) -> str:
    """A figure as a data URI, png."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return uri(buffer.getvalue(), "png")


def legend_of(axes: Any, **options: Any) -> None:
    """A legend in a grey that reads on light and on dark."""
    legend = axes.legend(frameon=False, fontsize=9, **options)
    for text in legend.get_texts():
        text.set_color(INK)


def legend(names: Sequence[str]) -> str:
    """The classes and their colours, as HTML."""
    swatch = '<span class="swatch" style="background:rgb({},{},{})"></span>{}'
    return " ".join(swatch.format(*colour, html.escape(name)) for colour, name in zip(palette(len(names)), names, strict=True))


def cells(counts: np.ndarray, names: Sequence[str]) -> str:
    """A confusion matrix, rows the truth, as shares of each row."""
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = figure_of(1.8 + 0.42 * len(names), 1.5 + 0.38 * len(names))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        if value >= 0.005:
            axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", size=8, color="white" if value > 0.5 else "#1d2430")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted", color=INK, fontsize=9)
    axes.set_ylabel("true, %", color=INK, fontsize=9)
    return as_uri(figure)


def curves(history: list[dict[str, Any]]) -> str:
    """The terms of the log over steps: losses, what goes with them, and figures of held-out data."""
    figure, axes = figure_of(6.4, 3.2)
    skip = {"step", "seconds", "lr", "note"}
    names = list(dict.fromkeys(key for line in history for key in line if key not in skip))
    for i, name in enumerate(names):
        points = [(line["step"], line[name]) for line in history if line.get(name) is not None]
        if points:
            style = {"marker": "o", "markersize": 3} if name == "held_out" else {}
            axes.plot(
                *zip(*points, strict=True), color=COLOURS[i % len(COLOURS)], label=name.replace("_", " "), lw=1.6, **style
            )
    values = [line[n] for line in history for n in names if line.get(n) is not None]
    if values and min(values) > 0:
        axes.set_yscale("log")
    elif values:
        # The first steps are often far off: they are cut, not to flatten what follows.
        late = [line[n] for line in history[len(history) // 10 :] for n in names if line.get(n) is not None]
        margin = 0.05 * (max(late) - min(late) + 1e-9)
        axes.set_ylim(min(late) - margin, max(late) + margin)
    axes.set_xlabel("step", color=INK, fontsize=9)
    if names:
        legend_of(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return uri(buffer.getvalue(), "svg+xml")


def scatter(points: np.ndarray, labels: np.ndarray | None, classes: tuple[str, ...]) -> str:
    """A map of points (n, 2), coloured by label where there are labels."""
    figure, axes = figure_of(6.0, 5.2)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if labels is None or not classes:
        axes.scatter(*points.T, s=12, color=COLOURS[0], alpha=0.6, linewidths=0)
    else:
        palette = colormaps["turbo"](np.linspace(0.05, 0.95, len(classes))) if len(classes) > len(COLOURS) else COLOURS
        for i, name in enumerate(classes):
            axes.scatter(*points[labels == i].T, s=16, color=palette[i], alpha=0.75, linewidths=0, label=name)
        if len(classes) <= 20:
            legend_of(axes, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    return as_uri(figure)


def save_transfer(frame: Any, path: Path) -> None:
    """Means and intervals over numbers of labels, a line for each way to learn, as png."""
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for i, (way, rows) in enumerate(frame.groupby("way", sort=False)):
        rows = rows.sort_values("labels")
        x = rows["labels"] * (1 + 0.02 * (i - 2))  # side by side, or the intervals would hide one another
        errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        axes.errorbar(x, rows["mean"], errors, label=way, color=COLOURS[i], marker="o", markersize=4, capsize=3, lw=1.6)
    axes.set_xscale("log")
    ticks = sorted(frame["labels"].unique())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labelled examples")
    axes.set_ylabel(f"{frame['metric'].iloc[0]}, mean and 95% interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=140)
