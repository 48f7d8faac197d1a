"""Tables: what columns hold, how they are coded, and that they come back as they went in."""

import json

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch
from scipy.stats import norm

import calco
from calco.data import infer_schema, open_data, reopened, schema_from_json, split
from calco.data.coded import fit_column
from calco.data.columns import Column, inferred, read_columns, written
from calco.data.frames import TableSource
from calco.data.values import nearest_multiple
from calco.errors import RequestError


def people(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "wage": np.round(np.exp(rng.normal(8, 1, n)), 2),
            "gain": np.where(rng.random(n) < 0.8, 0.0, rng.normal(5000, 900, n)),
            "job": rng.choice(["nurse", "smith", "clerk"], n),
            "member": rng.random(n) < 0.3,
            "size": pd.Categorical(rng.choice(["small", "large"], n), ["small", "large"], ordered=True),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
            "score": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "town": np.where(rng.random(n) < 0.1, None, rng.choice(["Ulm", "Rom"], n)),
        }
    )


def same(a, b, close=()):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert (a[name].isna().to_numpy() == b[name].isna().to_numpy()).all(), name
        one, other = a[name].dropna().to_numpy(), b[name].dropna().to_numpy()
        if name in close:
            assert np.allclose(one, other, rtol=2e-3, atol=1e-2), name
        else:
            assert (one == other).all(), name


def test_a_table_comes_back_as_it_went_in():
    frame = people()
    schema = infer_schema(open_data(frame))
    x = schema.encode(frame)
    assert x.shape == (400, *schema.shape)
    same(schema.decode(x), frame, close=("wage", "gain", "score"))
    assert schema_from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize("year", [1, 1500, 2024, 9700])
def test_dates_of_all_years_come_back(year):
    days = np.datetime64(f"{year:04}-01-01", "s") + np.arange(200) * np.timedelta64(86400, "s")
    frame = pd.DataFrame({"moment": days, "day": [str(day)[:10] for day in days]})
    schema = infer_schema(open_data(frame))
    back = schema.decode(schema.encode(frame))
    same(back, frame)


@pytest.mark.parametrize("dtype", ["date32[pyarrow]", "timestamp[us][pyarrow]", "timestamp[us, tz=Europe/Rome][pyarrow]"])
def test_dates_of_arrow_come_back(dtype):
    days = pd.Series(np.datetime64("2020-01-01", "us") + np.arange(200) % 70 * np.timedelta64(1, "D"))
    frame = pd.DataFrame({"day": days.astype(dtype)})
    schema = infer_schema(open_data(frame))
    same(schema.decode(schema.encode(frame)), frame)


def test_dates_of_mixed_forms_are_read_from_arrow_too():
    text = pd.Series(["2024-03-01", "2024-03-02T12:00:00"] * 100)
    frame = pd.DataFrame({"day": text.astype(pd.ArrowDtype(pyarrow.string()))})
    schema = infer_schema(open_data(frame))
    assert schema.encode(frame).equal(infer_schema(open_data(text.to_frame("day"))).encode(text.to_frame("day")))


def test_dates_of_mixed_zones_are_moments():
    text = [f"2024-03-{1 + i % 28:02}T12:00:00+0{i % 3}:00" for i in range(200)]
    schema = infer_schema(open_data(pd.DataFrame({"day": text})))
    frame = pd.DataFrame({"day": text[:3]})
    assert schema.decode(schema.encode(frame))["day"].tolist() == [f"2024-03-0{1 + i}T{12 - i}:00:00" for i in range(3)]


def test_floats_are_ones_among_zeros_and_scores():
    frame = people(4000)
    schema = infer_schema(open_data(frame))
    x = schema.encode(frame)
    for piece in schema.pieces:
        part = x[:, piece.start : piece.stop]
        if piece.kind == "choice":
            assert set(part.unique().tolist()) <= {0.0, 1.0}
            assert (part.sum(1) == 1).all()
        else:
            inside = x[:, piece.gate[0] : piece.gate[1]].sum(1) > 0
            score = part[inside, 0].numpy()
            assert abs(score.mean()) < 0.15
            assert abs(score.std() - 1) < 0.15
            assert (part[~inside] == 0).all()


def test_zeros_that_many_rows_have_are_an_option():
    values = people()["gain"]
    coded = fit_column(Column("gain", "float64", "number"), values)
    assert coded.atoms == (0.0,) or len(values.unique()) <= 100
    choice, score = coded.coded(values)
    back = coded.value(choice, score)
    assert ((back == 0) == (values == 0)).all()


def test_densities_are_those_of_the_raw_values():
    """A number of N(3, 2^2): uniform over parts, normal within: its density by the coding is close to the true one."""
    values = pd.Series(np.random.default_rng(0).normal(3, 2, 200_000), name="v")
    source = TableSource(values.to_frame(), columns={"v": "number"})
    schema = infer_schema(source)
    some = pd.DataFrame({"v": np.linspace(0, 6, 50)})
    x = schema.encode(some)
    score = x[:, -1].double().numpy()
    log_p = np.log(1 / schema.coded[0].bins) + norm.logpdf(score) + schema.log_dets(x)
    assert np.allclose(log_p, norm.logpdf(some["v"], 3, 2), atol=0.12)


def test_parts_have_the_schema_of_the_training_part(tmp_path):
    people().to_csv(tmp_path / "people.csv", index=False)
    source = open_data(tmp_path / "people.csv")
    train, held = split(source, 0.2, 0)
    schema = infer_schema(train)
    assert schema.encode(held.take(np.arange(len(held))).x).shape == (80, *schema.shape)
    again = reopened(json.loads(json.dumps(held.describe()["open"])))
    assert again.describe() == held.describe()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(100) * 0.5, "number"),
        (np.tile([1, 2, 3], 40), "number"),
        (["a", "b"] * 50, "choice"),
        ([True, False] * 50, "choice"),
        ([True, None] * 50, "choice"),
        (pd.date_range("2024-01-01", periods=100), "date"),
        ([f"2024-01-{1 + i % 28:02}" for i in range(100)], "date"),
        ([f"street {i % 15}" for i in range(100)], "choice"),
    ],
)
def test_kinds_are_seen(values, kind):
    assert inferred(pd.DataFrame({"c": values}))[0].kind == kind


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None] * 100, "is missing: drop it"),
        ([f"person {i}" for i in range(100)], "looks like free text or a key"),
        (np.arange(100) + 7, "counts the rows, as a key does"),
        ([*range(99), "many"], r"mixes numbers and text \(row 99: 'many'\)"),
        ([*np.arange(99.0), np.inf], r"holds infinity \(row 99\)"),
        (pd.to_timedelta(np.arange(100), "s"), "holds durations"),
    ],
)
def test_columns_that_cannot_be_learned_are_refused_with_a_word(values, message):
    with pytest.raises(RequestError, match=message):
        inferred(pd.DataFrame({"c": values, "d": 1.0}))


def test_kinds_can_be_overruled(tmp_path):
    frame = people()
    path = tmp_path / "columns.toml"
    path.write_text(written(inferred(frame)))
    assert read_columns(path) == {c.name: c.kind for c in inferred(frame)}
    path.write_text('age = "choice"\nwage = "drop"\n')
    source = open_data(frame, columns=path)
    assert source.names == tuple(name for name in frame if name != "wage")
    made = calco.VAE(2, training={"steps": 2}).fit(source).sample(5)
    assert made["age"].dtype == np.int64
    for text, message in (
        ('age = "text"', "choose from number, choice, date, drop"),
        ('height = "number"', "Unknown column"),
        ("age", "Cannot read"),
    ):
        path.write_text(text)
        with pytest.raises(RequestError, match=message):
            open_data(frame, columns=path)


def test_what_was_not_in_training_is_refused():
    frame = people()
    model = calco.VAE(2, training={"steps": 2}).fit(frame)
    with pytest.raises(RequestError, match="The column job has the value 'judge', which it had nowhere in training"):
        model.encode(frame.assign(job="judge"))
    with pytest.raises(RequestError, match="5 values of the column age are missing"):
        model.encode(frame.assign(age=frame["age"].astype(float).mask(np.arange(400) < 5)))
    with pytest.raises(RequestError, match="job"):
        model.encode(frame.drop(columns="job"))
    with pytest.raises(RequestError, match="job"):
        model.encode(frame.rename(columns={"job": "work"}))
    assert model.encode(frame.iloc[:7]).shape == (7, 2)


def test_samples_have_the_columns_and_dtypes_of_the_data():
    frame = people()
    made = calco.VAE(2, training={"steps": 20}).fit(frame).sample(50)
    assert list(made) == list(frame)
    for name in frame:
        if not frame[name].isna().to_numpy().any():
            assert made[name].dtype == frame[name].dtype, name
    assert set(made["job"]) <= set(frame["job"])
    assert made["wage"].between(frame["wage"].min(), frame["wage"].max()).all()


def test_rows_without_columns_or_without_rows_are_refused():
    with pytest.raises(RequestError, match="has no rows"):
        open_data(people(0))
    with pytest.raises(RequestError, match="no columns left"):
        open_data(people()[["age"]], columns={"age": "drop"})
    with pytest.raises(RequestError, match="more than one column called age"):
        open_data(pd.concat([people(), people()[["age"]]], axis=1))


def test_a_batch_is_read_like_the_whole():
    frame = people()
    source = open_data(frame)
    schema = infer_schema(source)
    rows = np.array([5, 300, 2])
    assert torch.equal(schema.encode(source.take(rows).x), schema.encode(frame.iloc[rows]))


@pytest.mark.parametrize("value", [7, 1e9 + 0.3, "here", True])
def test_a_constant_column_stays_constant(value):
    frame = people(100).assign(land=value)
    schema = infer_schema(open_data(frame))
    x = schema.encode(frame)
    assert schema.decode(x)["land"].equals(frame["land"])
    assert np.isfinite(schema.log_dets(x)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("knots", lambda column: column["knots"][::-1]),
        ("knots", lambda column: [column["knots"][0]] * len(column["knots"])),
        ("knots", lambda column: column["knots"][:-1]),
        ("places", lambda column: column["places"][::-1]),
        ("places", lambda column: []),
        ("places", lambda column: [None] * len(column["places"])),
        ("knots", lambda column: [float("nan"), *column["knots"][1:]]),
        ("unseen", lambda column: 1.0),
        ("kind", lambda column: "sound"),
        ("name", lambda column: 3),
        ("bins", lambda column: 0),
        ("cells", lambda column: {**column["cells"], "texts": ["b"], "types": ["bytes"]}),
        ("cells", lambda column: {**column["cells"], "type": 3}),
        ("cells", lambda column: {**column["cells"], "dtype": "what"}),
        ("cells", lambda column: {**column["cells"], "type": "list"}),
        ("cells", lambda column: {**column["cells"], "texts": ["x"], "types": ["Decimal"]}),
        ("cells", lambda column: {**column["cells"], "texts": ["x"], "types": ["Interval int"]}),
        ("cells", lambda column: {**column["cells"], "texts": ["x"], "types": ["int"]}),
    ],
)
def test_every_field_of_a_tampered_column_is_checked(field, value):
    schema = infer_schema(open_data(people(300)))
    good = json.loads(json.dumps(schema.to_json()))
    assert schema_from_json(good) == schema
    (column,) = (column for column in good["coded"] if column["name"] == "wage")
    assert len(column["knots"]) > 2
    column[field] = value(column)
    if field == "bins":
        column.update(knots=[], places=[], atoms=[])
    with pytest.raises(RequestError):
        schema_from_json(good)
    with pytest.raises(RequestError):
        schema_from_json({**good, "coded": []})
    with pytest.raises(RequestError):
        schema_from_json({**good, "coded": [{**column, "knots": [], "places": []}]})


def test_a_choice_that_was_nowhere_is_told_by_its_value_and_count():
    frame = people()
    schema = infer_schema(open_data(frame))
    rows = frame.head(5).assign(job=["clerk", "nurse", "baker", "smith", "cook"])
    with pytest.raises(RequestError, match=r"job has the value 'baker', which it had nowhere in training \(2 rows\)"):
        schema.encode(rows)


def test_booleans_may_be_told_as_numbers_and_numbers_as_booleans():
    frame = people()
    schema = infer_schema(open_data(frame))
    for kind in (int, float, str):
        assert torch.equal(schema.encode(frame.assign(member=frame["member"].astype(kind))), schema.encode(frame))
    frame["member"] = frame["member"].astype(int)
    schema = infer_schema(open_data(frame, columns={"member": "choice"}))
    assert torch.equal(schema.encode(frame.assign(member=frame["member"] == 1)), schema.encode(frame))


def test_values_that_come_again_and_again_are_options_of_their_own():
    """What more rows have than fill a piece of the rest, though fewer than a hundredth have it."""
    values = np.random.default_rng(0).normal(size=6000)
    values[:50] = 0.123456789
    schema = infer_schema(open_data(pd.DataFrame({"v": values, "c": ["x", "y"] * 3000})))
    assert schema.coded[0].atoms == (0.123456789,)


def test_whole_numbers_beyond_float64_are_options_while_they_are_few():
    for count in (50, 51):
        frame = pd.DataFrame({"c": [2**60 + 7 * (i % count) ** 2 for i in range(200)], "d": ["x", "y"] * 100}, dtype=object)
        if count == 50:
            assert len(open_data(frame).plan[0].options) == 50
            continue
        with pytest.raises(RequestError, match="and 51 different values: drop it if it is a key"):
            open_data(frame)


def test_a_column_with_bins_has_values_in_them():
    content = json.loads(json.dumps(infer_schema(open_data(people(300))).to_json()))
    (column,) = (column for column in content["coded"] if column["name"] == "age")
    assert (column["bins"], column["knots"]) == (0, [])
    column["bins"] = 5
    with pytest.raises(RequestError, match="sizes make no sense"):
        schema_from_json(content)


@pytest.mark.parametrize("grain", [0.1, 0.01, 1.0, 60.0])
def test_numbers_that_have_no_neighbours_among_floats_stay_as_they_are(grain):
    large = np.random.default_rng(0).uniform(2**53 * grain, 2**53 * max(1 / grain, 2 * grain), 1000)
    assert np.array_equal(nearest_multiple(large, grain), large)
