"""What every result carries: the figures, the command that made them, the commit and the machine."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def commit() -> str:
    """The commit measured, marked when the code under src differs from it."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "src"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return head + ("+changes" if changed else "")


def machine() -> str:
    """Processor, cores and threads, torch."""
    name = torch.cpu.get_capabilities().get("cpu_name", platform.processor())
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def _shareable(argument: str) -> str:
    """An argument without the paths of the machine it was measured on."""
    return "PYTHON" if Path(argument).is_absolute() else argument


def save(name: str, figures: list[dict[str, Any]], measured_at: str, **more: Any) -> None:
    """Write results/NAME.json. A figure is a dict with what, value, unit, at_least, reach_for, better."""
    result = {
        "name": name,
        "command": "python -m " + " ".join(["benchmarks." + Path(sys.argv[0]).stem, *map(_shareable, sys.argv[1:])]),
        "commit": measured_at,
        "machine": machine(),
        "figures": figures,
        **more,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
