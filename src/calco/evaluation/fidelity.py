"""Fidelity: how far samples lie from held-out examples, beside how far as many training examples do.

That second figure is the floor: a model cannot be expected to do better than the data themselves.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from calco.contract import Model
from calco.data import open_data
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.features import Extractor, extractor_for, label_model, read
from calco.evaluation.figures import Figure, same
from calco.maths.fidelity import Neighbours, frechet_distance, frechet_error, kernel_distance, need, neighbours

MOST = 10_000
"""Examples of either set at most."""
WIDE = 256
"""Features up to which the Fréchet distance has a standard error: it takes the distance of many resampled sets."""
K = 5
"""Neighbours that make the balls of precision, recall, density and coverage."""


def fidelity_figures(context: EvalContext) -> list[Figure]:
    """Figures of as many samples as there are held-out examples, 10,000 at most; none where those are too few to have any."""
    if min(len(context.source), len(context.train)) <= K:
        return []
    return _fidelity(context, extractor_for(context.estimator, context.train), min(MOST, len(context.source)))


def measure_fidelity(
    estimator: Estimator,
    source: Any,
    train: Any,
    *,
    extractor: Extractor | None = None,
    n: int | None = None,
    seed: int = 0,
) -> list[Figure]:
    """Fréchet and kernel distance, precision, recall, density and coverage of `n` samples.

    Args:
        estimator: fitted or loaded, one that samples.
        source: held-out examples, anything that `open_data` opens.
        train: training examples, for the floor and for the features where those are trained.
        extractor: the features; those of `extractor_for` where not given. Inception features, for one, are
            `Extractor("Inception", net)` with the user's own net.
        n: examples of either set; as many as `source` has, 10,000 at most, where not given.
        seed: of the samples.

    Raises:
        RequestError: there are fewer examples than the figures need.
    """
    source, train = open_data(source), open_data(train)
    n = min(MOST, len(source)) if n is None else n
    if n <= K:
        raise RequestError(f"Fidelity needs at least {K + 1} examples of each set; {n} were asked for.")
    context = EvalContext(estimator, source, train)
    return _fidelity(context, extractor or extractor_for(estimator, train), n, seed)


def _fidelity(context: EvalContext, features: Extractor, n: int, seed: int = 0) -> list[Figure]:
    real, floor = (features(context.encoded(part, n)) for part in ("source", "train"))
    samples = context.sampled(n, seed)
    fake = features(samples)
    need("Fidelity", K + 1, real, floor, fake)
    protocol = (
        f"{len(fake):,} samples ({context.estimator.ways_[0]}) against {len(real):,} {context.role} examples;"
        f" features, {real.shape[1]} of them: {features.name} (digest {features.digest[:12]})"
    )
    # Examples have no distance from themselves: there is a floor only where other ones are measured on.
    apart = not same(context.source, context.train)
    against = f"{len(floor):,} training examples in place of the samples" if apart else ""

    def figure(name: str, value: float, base: float | None, better: Any, unit: str, error: float | None = None) -> Figure:
        return Figure(name, value, unit, protocol, better, error, base, against)

    kernel, near = kernel_distance(real, fake), neighbours(real, fake, K)
    lowest: Any = (None, None, *[None] * len(near))
    if apart:
        lowest = (frechet_distance(real, floor), kernel_distance(real, floor)[0], *neighbours(real, floor, K))
    spread = frechet_error(real, fake) if real.shape[1] <= WIDE else None
    figures = [
        figure("Fréchet distance", frechet_distance(real, fake), lowest[0], "lower", "squared distance", spread),
        figure("kernel distance", kernel[0], lowest[1], "lower", "squared distance", _known(kernel[1])),
    ]
    shares = zip(Neighbours._fields, near, lowest[2:], strict=True)
    figures += [figure(name, value, base, "higher", f"share, k = {K}") for name, value, base in shares]
    return figures + label_figures(context, samples)


def _known(error: float) -> float | None:
    return None if np.isnan(error) else error


def label_figures(context: EvalContext, samples: Tensor) -> list[Figure]:
    """For a model that samples given a label: the share of samples that a classifier reads as the label asked for.

    The labels of `samples` are those of `Verbs.sample`, evenly dealt.
    """
    estimator, source, train = context.estimator, context.source, context.train
    model: Model = estimator.model_
    if not getattr(model, "classes", 0) or len(estimator.schema_.shape) != 3 or source.classes != train.classes:
        return []
    classifier = label_model(estimator.schema_, train)
    n = len(samples)
    right = float((read(classifier, samples) == torch.arange(n) % len(train.classes)).double().mean())
    part = context.some("source", n)
    held = read(classifier, context.encoded("source", n)) == torch.from_numpy(np.asarray(part.take(np.arange(len(part))).y))
    accuracy = float(held.double().mean())
    protocol = f"{n:,} samples, the labels evenly asked for, read by a net trained on the labels of the training data"
    error = (right * (1 - right) / n) ** 0.5
    name = f"that net on {len(held):,} held-out examples"
    return [Figure("label fidelity", right, "share read as asked", protocol, "higher", error, accuracy, name)]
