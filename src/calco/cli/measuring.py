"""The verbs that measure models. Everything heavy is imported inside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from calco.cli.options import DEFAULT, UNMOVED, Data, DataOptions, Device, Moved, RunFolder

if TYPE_CHECKING:
    from calco.runs import Run

MEASURED = "What to measure on; if not given a named set's test part, the held-out data or the training data of the run."

Target = Annotated[
    str, Parameter(help="Of tables, the column that trees are to predict; the last choice of few options if not given.")
]


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
    errors: Annotated[
        bool,
        Parameter(help="Write instead how badly each example is reconstructed; of series each moment too.", negative=""),
    ] = False,
    seed: Annotated[int, Parameter(help="Of the estimate.")] = 0,
    moved: Moved = UNMOVED,
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Write the log density of each example in nats, and the standard error of each estimate."""
    import numpy as np

    from calco.cli.outputs import check_output, write_by_example
    from calco.errors import RequestError
    from calco.models import load

    check_output(out, images=False)
    estimator = load(run, device)
    if moved != UNMOVED and not parzen:
        raise RequestError("Only a Parzen-window estimate asks for the training data: leave their place out.")
    moved.tell(estimator.run_)
    if errors:
        if parzen or samples is not None or betas is not None:
            raise RequestError("Errors of reconstruction are no estimate: leave --parzen, --samples and --betas out.")
        estimator.require("reconstruct")
        _score_by_errors(estimator, options.open(data, "test", estimator.run_), out)
        return
    if parzen:
        if betas is not None:
            raise RequestError("A Parzen-window estimate has no temperatures: leave --betas out.")
        _score_by_parzen(estimator, options.open(data, "test", estimator.run_), out, samples, seed)
        return
    estimator.require("log_prob")
    estimator.adjust(samples=samples, betas=betas)
    source = options.open(data, "test", estimator.run_)
    found = estimator.log_prob_estimate(source, seed=seed)
    columns = {"log_prob": found.value, "standard_error": found.error}
    if found.low is not None:
        columns |= {"log_prob_backwards": found.low, "standard_error_backwards": found.low_error}
    write_by_example(out, source, np.stack(list(columns.values()), 1), list(columns))
    n, mean = len(found.value), found.value.mean()
    spread = found.value.std() / n**0.5
    print(f"{mean:.4f} ± {spread:.4f} nats on average over {n} examples ({estimator.density_}); each in {out}")
    if found.bracket():
        print(found.bracket())


def _score_by_errors(estimator: Any, source: Any, out: Path) -> None:
    import numpy as np

    from calco.cli.outputs import write_by_example

    found = estimator.errors(source)
    moments = found if found.ndim == 2 else np.empty((len(found), 0))
    whole = found.reshape(len(found), -1).mean(1, keepdims=True)
    names = ["error", *(f"moment {i}" for i in range(moments.shape[1]))]
    write_by_example(out, source, np.concatenate((whole, moments), 1), names)
    print(f"{whole.mean():.4g} squared error on average over {len(found)} examples; each in {out}")


def _score_by_parzen(estimator: Any, source: Any, out: Path, samples: int | None, seed: int) -> None:
    from calco.cli.outputs import write_by_example
    from calco.cli.tables import print_figures
    from calco.evaluation.figures import training_data
    from calco.evaluation.parzen import SAMPLES
    from calco.evaluation.parzen import parzen as estimate

    estimator.require("sample")
    train, samples = training_data(estimator, source), SAMPLES if samples is None else samples
    found = estimate(estimator, source, train, samples=samples, seed=seed)
    print_figures(estimator.family, found.figures)
    write_by_example(out, source, found.values[:, None], ["parzen"])
    print(f"Each in {out}. Not to be trusted alone: centroids, which only smooth the data, may score above them.")


def evaluate(
    run: RunFolder,
    data: Annotated[str | None, Parameter(help=MEASURED)] = None,
    *,
    samples: Annotated[int | None, Parameter(help="Samples of a likelihood's estimate, where it is one.")] = None,
    betas: Annotated[int | None, Parameter(help="Temperatures of a likelihood's estimate, where it anneals.")] = None,
    use: Annotated[
        bool, Parameter(help="Measure too what a classifier learns from samples with labels; takes minutes.", negative="")
    ] = False,
    target: Target = "",
    out: Annotated[Path | None, Parameter(help="The JSON file to write; report.json in the run if not given.")] = None,
    moved: Moved = UNMOVED,
    options: DataOptions = DEFAULT,
    device: Device = "cpu",
) -> None:
    """Measure everything the model can answer, into report.json."""
    from calco.cli.tables import print_figures
    from calco.evaluation import evaluate as measure
    from calco.models import load
    from calco.report.page import save_figures
    from calco.runs import check_writable

    path = out or run / "report.json"
    estimator = load(run, device)
    check_writable(path)
    moved.tell(estimator.run_)
    estimator.adjust(samples=samples, betas=betas)
    source = _to_measure_on(estimator.run_, data, options)
    figures = measure(estimator, source, use=use, target=target)
    print_figures(estimator.family, figures)
    save_figures(path, source, figures)
    print(f"Written to {path}")


def compare(
    data: Data,
    *,
    families: Annotated[str, Parameter(help="Their names, between commas; see `calco families`.")],
    out: Annotated[Path, Parameter(help="The folder of the comparison; the same command goes on with one that was stopped.")],
    budget: Annotated[str, Parameter(help="For training each: minutes (5m), seconds (90s), or a number of steps.")] = "5m",
    use: Annotated[
        bool, Parameter(help="Measure too what a classifier learns from samples with labels; takes minutes.", negative="")
    ] = False,
    jobs: Annotated[int, Parameter(help="Models trained and measured at once, each with its share of the cores.")] = 1,
    options: DataOptions = DEFAULT,
) -> None:
    """Train families on the same data within the same budget, and rank them by what they are wanted for."""
    import contextlib

    from calco.cli.display import Display
    from calco.cli.tables import print_leaders
    from calco.comparison import compare as run

    told = Display(0, "")
    with contextlib.ExitStack() as shown:

        def watch(name: str, steps: int) -> Any:
            shown.close()
            return shown.enter_context(Display(steps, f"{name} on {data}")).report

        frame = run(
            options.named(data),
            [name.strip() for name in families.split(",")],
            budget,
            out=out,
            use=use,
            jobs=jobs,
            say=told.done,
            watch=watch,
        )
    print_leaders(frame)
    print("\n".join(frame.attrs["advice"]))
    print(f"All figures in {out / 'leaderboard.csv'}; side by side in {(out / 'report.html').resolve()}")


def transfer(
    run: RunFolder,
    data: Data,
    *,
    budgets: Annotated[str, Parameter(help="Numbers of labelled examples, between commas.")] = "10,100,1000",
    out: Annotated[Path | None, Parameter(help="The folder for the results; transfer in the run if not given.")] = None,
    predictor: Annotated[str, Parameter(help="The family that learns from labels: classifier or regressor.")] = "classifier",
    joint: Annotated[
        bool, Parameter(help="Measure too what the other examples add without their labels; takes longer.", negative="")
    ] = False,
    draws: Annotated[int, Parameter(help="How often the labelled examples are drawn.")] = 5,
    steps: Annotated[int | None, Parameter(help="Steps of each training; the recipe's if not given.")] = None,
    options: DataOptions = DEFAULT,
) -> None:
    """Measure what a run's encoder is worth where labels are few, against the same net from scratch and simple baselines."""
    from calco.cli.display import Display
    from calco.cli.tables import print_transfer
    from calco.errors import RequestError
    from calco.few_labels import transfer as measure
    from calco.runs import Run, check_writable

    if not all(part.strip().isdigit() for part in budgets.split(",")):
        raise RequestError(f"The budgets {budgets!r} make no sense: give numbers between commas, such as 10,100,1000.")
    folder = out or run / "transfer"
    check_writable(folder / "transfer.json")
    source = options.open(data, "train", Run(run)) if Path(data).is_dir() else options.named(data)
    frame = measure(
        run,
        source,
        [int(part) for part in budgets.split(",")],
        predictor=predictor,
        training={} if steps is None else {"steps": steps},
        joint=joint,
        draws=draws,
        out=folder,
        say=Display(0, "").done,
    )
    print_transfer(frame)
    print(f"{frame['protocol'].iloc[0]}, of 95%; gains are over the same net from scratch, draw by draw.")
    print(f"All in {folder / 'transfer.csv'}; drawn in {(folder / 'transfer.png').resolve()}")


def report(
    runs: Annotated[list[Path], Parameter(help="One run folder, or several to show side by side.", negative="")],
    *,
    data: Annotated[str | None, Parameter(help=MEASURED)] = None,
    out: Annotated[Path | None, Parameter(help="The page to write; report.html in the first run if not given.")] = None,
    target: Target = "",
    moved: Moved = UNMOVED,
    options: DataOptions = DEFAULT,
) -> None:
    """Write one self-contained page on a run: figures, samples, reconstructions, a map of the codes, curves."""
    from calco.cli.outputs import unless_read_only
    from calco.models import load
    from calco.report import write_report
    from calco.report.page import save_figures
    from calco.runs import check_writable

    estimators = [load(run) for run in runs]
    for run in estimators:
        moved.tell(run.run_)
    source = _to_measure_on(estimators[0].run_, data, options)
    page = out or runs[0] / "report.html"
    check_writable(page)
    measured = write_report(estimators, source, page, target=target)
    print(f"Written to {page.resolve()}")
    for run, figures in zip(runs, measured, strict=True):
        with unless_read_only(f"The figures of {run} are in the page alone."):
            save_figures(run / "report.json", source, figures)


def _to_measure_on(run: "Run | None", data: str | None, options: DataOptions) -> Any:
    """The source of `data`; without it, of a named set's test part, of what was held back from the run or watched by it, or of
    its training data.

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
    source = run and (_left_out(run) or data_of(run, "held_out") or data_of(run, "data"))
    if not source:
        raise RequestError("Say what data to measure on: those of the run were in memory.")
    return source


def _left_out(run: "Run") -> Any:
    """What a split held back from the data of a run, as far as its schema takes it; None where none did.

    The data are checked to be what they were.
    """
    from calco.data import fitting, left_out, schema_from_json

    if not run.opening().get("apart"):
        return None
    run.reopen()
    apart = left_out(run.opening())
    return apart and fitting(apart, schema_from_json(run.field("schema", dict)))[0]
