"""Sections that set samples beside data: columns, pairs and distances of tables, autocorrelations and a map of series."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from calco.data import SeriesSchema, TableSchema
from calco.data.coded import Coded
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import same
from calco.evaluation.series import autocorrelations
from calco.evaluation.tables import PAIRED, grid, pair_distances
from calco.maths.copying import nearest
from calco.report.pictures import COLOURS, INK, as_uri, bare, figure_of, legend_of, picture

MOST = 5000
"""Rows or windows of data, and samples, that are compared at most."""
COLUMNS, OPTIONS = 24, 8
"""Columns of tables or channels of series that are drawn, and options of a column, at most."""
PLACED = 750
"""Windows of either kind on the map at most."""
REAL, MADE = COLOURS[0], COLOURS[1]


def _panels(count: int) -> tuple[Figure, list[Any]]:
    columns = min(4, count)
    lines = math.ceil(count / columns)
    figure = Figure((3.0 * columns, 2.1 * lines + 0.3), layout="constrained")
    figure.patch.set_alpha(0)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    for axes in panels[:count]:
        bare(axes)
    return figure, panels[:count]


def _both(context: EvalContext, kind: type) -> tuple[Tensor, Tensor] | None:
    """Data and as many samples as the model sees them; nothing where the schema is another or nothing is sampled."""
    if not isinstance(context.estimator.schema_, kind) or "sample" not in context.estimator.capabilities_:
        return None
    real = context.encoded("source", MOST)
    return real, context.drawn(len(real))


def columns_drawn(context: EvalContext) -> str:
    """The distribution of each column of a table, of data and of samples."""
    both = _both(context, TableSchema)
    if both is None:
        return ""
    schema: Any = context.estimator.schema_
    real, made = (grid(schema, x).values for x in both)
    figure, panels = _panels(min(COLUMNS, len(schema.coded)))
    for i, (column, axes) in enumerate(zip(schema.coded, panels, strict=False)):
        draw = _shares if column.kind == "choice" else _histogram
        draw(axes, column, real[:, i], made[:, i])
        axes.set_title(column.name, fontsize=9, color=INK)
    legend_of(panels[0])
    return picture(as_uri(figure))


def _shares(axes: Any, column: Coded, real: np.ndarray, made: np.ndarray) -> None:
    names = [*column.options, *(["missing"] if column.missing else [])]
    counts = np.stack([np.bincount(v.astype(int), minlength=len(names)) / len(v) for v in (real, made)])
    shown = counts[0].argsort()[::-1][:OPTIONS][::-1]
    places = np.arange(len(shown))
    axes.barh(places + 0.2, counts[0, shown], 0.4, color=REAL, label="data")
    axes.barh(places - 0.2, counts[1, shown], 0.4, color=MADE, label="samples")
    axes.set_yticks(places, [names[i][:18] for i in shown], fontsize=7)


def _histogram(axes: Any, column: Coded, real: np.ndarray, made: np.ndarray) -> None:
    real, made = (v[~np.isnan(v)] for v in (real, made))
    if column.kind == "date":  # seconds, as years
        real, made = (1970 + v / (365.2425 * 86400) for v in (real, made))
    everything = np.concatenate((real, made))
    if not len(everything):
        return
    low, high = np.quantile(everything, (0.005, 0.995))
    bins = np.linspace(low, high if high > low else low + 1, 31)
    for values, colour, name in ((real, REAL, "data"), (made, MADE, "samples")):
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins, weights=weights, histtype="step", color=colour, lw=1.2, label=name)
    axes.set_yticks([])


def pairs_drawn(context: EvalContext) -> str:
    """How far the joint shares of each pair of columns are from those of the data."""
    both = _both(context, TableSchema)
    if both is None or both[0].shape[0] < 2:
        return ""
    schema: Any = context.estimator.schema_
    names = schema.columns[:PAIRED]
    if len(names) < 2:
        return ""
    real, made = (grid(schema, x) for x in both)
    apart = np.full((len(names), len(names)), np.nan)
    for (i, j), value in pair_distances(real, made).items():
        apart[i, j] = apart[j, i] = value
    figure, axes = figure_of(2.2 + 0.42 * len(names), 1.6 + 0.36 * len(names))
    most = max(0.2, float(np.nanmax(apart)))
    shown = axes.imshow(apart, cmap="Oranges", vmin=0, vmax=most, aspect="auto")
    for (i, j), value in np.ndenumerate(apart):
        if len(names) <= 16 and not np.isnan(value):
            colour = "white" if value > 0.6 * most else "#1d2430"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(shown, ax=axes, shrink=0.8).ax.tick_params(colors=INK, labelsize=8)
    return picture(as_uri(figure))


def distances_drawn(context: EvalContext) -> str:
    """How far samples of a table, and rows that were not trained on, are from the nearest training row."""
    both = _both(context, TableSchema)
    if both is None or not context.has_train or same(context.source, context.train):
        return ""
    known = context.encoded("train")
    usual, ours = (nearest(x, known).distance.double().numpy() for x in both)
    figure, axes = figure_of(7, 2.8)
    ends = np.linspace(0, float(np.quantile(np.concatenate((usual, ours)), 0.99)) or 1.0, 41)
    for values, colour, name in ((usual, REAL, "data that were not trained on"), (ours, MADE, "samples")):
        axes.hist(values, ends, weights=np.full(len(values), 1 / len(values)), histtype="step", color=colour, label=name)
    axes.set_xlabel("distance to the nearest training row, of values as the model sees them", fontsize=9, color=INK)
    axes.set_ylabel("share", fontsize=9, color=INK)
    legend_of(axes)
    return picture(as_uri(figure))


def autocorrelations_drawn(context: EvalContext) -> str:
    """The autocorrelations of each channel, of data and of samples."""
    both = _both(context, SeriesSchema)
    if both is None:
        return ""
    schema: Any = context.estimator.schema_
    real, made = (autocorrelations(x[:, : schema.channels].transpose(1, 2)).numpy() for x in both)
    figure, panels = _panels(min(COLUMNS, schema.channels))
    lags = np.arange(1, len(real) + 1)
    for i, axes in enumerate(panels):
        axes.plot(lags, real[:, i], color=REAL, lw=1.4, label="data")
        axes.plot(lags, made[:, i], color=MADE, lw=1.4, ls="--", label="samples")
        axes.set_ylim(min(-0.1, real[:, i].min(), made[:, i].min()) - 0.05, 1.05)
        axes.set_title(schema.names[i], fontsize=9, color=INK)
    legend_of(panels[0])
    return picture(as_uri(figure))


def shared_map(context: EvalContext) -> str:
    """Windows of data and samples on one map of two numbers."""
    both = _both(context, SeriesSchema)
    if both is None or len(both[0]) < 20:
        return ""
    from sklearn.manifold import TSNE

    schema: Any = context.estimator.schema_
    some = [x[:: math.ceil(len(x) / PLACED), : schema.channels].flatten(1).numpy() for x in both]
    points = TSNE(2, perplexity=min(30.0, (2 * len(some[0]) - 1) / 3), init="pca", random_state=0).fit_transform(
        np.concatenate(some)
    )
    figure, axes = figure_of(6, 4.6)
    for part, colour, name in zip(np.split(points, [len(some[0])]), (REAL, MADE), ("data", "samples"), strict=True):
        axes.scatter(*part.T, s=6, alpha=0.6, color=colour, lw=0, label=name)
    axes.set(xticks=[], yticks=[])
    legend_of(axes)
    return picture(as_uri(figure))
