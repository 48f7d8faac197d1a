"""Runs in a process of their own, for tests that kill it or start several."""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calco.errors import CalcoError
from calco.estimator import Estimator
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
        learned(name, settings, out=out, report=report)


def learned(name: str, settings: dict, **options: Any) -> Estimator:
    """A small estimator of a family, fitted with held-out data; of `partly FAMILY` where only some have labels."""
    cls = families()[name.removeprefix("partly ")]
    estimator, x = small(cls, training=settings), data()
    if name.startswith("partly"):
        return estimator.fit(x[:20], np.arange(20) % 3, unlabelled=x[20:], validation=(x[:9], np.arange(9) % 3), **options)
    return fit(estimator, x, validation=data(20), **options)


# Processes forked from one that has imported everything.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.training.worker"])


def go_on(what: str, pipe: Connection, errors: Path, environment: dict[str, str] | None = None) -> None:
    """Work, send each step reported, and write to a file what goes to standard error."""
    os.environ.update(environment or {})
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    try:
        work(what, pipe.send)
    except CalcoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def start(what: str, errors: Path, environment: dict[str, str] | None = None) -> tuple[Any, Connection]:
    """A process that does `go_on`, and what it tells."""
    told, tell = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=go_on, args=(what, tell, errors, environment), daemon=True)
    process.start()
    tell.close()  # so that its end is seen here
    return process, told
