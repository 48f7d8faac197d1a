"""Make benchmarks/README.md from the recorded results.

make bench
"""

import json
from typing import Any

from benchmarks.record import RESULTS

HEAD = """# Benchmarks

Measured, not quoted. Each row was made by the command beside it on the machine named below; `make bench` makes this page
from `results/*.json`. The data sets are found through `CALCO_DATA`. "At least" and "reach for" are what we set out for.

| what | measured | at least | reach for | reached | command | commit |
| --- | --- | --- | --- | --- | --- | --- |
"""


def row(figure: dict[str, Any], result: dict[str, Any]) -> str:
    """One line of the table."""
    value, sign = figure["value"], 1 if figure["better"] == "higher" else -1
    aims, reached = [figure.get("at_least"), figure.get("reach_for")], ""
    if figure.get("at_least") is not None:  # some rows are for comparison only
        reached = "at least" if sign * value >= sign * figure["at_least"] else "**no**"
        reached = "reach for" if sign * value >= sign * figure["reach_for"] else reached
    own = figure.get("standard_error", figure.get("error"))
    error = "" if own is None else f" ± {own:.2g}"
    spread = f" ({figure['lowest']:.2f} to {figure['highest']:.2f})" if "lowest" in figure else ""
    unit = "" if figure["unit"] in ("", "ratio") else f" {figure['unit']}"
    cells = [
        figure["what"],
        f"{value:.4g}{error}{spread}{unit}",
        *("" if aim is None else f"{aim:g}" for aim in aims),
        reached,
        f"`{result['command']}`",
        result["commit"],
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the page."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    rows = [row(figure, result) for result in results for figure in result["figures"]]
    machines = sorted({f"- {result['name']}: {result['machine']}" for result in results})
    protocols = [f"- {f['what']}: {f['protocol']}." for r in results for f in r["figures"] if "protocol" in f]
    times = [
        f"- {f['what']}: trained {f['training_minutes']:.1f} of {f['allowed_minutes']} minutes."
        for r in results
        for f in r["figures"]
        if "training_minutes" in f
    ]
    page = HEAD + "\n".join(rows) + "\n\n## Protocols\n\n" + "\n".join(protocols) + "\n\n## Times\n\n" + "\n".join(times)
    page += "\n\n## Machines\n\n" + "\n".join(machines) + "\n"
    (RESULTS.parent / "README.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
