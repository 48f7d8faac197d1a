"""A run in a process of its own, for tests that kill it or start several: FAMILY OUT SETTINGS-AS-JSON."""

import json
import sys

import numpy as np
import torch

from calco.errors import CalcoError
from calco.models import families, family
from calco.runs import Run
from tests.small import small


def data(n: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def main(name: str, out: str, settings: str) -> None:
    torch.set_num_threads(1)
    print("started", flush=True)

    def report(line: dict) -> None:
        print(line["step"], flush=True)

    if name == "resume":
        run = Run(out)
        family(run.field("family", str)).from_run(run, weights=False).resume(data(), validation=data(20), report=report)
    else:
        small(families()[name], training=json.loads(settings)).fit(data(), validation=data(20), out=out, report=report)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CalcoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
