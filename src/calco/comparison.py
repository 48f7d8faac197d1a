"""Which family suits these data: all under one split, one seed and one budget, side by side.

A comparison has a folder with a run folder for each model. Stopped at any moment, the same call goes on where it was.
"""

import contextlib
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from calco.data import HELD_OUT, Source, fitting, labelled_part, open_data, split
from calco.errors import RequestError, RunError
from calco.estimator import Estimator
from calco.evaluation import Figure, evaluate
from calco.evaluation.features import Extractor
from calco.evaluation.figures import some_of
from calco.evaluation.use import USE, amounts_of, measure_use
from calco.models import family, load
from calco.report.page import save_figures, write_report
from calco.report.sections import number
from calco.runs import Run, read_json, write_json
from calco.training import Diverged, Training
from calco.verbs import chunk_of

PILOT, FIRST = 30, 5
"""Steps of the short run by which a budget in minutes is turned into steps, and those at its start that are not timed."""
ONCE = 8.0
"""Times the usual duration beyond which a step does what is done once in a run, such as where layers join."""
MEASURED_ON = 5_000
"""Held-out examples at most, lest measuring take as long as learning."""
PROTOCOL = (
    "Measured on a fifth of the data that no model learned from here; each was trained once: errors say nothing of other"
    " trainings. A set's test part was left alone: measure there what you take."
)
CLEAR = 2.0
"""Standard errors of a difference beyond which one model is called ahead of another."""


class Purpose(NamedTuple):
    """What a model may be wanted for, and the figure that says how good it is at that."""

    name: str
    figure: str
    shared: bool = False
    """Whether only figures with one baseline and unit can be compared: densities of binary values are none of grey ones."""


class Outcome(NamedTuple):
    """What came of one model: why it has no figures, or those and the model itself, and a word on what it left out."""

    why: str
    figures: list[Figure] = []  # noqa: RUF012
    trained: Estimator | None = None
    left: str = ""


PURPOSES = (
    Purpose("density", "log likelihood", shared=True),
    Purpose("samples", "Fréchet distance"),
    Purpose("features", "linear probe"),
    Purpose("reconstruction", "reconstruction error"),
    Purpose("prediction", "accuracy"),
    Purpose("prediction of values", "R squared"),
    Purpose("use of samples", USE),
    Purpose("speed", "training speed"),
)


def seconds_of(budget: str | int) -> tuple[float, int]:
    """A budget as seconds, or as steps; the other is 0: '5m', '90s', '1h' are times, a plain number counts steps.

    Raises:
        RequestError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|steps)?\s*", str(budget))
    if not found or not float(found[1]):
        raise RequestError(f"The budget {budget!r} makes no sense: give minutes as 5m, seconds as 90s, or a number of steps.")
    if found[2] in (None, "steps"):
        return 0.0, max(1, int(float(found[1])))
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]], 0


def compare(
    data: Any,
    models: Sequence[Estimator | str],
    budget: str | int = "5m",
    *,
    y: Any = None,
    out: str | os.PathLike[str] | None = None,
    use: bool = False,
    jobs: int = 1,
    say: Callable[[str], None] | None = None,
    watch: Callable[[str, int], Any] | None = None,
) -> pd.DataFrame:
    """Train models on the same data within the same budget, measure all that each can answer, and rank them by purpose.

    Args:
        data: anything that `open_data` opens. A fifth is held out to rank by; a named set's test part is left alone, for
            what is chosen here.
        models: estimators, several of one family too, or names of families, with their default recipes.
        budget: for the training of each: minutes ('5m'), seconds ('90s'), or steps.
        y: labels, where the data do not bring them.
        out: the folder of the comparison; the same call goes on with one that was stopped. Without it nothing is kept.
        use: measure too what a classifier learns from samples.
        jobs: models that are trained and measured at once, each by a process with its share of the processor's cores. A
            budget in minutes is then worth fewer steps.
        say: called with a sentence now and then.
        watch: called with a model's name and its steps, gives a callable for the lines of its log; of one job.

    Returns:
        A figure a row: model, purpose (if it decides one), figure, value, error, baseline, unit, better, rank, protocol.
        In `attrs`: `advice`, one sentence a purpose.

    Raises:
        RequestError: a model cannot learn from these data, or the folder is of another comparison.
        RunError: a training was stopped, and the same call goes on; or all of them diverged.
    """
    if not models:
        raise RequestError("There is nothing to compare: name at least one family.")
    estimators = named([family(model)() if isinstance(model, str) else model for model in models])
    train, test = split(open_data(data, y), HELD_OUT, 0)
    if use:
        amounts_of(labelled_part(train))  # now rather than when all are trained
    test = some_of(test, MEASURED_ON)
    if jobs < 1:
        raise RequestError(f"jobs is {jobs}: at least one model must be trained at a time.")
    with tempfile.TemporaryDirectory() as aside, _workers(jobs) as each:
        folder = Path(out) if out is not None else Path(aside)
        plan = _plan(folder, estimators, train, budget, each, say or (lambda sentence: None))
        tasks = [(folder / name, estimators[name], train, test, steps, use) for name, steps in plan.items()]
        logs = [partial(watch, *item) if watch and jobs == 1 else None for item in plan.items()]
        work = _trained_and_measured if jobs == 1 else _measured_elsewhere
        found = each(work, [(*task, log) for task, log in zip(tasks, logs, strict=True)])
        outcomes = dict(zip(plan, found, strict=True))
        failed = {name: outcome.why for name, outcome in outcomes.items() if outcome.why}
        measured = {name: outcome.figures for name, outcome in outcomes.items() if not outcome.why}
        if not measured:
            raise RunError(f"No model came to an end. {' '.join(failed.values())}")
        frame = leaderboard(list(measured), list(measured.values()))
        frame.attrs["advice"] += [f"{name} is out: {why}" for name, why in failed.items()] + [PROTOCOL]
        frame.attrs["advice"] += [f"{name}: {outcome.left}" for name, outcome in outcomes.items() if outcome.left]
        begun = [name for name in measured if _given_weights(estimators[name])]
        if begun:
            told = "began with what a run had learned before, perhaps from the held-out fifth too."
            frame.attrs["advice"].append(f"{', '.join(begun)} {told}")
        if out is not None:
            trained, lead = [outcomes[name].trained or load(folder / name) for name in measured], frame.attrs["advice"]
            for each in trained:
                test = fitting(test, each.schema_, chunk_of(each.schema_))[0]
            page = {"figures": list(measured.values()), "names": list(measured), "lead": lead}
            write_report(trained, test, folder / "report.html", **page)
            frame.to_csv(folder / "leaderboard.csv", index=False)
    return frame


Each = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[Any]]
"""Calls a function with each of some arguments, and gives what it gives in their order."""


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[Each]:
    if jobs == 1:
        yield lambda function, arguments: (function(*each) for each in arguments)
        return
    # Threads and their locks do not live through a fork: processes come of one that has imported this and done nothing else.
    processes = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    processes.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(jobs, processes, initializer=_share_cores, initargs=(jobs,)) as pool:
        yield lambda function, arguments: pool.map(function, *zip(*arguments, strict=True))


def _share_cores(jobs: int) -> None:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def named(estimators: Sequence[Estimator]) -> dict[str, Estimator]:
    """Estimators by names that tell them apart: the family's, and what differs from its defaults where there are several."""
    families = [estimator.family for estimator in estimators]
    found: dict[str, Estimator] = {}
    for estimator in estimators:
        name = estimator.family
        if families.count(name) > 1:
            fresh = type(estimator)().get_params(deep=False)
            mine = {k: v for k, v in estimator.get_params(deep=False).items() if k != "training" and v != fresh[k]}
            training, usual = vars(estimator.settings()), vars(type(estimator)().settings())
            mine |= {k: v for k, v in training.items() if v != usual[k] and k != "steps"}  # the budget says how many
            name = "-".join([name, *(f"{k}={v}" for k, v in mine.items())]).replace(os.sep, "_")
        while name in found:
            name += "+"
        found[name] = estimator
    return found


def steps_within(estimator: Estimator, train: Source, seconds: float) -> int:
    """As many steps as leave a run, with its start, its end and the short run that is timed here, within these seconds."""
    times: dict[int, float] = {}
    verdict = 0.0

    def tell(line: dict[str, Any]) -> None:
        nonlocal verdict
        if "lr" in line:
            times[line["step"]] = time.perf_counter()
        elif "held_out" in line:
            verdict = time.perf_counter() - times[PILOT]

    usual = estimator.settings()
    pilot = {**vars(usual), "steps": PILOT, "log_every": 1, "evaluations": 1, "trackers": ()}
    began = time.perf_counter()
    _with(estimator, Training(**pilot)).fit(train, report=tell)
    whole = time.perf_counter() - began
    timed = np.diff([times[i] for i in range(FIRST, PILOT + 1)])
    step = float(timed[timed <= ONCE * np.median(timed)].mean())
    left = seconds - whole - (whole - step * PILOT) - (usual.evaluations - 1) * verdict
    return max(PILOT, int(left / step))


def _plan(
    folder: Path, estimators: dict[str, Estimator], train: Source, budget: str | int, each: Each, say: Callable[[str], None]
) -> dict[str, int | str]:
    """The steps of each model, or why it has none, from the folder where the comparison goes on."""
    seconds, steps = seconds_of(budget)
    path = folder / "compare.json"
    asked = {
        "budget": str(budget),
        "data": train.describe()["fingerprint"],
        "models": {name: repr(estimator) for name, estimator in estimators.items()},
    }
    asked["weights"] = {name: given for name, estimator in estimators.items() if (given := _given_weights(estimator))}
    known: dict[str, Any] = read_json(path) if path.exists() else {"asked": asked, "steps": {}}
    if known.get("asked") != asked:
        raise RequestError(f"{folder} holds another comparison: give the same data, models and budget, or another folder.")
    new = [name for name in estimators if name not in known["steps"]]
    timed = each(_steps_or_why, [(estimators[name], train, seconds) for name in new]) if new and not steps else repeat(steps)
    for name, found in zip(new, timed, strict=False):
        known["steps"][name] = found
        write_json(path, known)
    for name in estimators:
        steps_or_why = known["steps"][name]
        say(f"{name}: {steps_or_why if isinstance(steps_or_why, str) else f'{steps_or_why:,} steps'}")
    return {name: known["steps"][name] for name in estimators}


def _steps_or_why(estimator: Estimator, train: Source, seconds: float) -> int | str:
    """`steps_within`, or why there are none: the model diverges at once."""
    try:
        return steps_within(estimator, train, seconds)
    except Diverged as error:
        return str(error)


def _given_weights(estimator: Estimator) -> list[str]:
    """Digests of what other fitted estimators and runs give a model to begin with."""
    found = []
    for value in estimator.get_params(deep=False).values():
        if isinstance(value, Estimator) and value.__sklearn_is_fitted__():
            found.append(Extractor(value.family, value.model_).digest)
        elif isinstance(value, (str, os.PathLike)) and (Path(value) / "run.json").is_file():
            found.append(str(Run(value).record.get("weights", "")))
    return found


def _trained_and_measured(
    folder: Path,
    estimator: Estimator,
    train: Source,
    test: Source,
    steps: int | str,
    use: bool,
    watch: Callable[[], Any] | None,
) -> Outcome:
    """Train and measure one model."""
    if isinstance(steps, str):
        return Outcome(steps)
    try:
        trained = _trained(folder, estimator, train, steps, watch() if watch else None)
    except Diverged as error:
        if not error.usable:
            return Outcome(str(error))
        trained = load(folder)  # as it was when it was best
    test, left = fitting(test, trained.schema_, chunk_of(trained.schema_))
    return Outcome("", _measured(folder, trained, train, test, use), trained, left)


def _measured_elsewhere(*arguments: Any) -> Outcome:
    """`_trained_and_measured` in another process, which keeps the model: it is in its folder."""
    return _trained_and_measured(*arguments)._replace(trained=None)


def _trained(folder: Path, estimator: Estimator, train: Source, steps: int, report: Any) -> Estimator:
    """A model of the comparison, trained to the end."""
    if (folder / "run.json").exists():
        run = Run(folder)
        if run.record.get("status") in ("finished", "diverged"):
            return load(folder)
        return type(estimator).from_run(run, weights=False).resume(train, report=report)
    whole = estimator.settings().changed({"steps": steps})
    return _with(estimator, whole).fit(train, out=folder, report=report)


def _with(estimator: Estimator, training: Training) -> Estimator:
    """An estimator like this one, not fitted, with these settings."""
    fresh: Any = clone(estimator)
    return fresh.set_params(training=training)


def _measured(folder: Path, estimator: Estimator, train: Source, test: Source, use: bool) -> list[Figure]:
    """All that a model can answer, measured once."""
    path = folder / "compared.json"  # report.json may come to be of other data
    use = use and "sample" in estimator.capabilities_ and bool(getattr(estimator.model_, "classes", 0))
    if path.exists():
        figures = [Figure(**figure) for figure in read_json(path)["figures"]]
        if not use or any(figure.name == USE for figure in figures):
            return figures
        figures += measure_use(estimator, test, labelled_part(train))
    else:
        figures = [*evaluate(estimator, test, train, use=use), _speed(estimator)]
    save_figures(path, test, figures)
    return figures


def _speed(estimator: Estimator) -> Figure:
    settings, record = estimator.settings(), estimator.run_.record if estimator.run_ else {}
    seconds = max(float(record.get("seconds", 0.0)), 1e-9)
    steps = max((line["step"] for line in estimator.history_), default=0)
    rate = steps * settings.batch_size / seconds
    protocol = f"{steps:,} steps of {settings.batch_size} examples in {seconds:,.0f} s"
    return Figure("training speed", rate, "examples a second", protocol, "higher")


def leaderboard(names: Sequence[str], measured: Sequence[list[Figure]]) -> pd.DataFrame:
    """All figures, ranked where they decide a purpose, with a sentence for each purpose in `attrs["advice"]`."""
    rows = [
        {"model": name, "purpose": "", **figure.to_json(), "rank": 0}
        for name, figures in zip(names, measured, strict=True)
        for figure in figures
    ]
    advice = []
    for purpose in PURPOSES:
        mine = [row for row in rows if row["name"] == purpose.figure and math.isfinite(row["value"] or math.nan)]
        groups: list[list[dict[str, Any]]] = []
        for row in mine:
            row["purpose"] = purpose.name
            fitting = (g for g in groups if not purpose.shared or _alike(g[0], row))
            group = next(fitting, None)
            if group is None:
                groups.append([row])
            else:
                group.append(row)
        for group in groups:
            group.sort(key=lambda row: row["value"], reverse=group[0]["better"] == "higher")
            for rank, row in enumerate(group, 1):
                row["rank"] = rank
            advice.append(_sentence(purpose, group, len(groups) > 1))
    columns = ["model", "purpose", "figure", "value", "error", "baseline", "unit", "better", "rank", "protocol"]
    frame = pd.DataFrame([{("figure" if k == "name" else k): v for k, v in row.items()} for row in rows], columns=columns)
    frame.attrs["advice"] = advice
    return frame


def _alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    one, other = (math.nan if row["baseline"] is None else row["baseline"] for row in (a, b))
    return math.isclose(one, other, rel_tol=1e-6) and a["unit"] == b["unit"]


def _sentence(purpose: Purpose, group: list[dict[str, Any]], several: bool) -> str:
    """What to take for a purpose, from rows with the best first."""
    best, *others = group
    kind = f" (where the constant model has {number(best['baseline'])})" if several else ""
    told = f"For {purpose.name}{kind} take {best['model']}: {best['name']} {_value(best)}"
    if not others:
        return f"{told}; no other model here answers that."
    second = others[0]
    apart, error = abs(best["value"] - second["value"]), math.hypot(best["error"] or 0.0, second["error"] or 0.0)
    if best["error"] is None or second["error"] is None:
        return f"{told}, before {second['model']} with {_value(second)}; the errors of this figure are not known."
    if apart > CLEAR * error:
        return f"{told}, clearly before {second['model']} with {_value(second)}."
    return f"{told}, or as well {second['model']} with {_value(second)}: they are not apart by more than chance."


def _value(row: dict[str, Any]) -> str:
    error = "" if row["error"] is None else f" ± {row['error']:.2g}"
    return f"{number(row['value'])}{error} {row['unit']}"
