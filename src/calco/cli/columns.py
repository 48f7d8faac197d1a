"""The verb that says what columns of a table hold. Everything heavy is imported inside it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from calco.cli.options import AS_FOUND, Data, TextOptions


def columns(
    data: Data,
    *,
    out: Annotated[Path | None, Parameter(help="A TOML file to write, to be edited and given to --columns.")] = None,
    options: TextOptions = AS_FOUND,
) -> None:
    """Say what the columns of a table are taken for: number, choice or date."""
    from rich.console import Console
    from rich.table import Table

    from calco.data import open_data
    from calco.data.columns import Column, written
    from calco.data.frames import TableSource
    from calco.errors import RequestError
    from calco.runs import written_aside

    said = options.dialect(Path(data)).given()
    source = open_data(data, columns={}, **said) if Path(data).is_file() else open_data(data, **said)
    if not isinstance(source, TableSource):
        raise RequestError(f"{data} is no table: give a csv, tsv or parquet file, or a named table.")
    shown = Table(box=None, pad_edge=False)
    for heading in ("column", "dtype", "kind", "options"):
        shown.add_column(heading)
    plan: tuple[Column, ...] = source.plan
    for column in plan:
        some = ", ".join(column.options[:6]) + (f", ... ({len(column.options)})" if len(column.options) > 6 else "")
        shown.add_row(column.name, column.dtype, column.kind, some)
    Console().print(shown)
    if out is not None:
        with written_aside(out) as aside:
            aside.write_text(written(list(plan)), encoding="utf-8")
        print(f"Written to {out}")
