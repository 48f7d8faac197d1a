"""Numbers and dates that training did not see: how likely they are, and that every verb takes them alike."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import calco
from calco.data import infer_schema, open_data
from calco.data.coded import fit_column
from calco.data.columns import Column
from calco.errors import RequestError

DAYS = pd.Timestamp("2020-01-01")


def column(name, n=600, seed=0):
    """A column of numbers or dates with a hundred different values at most, or more."""
    rng = np.random.default_rng(seed)
    made = {
        "rating": lambda: rng.choice([1, 2, 3, 5], n),
        "age": lambda: rng.integers(17, 60, n),
        "steps": lambda: np.round(np.exp(rng.normal(6, 1, n))).astype(int),
        "wage": lambda: np.exp(rng.normal(8, 1, n)),
        "gain": lambda: np.where(rng.random(n) < 0.7, 0.0, np.exp(rng.normal(8, 1, n))),
        "price": lambda: np.round(np.exp(rng.normal(3, 1, n)), 2),
        "third": lambda: rng.integers(1, 9, n) / 3,
        "since": lambda: pd.Series(DAYS + pd.to_timedelta(rng.integers(0, 900, n), "D")),
        "month": lambda: pd.Series(DAYS + pd.to_timedelta(rng.integers(0, 9, n) * 30, "D")),
    }
    return pd.DataFrame({name: made[name]()})


def table(frame):
    """A source of a data frame that would be vectors were all its columns numbers."""
    return open_data(frame, columns={name: "date" if values.dtype.kind == "M" else "number" for name, values in frame.items()})


NAMES = ("rating", "age", "steps", "wage", "gain", "price", "third", "since", "month")


def further_out(frame, count=9):
    """A table of values further and further below those of a column, and one above, each with the outermost first."""
    values = frame.iloc[:, 0]
    if values.dtype.kind == "M":
        days = np.unique(np.geomspace(1, 90_000, count).astype(int))
        below = [values.min() - pd.Timedelta(int(d), "D") for d in (0, *days)]
        above = [values.max() + pd.Timedelta(int(d), "D") for d in (0, *days)]
    else:
        d = np.concatenate(([0], np.round(np.geomspace(1, 1e12, count))))
        below, above = values.min() - d, values.max() + d
    return [pd.DataFrame({frame.columns[0]: part}) for part in (below, above)]


@pytest.fixture(scope="module")
def learned():
    """Densities of one column each."""
    training = {"steps": 15, "batch_size": 64}
    return {name: calco.Autoregressive(16, depth=1, training=training).fit(table(column(name))) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_further_out_the_less_likely(learned, name):
    model, frame = learned[name], column(name)
    known = model.log_prob(frame)
    for far in further_out(frame):
        found = model.log_prob(far)
        assert (np.diff(found) < 0).all()
        assert found[-1] < known.min() - 5
        x = model.schema_.encode(far)
        assert len(torch.unique(x, dim=0)) == len(far)  # nets see the distance
        assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_takes_what_training_did_not_see(learned, name):
    model, frame = learned[name], column(name)
    for far in further_out(frame, 5):
        back = model.schema_.decode(model.schema_.encode(far))[name]
        if far[name].dtype.kind == "M":
            assert (abs(back - far[name]) <= pd.Timedelta(1, "D")).all()
        else:
            assert back.to_numpy(float) == pytest.approx(far[name].to_numpy(float), rel=1e-4, abs=1e-3)
        asked = model.sample(3, where={name: far[name].iloc[3]})[name]
        assert (asked == back.iloc[3]).all()
        imputed = model.impute(far)
        assert imputed.equals(far)


@pytest.mark.parametrize("name", ["rating", "age", "steps"])
def test_whole_numbers_have_probabilities(learned, name):
    model, frame = learned[name], column(name)
    whole = pd.DataFrame({name: np.arange(-4000, frame[name].max() + 4000)})
    assert np.exp(model.log_prob(whole)).sum() == pytest.approx(1, abs=2e-3)
    assert "probabilit" in model.density_


def test_days_have_probabilities(learned):
    days = pd.DataFrame({"since": DAYS + pd.to_timedelta(np.arange(-20_000, 20_000), "D")})
    assert np.exp(learned["since"].log_prob(days)).sum() == pytest.approx(1, abs=2e-3)


def test_densities_of_real_numbers_integrate_to_one(learned):
    """With one number that three rows in ten do not share: the density is of those, the rest a probability."""
    x = np.concatenate((-np.geomspace(1e7, 1e-6, 3000), np.geomspace(1e-6, 1e7, 30_000)))
    middle = x[1:] / 2 + x[:-1] / 2
    density = np.exp(learned["gain"].log_prob(pd.DataFrame({"gain": middle})))
    zero = np.exp(learned["gain"].log_prob(pd.DataFrame({"gain": [0.0]})))[0]
    assert zero > 0.01
    assert zero + density @ np.diff(x) == pytest.approx(1, abs=5e-3)


def test_samples_of_few_values_are_values_that_were_seen_and_others_hardly_leave_the_range(learned):
    for name, model in learned.items():
        frame, made = column(name), model.sample(2000)
        if model.schema_.coded[0].bins:
            outside = (made[name] < frame[name].min()) | (made[name] > frame[name].max())
            assert outside.mean() < 0.005, name
        else:
            assert set(made[name]) <= set(frame[name]), name


def test_codes_tell_what_is_far_from_what_is_further(learned):
    frame = pd.concat([column(name) for name in NAMES], axis=1)
    model = calco.VAE(2, training={"steps": 5}).fit(table(frame))
    for name in ("age", "steps", "wage"):
        far = pd.concat([frame.iloc[:1]] * 3, ignore_index=True).assign(**{name: [10**5, 10**6, 10**9]})
        codes = model.encode(far)
        assert np.isfinite(codes).all()
        assert len(np.unique(codes, axis=0)) == 3, name


@pytest.mark.parametrize("verb", ["log_prob", "encode", "where", "impute"])
def test_what_is_no_multiple_of_the_grain_counts_as_the_closest_and_is_counted(learned, verb):
    model = learned["steps"]
    odd = pd.DataFrame({"steps": [100.0, 100.4, 99.8]})
    verbs = {
        "log_prob": lambda: len(set(model.log_prob(odd)[:2])) == 1,
        "encode": lambda: torch.equal(*model.schema_.encode(odd)[:2]),
        "where": lambda: (model.sample(2, where={"steps": 100.4})["steps"] == 100).all(),
        "impute": lambda: model.impute(odd).equals(odd),
    }
    count = 1 if verb == "where" else 2
    with pytest.warns(UserWarning, match=f"steps has {count} values that are no whole numbers"):
        assert verbs[verb]()


def test_moments_among_days_are_counted(learned):
    noon = pd.DataFrame({"since": [DAYS + pd.Timedelta(10.4, "D")]})
    with pytest.warns(UserWarning, match="since has 1 values that are no whole days"):
        assert (learned["since"].schema_.decode(learned["since"].schema_.encode(noon))["since"] == "2020-01-11").all()


def test_single_precision_is_no_other_number():
    values = pd.Series(np.random.default_rng(0).choice([0.1, 0.2, 1 / 3], 200))
    coded = fit_column(Column("v", "float64", "number"), values)
    assert np.array_equal(coded.coded(values)[1], coded.coded(values.astype("float32"))[1])
    again = fit_column(Column("v", "float32", "number"), values.astype("float32"))
    assert not again.coded(values)[1].any()


def test_values_beyond_all_floats_are_still_refused(learned):
    with pytest.raises(RequestError, match="infinity"):
        learned["wage"].log_prob(pd.DataFrame({"wage": [np.inf]}))
    found = learned["wage"].log_prob(pd.DataFrame({"wage": [1e300, 1.5e308, -1e300, -1.5e308]}))
    assert (np.diff(found)[[0, 2]] < 0).all()


def test_dates_that_a_dtype_cannot_hold_are_its_last():
    frame = pd.DataFrame({"day": (DAYS + pd.to_timedelta(np.arange(200) * 37 % 500, "D")).astype("datetime64[ns]")})
    schema = infer_schema(table(frame))
    x = schema.encode(frame.iloc[:2])
    x[0, -1], x[1, -1] = 30.0, -30.0
    x[:, :-1] = 0
    x[0, schema.coded[0].bins - 1], x[1, 0] = 1, 1
    assert list(schema.decode(x)["day"].dt.year) == [2262, 1677]
    with pytest.raises(RequestError, match=r"datetime64\[ns\] cannot hold"):
        schema.given({"day": "3000-01-01"})


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 256), ("uint8", -1), ("int64", 1e19), ("float32", 1e39), ("Int16", 40_000)]
)
def test_values_that_a_dtype_cannot_hold_are_not_asked_for(dtype, value):
    frame = pd.DataFrame({"v": np.random.default_rng(0).integers(1, 250, 400)}).astype(dtype)
    schema = infer_schema(table(frame))
    with pytest.raises(RequestError, match=f"{dtype} cannot hold"):
        schema.given({"v": value})
    assert schema.given({"v": 0})[0].isfinite().all()


@given(st.integers(0, 2**31), st.sampled_from(NAMES), st.floats(0, 0.3))
def test_training_values_come_back(seed, name, gaps):
    frame = column(name, 300, seed)
    frame = frame.mask(np.random.default_rng(seed).random(frame.shape) < gaps)
    schema = infer_schema(table(frame))
    back = schema.decode(schema.encode(frame))[name]
    assert (back.isna() == frame[name].isna()).all()
    if name in ("wage", "gain"):
        assert np.allclose(back, frame[name], rtol=1e-5, atol=1e-3, equal_nan=True)
    else:
        assert (back.dropna() == frame[name].dropna()).all()


@pytest.mark.parametrize(
    ("shape", "as_source"),
    [((100, 3), open_data), ((100, 8, 2), calco.series)],
    ids=["vectors", "series"],
)
def test_values_too_far_out_for_single_precision_are_refused(shape, as_source):
    raw = np.random.default_rng(0).normal(size=shape)
    schema = infer_schema(as_source(raw))
    odd = raw[:5].copy()
    odd[3] = 1e12
    assert torch.isfinite(schema.encode(odd)).all()
    odd[3] = 1e300
    with pytest.raises(RequestError, match="1 of 5 examples, the first in row 3, lie more than"):
        schema.encode(odd)
