"""Samples of MNIST by adversarial networks: fidelity beside the floor, Parzen estimates, labels, collapses.

    python -m benchmarks.adversarial gan            # 30 minutes: fidelity and Parzen estimates
    python -m benchmarks.adversarial conditional    # 30 minutes: the label asked for
    python -m benchmarks.adversarial collapse       # five seeds of the default recipe, on digits and on 10,000 images
    python -m benchmarks.adversarial modes          # ten seeds of the default recipe, cut short, on eight normals in the plane

Protocol: trained on training images but 6,000, on which checkpoints are compared; 10,000 samples against the 10,000 test
images, which nothing else sees; features of a net trained on the labels of the training images, and as many training images
in place of the samples as the floor.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import calco
from benchmarks.record import commit, save
from calco.data import ArraySource, open_data
from calco.evaluation.fidelity import measure_fidelity
from calco.evaluation.parzen import parzen

MODES = 3 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(8) * np.pi / 4])
SPREAD = 0.15


def mixture(n: int = 4000) -> np.ndarray:
    """Points (n, 2) of eight normals of deviation SPREAD, their means on a ring of radius 3."""
    rng = np.random.default_rng(0)
    return MODES[rng.integers(0, 8, n)] + rng.normal(0, SPREAD, (n, 2))


def nearness(samples: np.ndarray) -> tuple[float, int]:
    """Of points (n, 2) the share within 5 deviations of a mean, and how many of those are at the mean that has fewest."""
    distance = np.linalg.norm(samples[:, None] - MODES, axis=2)
    near = distance.min(1) < 5 * SPREAD
    return float(near.mean()), int(np.bincount(distance.argmin(1)[near], minlength=8).min())


RECIPE: dict[str, Any] = {
    "model": {"latent": 64, "depth": 1, "width": 48, "penalty_every": 4},
    "training": {"steps": 34_000, "ema": 0.999, "evaluations": 20},
}


def trained(out: Path, **changes: Any) -> tuple[Any, float]:
    """A GAN on MNIST, and the minutes it took."""
    settings = {"log_every": 200, "checkpoint_every": 5000, **RECIPE["training"]}
    gan = calco.GAN(**RECIPE["model"], **changes, training=settings)
    started = time.perf_counter()
    gan.fit("mnist", out=out, report=lambda line: print(line, flush=True))
    return gan, (time.perf_counter() - started) / 60


def fidelity(out: Path) -> list[dict[str, Any]]:
    """Coverage, density, Fréchet distance over the floor, Parzen estimate of one run."""
    gan, minutes = trained(out)
    test, train = open_data("mnist:test"), open_data("mnist")
    found: dict[str, Any] = {figure.name: figure for figure in measure_fidelity(gan, test, train)}
    times = {"training_minutes": minutes, "allowed_minutes": 30}
    figures = []
    for name, least, most in (("coverage", 0.78, 0.93), ("density", 0.70, 0.93)):
        figure = found[name]
        figures.append(
            {
                **times,
                "what": f"GAN on MNIST, 30 minutes: {name}, k = 5",
                "value": figure.value,
                "unit": f"(training images: {figure.baseline:.3f})",
                "better": "higher",
                "at_least": least,
                "reach_for": most,
                "protocol": figure.protocol,
            }
        )
    distance = found["Fréchet distance"]
    figures.append(
        {
            **times,
            "what": "the same: Fréchet distance over that of as many training images",
            "value": distance.value / distance.baseline,
            "unit": "ratio",
            "better": "lower",
            "at_least": 10.0,
            "reach_for": 3.0,
            "protocol": f"{distance.value:.4g} over {distance.baseline:.4g}; {distance.protocol}",
        }
    )
    estimate = parzen(gan, test, train).figures
    figures.append(
        {
            **times,
            "what": "the same: Parzen-window estimate",
            "value": estimate[0].value,
            "unit": "nats",
            "better": "higher",
            "at_least": 225.0,
            "reach_for": 225.0,
            "standard_error": estimate[0].error,
            "protocol": "; ".join(f"{f.name}: {f.value:.1f} ± {f.error:.1f}, {f.protocol}" for f in estimate),
        }
    )
    return figures


def conditional(out: Path) -> list[dict[str, Any]]:
    """The share of samples that a classifier reads as the label asked for."""
    gan, minutes = trained(out, conditional=True)
    figures: dict[str, Any] = {f.name: f for f in measure_fidelity(gan, open_data("mnist:test"), open_data("mnist"))}
    figure = figures["label fidelity"]
    return [
        {
            "training_minutes": minutes,
            "allowed_minutes": 30,
            "what": "conditional GAN on MNIST: samples read as the label asked for",
            "value": figure.value,
            "unit": f"(that net on test images: {figure.baseline:.4f})",
            "better": "higher",
            "at_least": 0.97,
            "reach_for": 0.99,
            "standard_error": figure.error,
            "protocol": f"{figure.protocol}; coverage {figures['coverage'].value:.3f}, density {figures['density'].value:.3f}",
        }
    ]


def collapse(_: Path) -> list[dict[str, Any]]:
    """Runs of the default recipe that end with alike samples, or cover less than half of what they once did."""
    images = open_data("mnist").take(np.arange(10_000))
    sets = {"digits": open_data("digits"), "10,000 MNIST images": ArraySource(images.x, images.y)}
    figures = []
    for name, source in sets.items():
        collapsed, told = 0, []
        for seed in range(5):
            gan = calco.GAN(training={"seed": seed}).fit(source)
            collapsed += any("Collapse" in line.get("note", "") for line in gan.history_)
            verdicts = [line for line in gan.history_ if "coverage" in line]
            told.append(f"{verdicts[-1]['coverage']:.2f}")
            print(name, seed, verdicts[-1], flush=True)
        figures.append(
            {
                "what": f"collapses over 5 seeds of the default recipe: {name}",
                "value": collapsed,
                "unit": "runs",
                "better": "lower",
                "at_least": 0,
                "reach_for": 0,
                "protocol": "samples' variance below a tenth of the data's, or coverage of the held-out tenth below half its"
                f" best, at any of 20 evaluations; coverages at the end: {', '.join(told)} (looked at coarsely)",
            }
        )
    return figures


def modes(_: Path) -> list[dict[str, Any]]:
    """Runs that leave out none of eight narrow normals on a ring, and whose samples are near one of them."""
    found = []
    for seed in range(10):
        found.append(nearness(calco.GAN(training={"seed": seed, "steps": 2000}).fit(mixture()).sample(2000)))
        print(seed, *found[-1], flush=True)
    covered = sum(share > 0.6 and fewest > 2000 / 8 / 4 for share, fewest in found)
    told = ", ".join(f"{share:.2f} and {fewest}" for share, fewest in found)
    return [
        {
            "what": "eight normals in the plane: seeds of the default recipe, after 2,000 steps, that cover every one",
            "value": covered,
            "unit": "of 10 seeds",
            "better": "higher",
            "at_least": 10,
            "reach_for": 10,
            "protocol": "of 2,000 samples six tenths are within 5 deviations of a mean, and a quarter of a fair share at each;"
            f" shares that are near, and samples at the mean that has fewest: {told}",
        }
    ]


if __name__ == "__main__":
    measures = {"gan": fidelity, "conditional": conditional, "collapse": collapse, "modes": modes}
    measured_at, measure = commit(), measures[sys.argv[1]]
    recipe = {} if measure in (collapse, modes) else RECIPE
    save(f"adversarial_{sys.argv[1]}", measure(Path(tempfile.mkdtemp()) / "run"), measured_at, recipe=recipe)
