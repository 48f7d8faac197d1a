"""Two processes walk the path of one."""

import json
import socket

import pytest
import torch

from calco.models import families
from calco.runs import Run, read_tensors
from tests.training.worker import learned, start

SETTINGS = {"steps": 12, "batch_size": 16, "precision": "fp32", "device": "cpu", "log_every": 1, "ema": 0.9, "clip": 1.0}
# Adam would blow up the rounding of gradients that are all but zero.
SETTINGS |= {"optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "lr_warmup": 0}
NAMES = [name for name, cls in families().items() if not cls.model_class.whole_batch]
NAMES += ["partly classifier", "partly regressor"]


# Parts of a batch are weighted by the learner, whatever the family: these are those with most to go wrong.
ACCUMULATED = ["autoencoder", "gan", "partly classifier", "partly regressor"]


@pytest.mark.long
def test_two_processes_walk_the_path_of_one(tmp_path):
    """Every family, and some whose batches come in two parts a process; told of one another as torchrun does."""
    runs = [(name, 1) for name in NAMES] + [(name, 2) for name in ACCUMULATED]
    both = {(name, parts): tmp_path / f"{name}-{parts}" for name, parts in runs}
    asked = {str(folder): [name, {**SETTINGS, "accumulate": parts}] for (name, parts), folder in both.items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    started = []
    for rank in ("0", "1"):
        errors = tmp_path / f"errors-{rank}"
        started.append((*start(json.dumps(asked), errors, {**place, "RANK": rank, "LOCAL_RANK": rank}), errors))
    for process, _, errors in started:
        process.join(200)
        assert process.exitcode == 0, errors.read_text()
    for name in NAMES:
        alone = learned(name, SETTINGS, out=tmp_path / name)
        one = read_tensors(tmp_path / name / "model.safetensors")[0]
        fresh = learned(name, {**SETTINGS, "steps": 1, "lr": 1e-12}).model_.state_dict()
        for folder in (both[name, parts] for other, parts in runs if other == name):
            assert [line["step"] for line in Run(folder).history()] == [line["step"] for line in alone.history_], folder.name
            two, moved = read_tensors(folder / "model.safetensors")[0], 0.0
            for key, value in one.items():
                if not key.startswith("codes"):
                    assert torch.allclose(value, two[key], atol=1e-4), (folder.name, key)
                    moved = max(moved, float((value - fresh[key]).abs().max()))
            assert moved > 5e-3, folder.name  # the path is long enough for a difference to show
