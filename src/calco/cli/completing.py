"""The verbs that go on from what is given: futures of a history, and what is missing. Everything heavy is imported inside."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from calco.cli.options import AS_FOUND, Device, RunFolder, TextOptions


def simulate(
    run: RunFolder,
    history: Annotated[Path, Parameter(help="The past: a csv or parquet file with the columns of the training data, or npy.")],
    *,
    steps: Annotated[int, Parameter(help="Moments ahead.")],
    paths: Annotated[int, Parameter(help="Futures to draw.")] = 100,
    out: Annotated[Path, Parameter(help="A csv, parquet or npy file.")],
    actions: Annotated[
        Path | None, Parameter(help="A file of the actions of those moments, where the model knows actions: a row a moment.")
    ] = None,
    chart: Annotated[Path | None, Parameter(help="A png of the futures' quantiles; beside the file if not given.")] = None,
    seed: Annotated[int, Parameter(help="Same seed, same futures.")] = 0,
    options: TextOptions = AS_FOUND,
    device: Device = "cpu",
) -> None:
    """Draw futures of a series from its past on, as paths and as a fan of quantiles."""
    from calco.cli.outputs import check_output, write_array
    from calco.models import load
    from calco.report.fans import save_fan
    from calco.simulation import read_history, series_schema

    check_output(out, images=False)
    estimator = load(run, device)
    estimator.require("complete")
    schema = series_schema(estimator.schema_)
    past, last = read_history(schema, history, dialect=options.dialect(history, estimator.run_))
    chosen = None
    if actions is not None:
        chosen = read_history(schema, actions, schema.actions, options.dialect(actions, estimator.run_))[0]
    found = estimator.simulate(past, steps, paths=paths, actions=chosen, seed=seed)
    write_array(out, found if out.suffix == ".npy" else schema.futures(found, last))
    picture = chart or out.with_suffix(".png")
    save_fan(schema, past, found, picture)
    print(f"{paths} futures of {steps} moments in {out}, their quantiles in {picture}")


def impute(
    run: RunFolder,
    data: Annotated[Path, Parameter(help="A csv or parquet file with empty cells: a table, or a recording of series.")],
    *,
    out: Annotated[Path, Parameter(help="A csv or parquet file.")],
    seed: Annotated[int, Parameter(help="Same seed, same draws.")] = 0,
    options: TextOptions = AS_FOUND,
    device: Device = "cpu",
) -> None:
    """Fill in empty cells, each by a draw given the cells that are there."""
    from calco.cli.outputs import write_array
    from calco.data.files import is_table, read_table
    from calco.errors import RequestError
    from calco.imputation import imputed
    from calco.models import load
    from calco.runs import check_writable

    if out.suffix not in (".csv", ".parquet") or not is_table(data):
        raise RequestError(f"Cannot fill in {data} into {out}: both are tables, the latter in a csv or parquet file.")
    check_writable(out)
    estimator = load(run, device)
    estimator.require("complete")
    kinds = getattr(estimator.schema_, "opening", dict)().get("columns")
    found = imputed(estimator, read_table(data, kinds, dialect=options.dialect(data, estimator.run_)), seed)
    write_array(out, found.data)
    left = f", {found.left} of them left empty: the model takes them for missing in every draw" if found.left else ""
    print(f"{found.missing} missing values filled in{left}; the whole in {out}")
