"""How good predictions are: accuracy and log loss of classes, errors of values, beside the constant that is best."""

import numpy as np

from calco.data import valued, with_classes
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure, labels_of


def prediction_figures(context: EvalContext) -> list[Figure]:
    """Accuracy and log loss, or R squared and the root of the mean squared error; none where there are no labels."""
    if not context.source.classes:
        return []
    told = f"{len(context.source):,} {context.role} examples"
    figures = _of_classes if context.estimator.schema_.classes else _of_values
    return figures(context, told)


def _of_classes(context: EvalContext, told: str) -> list[Figure]:
    truth, p = context.classified()
    n, names = len(truth), context.estimator.schema_.classes
    right = p.argmax(1) == truth
    known = labels_of(with_classes(context.train, names))
    shares = (np.bincount(known[known >= 0], minlength=len(names)) + 1.0) / ((known >= 0).sum() + len(names))
    loss = -np.log(np.maximum(p[np.arange(n), truth], 1e-12))
    constant = f"{names[int(shares.argmax())]} always, the commonest class of the training data"
    base = float((truth == shares.argmax()).mean())
    spread = float(loss.std() / n**0.5)
    return [
        Figure("accuracy", float(right.mean()), "share", told, "higher", float(right.std() / n**0.5), base, constant),
        Figure(
            "log loss",
            float(loss.mean()),
            "nats",
            f"mean of minus the log of the true class's probability, over {told}",
            "lower",
            spread,
            float(-np.log(shares[truth]).mean()),
            "the shares of the classes in the training data, one of each added",
        ),
    ]


def _of_values(context: EvalContext, told: str) -> list[Figure]:
    truth = labels_of(valued(context.source))
    mean = float(np.nanmean(labels_of(valued(context.train))))
    wrong, base = (context.estimator.predict(context.source) - truth) ** 2, (truth - mean) ** 2
    n, constant = len(truth), "the mean of the training data always"
    rng, rows = np.random.default_rng(0), np.arange(n)
    drawn = [wrong[some].mean() / max(base[some].mean(), 1e-300) for some in (rng.choice(rows, n) for _ in range(200))]
    error = float(np.std(drawn)) if n > 1 else None
    protocol = f"1 minus the mean squared error over that of the baseline, {told}; standard error by bootstrap"
    root = float(wrong.mean() ** 0.5)
    about = f"root of the mean squared error, {told}"
    spread = float(wrong.std() / n**0.5 / (2 * root)) if root else None
    return [
        Figure("R squared", float(1 - wrong.mean() / max(base.mean(), 1e-300)), "", protocol, "higher", error, 0.0, constant),
        Figure("error of values", root, "unit of the labels", about, "lower", spread, float(base.mean() ** 0.5), constant),
    ]
