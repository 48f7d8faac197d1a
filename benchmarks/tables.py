"""Adult: what samples of an autoregressive model are worth, how far trees tell them from people, and whether rows are copied.

    python -m benchmarks.tables adult
    python -m benchmarks.tables rows            # ten million of them
    python -m benchmarks.tables speed PYTHON    # a VAE against CTGAN's own TVAE, in the environment of another interpreter

Settings were chosen on a fifth of the training rows; here the model learns from all of them, and is measured on the test part.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

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


ROWS, PART = 10_000_000, 500_000


def rows() -> None:
    """A VAE of ten million rows from a CSV: seconds, and the most memory of its own that the process took meanwhile."""
    measured_at, rng = commit(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        for start in range(0, ROWS, PART):
            job = rng.choice(["nurse", "smith", "clerk", "baker"], PART)
            frame = pd.DataFrame({"age": rng.integers(17, 90, PART), "job": job, "wage": rng.lognormal(8, 1, PART).round(2)})
            frame["since"] = np.datetime64("2000-01-01") + rng.integers(0, 9000, PART).astype("timedelta64[D]")
            frame["score"] = np.where(rng.random(PART) < 0.1, np.nan, rng.normal(size=PART))
            frame["member"] = rng.random(PART) < 0.3
            frame.to_csv(path, index=False, header=not start, mode="a")
        size = path.stat().st_size
        most, done = [own_memory()], threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                most.append(own_memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        source = open_data(str(path))
        read = time.perf_counter() - began
        model = calco.VAE(training={"steps": 500}).fit(source)
        model.sample(1000)
        took = time.perf_counter() - began
        done.set()
        watcher.join()
    protocol = (
        f"{ROWS:,} rows of six columns, {size / 2**20:.0f} MiB as CSV; {took:.0f} s to open (of these {read:.0f}), fit 500"
    )
    figure = {"what": "ten million rows: memory of its own beyond that at the start", "unit": "MiB", "better": "lower"}
    figure |= {"value": (max(most) - most[0]) / 2**20, "protocol": f"{protocol} steps of a VAE and sample 1,000 rows"}
    save("tables_rows", [figure], measured_at)


def own_memory() -> int:
    """Bytes of this process that are not mapped from a file."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


EPOCHS, BATCH, WIDTH, RUNS = 30, 500, 128, 3
TVAE = """
import json, sys, time
import pandas as pd, torch
from ctgan import TVAE
path, epochs, batch, width, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
frame = pd.read_csv(path)
began = time.perf_counter()
model = TVAE(embedding_dim=width, compress_dims=(width, width), decompress_dims=(width, width), batch_size=batch, epochs=epochs)
model.fit(frame, [name for name in frame if frame[name].dtype == object])
fitted = time.perf_counter()
model.sample(len(frame))
print(json.dumps([fitted - began, time.perf_counter() - fitted]))
"""


def speed(python: str) -> None:
    """Seconds to fit a VAE of Adult and to sample as many rows: CTGAN's TVAE over calco, one after the other, in turns."""
    measured_at, frame = commit(), open_data("adult").take(np.arange(32_561)).x
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("category"), object)).fillna("?")
    steps = EPOCHS * len(frame) // BATCH
    times: dict[str, list[tuple[float, float]]] = {"calco": [], "TVAE": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adult.csv"
        frame.to_csv(path, index=False)
        for run in range(RUNS):
            began = time.perf_counter()
            model = calco.VAE(latent=WIDTH, net="mlp", width=WIDTH, depth=2, training={"steps": steps, "batch_size": BATCH})
            model.fit(open_data(str(path)))
            fitted = time.perf_counter()
            model.sample(len(frame), seed=run)
            times["calco"].append((fitted - began, time.perf_counter() - fitted))
            numbers = [str(n) for n in (path, EPOCHS, BATCH, WIDTH, torch.get_num_threads())]
            done = subprocess.run([python, "-W", "ignore", "-c", TVAE, *numbers], capture_output=True, text=True, check=True)
            times["TVAE"].append(tuple(json.loads(done.stdout.splitlines()[-1])))
            print(times, flush=True)
    ratios = [sum(peer) / sum(own) for own, peer in zip(times["calco"], times["TVAE"], strict=True)]
    means = {name: np.mean(each, 0) for name, each in times.items()}
    told = "; ".join(f"{name} {fit:.1f} + {made:.1f} seconds" for name, (fit, made) in means.items())
    figure = {
        "what": "adult: fit a VAE and sample as many rows, time of CTGAN's TVAE over calco's",
        "value": float(np.mean(ratios)),
        "error": float(np.std(ratios, ddof=1) / RUNS**0.5),
        "unit": "ratio",
        "better": "higher",
        "at_least": 1.5,
        "reach_for": 3.0,
        "protocol": f"{EPOCHS} epochs of batches of {BATCH}, codes and two layers of {WIDTH} on both sides, from a CSV; {RUNS}"
        f" runs in turns, fit + sample: {told}",
    }
    save("tables_speed", [figure], measured_at)


if __name__ == "__main__":
    {"adult": adult, "speed": speed, "rows": rows}[sys.argv[1]](*sys.argv[2:])
