"""The verbs that make and use models, and the list of all. Everything heavy is imported inside them."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from calco.cli.columns import columns
from calco.cli.completing import impute, simulate
from calco.cli.keeping import cache
from calco.cli.measuring import compare, evaluate, report, score, transfer
from calco.cli.options import DEFAULT, UNMOVED, Data, DataOptions, Device, Moved, RunFolder


def demo(*, out: Annotated[Path, Parameter(help="Where to put it.")] = Path("calco-demo")) -> None:
    """Train every family that has a demonstration on the embedded digits, side by side, to a report."""
    from calco.cli.display import Display
    from calco.cli.tables import print_figures
    from calco.models import families, load
    from calco.report import write_report
    from calco.runs import Run

    started = time.monotonic()
    shown = {name: cls for name, cls in families().items() if cls.demo is not None}
    for name, cls in shown.items():
        folder = out / name
        exists = (folder / "run.json").exists()
        if exists and Run(folder).record.get("status") == "finished":
            continue
        estimator = cls.from_run(Run(folder), weights=False) if exists else cls(**cls.demo or {})
        with Display(estimator.settings().steps, f"{name} on digits") as display:
            if exists:
                estimator.resume(report=display.report)
            else:
                estimator.fit("digits", out=folder, report=display.report)
    display = Display(0, "")
    display.done("Measuring and drawing ...")
    estimators = [load(out / name) for name in shown]
    measured = write_report(estimators, "digits:test", out / "report.html", title="calco on handwritten digits")
    for name, figures in zip(shown, measured, strict=True):
        print_figures(name, figures)
    display.done(f"Done in {time.monotonic() - started:.0f} s. Open {(out / 'report.html').resolve()}")


def resume(run: RunFolder, *, moved: Moved = UNMOVED) -> None:
    """Go on with a run that was stopped; it ends as if it had not been."""
    from calco.cli.display import Display
    from calco.models import family
    from calco.runs import Run

    folder = Run(run)
    moved.tell(folder)
    estimator = family(folder.field("family", str)).from_run(folder, weights=False)
    with Display(estimator.settings().steps, f"{estimator.family}, resumed") as display:
        if folder.record.get("status") != "finished":
            estimator.resume(report=display.report)
    display.done(f"Done: {run}. See it with: calco report {run}")


def sample(
    run: RunFolder,
    *,
    number: Annotated[int, Parameter(name=["--number", "-n"], help="How many examples.")] = 64,
    out: Annotated[Path, Parameter(help="A png (a grid), npy, csv or parquet file, or a folder for one png each.")],
    label: Annotated[str | None, Parameter(help="The class to sample, for a conditional model.")] = None,
    way: Annotated[str | None, Parameter(help="How to draw codes; the family's default if not given.")] = None,
    known: Annotated[Path | None, Parameter(help="An npy file: an example, its values given where the mask says.")] = None,
    mask: Annotated[Path | None, Parameter(help="An npy file: booleans of one example's shape, true where given.")] = None,
    where: Annotated[
        tuple[str, ...],
        Parameter(help="Values that rows of a table have, as column=value; nothing after = is what is missing.", negative=""),
    ] = (),
    burn_in: Annotated[int | None, Parameter(help="Sweeps of a Markov chain before a sample is taken.")] = None,
    thin: Annotated[int | None, Parameter(help="Sweeps between two samples of one Markov chain.")] = None,
    seed: Annotated[int, Parameter(help="Same seed, same samples.")] = 0,
    device: Device = "cpu",
) -> None:
    """Make new examples."""
    from calco.cli.outputs import check_output, write_examples
    from calco.data.files import read_npy
    from calco.models import load

    estimator = load(run, device)
    estimator.require("sample")
    check_output(out, images=len(estimator.schema_.shape) == 3)
    given, flags = (None if path is None else read_npy(path) for path in (known, mask))
    asked = _equations(where, estimator.schema_.columns) or None
    estimator.adjust(burn_in=burn_in, thin=thin)
    raw = estimator.sample(number, way=way, label=label, known=given, mask=flags, where=asked, seed=seed)
    write_examples(out, raw, estimator.schema_)
    how = "with known values" if given is not None or asked else way or estimator.ways_[0]
    print(f"{number} samples ({how}) in {out}")


def _equations(texts: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, str | None]:
    """Values by column of texts like `column=value`; a name may have = in it.

    Raises:
        RequestError: there is no = in one, or a column is told twice.
    """
    from calco.errors import RequestError

    found: dict[str, str | None] = {}
    for text in texts:
        name = max((name for name in columns if text.startswith(f"{name}=")), key=len, default=text.partition("=")[0])
        if len(name) == len(text) or name in found:
            raise RequestError(f"Cannot read {text!r}: say column=value once a column, such as --where 'income=>50K'.")
        found[name] = text[len(name) + 1 :] or None
    return found


def encode(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="An npy, csv or parquet file.")],
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write the features of each example."""
    from calco.cli.outputs import check_output, write_by_example
    from calco.models import load

    check_output(out, images=False)
    estimator = load(run, device)
    estimator.require("encode")
    source = options.open(data, "test", estimator.run_)
    codes = estimator.encode(source)
    write_by_example(out, source, codes, [f"z{i}" for i in range(codes.shape[1])])
    print(f"{len(codes)} codes of width {codes.shape[1]} in {out}")


def reconstruct(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="A png (a grid), npy, csv or parquet file, or a folder for one png each.")],
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write what the model keeps of each example."""
    from calco.cli.outputs import check_output, write_examples
    from calco.models import load

    estimator = load(run, device)
    estimator.require("reconstruct")
    check_output(out, images=len(estimator.schema_.shape) == 3)
    source = options.open(data, "test", estimator.run_)
    write_examples(out, estimator.reconstruct(source), estimator.schema_)
    print(f"{len(source)} reconstructions in {out}")


def predict(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="A csv or parquet file, or npy for the predictions alone.")],
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write the class of each example with the probabilities of all, or its value."""
    import pandas as pd

    from calco.cli.outputs import check_output, write_by_example
    from calco.models import load

    check_output(out, images=False)
    estimator = load(run, device)
    estimator.require("predict")
    source = options.open(data, "test", estimator.run_)
    found = estimator.predict(source)
    table = pd.DataFrame({"prediction": found})
    if hasattr(estimator, "predict_proba"):
        p: Any = estimator
        table = table.join(pd.DataFrame(p.predict_proba(source), columns=[f"p({name})" for name in estimator.schema_.classes]))
    write_by_example(out, source, found if out.suffix == ".npy" else table)
    print(f"{len(found)} predictions in {out}")


def segment(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="The folder for masks, overlays and the names of the classes.")],
    probabilities: Annotated[bool, Parameter(help="Write the classes' probabilities too, as npy.", negative="")] = False,
    tile: Annotated[int, Parameter(help="Sides of the pieces that larger images are worked on in; 0 for the default.")] = 0,
    device: Device = "cpu",
) -> None:
    """Write the class of every pixel, sample or voxel."""
    from rich.progress import track

    from calco.cli.outputs import Segments, check_new_folder
    from calco.models import load

    check_new_folder(out)
    estimator = load(run, device)
    estimator.require("segment")
    names, examples = estimator.examples(data)
    segments = Segments(out, estimator.schema_, probabilities)
    for name, raw in track(zip(names, examples, strict=True), "segmenting", total=len(names), transient=True):
        segments.write(name, raw, estimator.bands(raw, tile))
    print(f"{len(names)} masks in {out / 'masks'}")


def cluster(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="A csv, parquet or npy file for the cluster of each example.")],
    clusters: Annotated[int, Parameter(help="How many; 0 chooses the number.")] = 0,
    method: Annotated[Literal["graph", "kmeans"], Parameter(help="graph finds clusters of any shape, kmeans balls.")] = "graph",
    seed: Annotated[int, Parameter(help="Same seed, same clusters.")] = 0,
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Group examples by their codes; the report of the run shows the clusters from then on."""
    import numpy as np

    from calco.cli.outputs import check_output, unless_read_only, write_by_example
    from calco.evaluation.probes import agreement
    from calco.models import load
    from calco.runs import write_json

    estimator = load(run, device)
    estimator.require("encode")
    check_output(out, images=False)
    source = options.open(data, "test", estimator.run_)
    found = estimator.cluster(source, clusters, method=method, seed=seed)
    write_by_example(out, source, found.cluster[:, None], ["cluster"])
    sizes = np.bincount(found.cluster)
    print(f"{found.about}, of {', '.join(f'{size:,}' for size in sizes)} examples; each in {out}")
    y = source.take(np.arange(len(source))).y if source.classes else None
    if y is not None and y.ndim == 1:
        print("; ".join(f"{name} {value:.3f}" for name, value in agreement(y, found.cluster).items()))
    with unless_read_only("The report of the run will not show them."):
        write_json(run / "clusters.json", {"clusters": clusters, "method": method, "seed": seed})


def explain(
    operator: Annotated[str, Parameter(help="An upsampling operator; `calco explain list` names them.")],
    *,
    kernel: Annotated[int, Parameter(help="Side of the filter, or of the block that is pooled.")] = 3,
    stride: Annotated[int, Parameter(help="Places between two copies of the filter; the factor.")] = 2,
    padding: Annotated[int, Parameter(help="Places that are cropped at each end.")] = 0,
    output_padding: Annotated[int, Parameter(help="Places that are kept beyond the far end.")] = 0,
    size: Annotated[int, Parameter(help="Side of the input.")] = 2,
    dims: Annotated[int, Parameter(help="1 for signals, 2 for images.")] = 2,
    out: Annotated[Path | None, Parameter(help="The png to write; the operator's name if not given.")] = None,
) -> None:
    """Draw what an upsampling operator does, number by number."""
    from calco.report.explain import OPERATORS
    from calco.report.explain import explain as draw

    if operator == "list":
        print("\n".join(OPERATORS))
        return
    path = out or Path(f"{operator}.png")
    draw(operator, path, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding, size=size, dims=dims)
    print(f"Written to {path.resolve()}")


def data() -> None:
    """List the named data sets, and whether they are at hand."""
    from rich.console import Console
    from rich.table import Table

    from calco.data.named import SETS

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "parts", "at hand", "what it is", "licence"):
        table.add_column(heading)
    for named in SETS.values():
        here = all(named.find(file) for files in named.files.values() for file in files)
        table.add_row(named.name, ", ".join(named.parts), "yes" if here else "no", named.about, named.licence)
    Console().print(table)


def families() -> None:
    """List the families, and what each can do."""
    from rich.console import Console
    from rich.table import Table

    from calco.models import families as found

    table = Table(box=None, pad_edge=False)
    for heading in ("family", "what it is", "what it can do"):
        table.add_column(heading)
    for name, cls in found().items():
        table.add_row(name, (cls.__doc__ or "").partition("\n")[0], ", ".join(cls().capabilities_))
    Console().print(table)


MAKING = (demo, resume, sample, simulate, impute, encode, reconstruct, score, predict, cluster, segment)
VERBS = (*MAKING, evaluate, compare, transfer, report, explain, data, columns, cache, families)
