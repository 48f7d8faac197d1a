"""Runs in a process of their own, for tests that kill it or start several.

`go_on` is what a forked process does; as a program, for the processes of one run, it takes the same argument.
"""

import json
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from calco.errors import CalcoError
from calco.models import families, family
from calco.runs import Run
from tests.small import fit, paired, small, targets


def data(n: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def work(what: str, tell: Callable[[int], None]) -> None:
    """Go on with the run in a folder; or, told as JSON, for each folder make the family and the settings of a run."""
    torch.set_num_threads(1)

    def report(line: dict) -> None:
        tell(line["step"])

    if not what.startswith("{"):
        run = Run(what)
        cls = family(run.field("family", str))
        held = paired(cls, data(20))
        cls.from_run(run, weights=False).resume(data(), targets(cls, data()), validation=held, report=report)
        return
    for out, (name, settings) in json.loads(what).items():
        fit(small(families()[name], training=settings), data(), validation=data(20), out=out, report=report)


def go_on(what: str, pipe: Connection, errors: Path) -> None:
    """Work, send each step reported, and write to a file what goes to standard error."""
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    try:
        work(what, pipe.send)
    except CalcoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    work(sys.argv[1], print)
