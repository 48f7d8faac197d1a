"""The metrics, each with the capability it asks for, and the evaluation that gathers every figure a model can answer."""

from collections.abc import Callable
from functools import partial
from typing import Any

from calco.data import opened_as
from calco.errors import one_of
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.copying import copying_figures
from calco.evaluation.fidelity import fidelity_figures
from calco.evaluation.figures import Figure
from calco.evaluation.likelihood import likelihood_figures
from calco.evaluation.prediction import prediction_figures
from calco.evaluation.probes import probe_figures
from calco.evaluation.reconstruction import reconstruction_figures
from calco.evaluation.segmentation import segmentation_figures
from calco.evaluation.series import series_figures
from calco.evaluation.tables import table_figures
from calco.evaluation.two_sample import two_sample_figures
from calco.evaluation.use import measure_use

Metric = Callable[[EvalContext], list[Figure]]


def metrics(target: str = "") -> list[tuple[str, Metric]]:
    """The metrics, each with the capability it needs; of tables the use for predicting the column `target`."""
    return [
        ("predict", prediction_figures),
        ("reconstruct", reconstruction_figures),
        ("log_prob", likelihood_figures),
        ("sample", fidelity_figures),
        ("sample", copying_figures),
        ("sample", two_sample_figures),
        ("sample", series_figures),
        ("sample", partial(table_figures, target=target)),
        ("encode", probe_figures),
        ("segment", segmentation_figures),
    ]


def evaluate(estimator: Estimator, data: Any, train: Any = None, *, use: bool = False, target: str = "") -> list[Figure]:
    """Every figure that the estimator, as it is now, can answer on `data`.

    Args:
        estimator: fitted or loaded.
        data: what to measure on, anything that `open_data` opens; a named set's test part where it does not say.
        train: the training data, on which baselines are fitted; opened as the run did where not given.
        use: measure too what a classifier learns from samples, which takes minutes.
        target: of tables, the column that trees are to predict; the last choice of at most 20 options if not given.

    Raises:
        RequestError: the training data are needed and cannot be opened, the use of samples that have no labels is asked for,
            or there is no such column.
    """
    source = opened_as(estimator.schema_, data, part="test")
    known = None if train is None else opened_as(estimator.schema_, train)
    return figures_of(EvalContext(estimator, source, known), use=use, target=target)


def figures_of(context: EvalContext, *, use: bool = False, target: str = "") -> list[Figure]:
    """`evaluate`, with what a report shares with it.

    Raises:
        RequestError: as `evaluate`.
    """
    estimator = context.estimator
    if target and target not in estimator.schema_.columns:
        raise one_of("column", target, estimator.schema_.columns)
    classed = context.classed()  # predictions are measured by labels of any kind; all else takes them for classes
    found = [
        figure
        for verb, metric in metrics(target)
        if verb in estimator.capabilities_
        for figure in metric(context if verb == "predict" else classed)
    ]
    return found + (measure_use(estimator, context.source, context.train) if use else [])
