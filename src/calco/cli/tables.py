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


def print_transfer(frame: Any) -> None:
    """Means and gains of each way to learn, with their intervals, narrow enough for a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("way")
    for heading in ("labels", frame["metric"].iloc[0], "interval", "gain", "interval"):
        table.add_column(heading, no_wrap=True)
    for row in frame.to_dict("records"):
        gained = row["gain"] == row["gain"]  # the way that gains are measured from has none
        gains = (f"{row['gain']:+.3f}", f"{row['gain_low']:+.2f}, {row['gain_high']:+.2f}") if gained else ("", "")
        table.add_row(row["way"], f"{row['labels']:,}", f"{row['mean']:.3f}", f"{row['low']:.2f}, {row['high']:.2f}", *gains)
    Console().print(table)
