"""The time that measuring takes: a comparison of four families, and all metrics of one model.

    python -m benchmarks.comparison wall          # four budgets of 5 minutes, as the command line runs them
    python -m benchmarks.comparison evaluation    # every figure of an autoencoder and of a VAE, 10,000 test images

The net whose features compare images with labels is trained once a machine and kept: the second model of the second finds it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import calco
from benchmarks.record import commit, save

FAMILIES, MINUTES = ("autoencoder", "vae", "rbm", "gan"), 5


def wall() -> None:
    """Seconds from the command to its end over the sum of the budgets."""
    measured_at = commit()
    with tempfile.TemporaryDirectory() as aside:
        command = [sys.executable, "-m", "calco", "compare", "mnist", "--families", ",".join(FAMILIES)]
        command += ["--budget", f"{MINUTES}m", "--out", str(Path(aside) / "compared")]
        began = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "CALCO_CACHE": str(Path(aside) / "cache")})
        seconds = time.perf_counter() - began
    figure = {
        "what": "calco compare mnist, four families of 5 minutes: wall time over the sum of the budgets",
        "value": seconds / (60 * MINUTES * len(FAMILIES)),
        "unit": "ratio",
        "better": "lower",
        "at_least": 1.3,
        "reach_for": 1.1,
        "protocol": f"{', '.join(FAMILIES)}, one after another, nothing cached before",
    }
    save("comparison_wall", [figure], measured_at)


def evaluation() -> None:
    """Minutes for every figure on the 10,000 test images."""
    measured_at, figures = commit(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as aside:
        os.environ["CALCO_CACHE"] = str(Path(aside) / "cache")
        for made in (calco.Autoencoder(training={"steps": 500}), calco.VAE(training={"steps": 500})):
            fitted = made.fit("mnist", out=Path(aside) / made.family)
            began = time.perf_counter()
            found = calco.evaluate(fitted, "mnist:test")
            figures.append(
                {
                    "what": f"all metrics of 10,000 mnist images, {made.family}",
                    "value": (time.perf_counter() - began) / 60,
                    "unit": "minutes",
                    "better": "lower",
                    "at_least": 3,
                    "reach_for": 1,
                    "protocol": f"{len(found)} figures, {'without' if figures else 'with'} training the net of features",
                }
            )
    save("comparison_evaluation", figures, measured_at)


if __name__ == "__main__":
    {"wall": wall, "evaluation": evaluation}[sys.argv[1]]()
