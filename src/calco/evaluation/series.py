"""Series: can a net tell samples from data, does one that learns from samples predict data, and do both move alike?

The first two are the scores of TimeGAN (Yoon, Jarrett and van der Schaar 2019) under its protocol, so that they compare with
published ones: channels brought to [0, 1] by the range of the training data, gated recurrent nets of half as many units as
channels, Adam at 1e-3, batches of 128. The protocol says nothing of a single channel: its nets have `ALONE` units, and it is
predicted from its own past.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.data import SeriesSchema
from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure
from calco.maths import noise
from calco.maths.seeding import seeded

MOST = 10_000
"""Windows of data, and samples, at most."""
LEAST = 50
"""Windows without which nothing is measured."""
RUNS = 2
"""Nets, each with its own initial weights and parts, over which a score is a mean."""
ALONE = 4
"""Units of the nets of a single channel."""
TELLING, PREDICTING, BATCH = 2000, 5000, 128
"""Steps of the nets that tell samples from data and that predict, and windows a step."""


class Reader(nn.Module):
    """A recurrent net that reads a series and gives a number at each moment."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.walk, self.head = nn.GRU(channels, units, batch_first=True), nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, length, channels) to (n, length)."""
        return self.head(self.walk(x)[0])[..., 0]


def series_figures(context: EvalContext) -> list[Figure]:
    """The scores of samples, beside those of training data; none of what is no series."""
    estimator, schema = context.estimator, context.estimator.schema_
    if not isinstance(schema, SeriesSchema) or min(len(context.source), len(context.train)) < LEAST:
        return []
    real, known = (context.encoded(part, MOST)[:, : schema.channels] for part in ("source", "train"))
    made = context.drawn(len(real))[:, : schema.channels]
    real, known, made = scaled(known, real, known, made)
    about = f"{len(made):,} samples ({estimator.ways_[0]}), {len(real):,} {context.role} windows"
    about += "; the channel is predicted from its own past" if schema.channels == 1 else ""
    base = "the same of training windows in place of samples"
    found = []
    for name, unit, measure in SCORES:
        value, error = measure(real, made)
        floor, _ = measure(real, known)
        found.append(Figure(name, value, unit, about, "lower", error, floor, base))
    return found


def scaled(range_of: Tensor, *parts: Tensor) -> list[Tensor]:
    """Windows (n, channels, length) with channels brought to [0, 1] by the range of the first: (n, length, channels) each."""
    low, high = range_of.amin((0, 2)), range_of.amax((0, 2))
    return [((part.transpose(1, 2) - low) / (high - low).clamp_min(1e-7)).contiguous() for part in parts]


def discriminative(real: Tensor, made: Tensor, seed: int = 0, steps: int = 0) -> float:
    """How far the accuracy of a net that tells made windows from real ones is from chance, on a fifth of both: 0 to .5.

    Args:
        real: (n, length, channels), in [0, 1].
        made: as many.
        seed: of the net and of what it is measured on.
        steps: of its training; those of the protocol if 0.
    """
    rng = np.random.default_rng(seed)
    parts = [
        (x[order[: len(x) * 4 // 5]], x[order[len(x) * 4 // 5 :]]) for x in (real, made) for order in [rng.permutation(len(x))]
    ]
    (real, new), (made, other) = parts

    def loss(net: Reader) -> Tensor:
        on_real, on_made = (net(some(x, rng))[:, -1] for x in (real, made))
        return F.softplus(-on_real).mean() + F.softplus(on_made).mean()

    net = _learned(real.shape[2], real.shape[2] // 2 or ALONE, loss, steps or TELLING, seed)
    with torch.no_grad():
        right = ((net(new)[:, -1] > 0).double().mean() + (net(other)[:, -1] < 0).double().mean()) / 2
    return abs(float(right) - 0.5)


def predictive(real: Tensor, made: Tensor, seed: int = 0, steps: int = 0) -> float:
    """The mean absolute error, on real windows, of a net that learned from made ones to predict the last channel.

    It sees the other channels up to a moment and gives the last one a moment later, both in [0, 1]; a single channel it gives
    from that channel itself.

    Args:
        real: (n, length, channels), in [0, 1].
        made: (m, length, channels).
        seed: of the net and its batches.
        steps: of its training; those of the protocol if 0.
    """
    rng = np.random.default_rng(seed)
    seen, units = real.shape[2] - 1 or 1, real.shape[2] // 2 or ALONE

    def error(net: Reader, x: Tensor) -> Tensor:
        return (torch.sigmoid(net(x[:, :-1, :seen])) - x[:, 1:, -1]).abs().mean()

    steps = steps or PREDICTING
    net = _learned(seen, units, lambda net: error(net, some(made, rng)), steps, seed)
    with torch.no_grad():
        return float(error(net, real))


def some(x: Tensor, rng: np.random.Generator) -> Tensor:
    """A batch of windows."""
    return x[torch.from_numpy(rng.permutation(len(x))[:BATCH])]


def _learned(channels: int, units: int, loss: Any, steps: int, seed: int) -> Reader:
    with seeded(noise.mix(seed)):
        net = Reader(channels, units)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            loss(net).backward()
            optimizer.step()
    return net


class Score(NamedTuple):
    """The mean of some runs, and its standard error where there is more than one."""

    value: float
    error: float | None


def over_runs(score: Any, real: Tensor, made: Tensor, runs: int) -> Score:
    """The mean of a score over nets of different seeds."""
    values = [score(real, made, seed) for seed in range(runs)]
    return Score(float(np.mean(values)), float(np.std(values, ddof=1)) / runs**0.5 if runs > 1 else None)


def autocorrelations(x: Tensor, lags: int = 0) -> Tensor:
    """Correlation of each channel with itself some moments later, over all windows: (n, length, channels) to (lags, channels).

    Channels are centred and scaled over all windows, so that a window's own level counts.
    """
    x = (x - x.mean((0, 1))) / x.std((0, 1)).clamp_min(1e-7)
    lags = lags or x.shape[1] // 2
    return torch.stack([(x[:, lag:] * x[:, : x.shape[1] - lag]).mean((0, 1)) for lag in range(1, lags + 1)])


def spectra(x: Tensor) -> Tensor:
    """The logarithm of each channel's mean power at each frequency but 0: (n, length, channels) to (frequencies, channels)."""
    power = torch.fft.rfft(x - x.mean(1, keepdim=True), dim=1, norm="ortho").abs().square().mean(0)[1:]
    return torch.log10(power.clamp_min(1e-12))


def marginals(real: Tensor, made: Tensor) -> Tensor:
    """The largest gap between the distribution functions of each channel's values (Kolmogorov and Smirnov): (channels,)."""
    from scipy.stats import ks_2samp

    pairs = zip(real.unbind(2), made.unbind(2), strict=True)
    found: list[Any] = [ks_2samp(a.flatten(), b.flatten()) for a, b in pairs]
    return torch.tensor([one.statistic for one in found])


SCORES: list[tuple[str, str, Any]] = [
    ("discriminative score", f"|accuracy - .5| of a net, mean of {RUNS}", lambda a, b: over_runs(discriminative, a, b, RUNS)),
    ("predictive score", f"mean absolute error, mean of {RUNS}", lambda a, b: over_runs(predictive, a, b, RUNS)),
    (
        "autocorrelation distance",
        "root mean square difference over lags and channels",
        lambda a, b: Score(float((autocorrelations(a) - autocorrelations(b)).square().mean().sqrt()), None),
    ),
    (
        "spectrum distance",
        "root mean square difference of log10 power over frequencies and channels",
        lambda a, b: Score(float((spectra(a) - spectra(b)).square().mean().sqrt()), None),
    ),
    (
        "marginal distance",
        "gap of distribution functions, mean over channels",
        lambda a, b: Score(float(marginals(a, b).mean()), None),
    ),
]
"""The figures: their names, their units, and how they are measured on real and made windows, (n, length, channels) each."""
