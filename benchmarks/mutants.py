"""What the tests would not notice: small bugs planted by mutmut, and which of them no test catches.

make mutants                      # a tenth of them: those whose number ends in 7; an hour or so
make mutants ARGS='*'             # all
make mutants ARGS='calco.data.splitting*'

mutmut runs the tests that reach the changed function, the quickest first, until one fails. Texts of errors and of protocols are
left alone ([tool.mutmut] in pyproject.toml). What no test catches is checked by pyright as `make lint` does. Survivors are
recorded with what was changed; `explained` keeps, from run to run, why one that is left is no bug.
"""

import ast
import difflib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, commit, save

SAMPLE = "*7"
SOURCES = Path("src/calco")
KILLED = ("killed", "timeout", "suspicious", "segfault", "caught by type check")


def mutmut(*arguments: str) -> str:
    """What a command of mutmut prints."""
    return subprocess.run([sys.executable, "-m", "mutmut", *arguments], capture_output=True, text=True, check=True).stdout


def outcomes() -> dict[str, str]:
    """What became of each mutant that was tried."""
    found = dict(line.strip().rsplit(": ", 1) for line in mutmut("results", "--all", "true").splitlines() if ": " in line)
    return {name: outcome for name, outcome in found.items() if outcome != "not checked"}


@cache
def spans(path: Path) -> dict[str, tuple[int, int]]:
    """Functions and methods of a file: the lines from first, decorators included, up to last of each, from 0."""
    found = {}

    def look(body: list[ast.stmt], within: str) -> None:
        for one in body:
            if isinstance(one, ast.ClassDef):
                look(one.body, f"{within}{one.name}.")
            elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([one.lineno, *(mark.lineno for mark in one.decorator_list)]) - 1
                found[within + one.name] = first, one.end_lineno or one.lineno

    look(ast.parse(path.read_text()).body, "")
    return found


def with_mutant(name: str) -> tuple[Path, str]:
    """A source file, from the root, and its text with one function as a mutant has it."""
    module, _, function = name.rpartition(".")
    place = SOURCES.joinpath(*module.split(".")[1:])
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    mangled = function.rpartition("__mutmut_")[0]
    *_, owner, own = ["", mangled.removeprefix("x_")] if "\u01c1" not in mangled else mangled.split("\u01c1")
    prefix = f"{owner}." if owner else ""
    mutated = Path("mutants") / file
    first, last = spans(mutated)[prefix + function]
    lines = mutated.read_text().splitlines()[first:last]
    lines = [line.replace(function, own) for line in lines]
    first, last = spans(file)[prefix + own]
    text = file.read_text().splitlines()
    return file, "\n".join([*text[:first], *lines, *text[last:], ""])


def change(name: str) -> str:
    """The lines that a mutant removes and adds."""
    file, text = with_mutant(name)
    lines = difflib.unified_diff(file.read_text().splitlines(), text.splitlines(), n=0, lineterm="")
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines if re.match(r"[-+](?![-+])", line))


def mistyped(names: list[str]) -> set[str]:
    """Those of the mutants that the type checker refuses."""
    if not names:  # a checker that is told of no file looks at all
        return set()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(SOURCES, root / SOURCES)
        placed = {}
        for i, name in enumerate(names):
            file, text = with_mutant(name)
            placed[root / file.parent / f"mutant{i}.py"] = name
            (root / file.parent / f"mutant{i}.py").write_text(text)
        settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "reportMissingTypeStubs": False}
        settings |= {"include": [str(path.relative_to(root)) for path in placed], "extraPaths": ["src"]}
        (root / "pyrightconfig.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", folder]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["generalDiagnostics"]
    return {placed[Path(one["file"])] for one in told if one["severity"] == "error"}


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
    caught = mistyped([name for name, outcome in tried.items() if outcome not in KILLED])
    tried |= dict.fromkeys(caught, "caught by type check")
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
