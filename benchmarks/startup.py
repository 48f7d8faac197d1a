"""How long a person waits: `calco --help`, and the demonstration.

python -m benchmarks.startup
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import commit, save


def wall(command: list[str]) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure both, write the result."""
    calco = str(Path(sys.executable).parent / "calco")
    helps = [wall([calco, "--help"]) for _ in range(6)][1:]
    demo = wall([calco, "demo", "--out", str(Path(tempfile.mkdtemp()) / "demo")])
    common: dict[str, Any] = {"unit": "s", "better": "lower"}
    figures = [
        {"what": "calco --help, wall", "value": statistics.median(helps), "at_least": 0.5, "reach_for": 0.3, **common},
        {"what": "make demo after set-up, wall", "value": demo, "at_least": 180, "reach_for": 90, **common},
    ]
    save("startup", figures, commit())


if __name__ == "__main__":
    main()
