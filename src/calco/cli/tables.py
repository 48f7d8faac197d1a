"""Figures as tables in a terminal."""

from typing import Any


def print_leaders(frame: Any) -> None:
    """What decides each purpose of a comparison, the best first."""
    from rich.console import Console
    from rich.table import Table

    from calco.report.sections import number

    table = Table(box=None, pad_edge=False)
    for heading in ("purpose", "rank", "model", "figure", "value", "± s.e."):
        table.add_column(heading, no_wrap=True)
    for row in frame[frame["rank"] > 0].sort_values(["purpose", "rank"], kind="stable").to_dict("records"):
        error = "" if row["error"] is None or row["error"] != row["error"] else f"{row['error']:.2g}"
        value = number(row["value"])
        table.add_row(row["purpose"], str(row["rank"]), row["model"], row["figure"], value, error)
    Console().print(table)


def print_figures(title: str, figures: list) -> None:
    """Figures with their errors and baselines, and how they were measured."""
    from rich.console import Console
    from rich.table import Table

    from calco.report.sections import number

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "value", "± s.e.", "baseline", "unit"):
        table.add_column(heading)
    for f in figures:
        error = "" if f.error is None else f"{f.error:.2g}"
        table.add_row(f.name, number(f.value), error, number(f.baseline), f"{f.unit}, {f.better} is better")
    Console().print(table)
    for protocol in dict.fromkeys(f.protocol for f in figures):
        Console().print(f"  measured as: {protocol}", style="dim", highlight=False)


def print_frame(frame: Any, columns: tuple[str, ...]) -> None:
    """Some columns of a data frame."""
    from rich.console import Console
    from rich.table import Table

    from calco.report.sections import number

    table = Table(box=None, pad_edge=False)
    for heading in columns:
        table.add_column(heading, no_wrap=True)
    for row in frame.to_dict("records"):
        cells = (row[column] for column in columns)
        table.add_row(*("" if c != c else number(c) if isinstance(c, float) else str(c) for c in cells))
    Console().print(table)
