"""Adult: what samples of an autoregressive model are worth, how far trees tell them from people, and whether rows are copied.

    python -m benchmarks.tables adult

Settings were chosen on a fifth of the training rows; here the model learns from all of them, and is measured on the test part.
"""

import sys
import time

import numpy as np

import calco
from benchmarks.record import commit, save
from calco.data import open_data
from calco.evaluation.figures import as_data, as_tensor
from calco.evaluation.tables import controls, grid, learned, target_of, told_auc
from calco.maths.copying import nearest

RECIPE = {"width": 1024, "any_order": 0.1, "training": {"steps": 6000}}
DRAWS = 5


def adult() -> None:
    measured_at, train, test = commit(), open_data("adult"), open_data("adult:test")
    began = time.perf_counter()
    model = calco.Autoregressive(**RECIPE).fit(train)
    minutes = (time.perf_counter() - began) / 60
    schema = model.schema_
    real, known = as_tensor(model, test), as_tensor(model, train)
    rows, training, target = grid(schema, real), grid(schema, known), target_of(schema)
    told = {name: learned(control, rows, target) for name, control in controls(training, target).items()}
    scores, apart, copies = [], [], []
    for draw in range(DRAWS):
        made = as_data(model, model.sample_tensor(len(known), seed=draw))
        samples = grid(schema, made)
        scores.append(learned(samples, rows, target, draw))
        apart.append(told_auc(rows, samples.first(len(real)), draw))
        copies.append(float((nearest(made[: len(real)], known).distance == 0).double().mean()))
    own = float((nearest(real, known).distance == 0).double().mean())
    floor = told_auc(rows, training.first(len(real)))
    protocol = f"{len(known):,} samples, {len(real):,} test people, {DRAWS} draws of samples; {minutes:.1f} minutes of training"

    def figure(what: str, values: list[float], better: str, least: float, reach: float, more: str) -> dict[str, object]:
        error = float(np.std(values, ddof=1) / DRAWS**0.5)
        found = {"what": f"adult: {what}", "value": float(np.mean(values)), "error": error, "unit": "", "better": better}
        return {**found, "at_least": least, "reach_for": reach, "protocol": f"{protocol}; {more}"}

    figures = []
    for name, least, reach in (("AUC", 0.913, 0.920), ("macro-F1", 0.795, 0.805)):
        others = ", ".join(f"{control} {score[name]:.4f}" for control, score in told.items())
        values = [score[name] for score in scores]
        figures.append(figure(f"{name} of trees that learned from samples", values, "higher", least, reach, others))
    figures.append(figure("two-sample AUC", apart, "lower", 0.80, 0.65, f"of training rows {floor:.4f}"))
    more = f"of samples {np.mean(copies):.5f}, of test people {own:.5f}"
    figures.append(figure("exact copies beyond those of test people", [max(0.0, c - own) for c in copies], "lower", 0, 0, more))
    save("tables_adult", figures, measured_at, recipe=RECIPE)


if __name__ == "__main__":
    {"adult": adult}[sys.argv[1]]()
