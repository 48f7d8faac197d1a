"""The classifier two-sample test: can anything tell samples from data? (Lopez-Paz and Oquab 2017)."""

import numpy as np
import torch
from torch import Tensor

from calco.data import ArraySource, ImageSchema, Source
from calco.estimator import Estimator
from calco.evaluation.features import LabelModel, read
from calco.evaluation.figures import Figure, as_tensor, drawn, role
from calco.training import Training
from calco.training import train as learn

MOST = 10_000
"""Examples of either set at most."""
LEAST = 50
"""Examples of either set without which there is no test."""
RECIPE = Training(steps=500, lr=2e-3, weight_decay=1e-3, precision="fp32", device="cpu")
"""How the net is trained that tells images apart."""


def two_sample_figures(estimator: Estimator, source: Source, train: Source) -> list[Figure]:
    """The accuracy of a classifier that learned to tell half of the samples from half of the data, on the other halves."""
    real = as_tensor(estimator, source, MOST)
    if len(real) < LEAST:
        return []
    accuracy, count, learner = told_apart(real, drawn(estimator, len(real)))
    examples = f"{len(real):,} {role(source, estimator, train=train)} examples"
    return [
        Figure(
            name="two-sample test",
            value=accuracy,
            unit="accuracy",
            protocol=f"{learner}, trained to tell half of {examples} from half of as many samples ({estimator.ways_[0]});"
            f" measured on the {count:,} others",
            better="lower",
            error=(max(accuracy * (1 - accuracy), 0.25 / count) / count) ** 0.5,
            baseline=0.5,
            baseline_name="chance, what samples get that are like the data",
        )
    ]


def told_apart(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, int, str]:
    """How well a classifier tells two sets of as many examples apart, (n, ...) each, images or vectors.

    Returns:
        The accuracy on the halves that it was not trained on, on how many examples that is, and what it is.
    """
    rng = np.random.default_rng(seed)
    halves = [(x[order[: len(x) // 2]], x[order[len(x) // 2 :]]) for x in (real, fake) for order in [rng.permutation(len(x))]]
    (known, y), (new, truth) = (
        (torch.cat(parts), torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)]))
        for parts in zip(*halves, strict=True)
    )
    if real.ndim == 4:
        guessed = _by_net(known, y, new)
        learner = "a convolutional net"
    else:
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(random_state=seed).fit(known.flatten(1).numpy(), y.numpy())
        guessed, learner = torch.from_numpy(trees.predict(new.flatten(1).numpy())), "gradient-boosted trees"
    return float((guessed == truth).double().mean()), len(truth), learner


def _by_net(x: Tensor, y: Tensor, new: Tensor) -> Tensor:
    """What a net trained on images x with classes y makes of others."""
    _, channels, height, width = x.shape
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = LabelModel((channels, height, width), 2)
    schema = ImageSchema(channels, height, width, "float32", 0.0, 1.0, None, True, ("real", "fake"))
    source = ArraySource(x.permute(0, 2, 3, 1).numpy(), y.numpy())
    learn(net, source, schema, RECIPE)
    return read(net.cpu().eval(), new)
