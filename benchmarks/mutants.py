"""What the tests would not notice: small bugs planted by mutmut, and which of them no test catches.

make mutants                      # a tenth of them: those whose number ends in 7; an hour or so
make mutants ARGS='*'             # all
make mutants ARGS='calco.data.splitting*'

mutmut runs the tests that reach the changed function, the quickest first, until one fails. Texts of errors and of protocols are
left alone ([tool.mutmut] in pyproject.toml). Survivors are recorded with what was changed; `explained` keeps, from run to run,
why one that is left is no bug.
"""

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

from benchmarks.record import RESULTS, commit, save

SAMPLE = "*7"
KILLED = ("killed", "timeout", "suspicious", "segfault", "caught by type check")


def mutmut(*arguments: str) -> str:
    """What a command of mutmut prints."""
    return subprocess.run([sys.executable, "-m", "mutmut", *arguments], capture_output=True, text=True, check=True).stdout


def outcomes() -> dict[str, str]:
    """What became of each mutant that was tried."""
    found = dict(line.strip().rsplit(": ", 1) for line in mutmut("results", "--all", "true").splitlines() if ": " in line)
    return {name: outcome for name, outcome in found.items() if outcome != "not checked"}


def change(name: str) -> str:
    """The lines that a mutant removes and adds."""
    lines = [line for line in mutmut("show", name).splitlines() if re.match(r"[-+](?![-+])", line)]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def part_of(name: str) -> str:
    """The package of calco, or the file, that a mutant is in."""
    return ".".join(name.split(".")[:2])


def main() -> None:
    """Plant, run, record."""
    measured_at, chosen = commit(), sys.argv[1:] or [SAMPLE]
    subprocess.run([sys.executable, "-m", "mutmut", "run", *chosen], check=False)
    tried = outcomes()
    if not tried:
        sys.exit("No mutant was tried: see above for what failed.")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, outcome in tried.items():
        counts[part_of(name)]["killed" if outcome in KILLED else "survived"] += 1
    figures: list[dict[str, Any]] = [
        {
            "what": f"planted bugs that tests catch: {part}",
            "value": round(count["killed"] / count.total(), 3),
            "unit": "ratio",
            "better": "higher",
            "tried": count.total(),
        }
        for part, count in sorted(counts.items())
    ]
    path = RESULTS / "mutants.json"
    explained = json.loads(path.read_text()).get("explained", {}) if path.exists() else {}
    survivors = {name: change(name) for name, outcome in tried.items() if outcome not in KILLED}
    save("mutants", figures, measured_at, survivors=survivors, explained=explained)


if __name__ == "__main__":
    main()
