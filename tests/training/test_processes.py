"""Two processes walk the path of one."""

import json
import subprocess
import sys

import pytest
import torch

from calco.models import families
from calco.runs import Run, read_tensors
from tests.training.worker import learned

SETTINGS = {"steps": 12, "batch_size": 16, "precision": "fp32", "log_every": 1, "ema": 0.9, "clip": 1.0, "lr_warmup": 0}
# Adam would blow up the rounding of gradients that are all but zero.
SETTINGS |= {"optimizer": "sgd", "momentum": 0.0, "lr": 0.1}
NAMES = [name for name, cls in families().items() if not cls.model_class.whole_batch]
NAMES += ["partly classifier", "partly regressor"]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """A folder with a run of two processes for each family and number of accumulated parts, family-parts."""
    folder = tmp_path_factory.mktemp("two")
    runs = {
        str(folder / f"{name}-{parts}"): [name, {**SETTINGS, "accumulate": parts, "device": "cpu"}]
        for name in NAMES
        for parts in (1, 2)
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["tests.training.worker", json.dumps(runs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_walk_the_path_of_one(name, accumulate, of_two, tmp_path):
    alone = learned(name, SETTINGS, out=tmp_path)
    both = Run(of_two / f"{name}-{accumulate}").history()
    assert [line["step"] for line in both] == [line["step"] for line in alone.history_]
    one, two = (read_tensors(path / "model.safetensors")[0] for path in (tmp_path, of_two / f"{name}-{accumulate}"))
    moved = 0.0
    fresh = learned(name, {**SETTINGS, "lr": 1e-12}).model_.state_dict()
    for key, value in one.items():
        if not key.startswith("codes"):
            assert torch.allclose(value, two[key], atol=1e-4), key
            moved = max(moved, float((value - fresh[key]).abs().max()))
    assert moved > 5e-3  # the path is long enough for a difference to show
