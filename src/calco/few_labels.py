"""What features are worth where labels are few: an encoder transferred, the same net from scratch, and simple baselines.

All learn from the same few labelled examples, drawn anew several times, and are measured on the same others.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.linear_model import RidgeCV

from calco.data import PartlyLabelled, Source, Subset, fitting, labelled_part, marks, parts_of, valued, with_classes
from calco.data.labels import name_of
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.evaluation.features import Extractor
from calco.evaluation.figures import as_tensor, labels_of, some_of
from calco.evaluation.probes import linear
from calco.evaluation.reconstruction import FITTED_ON, fitted_pca
from calco.models import family, load
from calco.runs import read_json, write_json
from calco.verbs import chunk_of

BUDGETS, DRAWS = (10, 100, 1000), 5
"""Numbers of labelled examples, and how often they are drawn."""
COVERED = 0.95
"""Rate at which intervals cover the mean over draws."""
METRICS = {"classifier": "accuracy", "regressor": "R squared"}
PENALTIES = tuple(10.0**i for i in range(-2, 5))
"""Strengths of the penalty of linear regression; the best by leaving one out is taken."""

Learn = Callable[[Source, int], np.ndarray]
"""From few labelled examples and a seed to predictions of the examples that are measured on."""


class Way(NamedTuple):
    """A way to learn from few labels."""

    name: str
    about: str
    learn: Learn


def transfer(
    run: str | os.PathLike[str] | Estimator,
    data: Any,
    budgets: Sequence[int] = BUDGETS,
    *,
    y: Any = None,
    predictor: str = "classifier",
    options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    joint: bool = False,
    draws: int = DRAWS,
    out: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Measure what an encoder gives a supervised model, at several numbers of labels.

    Args:
        run: a run folder, or a fitted estimator, of a family that can transfer.
        data: with labels: anything that `open_data` opens. Of a named set the test part is measured on; of others a fifth,
            which is never learned from with its labels.
        budgets: numbers of labelled examples, shared evenly among the classes.
        y: labels, where the data do not bring them.
        predictor: the family that learns from labels, classifier or regressor.
        options: of its hyper-parameters; the same for all ways.
        training: changes of its recipe; the same for all ways.
        joint: measure too what the other examples, without their labels, add to fine-tuning.
        draws: of the labelled examples, over which results are means.
        out: a folder for transfer.csv, transfer.json and transfer.png; the same call goes on with one that was stopped.
        say: called with a sentence now and then.

    Returns:
        A way at a budget a row: way, labels, mean, low and high (its 95% interval, Student's t over the draws), gain and
        gain_low, gain_high over the same net from scratch, draw by draw; metric, about, a column for each draw, protocol.

    Raises:
        RequestError: the family cannot transfer or learned from the labels of these data, a budget is too large or too small,
            or the folder holds another transfer.
    """
    encoder = run if isinstance(run, Estimator) else load(run)
    encoder.require("transfer")
    model: Any = encoder.model_
    train, test = parts_of(data, y)
    pool = labelled_part(train)
    if len(train.classes) < 2:
        raise RequestError("Transfer is measured with labels of two classes or more: give data that bring them.")
    maker: Any = family(predictor)
    metric = METRICS.get(maker().__sklearn_tags__().estimator_type, "")
    if not metric:
        raise RequestError(f"The family {predictor!r} does not learn from labels: give classifier or regressor.")
    if draws < 1:
        raise RequestError(f"draws is {draws}: the labels must be drawn at least once.")
    if metric == "accuracy":
        test = with_classes(test, train.classes)
    budgets = sorted(set(budgets))
    check_budgets(budgets, pool, metric)
    test, left = fitting(test, encoder.schema_, chunk_of(encoder.schema_))
    told = f"{_told(encoder, pool, test)}{f' ({left})' if left else ''}"
    protocol = f"{metric} on {told}; mean of {draws} draws, intervals by Student's t over them"
    settings = {**(options or {}), "training": dict(training or {})}
    truth = labels_of(test if metric == "accuracy" else valued(test))
    plan = {
        "encoder": encoder.record(),
        "weights": Extractor("encoder", model.feed_forward()).digest,
        "data": train.describe()["fingerprint"],
        "predictor": predictor,
        "options": {**settings, "joint": joint},
    }
    plan = json.loads(json.dumps(plan))  # as it is when it is read again
    folder = None if out is None else Path(out)
    path = folder and folder / "transfer.json"
    known = read_json(path) if path and path.exists() else {"plan": plan, "results": {}}
    if known["plan"] != plan:
        raise RequestError(f"{folder} holds another transfer: give the same run, data and options, or another folder.")
    results: dict[str, float] = known["results"]
    found: dict[tuple[str, int], list[float]] = {}
    every = ways(encoder, train, test, maker, settings, joint, metric)
    for budget in budgets:
        for draw in range(draws):
            few = Subset(pool, drawn(pool, budget, draw, metric))
            for way in every:
                key = f"{way.name}, {budget} labels, draw {draw}"
                if key not in results:
                    results[key] = _score(way.learn(few, draw), truth, metric)
                    if path:
                        write_json(path, {"plan": plan, "results": results})
                found.setdefault((way.name, budget), []).append(results[key])
        if say is not None:
            say(f"{budget:,} labels: " + ", ".join(f"{way.name} {np.mean(found[way.name, budget]):.3f}" for way in every))
    frame = table(found, every, metric).assign(protocol=protocol)
    if folder is not None:
        from calco.report.pictures import save_transfer

        frame.to_csv(folder / "transfer.csv", index=False)
        save_transfer(frame, folder / "transfer.png")
    return frame


def _told(encoder: Estimator, pool: Source, test: Source) -> str:
    """What is measured on, and what the encoder knows of it.

    Raises:
        RequestError: it learned from labels of these data.
    """
    known, labelled = encoder.run_.record.get("data") if encoder.run_ else None, encoder.__sklearn_tags__().target_tags.required
    told = f"{len(test):,} examples of {test.describe()['about']}"
    if known is None:
        return f"{told}; the encoder learned from data in memory{', with their labels' if labelled else ''}"
    mine = marks(pool.describe()) | marks(test.describe())
    if labelled and mine & set(known.get("labelled", marks(known))):
        raise RequestError(
            "The encoder learned from the labels of these data, of which a few are to be enough here: give one that learned"
            " without labels, or other data."
        )
    learned = f"{told}; the encoder learned from {known['n']:,} examples of {known['about']}"
    if marks(test.describe()) & {known["fingerprint"], *known.get("parts", ())}:
        return f"{learned}, which hold these"
    apart = pool.describe()["fingerprint"] == known["fingerprint"]
    return learned if apart or not marks(test.describe()) & marks(known) else f"{learned}, which may hold some of these"


def ways(
    encoder: Estimator,
    train: Source,
    test: Source,
    maker: Any,
    settings: dict[str, Any],
    joint: bool,
    metric: str,
) -> list[Way]:
    """The ways to learn, from what was learned without labels down to what needs no learning of features."""

    def predictor(use: str, rest: bool = False) -> Learn:
        def learn(few: Source, seed: int) -> np.ndarray:
            mine = {**settings, "training": {**settings["training"], "seed": seed}}
            made = maker(encoder=encoder, encoder_use=use, **mine).fit(PartlyLabelled(few, train) if rest else few)
            return indexed(made, test, train.classes)

        return learn

    raw = as_tensor(encoder, test).flatten(1).numpy()
    width = encoder.encode(some_of(train, 1)).shape[1] if "encode" in encoder.capabilities_ else 0
    pca = fitted_pca(as_tensor(encoder, train, FITTED_ON), width) if width else None
    simple = "logistic regression" if metric == "accuracy" else "ridge regression"
    penalty = "penalty chosen on a part of the labelled examples, where there are 50"
    penalty = penalty if metric == "accuracy" else "penalty chosen by leaving out one labelled example at a time"

    def on_values(few: Source, seed: int) -> np.ndarray:
        return _linear(as_tensor(encoder, few).flatten(1).numpy(), raw, few, metric)

    def on_pca(few: Source, seed: int) -> np.ndarray:
        assert pca is not None
        return _linear(pca.transform(as_tensor(encoder, few).flatten(1).numpy()), pca.transform(raw), few, metric)

    name = f"the encoder of {encoder.family}"
    found = [
        Way("fine-tuned", f"{name}, fine-tuned with a head", predictor("fine_tuned")),
        Way("frozen", f"a head on {name}, which stays as it is", predictor("frozen")),
        Way("from scratch", "the same net with random weights", predictor("random")),
        Way(f"{simple} on raw values", penalty, on_values),
    ]
    if joint:
        found.insert(
            0, Way("joint", f"fine-tuned on all {len(train):,} examples, most without labels", predictor("fine_tuned", True))
        )
    if pca is not None:
        found.append(Way(f"{simple} on PCA", f"{pca.n_components_} components, fitted without labels", on_pca))
    return found


def indexed(predictor: Estimator, test: Source, classes: tuple[str, ...]) -> np.ndarray:
    """Predictions: indices of `classes`, since a draw may lack some, or values."""
    told = predictor.predict(test)
    if not predictor.schema_.classes:
        return told
    return np.array([classes.index(name_of(label)) for label in told])


def check_budgets(budgets: Sequence[int], train: Source, metric: str) -> None:
    """Raise where a budget cannot be drawn.

    Raises:
        RequestError: it has no label for each class, or more than there are.
    """
    least = len(train.classes) if metric == "accuracy" else 2
    for budget in budgets:
        if not least <= budget <= len(train):
            raise RequestError(f"A budget of {budget} labels makes no sense here: give from {least} to {len(train)} of them.")


def drawn(train: Source, budget: int, draw: int, metric: str) -> np.ndarray:
    """Rows of the labelled examples of a draw: of classes as evenly as can be, of values at random."""
    rng = np.random.default_rng([draw, budget])
    order = rng.permutation(len(train))
    if metric != "accuracy":
        return np.sort(order[:budget])
    y = labels_of(train)[order]
    # The place of each example among those of its class: the first places of all classes are taken first.
    place = np.empty(len(y), np.int64)
    for label in range(len(train.classes)):
        mine = np.flatnonzero(y == label)
        place[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(place, kind="stable")[:budget]])


def _linear(fitted: np.ndarray, tested: np.ndarray, few: Source, metric: str) -> np.ndarray:
    if metric == "accuracy":
        return linear(fitted, tested, labels_of(few))
    return RidgeCV(PENALTIES).fit(fitted, labels_of(valued(few))).predict(tested)


def _score(told: np.ndarray, truth: np.ndarray, metric: str) -> float:
    if metric == "accuracy":
        return float((told == truth).mean())
    return float(1 - ((told - truth) ** 2).mean() / truth.var())


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean of draws, by Student's t; it is infinitely wide for a single one."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return -math.inf, math.inf
    half = float(t.ppf(0.5 + COVERED / 2, n - 1) * np.std(values, ddof=1) / n**0.5)
    return mean - half, mean + half


def table(found: Mapping[tuple[str, int], Sequence[float]], every: Sequence[Way], metric: str) -> pd.DataFrame:
    """Means and intervals, and gains over the same net from scratch."""
    about, rows = {way.name: way.about for way in every}, []
    for (name, budget), values in found.items():
        low, high = interval(values)
        row = {"way": name, "labels": budget, "mean": float(np.mean(values)), "low": low, "high": high}
        gains = np.subtract(values, found["from scratch", budget])
        if name != "from scratch":
            least, most = interval(gains.tolist())
            row |= {"gain": float(gains.mean()), "gain_low": least, "gain_high": most}
        rows.append(row | {"metric": metric, "about": about[name]} | {f"draw {i}": v for i, v in enumerate(values)})
    return pd.DataFrame(rows)
