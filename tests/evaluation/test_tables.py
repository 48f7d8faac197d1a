"""Figures of tables: at their floor on data, away from it on what is none, and the controls that keep them honest."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import f1_score, r2_score, roc_auc_score

import calco
from calco.data import infer_schema, open_data
from calco.errors import RequestError
from calco.evaluation.likelihood import constant_log_prob
from calco.evaluation.tables import (
    Grid,
    columns_apart,
    controls,
    grid,
    independent,
    learned,
    pair_distances,
    pairs_apart,
    privacy_figures,
    target_of,
    told_auc,
    use_figures,
)


def shop(n=1500, seed=0):
    """Who buys depends on two columns together: neither tells it alone."""
    rng = np.random.default_rng(seed)
    kind, size = rng.choice(["tea", "bread"], n), rng.normal(size=n)
    buys = np.where((kind == "tea") == (size > 0), "yes", "no")
    buys = np.where(rng.random(n) < 0.05, np.where(buys == "yes", "no", "yes"), buys)
    return pd.DataFrame({"kind": kind, "size": size, "note": rng.integers(0, 5, n), "buys": buys})


@pytest.fixture(scope="module")
def grids():
    schema = infer_schema(open_data(shop()))
    return schema, *(grid(schema, schema.encode(shop(seed=seed))) for seed in (1, 2, 3))


def test_rows_are_numbers(grids):
    schema, rows, *_ = grids
    frame = shop(seed=1)
    assert rows.values.shape == (1500, 4)
    assert rows.choice.tolist() == [True, False, False, True]
    assert np.allclose(rows.values[:, 1], frame["size"], atol=1e-5)
    assert schema.coded[target_of(schema)].name == "buys"


def test_what_is_learned_from_rows_is_worth_more_than_from_independent_columns(grids):
    _, real, known, _ = grids
    rng = np.random.default_rng(0)
    scores = [
        learned(Grid(values, known.choice), real, 3)["AUC"]
        for values in (known.values, independent(known.values, rng), independent(known.values, rng, 3))
    ]
    assert scores[0] > 0.9
    assert scores[1] == pytest.approx(0.5, abs=0.08)
    assert scores[2] < 0.65
    number = learned(known, real, 1)
    assert list(number) == ["R squared"]


def test_columns_drawn_by_themselves_keep_their_values(grids):
    *_, known = grids
    made = independent(known.values, np.random.default_rng(0))
    assert all(np.array_equal(np.sort(a), np.sort(b)) for a, b in zip(made.T, known.values.T, strict=True))
    given = independent(known.values, np.random.default_rng(0), 3)
    assert np.array_equal(given[:, 3], known.values[:, 3])
    for label in (0, 1):
        rows = known.values[:, 3] == label
        assert np.array_equal(np.sort(given[rows, 1]), np.sort(known.values[rows, 1]))


def test_likeness_is_at_its_floor_on_rows_and_pairs_see_what_columns_do_not(grids):
    _, real, other, known = grids
    apart = Grid(independent(known.values, np.random.default_rng(0)), known.choice)
    assert columns_apart(real, other) < 0.05
    assert columns_apart(real, apart) < 0.05
    assert pairs_apart(real, apart) > pairs_apart(real, other)
    assert told_auc(real, other) == pytest.approx(0.5, abs=0.06)
    # A different kind of row: every column as it was, but all of one kind.
    assert told_auc(real, Grid(np.where([True, False, False, False], 0.0, other.values), other.choice)) > 0.7


def test_gaps_of_columns_are_counted_by_hand():
    real = Grid(np.array([[0.0, 0], [0, 1], [1, 2], [1, 3]]), np.array([True, False]))
    made = Grid(np.array([[0.0, 0], [0, 1], [0, 2], [1, np.nan]]), np.array([True, False]))
    assert columns_apart(real, made) == pytest.approx((0.25 + 0.25) / 2)


def test_copies_and_members_are_noticed():
    rng = torch.Generator().manual_seed(0)
    real, known, new = (torch.randn(800, 4, generator=rng) for _ in range(3))
    figures = {f.name: f for f in privacy_figures(real, known, known[torch.randperm(800, generator=rng)], "")}
    assert figures["exact copies"].value == 1
    assert figures["exact copies"].baseline == 0
    assert figures["distance to the closest row"].value == 0
    assert figures["membership AUC"].value == 1
    figures = {f.name: f for f in privacy_figures(real, known, new, "")}
    assert figures["exact copies"].value == 0
    assert figures["membership AUC"].value == pytest.approx(0.5, abs=0.06)


def test_a_model_of_tables_has_these_figures():
    model = calco.Autoregressive(32, depth=1, training={"steps": 60}).fit(shop(400))
    figures = {f.name: f for f in calco.evaluate(model, shop(200, 1), shop(400))}
    names = {
        "learned from samples: AUC",
        "learned from samples: macro-F1",
        "column distance",
        "pair distance",
        "two-sample AUC",
    }
    assert names | {"exact copies", "membership AUC", "log likelihood"} <= set(figures)
    assert "columns independent given the target" in figures["learned from samples: AUC"].protocol
    baseline = constant_log_prob(model, open_data(shop(200, 1)), open_data(shop(400)))
    assert figures["log likelihood"].baseline == pytest.approx(baseline)


def test_densities_are_set_beside_those_of_their_kind():
    known, new = (open_data(shop(300, seed)) for seed in (0, 1))
    options = {"training": {"steps": 5, "lr_warmup": 0}}
    mixed = calco.VAE(2, width=8, **options).fit(known)
    gaussian = calco.VAE(2, width=8, likelihood="gaussian", **options).fit(known)
    by_option, by_value = (constant_log_prob(model, new, known) for model in (mixed, gaussian))
    entropy = -sum(p * np.log(p) for column in ("kind", "buys") for p in shop(300)[column].value_counts(normalize=True))
    assert by_option < -entropy  # and something for the numbers
    schema = gaussian.schema_
    fitted, x = (schema.encode(shop(300, seed)).double().numpy() for seed in (0, 1))
    each = norm.logpdf(x, fitted.mean(0), np.maximum(fitted.std(0), 1e-3)).sum(1)
    assert by_value == pytest.approx((each + schema.log_dets(torch.from_numpy(x))).mean(), abs=1e-3)


def test_the_column_that_trees_predict_can_be_named():
    model = calco.VAE(latent=2, width=8, training={"steps": 5}).fit(shop())
    found = {f.name: f for f in calco.evaluate(model, shop(seed=1), shop(), target="size") if f.name.startswith("learned")}
    assert list(found) == ["learned from samples: R squared"]
    assert found["learned from samples: R squared"].unit == "of size"
    with pytest.raises(RequestError, match="Unknown column 'sizes'"):
        calco.evaluate(model, shop(seed=1), shop(), target="sizes")
    digits = calco.VAE(latent=2, training={"steps": 1}).fit(np.zeros((20, 3)) + np.arange(20)[:, None])
    with pytest.raises(RequestError, match="Unknown column 'a'"):
        calco.evaluate(digits, np.zeros((20, 3)) + np.arange(20)[:, None], target="a")


def choices(n, seed):
    """Three classes that two columns tell, one of them a choice of three options whose order says nothing, with gaps."""
    rng = np.random.default_rng(seed)
    kind, size = rng.integers(0, 3, n), rng.normal(size=n)
    label = np.where(kind == 1, 2, (size > 0).astype(int))
    label = np.where(rng.random(n) < 0.2, rng.integers(0, 3, n), label)
    size[::7] = np.nan
    return Grid(np.stack((kind, size, label), 1).astype(float), np.array([True, False, True]))


def test_scores_are_those_of_trees_by_themselves():
    known, real = choices(600, 0), choices(400, 1)
    x, new, y, truth = known.values[:, :2], real.values[:, :2], known.values[:, 2], real.values[:, 2]
    trees = HistGradientBoostingClassifier(categorical_features=[0], random_state=3).fit(x, y)
    found = learned(known, real, 2, seed=3)
    assert found["AUC"] == pytest.approx(roc_auc_score(truth, trees.predict_proba(new), multi_class="ovr", average="macro"))
    assert found["macro-F1"] == pytest.approx(f1_score(truth, trees.predict(new), average="macro"))
    # Two classes, one of which is coded 2.
    some, others = (Grid(rows.values[rows.values[:, 2] != 1], rows.choice) for rows in (known, real))
    trees = HistGradientBoostingClassifier(categorical_features=[0], random_state=0).fit(some.values[:, :2], some.values[:, 2])
    chances = trees.predict_proba(others.values[:, :2])[:, 1]
    assert learned(some, others, 2)["AUC"] == pytest.approx(roc_auc_score(others.values[:, 2] == 2, chances))
    # Samples that lack a class give it no chance, and whoever tells it guesses.
    lacking = learned(some, real, 2)
    assert 0.5 < lacking["AUC"] < found["AUC"] - 0.1
    # Numbers are predicted where they are known.
    there = ~np.isnan(x[:, 1])
    model = HistGradientBoostingRegressor(categorical_features=[0, 1], random_state=0)
    model.fit(known.values[there][:, [0, 2]], x[there, 1])
    seen = ~np.isnan(new[:, 1])
    expected = r2_score(new[seen, 1], model.predict(real.values[seen][:, [0, 2]]))
    assert learned(known, real, 1) == {"R squared": pytest.approx(expected)}


def test_samples_of_one_class_alone_are_worth_a_guess():
    known, real = choices(60, 0), choices(400, 1)
    known.values[:, 2] = 1
    truth = real.values[:, 2]
    assert learned(known, real, 2) == {"AUC": 0.5, "macro-F1": pytest.approx(f1_score(truth, np.ones(400), average="macro"))}


def test_columns_that_are_missing_everywhere_or_of_very_many_options_can_be_learned_from():
    known, real = choices(700, 0), choices(700, 1)
    for rows in (known, real):
        rows.values[:, 1] = np.nan
    assert learned(known, real, 2)["AUC"] > 0.6
    assert told_auc(known, real) == pytest.approx(0.5, abs=0.1)
    for rows in (known, real):
        rows.values[:, 0] = np.arange(700)
    assert 0.3 < learned(known, real, 2)["AUC"] < 0.7
    for rows in (known, real):  # one option more than trees take for options
        rows.values[:, 0] = np.arange(700) % 256
    assert 0.3 < learned(known, real, 2)["AUC"] < 0.7
    assert told_auc(known, real) == pytest.approx(0.5, abs=0.1)


def test_columns_given_a_number_are_drawn_within_a_tenth_of_it():
    rng = np.random.default_rng(0)
    values = np.stack((rng.normal(size=1000), np.arange(1000.0)), 1)
    made = independent(values, rng, 0)
    assert np.array_equal(made[:, 0], values[:, 0])
    order = values[:, 0].argsort()
    for tenth in np.array_split(order, 10):
        assert np.array_equal(np.sort(made[tenth, 1]), np.sort(values[tenth, 1]))
        assert not np.array_equal(made[tenth, 1], values[tenth, 1])
    few = np.stack((np.arange(1000) % 20, np.arange(1000.0)), 1)  # of few values, each by itself
    made = independent(few, rng, 0)
    assert np.array_equal(made[:, 1] % 20, few[:, 0])


def test_controls_know_as_little_as_they_say(grids):
    *_, known = grids
    found = controls(known, 3)
    assert list(found) == ["training rows", "columns independent", "columns independent given the target"]
    assert found["training rows"] is known
    alone, given = (found[name].values for name in list(found)[1:])
    assert not np.array_equal(alone[:, 3], known.values[:, 3])
    assert np.array_equal(given[:, 3], known.values[:, 3])
    yes = known.values[:, 3] == 1
    assert np.array_equal(np.sort(given[yes, 1]), np.sort(known.values[yes, 1]))
    assert not np.array_equal(given[:, 1], known.values[:, 1])


def test_figures_of_use_stand_beside_controls(grids):
    schema, real, known, made = grids
    figures = use_figures(schema, real, known, made, "so many rows")
    assert [figure.name for figure in figures] == ["learned from samples: AUC", "learned from samples: macro-F1"]
    for figure in figures:
        score = figure.name.partition(": ")[2]
        assert figure.value == learned(made, real, 3)[score]
        assert figure.baseline == learned(known, real, 3)[score]
        others = [
            f"from {name} {learned(rows, real, 3)[score]:.4f}"
            for name, rows in controls(known, 3).items()
            if name != "training rows"
        ]
        assert figure.protocol.endswith("; so many rows; " + ", ".join(others))
        assert figure.baseline_name == f"the same from training rows ({', '.join(others)})"
        assert figure.unit == "of buys"


def test_what_is_predicted_is_the_last_choice_of_few_options():
    rng = np.random.default_rng(0)
    frame = shop(600).assign(day=rng.integers(0, 30, 600).astype(str), last=rng.normal(size=600))
    schema = infer_schema(open_data(frame))
    assert schema.columns[target_of(schema)] == "buys"
    assert schema.columns[target_of(schema, "size")] == "size"
    bare = infer_schema(open_data(frame[["day", "size", "last"]]))
    assert bare.columns[target_of(bare)] == "last"


def test_a_single_column_has_no_pairs():
    one = Grid(np.arange(9.0)[:, None], np.array([False]))
    assert pairs_apart(one, one) == 0


def test_figures_of_privacy_say_what_they_are_beside():
    real, known, new = (torch.randn(200, 3) for _ in range(3))
    copies, distance, member = privacy_figures(real, known, new, "rows")
    assert (copies.unit, copies.better, copies.baseline) == ("share of samples", "lower", 0)
    assert distance.unit.startswith("median Euclidean distance")
    assert distance.better == "higher"
    assert distance.value == pytest.approx(float(torch.cdist(new, known).min(1).values.median()), rel=1e-4)
    assert distance.baseline == pytest.approx(float(torch.cdist(real, known).min(1).values.median()), rel=1e-4)
    assert (member.better, member.baseline, member.baseline_name) == ("lower", 0.5, "chance")
    assert member.error == pytest.approx(0.5 / 200**0.5)


def test_pairs_are_compared_by_their_joint_shares():
    """Numbers are cut at eighths of the real ones, and what is missing is a part of its own."""
    rng = np.random.default_rng(0)
    real, made = (np.stack((rng.normal(size=n), rng.integers(0, 3, n), rng.exponential(size=n)), 1) for n in (400, 300))
    for values in (real, made):
        values[rng.random(len(values)) < 0.2, 0] = np.nan
    parts = []
    for column in range(3):
        if column == 1:
            parts.append((real[:, 1], made[:, 1]))
            continue
        cuts = np.nanquantile(real[:, column], np.arange(1, 8) / 8)
        parts.append(tuple(np.where(np.isnan(v), 99, (v[:, None] >= cuts).sum(1)) for v in (real[:, column], made[:, column])))
    expected = {}
    for i in range(3):
        for j in range(i):
            shares = [pd.Series(list(zip(parts[i][k], parts[j][k], strict=True))).value_counts(normalize=True) for k in (0, 1)]
            expected[i, j] = 0.5 * shares[0].subtract(shares[1], fill_value=0).abs().sum()
    choice = np.array([False, True, False])
    assert pair_distances(Grid(real, choice), Grid(made, choice)) == pytest.approx(expected)
    empty = Grid(np.where([True, False, False], np.nan, real), choice)  # a column without a value
    assert pair_distances(empty, empty) == dict.fromkeys(expected, 0.0)
