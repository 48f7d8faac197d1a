"""The verbs. Everything heavy is imported inside them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from calco.cli.options import DEFAULT, DataOptions

if TYPE_CHECKING:
    from calco.runs import Run

RunFolder = Annotated[Path, Parameter(help="A run folder.")]
Data = Annotated[str, Parameter(help="A named set (see `calco data`), a file, or a folder of images.")]
MEASURED = "What to measure on; if not given a named set's test part, the held-out data or the training data of the run."
Device = Annotated[str, Parameter(help="Where to compute: cpu or cuda.")]


def demo(*, out: Annotated[Path, Parameter(help="Where to put it.")] = Path("calco-demo")) -> None:
    """Train every family that has a demonstration on the embedded digits, side by side, to a report."""
    from calco.cli.display import Display
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
        _print_figures(name, figures)
    display.done(f"Done in {time.monotonic() - started:.0f} s. Open {(out / 'report.html').resolve()}")


def resume(run: RunFolder) -> None:
    """Go on with a run that was stopped; it ends as if it had not been."""
    from calco.cli.display import Display
    from calco.models import family
    from calco.runs import Run

    folder = Run(run)
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
    raw = estimator.adjust(burn_in=burn_in, thin=thin).sample(number, way=way, label=label, known=given, mask=flags, seed=seed)
    write_examples(out, raw, estimator.schema_)
    how = "with known values" if given is not None else way or estimator.ways_[0]
    print(f"{number} samples ({how}) in {out}")


def encode(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="An npy, csv or parquet file.")],
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write the features of each example."""
    from calco.cli.outputs import check_output, write_array
    from calco.models import load

    check_output(out, images=False)
    estimator = load(run, device)
    estimator.require("encode")
    codes = estimator.encode(options.open(data, "test", estimator.run_))
    write_array(out, codes, [f"z{i}" for i in range(codes.shape[1])])
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


def score(
    run: RunFolder,
    data: Data,
    *,
    out: Annotated[Path, Parameter(help="A csv, parquet or npy file.")],
    samples: Annotated[int | None, Parameter(help="Samples of the estimate, where it is one.")] = None,
    betas: Annotated[int | None, Parameter(help="Temperatures of the estimate, where it anneals.")] = None,
    parzen: Annotated[
        bool, Parameter(help="Estimate from samples by a Parzen window, with its controls.", negative="")
    ] = False,
    seed: Annotated[int, Parameter(help="Of the estimate.")] = 0,
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write the log density of each example in nats, and the standard error of each estimate."""
    import numpy as np

    from calco.cli.outputs import check_output, write_array
    from calco.errors import RequestError
    from calco.models import load

    check_output(out, images=False)
    estimator = load(run, device)
    if parzen:
        if betas is not None:
            raise RequestError("A Parzen-window estimate has no temperatures: leave --betas out.")
        _score_by_parzen(estimator, options.open(data, "test", estimator.run_), out, samples, seed)
        return
    estimator.require("log_prob")
    estimator.adjust(samples=samples, betas=betas)
    found = estimator.log_prob_estimate(options.open(data, "test", estimator.run_), seed=seed)
    columns = {"log_prob": found.value, "standard_error": found.error}
    if found.low is not None:
        columns |= {"log_prob_backwards": found.low, "standard_error_backwards": found.low_error}
    write_array(out, np.stack(list(columns.values()), 1), list(columns))
    n, mean = len(found.value), found.value.mean()
    spread = found.value.std() / n**0.5
    print(f"{mean:.4f} ± {spread:.4f} nats on average over {n} examples ({estimator.density_}); each in {out}")
    if found.bracket():
        print(found.bracket())


def _score_by_parzen(estimator: Any, source: Any, out: Path, samples: int | None, seed: int) -> None:
    from calco.cli.outputs import write_array
    from calco.evaluation.figures import training_data
    from calco.evaluation.parzen import SAMPLES
    from calco.evaluation.parzen import parzen as estimate

    estimator.require("sample")
    train, samples = training_data(estimator, source), SAMPLES if samples is None else samples
    found = estimate(estimator, source, train, samples=samples, seed=seed)
    write_array(out, found.values[:, None], ["parzen"])
    _print_figures(estimator.family, found.figures)
    print(f"Each in {out}. Not to be trusted alone: centroids, which only smooth the data, may score above them.")


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

    from calco.cli.outputs import Segments
    from calco.data.paired import open_examples
    from calco.models import load

    estimator = load(run, device)
    estimator.require("segment")
    names, examples = open_examples(data, estimator.schema_)
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

    from calco.cli.outputs import check_output, write_array
    from calco.evaluation.probes import agreement
    from calco.models import load
    from calco.runs import write_json

    estimator = load(run, device)
    estimator.require("encode")
    check_output(out, images=False)
    source = options.open(data, "test", estimator.run_)
    found = estimator.cluster(source, clusters, method=method, seed=seed)
    write_array(out, found.cluster[:, None], ["cluster"])
    sizes = np.bincount(found.cluster)
    write_json(run / "clusters.json", {"clusters": len(sizes), "method": method, "seed": seed})
    print(f"{found.about}, of {', '.join(f'{size:,}' for size in sizes)} examples; each in {out}")
    y = source.take(np.arange(len(source))).y if source.classes else None
    if y is not None and y.ndim == 1:
        print("; ".join(f"{name} {value:.3f}" for name, value in agreement(y, found.cluster).items()))


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


def evaluate(
    run: RunFolder,
    data: Annotated[str | None, Parameter(help=MEASURED)] = None,
    *,
    samples: Annotated[int | None, Parameter(help="Samples of a likelihood's estimate, where it is one.")] = None,
    betas: Annotated[int | None, Parameter(help="Temperatures of a likelihood's estimate, where it anneals.")] = None,
    use: Annotated[
        bool, Parameter(help="Measure too what a classifier learns from samples with labels; takes minutes.", negative="")
    ] = False,
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Measure everything the model can answer, into report.json."""
    from calco.evaluation import evaluate as measure
    from calco.models import load
    from calco.report.page import save_figures

    estimator = load(run, device)
    estimator.adjust(samples=samples, betas=betas)
    source = _to_measure_on(estimator.run_, data, options)
    figures = measure(estimator, source, use=use)
    save_figures(run / "report.json", source, figures)
    _print_figures(estimator.family, figures)
    print(f"Written to {run / 'report.json'}")


def compare(
    data: Data,
    *,
    families: Annotated[str, Parameter(help="Their names, between commas; see `calco families`.")],
    out: Annotated[Path, Parameter(help="The folder of the comparison; the same command goes on with one that was stopped.")],
    budget: Annotated[str, Parameter(help="For training each: minutes (5m), seconds (90s), or a number of steps.")] = "5m",
    use: Annotated[
        bool, Parameter(help="Measure too what a classifier learns from samples with labels; takes minutes.", negative="")
    ] = False,
    options: DataOptions = DEFAULT,
) -> None:
    """Train families on the same data within the same budget, and rank them by what they are wanted for."""
    import contextlib

    from calco.cli.display import Display
    from calco.comparison import compare as run

    told = Display(0, "")
    with contextlib.ExitStack() as shown:

        def watch(name: str, steps: int) -> Any:
            shown.close()
            return shown.enter_context(Display(steps, f"{name} on {data}")).report

        plain = all(value in (None, False) for value in vars(options).values())
        source = data if plain else options.open(data, "train")
        frame = run(source, families.split(","), budget, out=out, use=use, say=told.done, watch=watch)
    _print_leaders(frame)
    print("\n".join(frame.attrs["advice"]))
    print(f"All figures in {out / 'leaderboard.csv'}; side by side in {(out / 'report.html').resolve()}")


def report(
    runs: Annotated[list[Path], Parameter(help="One run folder, or several to show side by side.", negative="")],
    *,
    data: Annotated[str | None, Parameter(help=MEASURED)] = None,
    out: Annotated[Path | None, Parameter(help="The page to write; report.html in the first run if not given.")] = None,
    options: DataOptions = DEFAULT,
) -> None:
    """Write one self-contained page on a run: figures, samples, reconstructions, a map of the codes, curves."""
    from calco.models import load
    from calco.report import write_report
    from calco.report.page import save_figures

    estimators = [load(run) for run in runs]
    source = _to_measure_on(estimators[0].run_, data, options)
    page = out or runs[0] / "report.html"
    measured = write_report(estimators, source, page)
    for run, figures in zip(runs, measured, strict=True):
        save_figures(run / "report.json", source, figures)
    print(f"Written to {page.resolve()}")


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


def _to_measure_on(run: "Run | None", data: str | None, options: DataOptions) -> Any:
    """The source of `data`; without it, of a named set's test part, of the run's held-out data, or of its training data.

    Raises:
        RequestError: the run's data were in memory.
    """
    from calco.data.named import SETS
    from calco.errors import RequestError
    from calco.evaluation.figures import data_of

    stem = str(run.opening().get("data", "") if run else "").partition(":")[0]
    if data is None and stem in SETS:
        data = f"{stem}:{SETS[stem].parts[-1]}"
    if data is not None:
        return options.open(data, "test", run)
    source = run and (data_of(run, "held_out") or data_of(run, "data"))
    if not source:
        raise RequestError("Say what data to measure on: those of the run were in memory.")
    return source


def _print_leaders(frame: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from calco.report.page import number

    table = Table(box=None, pad_edge=False)
    for heading in ("purpose", "rank", "model", "figure", "value", "± s.e."):
        table.add_column(heading, no_wrap=True)
    for row in frame[frame["rank"] > 0].sort_values(["purpose", "rank"], kind="stable").to_dict("records"):
        error = "" if row["error"] is None or row["error"] != row["error"] else f"{row['error']:.2g}"
        value = number(row["value"])
        table.add_row(row["purpose"], str(row["rank"]), row["model"], row["figure"], value, error)
    Console().print(table)


def _print_figures(title: str, figures: list) -> None:
    from rich.console import Console
    from rich.table import Table

    from calco.report.page import number

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "value", "± s.e.", "baseline", "unit"):
        table.add_column(heading)
    for f in figures:
        error = "" if f.error is None else f"{f.error:.2g}"
        table.add_row(f.name, number(f.value), error, number(f.baseline), f"{f.unit}, {f.better} is better")
    Console().print(table)
    for protocol in dict.fromkeys(f.protocol for f in figures):
        Console().print(f"  measured as: {protocol}", style="dim", highlight=False)


VERBS = (demo, resume, sample, encode, reconstruct, score, cluster, segment, evaluate, compare, report, explain, data, families)
