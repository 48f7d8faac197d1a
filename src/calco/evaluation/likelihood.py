"""Likelihood: log density of held-out data beside that of the constant model."""

import math

import numpy as np
import torch

from calco.data import Source
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure, as_tensor
from calco.maths.mixed import Mixed

FITTED_ON, MEASURED_ON = 20_000, 1_000
"""Training examples that the constant model is fitted on, and examples that are measured on, at most: an estimate of each takes
long. `Verbs.log_prob_estimate` takes all that it is given."""


def likelihood_figures(context: EvalContext) -> list[Figure]:
    """Mean log density of the examples in nats, and in bits per value where the model takes them as grey levels."""
    estimator, kind = context.estimator, context.role
    source = context.some("source", MEASURED_ON)
    found = estimator.log_prob_estimate(source)
    values = found.value
    constant = constant_log_prob(estimator, source, context.train)
    n, size = len(values), math.prod(estimator.schema_.shape)
    spread = float(values.std() / math.sqrt(n))
    estimate = found.mean_errors()[0]
    protocol = (
        f"mean over {n:,} {kind} examples; {estimator.density_}; the standard error is over examples,"
        f" that of the estimate itself is {estimate:.2g}"
    )
    if found.bracket():
        protocol += f"; {found.bracket()}"
    levels, continuous = estimator.schema_.levels, estimator.model_.continuous
    if levels and continuous:
        protocol += "; a density of the grey levels as real numbers, not their probability"
    how = "Gaussian with its mean and deviation" if continuous else "with its frequencies"
    name = f"constant model: values independent, each {how} in the training data"
    # A label tells something of the example: a density given it is none of the example alone.
    unit = "nats per example, given its label" if getattr(estimator.model_, "classes", 0) else "nats per example"
    figures = [Figure("log likelihood", float(values.mean()), unit, protocol, "higher", spread, constant, name)]
    if levels and not continuous:
        bits = -1 / (size * math.log(2))
        figures.append(
            Figure(
                "bits per value", float(values.mean()) * bits, "bits", protocol, "lower", spread * -bits, constant * bits, name
            )
        )
    return figures


def constant_log_prob(estimator: Estimator, source: Source, train: Source) -> float:
    """Mean log density, nats per example, of the model in which every value is independent of all else.

    Discrete values have their frequencies with one count added to each level; continuous ones are Gaussian. Where a model's
    density is of values that it makes binary, at random or not, so is this one.
    """
    schema, known, new = estimator.schema_, as_tensor(estimator, train, FITTED_ON), as_tensor(estimator, source)
    moved = float(schema.log_dets(new).mean())
    mixed = getattr(estimator.model_, "likelihood", None)
    if isinstance(mixed, Mixed):  # a density of what is not of several kinds has no part in probabilities of options
        return float(mixed.log_prob(mixed.constant(known.double()), new.double()).mean()) + moved
    fitted, tested = known.flatten(1).numpy(), new.flatten(1).numpy()
    levels = None if estimator.model_.continuous else estimator.schema_.levels
    ones = [binary_chances(estimator, part) for part in (fitted, tested)]
    if ones[0] is not None and ones[1] is not None:
        p = (ones[0].sum(0) + 1) / (len(fitted) + 2)
        return float((ones[1] * np.log(p) + (1 - ones[1]) * np.log1p(-p)).sum(1).mean())
    if levels:
        tested_level, log_prob = np.rint(tested * (levels - 1)).astype(int), np.zeros(len(tested))
        fitted_level = np.rint(fitted * (levels - 1)).astype(int)
        for i in range(fitted.shape[1]):
            counts = np.bincount(fitted_level[:, i], minlength=levels) + 1.0
            log_prob += np.log(counts / counts.sum())[tested_level[:, i]]
        return float(log_prob.mean())
    scale = np.maximum(fitted.std(0, dtype=np.float64), 1e-3)
    z = (tested - fitted.mean(0, dtype=np.float64)) / scale
    return float((-0.5 * z**2 - np.log(scale) - 0.5 * math.log(2 * math.pi)).sum(1).mean()) + moved


def binary_chances(estimator: Estimator, flat: np.ndarray) -> np.ndarray | None:
    """Probabilities of ones, where a model's density is of values that it makes binary: (n, values), float64."""
    chances = getattr(estimator.model_, "chances", None)
    if chances is None:
        return None
    found = chances(torch.from_numpy(flat).unflatten(1, estimator.schema_.shape))
    return None if found is None else found.double().numpy()
