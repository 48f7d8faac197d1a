"""Comparisons: one split, one budget, ranks by purpose, going on after a stop."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import calco
from calco.comparison import PURPOSES, leaderboard, named, seconds_of, steps_within
from calco.data import left_out, open_data, parts_of, reopened, split
from calco.errors import RequestError, RunError
from calco.evaluation import Figure

FEW = {"batch_size": 32, "lr_warmup": 0}


def models():
    return [
        calco.Autoencoder(latent=3, width=4, training=FEW),
        calco.VAE(latent=3, width=4, training=FEW),
        calco.VAE(latent=2, width=4, training=FEW),
    ]


@pytest.mark.parametrize(
    ("budget", "expected"), [("5m", (300, 0)), ("90s", (90, 0)), ("0.5h", (1800, 0)), (200, (0, 200)), ("40 steps", (0, 40))]
)
def test_budgets_are_times_or_steps(budget, expected):
    assert seconds_of(budget) == expected


@pytest.mark.parametrize("budget", ["", "five", "5 minutes", "-3m", "0m", 0])
def test_budgets_that_make_no_sense_are_refused(budget):
    with pytest.raises(RequestError, match="makes no sense"):
        seconds_of(budget)


def test_models_of_one_family_are_told_apart():
    assert list(named(models())) == [
        "autoencoder",
        "vae-latent=3-width=4-batch_size=32-lr_warmup=0",
        "vae-latent=2-width=4-batch_size=32-lr_warmup=0",
    ]
    assert list(named([calco.VAE(), calco.VAE()])) == ["vae", "vae+"]
    assert list(named([calco.VAE(training={"lr": 0.5, "steps": 7}), calco.VAE()])) == ["vae-lr=0.5", "vae"]


def test_data_are_split_once_and_for_all():
    train, test = parts_of("digits")
    assert (len(train), len(test)) == (1437, 360)
    x = np.arange(200.0).reshape(100, 2)
    (a, b), (again, _) = parts_of(x), parts_of(x)
    assert (len(a), len(b)) == (80, 20)
    assert a.describe()["fingerprint"] == again.describe()["fingerprint"]
    seen = {tuple(row) for part in (a, b) for row in part.take(np.arange(len(part))).x}
    assert len(seen) == 100


@pytest.mark.usefixtures("quick")
def test_a_comparison_ranks_and_goes_on_where_it_was(tmp_path, monkeypatch):
    out = tmp_path / "out"
    stopped = []

    def watch(name, steps):
        def see(line):
            if name.startswith("vae-latent=2") and not stopped:
                stopped.append(line)
                raise KeyboardInterrupt

        return see

    with pytest.raises(KeyboardInterrupt):
        calco.compare("digits", models(), 60, out=out, watch=watch)
    assert not (out / "leaderboard.csv").exists()
    done = (out / "autoencoder" / "run.json").stat().st_mtime_ns
    frame = calco.compare("digits", models(), 60, out=out, watch=watch)
    assert (out / "autoencoder" / "run.json").stat().st_mtime_ns == done
    assert set(frame["model"]) == set(named(models()))
    ranked = frame[frame["rank"] > 0]
    assert set(ranked["purpose"]) == {"density", "samples", "features", "reconstruction", "speed"}
    features = ranked[ranked["purpose"] == "features"].sort_values("rank")
    assert list(features["rank"]) == [1, 2, 3]
    assert (np.diff(features["value"]) <= 0).all()
    assert len(frame.attrs["advice"]) == 6  # and how it was measured
    assert frame["protocol"].str.contains("287 held-out examples").any()
    # What it learned from, and what was held back from it, can be opened again.
    train, test = split(open_data("digits"), 0.2, 0)
    opening = calco.load(out / "autoencoder").run_.opening()
    assert reopened(opening).describe() == train.describe()
    assert left_out(opening).describe() == test.describe()
    # Figures of other data are not taken for those of the comparison.
    (out / "autoencoder" / "report.json").write_text("{}")
    assert calco.compare("digits", models(), 60, out=out, watch=watch).equals(frame)
    assert pd.read_csv(out / "leaderboard.csv").shape == frame.shape
    page = (out / "report.html").read_text()
    assert "vae-latent=2-width=4" in page
    assert "For features take" in page
    alone = calco.compare("digits", models()[:1], 60)
    mine, again = (
        table[(table["model"] == "autoencoder") & (table["figure"] != "training speed")]["value"].to_numpy()
        for table in (frame, alone)
    )
    assert np.allclose(mine, again, rtol=1e-5)  # one seed, one split, one budget
    with pytest.raises(RequestError, match="another comparison"):
        calco.compare("digits", models(), 61, out=out)


def test_a_model_that_diverges_is_left_out_and_said_to_be(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 5))
    wild = calco.VAE(latent=3, likelihood="gaussian", training={"lr": 1e6, "clip": 0.0, "lr_warmup": 0})
    frame = calco.compare(x, [calco.Autoencoder(latent=2), wild], 60, out=tmp_path / "out")
    assert set(frame["model"]) == {"autoencoder"}
    assert any("vae is out" in sentence for sentence in frame.attrs["advice"])
    again = calco.compare(x, [calco.Autoencoder(latent=2), wild], 60, out=tmp_path / "out")
    assert again.equals(frame)
    timed = calco.compare(x, [calco.Autoencoder(latent=2), wild], "3s")
    assert set(timed["model"]) == {"autoencoder"}
    assert any("vae is out" in sentence for sentence in timed.attrs["advice"])
    with pytest.raises(RunError, match="No model came to an end"):
        calco.compare(x, [wild], 60)


def test_other_weights_to_begin_with_make_another_comparison(tmp_path):
    x, y = open_data("digits").take(np.arange(200))
    for seed in (0, 1):
        encoder = calco.Autoencoder(2, width=4, training={"steps": 3, "seed": seed}).fit(x)
        model = calco.Classifier(encoder, training=FEW)
        if seed:
            with pytest.raises(RequestError, match="another comparison"):
                calco.compare(x, [model], 3, y=y, out=tmp_path)
        else:
            frame = calco.compare(x, [model], 3, y=y, out=tmp_path)
            assert "perhaps from the held-out fifth too" in frame.attrs["advice"][-1]


def test_use_is_refused_before_anything_is_trained_where_examples_are_too_few():
    x, y = open_data("digits").take(np.arange(60))
    with pytest.raises(RequestError, match="too few to compare samples with"):
        calco.compare(x, [calco.VAE(conditional=True)], 10**9, y=y, use=True)


@pytest.mark.usefixtures("quick")
def test_the_use_of_samples_is_measured_when_it_is_asked_for_later(tmp_path):
    made = [calco.VAE(latent=3, width=4, conditional=True, training=FEW)]
    assert not (calco.compare("digits", made, 30, out=tmp_path)["purpose"] == "use of samples").any()
    later = calco.compare("digits", made, 30, out=tmp_path, use=True)
    assert (later["purpose"] == "use of samples").sum() == 1
    assert "given its label" in later[later["figure"] == "log likelihood"]["unit"].item()


@pytest.mark.long
def test_several_at_once_are_what_they_are_one_by_one(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 5))  # vectors need no nets to be measured by
    alone = calco.compare(x, models()[:2], 30)
    both = calco.compare(x, models()[:2], 30, jobs=2, out=tmp_path / "out")
    assert (tmp_path / "out" / "report.html").exists()
    mine, theirs = (table[table["figure"] != "training speed"] for table in (alone, both))
    assert list(mine["figure"]) == list(theirs["figure"])
    assert np.allclose(mine["value"], theirs["value"], rtol=0.05)  # sums in another order, where threads are fewer
    with pytest.raises(RequestError, match="at least one model"):
        calco.compare(x, models(), 30, jobs=0)
    with pytest.raises(RequestError, match="latent is 0"):  # as it was raised in the other process
        calco.compare(x, [calco.VAE(latent=0)], 30, jobs=2)


def test_steps_fit_the_time(monkeypatch):
    train = open_data("digits")
    steps = [steps_within(models()[0], train, seconds) for seconds in (4, 12)]
    assert steps[0] >= 30
    assert steps[1] > 1.5 * steps[0]


def test_neither_verdicts_nor_what_is_done_once_count_as_steps(monkeypatch):
    now = [0.0]

    class Slow(calco.Autoencoder):
        """Steps of a second; the 15th takes 100, a verdict 40, the start and the end 10 each."""

        def fit(self, x, y=None, *, report: Any = None, **options):
            now[0] += 10
            for step in range(1, 31):
                now[0] += 100 if step == 15 else 1
                report({"step": step, "lr": 0.1})
            now[0] += 40
            report({"step": 30, "held_out": 0.5})
            now[0] += 10
            return self

    monkeypatch.setattr("calco.comparison.time.perf_counter", lambda: now[0])
    train = open_data(np.zeros((100, 2)))
    # The pilot takes 189 seconds, 159 of them beside its steps; 19 more verdicts cost 760.
    assert steps_within(Slow(), train, 2000) == 2000 - 189 - 159 - 19 * 40


def figure(name, value, error=0.1, baseline=None, better="higher"):
    return Figure(name, value, "units", "measured", better, error, baseline)


def test_advice_says_what_is_clear_and_what_is_not():
    probe = [figure("linear probe", value) for value in (0.9, 0.85, 0.2)]
    told = leaderboard(["a", "b", "c"], [[f] for f in probe]).attrs["advice"]
    assert told == [
        "For features take a: linear probe 0.9 ± 0.1 units, or as well b with 0.85 ± 0.1 units: they are not"
        " apart by more than chance."
    ]
    told = leaderboard(["b", "a"], [[figure("linear probe", 0.2)], [figure("linear probe", 0.9)]]).attrs["advice"]
    assert "take a" in told[0]
    assert "clearly before b" in told[0]
    lower = leaderboard(["a", "b"], [[figure("Fréchet distance", v, None, better="lower")] for v in (3.0, 2.0)])
    assert "take b" in lower.attrs["advice"][0]
    assert "not known" in lower.attrs["advice"][0]


def test_densities_of_different_values_are_not_ranked_against_each_other():
    figures = [figure("log likelihood", value, baseline=base) for value, base in ((-90, -200), (-85, -200), (-1000, -3000))]
    frame = leaderboard(["a", "b", "c"], [[f] for f in figures])
    assert dict(zip(frame["model"], frame["rank"], strict=True)) == {"a": 2, "b": 1, "c": 1}
    assert len(frame.attrs["advice"]) == 2
    assert all("constant model" in sentence for sentence in frame.attrs["advice"])
    assert PURPOSES[0].shared


def test_rows_that_only_the_held_out_part_is_like_are_left_out_and_told(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"wage": rng.normal(size=100), "job": rng.choice(["nurse", "smith"], 100)})
    held: Any = split(open_data(frame), 0.2, 0)[1]
    frame.loc[held.rows[0], "job"] = "pilot"
    found = calco.compare(frame, [calco.Autoencoder(2, width=8, training=FEW)], 5, out=tmp_path / "runs")
    assert any("1 of 20 held-out examples are left out" in told and "'pilot'" in told for told in found.attrs["advice"])
    assert "19 held-out examples" in " ".join(found["protocol"])
