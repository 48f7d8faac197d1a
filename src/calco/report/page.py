"""The page itself: a table of figures, the sections, and the HTML around them."""

import html
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from calco.data import Source, labelled_part, open_data
from calco.estimator import Estimator
from calco.evaluation import Figure, evaluate
from calco.evaluation.figures import role
from calco.report.sections import SECTIONS, number
from calco.runs import write_json, written_aside


def write_report(
    estimators: Sequence[Estimator],
    data: Any,
    path: str | os.PathLike[str],
    *,
    figures: Sequence[list[Figure]] | None = None,
    title: str = "",
    names: Sequence[str] = (),
    lead: Sequence[str] = (),
    target: str = "",
) -> list[list[Figure]]:
    """Write the report of one run, or of several side by side, and give their figures.

    Args:
        estimators: fitted or loaded, all on data like `data`.
        data: to measure on and to show, best held-out.
        path: of the HTML file.
        figures: of each estimator, where they are measured already.
        title: of the page.
        names: of the estimators; those of their classes where not given.
        lead: sentences to begin with.
        target: of tables, the column that trees are to predict, as `evaluate` takes it.

    Raises:
        RequestError: the data do not fit the models.
        RunError: the file cannot be written.
    """
    source = labelled_part(open_data(data, part="test"))
    measured = list(figures) if figures is not None else [evaluate(e, source, target=target) for e in estimators]
    names = names or [type(e).__name__ for e in estimators]
    title = title or " and ".join(names)
    sections = [
        _section("In short", "".join(f"<p>{html.escape(sentence)}</p>" for sentence in lead)),
        _section("Figures", _table(names, measured)),
        *(_section(heading, _columns(names, [draw(e, source) for e in estimators]), note) for heading, note, draw in SECTIONS),
    ]
    about = source.describe()
    head = f"{len(source):,} {role(source, *estimators)} examples of {html.escape(about['about'])}"
    page = _template().substitute(title=html.escape(title), about=head, body="\n".join(s for s in sections if s))
    with written_aside(Path(path)) as aside:
        aside.write_text(page, encoding="utf-8", errors="backslashreplace")  # a name of a file may be no UTF-8
    return measured


def save_figures(path: Path, data: Source, figures: list[Figure]) -> None:
    """Write report.json: the figures, and what they were measured on."""
    write_json(path, {"data": data.describe(), "figures": [figure.to_json() for figure in figures]})


def _template():
    from string import Template

    return Template(files("calco.report").joinpath("page.html").read_text(encoding="utf-8"))


def _section(heading: str, body: str, note: str = "") -> str:
    if not body:
        return ""
    text = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{heading}</h2>{text}{body}</section>"


def _columns(names: Sequence[str], drawn: Sequence[str]) -> str:
    """One column a model; nothing where no model has anything to show."""
    if not any(drawn):
        return ""
    blank = '<p class="note">not something this family does</p>'
    cards = (
        f'<div class="card"><h3>{html.escape(name)}</h3>{content or blank}</div>'
        for name, content in zip(names, drawn, strict=True)
    )
    return f'<div class="columns">{"".join(cards)}</div>'


# -- figures ------------------------------------------------------------------------------------------------------------


def _table(names: Sequence[str], measured: Sequence[list[Figure]]) -> str:
    rows = "".join(_row(name, f) for name, figures in zip(names, measured, strict=True) for f in figures)
    if not rows:
        return ""
    head = "<tr><th>model<th>figure<th class=n>value<th class=n>baseline<th>how it was measured</tr>"
    return f'<div class="scroll"><table>{head}{rows}</table></div>'


def _row(model: str, figure: Figure) -> str:
    error = f' <span class="note">± {figure.error:.2g}</span>' if figure.error is not None else ""
    base, won = "", ""
    if figure.baseline is not None:
        base = number(figure.baseline)
        won = "won" if (figure.value < figure.baseline) == (figure.better == "lower") else "lost"
    protocol = f"{figure.protocol}. Baseline: {figure.baseline_name}." if figure.baseline_name else f"{figure.protocol}."
    return (
        f"<tr><td>{html.escape(model)}<td>{figure.name}<br><span class=note>{figure.unit}, {figure.better} is better</span>"
        f'<td class="n {won}">{number(figure.value)}{error}<td class=n data-name=baseline>{base}'
        f"<td class=note>{html.escape(protocol)}</tr>"
    )
