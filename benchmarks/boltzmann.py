"""Test log likelihood of statically binarised MNIST by Boltzmann machines, with the bracket around it.

    python -m benchmarks.boltzmann rbm     # 500 hidden units, 10 minutes
    python -m benchmarks.boltzmann dbm     # 500 and 1000 hidden units, 30 minutes

Protocol: Larochelle's file; trained on its 50,000 training images; the 10,000 validation images are only looked at while
training, the 10,000 test images once, at the end: log Z by annealed importance sampling, 500 walks of 20,000 temperatures,
and by as many walks back from the model's own chains.
"""

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import calco
from benchmarks.record import commit, save

WALKS, TEMPERATURES = 500, 20_000

RECIPES: dict[str, dict[str, Any]] = {
    "rbm": {
        "model": {"hidden": 500, "last_sweeps": 4},
        "training": {"steps": 78_000, "lr": 0.1, "lr_end": 0.1, "ema": 0.9998, "weight_decay": 5e-4},
        "minutes": 10,
        "what": "static binarised MNIST, RBM of 500 hidden units, 10 minutes",
        "at_least": 86.3,
        "reach_for": 84.5,
    },
    "dbm": {
        "model": {"hidden": (500, 1000), "inference": 2, "greedy": 0.1},
        "training": {"steps": 145_000, "lr": 0.12, "lr_end": 0.03, "ema": 0.9998, "weight_decay": 1e-3},
        "minutes": 30,
        "what": "static binarised MNIST, DBM of 500 and 1000 hidden units, 30 minutes, mean-field bound",
        "at_least": 85.5,
        "reach_for": 84.6,
    },
}


def main(name: str, out: Path) -> None:
    """Train, measure, write the result."""
    recipe, measured_at = RECIPES[name], commit()
    shared = {"evaluations": 6, "log_every": 500, "checkpoint_every": 10_000}
    machine = (calco.RBM if name == "rbm" else calco.DBM)(**recipe["model"], training={**shared, **recipe["training"]})
    started = time.perf_counter()
    machine.fit("binarized-mnist", validation="binarized-mnist:valid", out=out, report=lambda line: print(line, flush=True))
    minutes = (time.perf_counter() - started) / 60
    started = time.perf_counter()
    machine.adjust(samples=WALKS, betas=TEMPERATURES)
    found = machine.log_prob_estimate("binarized-mnist:test")
    assert found.low is not None
    error, low_error = found.mean_errors()
    shared = {"training_minutes": minutes, "allowed_minutes": recipe["minutes"], "better": "lower", "unit": "nats"}
    shared["evaluation_minutes"] = (time.perf_counter() - started) / 60
    walks = f"{WALKS} walks of {TEMPERATURES:,} temperatures"
    figures = [
        {
            **shared,
            "what": f"{recipe['what']}: test NLL",
            "value": float(-found.value.mean()),
            "at_least": recipe["at_least"],
            "reach_for": recipe["reach_for"],
            "standard_error": float(found.value.std() / math.sqrt(len(found.value))),
            "estimate_error": error,
            "protocol": f"test part, all 10,000 images; {machine.density_}; the estimate's own standard error is {error:.2g}",
        },
        {
            **shared,
            "what": f"{recipe['what']}: bracket",
            "value": abs(float((found.value - found.low).mean())),
            "at_least": 3.0,
            "reach_for": 1.0,
            "standard_error": math.hypot(error, low_error),
            "protocol": f"between the estimates of {walks} from independent units and back from the model's chains",
        },
    ]
    save(f"boltzmann_{name}", figures, measured_at, recipe={"model": recipe["model"], "training": machine.settings().to_json()})


if __name__ == "__main__":
    main(sys.argv[1], Path(tempfile.mkdtemp()) / "run")
