"""Figures of tables: at their floor on data, away from it on what is none, and the controls that keep them honest."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

import calco
from calco.data import infer_schema, open_data
from calco.errors import RequestError
from calco.evaluation.likelihood import constant_log_prob
from calco.evaluation.tables import (
    Grid,
    columns_apart,
    grid,
    independent,
    learned,
    pairs_apart,
    privacy_figures,
    target_of,
    told_auc,
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
