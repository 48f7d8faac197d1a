"""Tables: what is learned from samples, whether columns and pairs of them are alike, and whether rows are given away.

Learning from samples alone proves little: samplers whose columns are independent given the target do well at it. Those controls
stand beside every figure of use, and the two-sample test sees what they lack.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import f1_score, r2_score, roc_auc_score
from torch import Tensor

from calco.data import TableSchema
from calco.data.coded import Coded
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure
from calco.maths.copying import nearest

MOST = 20_000
"""Rows of either set that are compared at most; all of the training data are learned from."""
LEAST = 50
PAIRED = 30
"""Columns of which pairs are compared at most."""
PARTS = 8
"""Of about equal share, that numbers are cut into where pairs are compared."""

CATEGORIES = 255
"""Options of a choice that scikit-learn's trees take at most."""


class Grid(NamedTuple):
    """Rows as numbers that trees and tables of counts take: choices as their index, numbers as they are; (n, columns)."""

    values: np.ndarray
    choice: np.ndarray
    """Of each column, whether it holds choices: (columns,)."""

    def first(self, count: int) -> "Grid":
        """The first rows, `count` at most."""
        return Grid(self.values[:count], self.choice)

    def without(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """All other columns, and whether they hold choices."""
        keep = np.arange(self.values.shape[1]) != column
        return self.values[:, keep], self.choice[keep]


def grid(schema: TableSchema, x: Tensor) -> Grid:
    """Rows as a model sees them, (n, floats), as numbers."""
    columns = [_numbers(column, *parts) for column, parts in schema.chosen(x)]
    return Grid(np.stack(columns, 1), np.array([column.kind == "choice" for column in schema.coded]))


def _numbers(column: Coded, choice: np.ndarray, score: np.ndarray) -> np.ndarray:
    if column.kind == "choice":
        return choice.astype(np.float64)
    found = column.number(choice, score)
    return np.where(column.gone(choice), np.nan, found)


def table_figures(context: EvalContext, target: str = "") -> list[Figure]:
    """The figures of samples of a table, of their use by predicting the column `target`; none of what is no table."""
    estimator, schema = context.estimator, context.estimator.schema_
    if not isinstance(schema, TableSchema) or min(len(context.source), len(context.train)) < LEAST:
        return []
    real, known = context.encoded("source", MOST), context.encoded("train")
    made = context.drawn(len(known))
    rows, training, samples = grid(schema, real), grid(schema, known), grid(schema, made)
    about = f"{len(made):,} samples ({estimator.ways_[0]}), {len(known):,} training rows,"
    about += f" {len(real):,} {context.role} rows"
    return [
        *use_figures(schema, rows, training, samples, about, target),
        *likeness_figures(rows, training, samples, about),
        *privacy_figures(real, known, made, about),
    ]


# -- use ----------------------------------------------------------------------------------------------------------------


def target_of(schema: TableSchema, name: str = "") -> int:
    """The column that is predicted: that of this name, else the last choice of at most 20 options, else the last column."""
    if name:
        return schema.columns.index(name)
    choices = [i for i, column in enumerate(schema.coded) if column.kind == "choice" and 2 <= len(column.options) <= 20]
    return choices[-1] if choices else len(schema.coded) - 1


def use_figures(schema: TableSchema, real: Grid, known: Grid, made: Grid, about: str, name: str = "") -> list[Figure]:
    """How well trees that learned from samples predict the target of real rows, beside those that learned from real ones."""
    target = target_of(schema, name)
    column = schema.coded[target]
    found = learned(made, real, target)
    base = {name: learned(rows, real, target) for name, rows in controls(known, target).items()}
    figures = []
    for score, value in found.items():
        others = ", ".join(
            f"from {control} {scores[score]:.4f}" for control, scores in base.items() if control != "training rows"
        )
        figures.append(
            Figure(
                name=f"learned from samples: {score}",
                value=value,
                unit=f"of {column.name}",
                protocol=f"gradient-boosted trees learn from samples and predict {column.name} of real rows; {about}; {others}",
                better="higher",
                baseline=base["training rows"][score],
                baseline_name=f"the same from training rows ({others})",
            )
        )
    return figures


def controls(known: Grid, target: int) -> dict[str, Grid]:
    """Training rows, and what stands for samplers that know little of them, by name."""
    rng = np.random.default_rng(0)
    return {
        "training rows": known,
        "columns independent": Grid(independent(known.values, rng), known.choice),
        "columns independent given the target": Grid(independent(known.values, rng, target), known.choice),
    }


def learned(rows: Grid, real: Grid, target: int, seed: int = 0) -> dict[str, float]:
    """Scores, on real rows, of trees that learned a column from others: AUC and macro-F1 of choices, R squared of numbers."""
    x, choice = rows.without(target)
    new, _ = real.without(target)
    y, truth = rows.values[:, target], real.values[:, target]
    x, y = _seen(x[~np.isnan(y)]), y[~np.isnan(y)]
    new, truth = new[~np.isnan(truth)], truth[~np.isnan(truth)]
    options = _options(x, choice, seed)
    if not real.choice[target]:
        return {"R squared": float(r2_score(truth, HistGradientBoostingRegressor(**options).fit(x, y).predict(new)))}
    if len(np.unique(y)) < 2:
        return {"AUC": 0.5, "macro-F1": float(f1_score(truth, np.full(len(truth), y[0]), average="macro"))}
    trees = HistGradientBoostingClassifier(**options).fit(x, y)
    chances = np.zeros((len(new), int(max(truth.max(), y.max())) + 1))
    chances[:, trees.classes_.astype(int)] = trees.predict_proba(new)
    here = np.unique(truth).astype(int)
    if len(here) == 2:
        auc = roc_auc_score(truth == here[1], chances[:, here[1]])
    else:
        auc = np.mean([roc_auc_score(truth == label, chances[:, label]) for label in here])
    return {"AUC": float(auc), "macro-F1": float(f1_score(truth, trees.predict(new), average="macro"))}


def _seen(x: np.ndarray) -> np.ndarray:
    """Rows for trees, which refuse a column without a value: one that is missing everywhere says as little as a constant."""
    return np.where(np.isnan(x).all(0), 0.0, x)


def _options(x: np.ndarray, choice: np.ndarray, seed: int) -> dict[str, Any]:
    """Of trees: a choice of more options than they can take as such is a number to them."""
    return {"categorical_features": choice & (np.nanmax(x, 0) < CATEGORIES), "random_state": seed}


def independent(values: np.ndarray, rng: np.random.Generator, given: int | None = None) -> np.ndarray:
    """Rows whose columns are drawn each by itself, of all rows or of those with the same value of the column `given`."""
    found = values.copy()
    groups = [np.arange(len(values))]
    if given is not None:
        of = values[:, given]
        if len(np.unique(of)) > 20:
            of = np.searchsorted(np.nanquantile(of, np.linspace(0, 1, 11)[1:-1]), of)
        groups = [np.flatnonzero(of == value) for value in np.unique(of)]
    for column in range(values.shape[1]):
        if column != given:
            for rows in groups:
                found[rows, column] = values[rng.permutation(rows), column]
    return found


# -- likeness -----------------------------------------------------------------------------------------------------------


def likeness_figures(real: Grid, known: Grid, made: Grid, about: str) -> list[Figure]:
    """How alike columns and pairs are, and how well trees tell samples from rows."""
    base = "the same of training rows in place of samples"
    some, other = (rows.first(len(real.values)) for rows in (made, known))
    measures = (
        ("column distance", "gap of distribution functions or half the difference of shares, mean over columns", columns_apart),
        ("pair distance", "half the difference of joint shares, mean over pairs of columns", pairs_apart),
        ("two-sample AUC", "area under the curve of trees that tell samples from rows, .5 is chance", told_auc),
    )
    return [
        Figure(name, measure(real, some), unit, about, "lower", None, measure(real, other), base)
        for name, unit, measure in measures
    ]


def columns_apart(real: Grid, made: Grid) -> float:
    """The mean over columns of the total variation of choices, or of the Kolmogorov-Smirnov distance of numbers."""
    from scipy.stats import ks_2samp

    found = []
    for a, b, choice in zip(real.values.T, made.values.T, real.choice, strict=True):
        gone = abs(np.isnan(a).mean() - np.isnan(b).mean())
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if not len(a) or not len(b):
            found.append(gone)
        elif choice:
            found.append(_variation(a.astype(int), b.astype(int)))
        else:
            test: Any = ks_2samp(a, b)
            found.append(max(gone, float(test.statistic)))
    return float(np.mean(found))


def pairs_apart(real: Grid, made: Grid) -> float:
    """The mean of `pair_distances`, 0 of a single column."""
    found = pair_distances(real, made)
    return float(np.mean(list(found.values()))) if found else 0.0


def pair_distances(real: Grid, made: Grid) -> dict[tuple[int, int], float]:
    """Of pairs of columns the total variation of their joint distribution, numbers cut into `PARTS`."""
    parts = [_parted(a, b, choice) for a, b, choice in zip(real.values.T, made.values.T, real.choice, strict=True)][:PAIRED]
    found = {}
    for i, (a, b) in enumerate(parts):
        for j, (c, d) in enumerate(parts[:i]):
            size = int(max(c.max(), d.max())) + 1
            found[i, j] = _variation(a * size + c, b * size + d)
    return found


def _parted(a: np.ndarray, b: np.ndarray, choice: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values of two sets as whole numbers: choices, or parts by the quantiles of the first; one more where missing."""
    if choice:
        return a.astype(int), b.astype(int)
    present = a[~np.isnan(a)]
    cuts = np.unique(np.quantile(present, np.linspace(0, 1, PARTS + 1)[1:-1])) if len(present) else np.zeros(0)
    one, other = (np.where(np.isnan(v), len(cuts) + 1, np.searchsorted(cuts, v, side="right")) for v in (a, b))
    return one, other


def _variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the summed difference of shares of whole numbers."""
    size = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(v, minlength=size) / len(v) for v in (a, b)]
    return float(0.5 * abs(shares[0] - shares[1]).sum())


def told_auc(real: Grid, made: Grid, seed: int = 0) -> float:
    """The area under the curve of trees that learned to tell half of the samples from half of the rows, on the other halves."""
    rng = np.random.default_rng(seed)
    parts = []
    for label, rows in enumerate((real.values, made.values)):
        order = rng.permutation(len(rows))
        parts.append([(rows[half], np.full(len(half), label)) for half in np.array_split(order, 2)])
    (x, y), (new, truth) = ((np.concatenate(p) for p in zip(*halves, strict=True)) for halves in zip(*parts, strict=True))
    x = _seen(x)
    trees = HistGradientBoostingClassifier(**_options(x, real.choice, seed))
    return float(roc_auc_score(truth, trees.fit(x, y).predict_proba(new)[:, 1]))


# -- privacy ------------------------------------------------------------------------------------------------------------


def privacy_figures(real: Tensor, known: Tensor, made: Tensor, about: str) -> list[Figure]:
    """Whether samples give training rows away: exact copies, how near the nearest are, and whether members are told apart."""
    some, others = made[: len(real)], known[torch.from_numpy(np.random.default_rng(0).permutation(len(known))[: len(real)])]
    ours, usual = nearest(some, known).distance, nearest(real, known).distance
    copies, rate = (float((distance == 0).double().mean()) for distance in (ours, usual))
    member = nearest(others, some).distance, nearest(real, some).distance
    truth = np.r_[np.ones(len(others)), np.zeros(len(real))]
    told = float(roc_auc_score(truth, -torch.cat(member).numpy()))
    error = 0.5 / np.sqrt(min(len(others), len(real)))
    return [
        Figure(
            "exact copies",
            copies,
            "share of samples",
            about,
            "lower",
            _share_error(copies, len(some)),
            rate,
            "real rows that are",
        ),
        Figure(
            "distance to the closest row",
            float(ours.median()),
            "median Euclidean distance of values as the model sees them",
            about,
            "higher",
            None,
            float(usual.median()),
            "that of real rows which were not trained on: much less is copying",
        ),
        Figure(
            "membership AUC",
            told,
            "area under the curve of the distance to the nearest sample, training rows against others; .5 gives nothing away",
            about,
            "lower",
            float(error),
            0.5,
            "chance",
        ),
    ]


def _share_error(share: float, count: int) -> float:
    return float((max(share * (1 - share), 1 / count) / count) ** 0.5)
