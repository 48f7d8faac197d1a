"""Test log likelihood of statically binarised MNIST by two VAEs, of a given training time.

    python -m benchmarks.likelihood mlp     # one stochastic layer, MLP nets, 10 minutes
    python -m benchmarks.likelihood best    # convolutional nets and a flow prior, 60 minutes

Protocol: Larochelle's file; trained on its 50,000 training images; the 10,000 validation images are only looked at while
training, the 10,000 test images once, at the end: importance-weighted bound with 1,000 samples, in float32.
"""

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import calco
from benchmarks.record import commit, save

RECIPES: dict[str, dict[str, Any]] = {
    "mlp": {
        "model": {
            "latent": 40,
            "net": "mlp",
            "width": 500,
            "dropout": 0.05,
            "prior": "flow",
            "flow_width": 128,
            "particles": 5,
        },
        "training": {"steps": 16_000, "lr": 2e-3, "weight_decay": 0.01},
        "minutes": 10,
        "figure": {"what": "static binarised MNIST, MLP VAE, 10 minutes: test NLL", "at_least": 88.0, "reach_for": 86.0},
    },
    "best": {
        "model": {
            "latent": 40,
            "net": "conv",
            "dropout": 0.1,
            "prior": "flow",
            "flow_width": 128,
            "particles": 3,
            "particles_from": 0.6,
        },
        "training": {"steps": 23_000, "lr": 3e-3, "weight_decay": 0.01},
        "minutes": 60,
        "figure": {
            "what": "static binarised MNIST, best VAE recipe, 60 minutes: test NLL",
            "at_least": 82.5,
            "reach_for": 80.0,
        },
    },
}


def main(name: str, out: Path) -> None:
    """Train, measure, write the result."""
    recipe, measured_at = RECIPES[name], commit()
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    shared = {"batch_size": 128, "clip": 100.0, "ema": 0.999, "evaluations": 6, "log_every": 100, "checkpoint_every": 2000}
    vae = calco.VAE(**recipe["model"], kl_warmup=0.05, samples=1000, training={**shared, **recipe["training"]})
    started = time.perf_counter()
    vae.fit("binarized-mnist", validation="binarized-mnist:valid", out=out, report=lambda line: print(line, flush=True))
    minutes = (time.perf_counter() - started) / 60
    started = time.perf_counter()
    values, errors = vae.log_prob("binarized-mnist:test", with_error=True)
    figure = {
        **recipe["figure"],
        "value": float(-values.mean()),
        "unit": "nats",
        "better": "lower",
        "standard_error": float(values.std() / math.sqrt(len(values))),
        "estimate_error": float((errors**2).sum() ** 0.5 / len(errors)),
        "training_minutes": minutes,
        "allowed_minutes": recipe["minutes"],
        "evaluation_minutes": (time.perf_counter() - started) / 60,
        "protocol": f"test part, all {len(values):,} images, importance-weighted bound with 1,000 samples",
    }
    save(f"likelihood_{name}", [figure], measured_at, recipe={"model": recipe["model"], "training": vae.settings().to_json()})


if __name__ == "__main__":
    main(sys.argv[1], Path(tempfile.mkdtemp()) / "run")
