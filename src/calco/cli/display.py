"""What a person sees while a model trains: a bar with rate, time left and the present terms."""

import os
import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_FOR = 10.0
"""Seconds between lines where there is no terminal to draw a bar on."""


class Display:
    """Shows the lines of a run's log; only the first of several processes shows anything."""

    def __init__(self, steps: int, title: str) -> None:
        self.steps, self.title = steps, title
        self.main = os.environ.get("RANK", "0") == "0"
        self.console = Console(stderr=True, quiet=not self.main)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[terms]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=steps, rate="", terms="")
        self.first: tuple[int, float] | None = None
        self.spoke = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def report(self, line: dict[str, Any]) -> None:
        """Show one line of the log."""
        if "note" in line:
            self.done(f"{self.title}: {line['note']}")
            return
        step, now = line["step"], time.monotonic()
        first, began = self.first = self.first or (step, now)
        rate = f"{(step - first) / (now - began):,.0f} steps/s" if step > first and now > began else ""
        terms = "  ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in line.items() if k not in ("step", "seconds", "lr"))
        self.bar.update(self.task, completed=step, rate=rate, terms=terms)
        if not self.console.is_terminal and (now - self.spoke > QUIET_FOR or step == self.steps):
            self.spoke = now
            self.console.print(
                f"{self.title}: step {step:,} of {self.steps:,}  {rate}  {terms}", highlight=False, soft_wrap=True
            )

    def done(self, message: str) -> None:
        """Say how it ended."""
        self.console.print(message, highlight=False, soft_wrap=True)
