"""A run that was killed ends with the same bits as one that was not."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from calco.errors import RequestError
from calco.models import families, family
from calco.runs import Run, read_tensors
from calco.training import Interrupted
from tests.small import fit, small
from tests.training.worker import data, start

# Steps of 16 on 70 examples: kills fall in the middle of epochs. The checkpoint's interval does not divide the others.
SETTINGS = {"steps": 60, "batch_size": 16, "checkpoint_every": 7, "log_every": 4, "evaluations": 10, "ema": 0.9, "patience": 9}


def begin(folder, name="", settings=None):
    """A process that goes on with the run in a folder, or begins one of a family, what it tells and where its errors go."""
    what = json.dumps({str(folder): [name, settings]}) if name else str(folder)
    errors = folder.with_suffix(".errors")
    return *start(what, errors), errors


def kill_at(started, step, number=signal.SIGKILL):
    """Kill a process when it reports a step, or let it end: its exit code and its errors."""
    process, told, errors = started
    with told:
        with contextlib.suppress(EOFError, ProcessLookupError):  # it may have ended
            while told.recv() < step:
                pass
            os.kill(process.pid, number)
        process.join(60)
    return process.exitcode, errors.read_text()


def weights(folder):
    return read_tensors(Path(folder) / "model.safetensors")[0]


def assert_same(one, two):
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


@pytest.mark.parametrize("name", families())
def test_several_kills_change_no_bit(name, tmp_path):
    whole = fit(small(families()[name], training=SETTINGS), data(), validation=data(20), out=tmp_path / "whole")
    killed = tmp_path / "killed"
    assert kill_at(begin(killed, name, SETTINGS), 20)[0] == -signal.SIGKILL
    with pytest.raises(RequestError, match="has no weights yet"):
        Run(killed).load_model()
    assert kill_at(begin(killed), 40)[0] == -signal.SIGKILL
    code, errors = kill_at(begin(killed), 10**9)
    assert code == 0, errors
    assert_same(weights(tmp_path / "whole"), weights(killed))
    state, again = Run(tmp_path / "whole").load_state(), Run(killed).load_state()
    assert state is not None
    assert again is not None
    assert_same(state[0], again[0])
    plain = [{k: v for k, v in line.items() if k != "seconds"} for line in whole.history_]
    resumed = [{k: v for k, v in line.items() if k != "seconds"} for line in Run(killed).history()]
    assert [line["step"] for line in plain] == [line["step"] for line in resumed]
    assert [line for line in plain if "held_out" in line] == [line for line in resumed if "held_out" in line]


def test_killed_before_the_first_checkpoint(tmp_path):
    name = next(iter(families()))
    settings = {**SETTINGS, "steps": 30, "checkpoint_every": 1000, "patience": 0}
    small(families()[name], training=settings).fit(data(), validation=data(20), out=tmp_path / "whole")
    assert kill_at(begin(tmp_path / "killed", name, settings), 4)[0] == -signal.SIGKILL
    assert kill_at(begin(tmp_path / "killed"), 10**9)[0] == 0
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number, tmp_path):
    name = next(iter(families()))
    settings = {**SETTINGS, "steps": 120, "patience": 0}
    code, errors = kill_at(begin(tmp_path / "run", name, settings), 8, number)
    assert code == 1
    assert "calco resume" in errors
    assert "Traceback" not in errors
    record = Run(tmp_path / "run").record
    assert record["status"] == "interrupted"
    small(families()[name], training=settings).fit(data(), validation=data(20), out=tmp_path / "whole")
    run = Run(tmp_path / "run")
    family(name).from_run(run, weights=False).resume(data(), validation=data(20))
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_a_signal_without_a_folder_keeps_the_model(monkeypatch):
    name = next(iter(families()))

    def interrupt(line):
        os.kill(os.getpid(), signal.SIGINT)

    estimator = families()[name](training={**SETTINGS, "patience": 0})
    with pytest.raises(Interrupted, match="the model is as it was"):
        estimator.fit(data(), report=interrupt)
    assert estimator.history_[-1]["step"] < 90
    assert len(estimator.sample(2)) == 2


def test_other_data_are_refused(tmp_path):
    name = next(iter(families()))
    estimator = families()[name](training={"steps": 2, "batch_size": 8}).fit(data(), out=tmp_path / "run")
    with pytest.raises(RequestError, match="fingerprints differ"):
        estimator.resume(data()[::-1].copy())
    with pytest.raises(RequestError, match="in memory"):
        estimator.resume()


def test_stopping_early_keeps_the_best_weights(tmp_path):
    name = next(iter(families()))
    settings = {"steps": 60, "batch_size": 16, "lr": 0.3, "schedule": "constant", "evaluations": 30, "patience": 2, "clip": 0.0}
    estimator = families()[name](training=settings).fit(data(), validation=data(20), out=tmp_path / "run")
    held = {line["step"]: line["held_out"] for line in estimator.history_ if "held_out" in line}
    assert max(held) < 60
    best = min(reversed(held), key=held.get)
    assert best < max(held)
    state = Run(tmp_path / "run").load_state()
    assert state is not None
    assert_same(
        {k: v for k, v in weights(tmp_path / "run").items() if not k.startswith("codes")},
        {k[5:]: v for k, v in state[0].items() if k.startswith("best.") and not k.startswith("best.codes")},
    )
    with pytest.raises(RequestError, match="patience needs held-out data"):
        families()[name](training=settings).fit(data())
