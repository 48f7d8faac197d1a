"""Series of length 24: the scores of TimeGAN, under its protocol.

    python -m benchmarks.series stocks     # training, then five nets for each score
    python -m benchmarks.series energy

As in the published figures the model learns from all windows of the set, and samples as many.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import calco
from benchmarks.record import commit, save
from calco.data import open_data
from calco.evaluation.figures import as_data, as_tensor
from calco.evaluation.series import discriminative, predictive, scaled

RUNS = 5
RECIPES = {
    "stocks": {"width": 256, "told": 0.0, "training": {"steps": 8000}},
    "energy": {"width": 128, "told": 0.0, "spectral": 0.0, "training": {"steps": 18_000, "batch_size": 64, "lr": 3e-3}},
}
TARGETS = {"stocks": ((0.08, 0.03), (0.038, 0.037)), "energy": ((0.20, 0.10), (0.260, 0.250))}


def main(name: str) -> None:
    measured_at, recipe = commit(), RECIPES[name]
    source = open_data(f"{name}:all", window=24)
    began = time.perf_counter()
    model = calco.Diffusion(**recipe).fit(source)
    minutes = (time.perf_counter() - began) / 60
    real = as_tensor(model, source)
    made = as_data(model, model.sample_tensor(len(real), seed=1))
    real, made = scaled(real, real, made)
    figures = []
    for score, targets in zip((discriminative, predictive), TARGETS[name], strict=True):
        for kind, data, other in (("samples", real, made), ("real windows", *halves(real, score))):
            values = [score(data, other, seed) for seed in range(RUNS)]
            figure = {
                "what": f"{name}, length 24: {score.__name__} score of {kind}",
                "value": float(np.mean(values)),
                "unit": "|accuracy - .5|" if score is discriminative else "mean absolute error",
                "better": "lower",
                "error": float(np.std(values, ddof=1) / RUNS**0.5),
                "protocol": f"{len(real):,} windows, all learned from, and as many samples; {RUNS} nets: {np.round(values, 4)}",
            }
            if kind == "samples":
                figure |= {"at_least": targets[0], "reach_for": targets[1]}
                figure["protocol"] += f"; {minutes:.1f} minutes of training"
            figures.append(figure)
    save(f"series_{name}", figures, measured_at, recipe=recipe)


def halves(real: Tensor, score: Callable[..., float]) -> tuple[Tensor, Tensor]:
    """What stands for data and for samples where the floor of a score is measured: two halves, or the same windows twice."""
    if score is predictive:
        return real, real
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(real)))
    return real[order[: len(real) // 2]], real[order[len(real) // 2 :]]


if __name__ == "__main__":
    main(sys.argv[1])
