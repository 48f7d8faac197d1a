"""Fans: what a model expects of the future, as bands of quantiles behind the past."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from calco.data import SeriesSchema
from calco.report.pictures import COLOURS
from calco.runs import written_aside

BANDS = ((0.05, 0.95), (0.25, 0.75))
PATHS, CHANNELS = 3, 12
"""Single futures that are drawn, and channels at most."""


def save_fan(schema: SeriesSchema, past: np.ndarray, futures: np.ndarray, path: Path) -> None:
    """The median and the bands of futures (paths, steps, channels) after the end of a past (moments, channels), as png."""
    steps, shown = futures.shape[1], min(CHANNELS, schema.channels)
    past = past[-max(2 * steps, schema.length) :]
    columns = min(3, shown)
    rows = math.ceil(shown / columns)
    figure = Figure((4.6 * columns, 2.5 * rows + 0.4), layout="constrained")
    before, after = np.arange(1 - len(past), 1), np.arange(steps + 1)
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if i >= shown:
            axes.set_axis_off()
            continue
        from_now = np.concatenate((np.full((len(futures), 1), past[-1, i]), futures[:, :, i]), 1)
        axes.plot(before, past[:, i], color="#1d2430", lw=1.2, label="past")
        for (low, high), shade in zip(BANDS, (0.2, 0.35), strict=True):
            ends = np.quantile(from_now, (low, high), axis=0)
            axes.fill_between(after, *ends, color=COLOURS[0], alpha=shade, lw=0, label=f"{high - low:.0%} of futures")
        for future in from_now[:PATHS]:
            axes.plot(after, future, color=COLOURS[1], lw=0.6, alpha=0.7)
        axes.plot(after, np.median(from_now, 0), color=COLOURS[0], lw=1.6, label="median")
        axes.set_title(schema.names[i], fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("moments from now", fontsize=9)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=130)
