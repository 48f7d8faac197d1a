"""Runs in a process of their own, for tests that kill it or start several.

Arguments: a folder whose run goes on; or, as JSON, for each folder to make the family and the settings of a run.
"""

import json
import sys

import numpy as np
import torch

from calco.errors import CalcoError
from calco.models import families, family
from calco.runs import Run
from tests.small import fit, paired, small, targets


def data(n: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def main(what: str) -> None:
    torch.set_num_threads(1)
    print("started", flush=True)

    def report(line: dict) -> None:
        print(line["step"], flush=True)

    if not what.startswith("{"):
        run = Run(what)
        cls = family(run.field("family", str))
        held = paired(cls, data(20))
        cls.from_run(run, weights=False).resume(data(), targets(cls, data()), validation=held, report=report)
        return
    for out, (name, settings) in json.loads(what).items():
        fit(small(families()[name], training=settings), data(), validation=data(20), out=out, report=report)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except CalcoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
