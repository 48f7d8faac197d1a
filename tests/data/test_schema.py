"""Schemas: what goes in raw comes out raw."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

import calco
from calco.data import ArraySource, ImageSchema, VectorSchema, infer_schema, open_data, schema_from_json
from calco.errors import RequestError

rng = np.random.default_rng(0)


def schema_of(x, **options) -> Any:
    return infer_schema(open_data(x, **options))


@pytest.mark.parametrize(
    ("x", "levels", "likelihood"),
    [
        (rng.integers(0, 256, (9, 5, 4), dtype=np.uint8), 256, "logistic"),
        (rng.integers(0, 256, (9, 5, 4, 3), dtype=np.uint8), 256, "logistic"),
        (rng.integers(0, 2, (9, 5, 4)).astype(np.uint8), 2, "bernoulli"),
        (255 * rng.integers(0, 2, (9, 5, 4)).astype(np.uint8), 2, "bernoulli"),
        (rng.integers(0, 2, (9, 5, 4)).astype(bool), 2, "bernoulli"),
        (rng.random((9, 5, 4, 1)), None, "gaussian"),
        (rng.normal(size=(9, 5, 4)).astype(np.float32), None, "gaussian"),
        (rng.integers(-300, 300, (9, 5, 4)).astype(np.int16), None, "gaussian"),
    ],
)
def test_images_come_back(x, levels, likelihood):
    schema = schema_of(x)
    encoded = schema.encode(x)
    assert encoded.shape == (9, x.shape[3] if x.ndim == 4 else 1, 5, 4)
    assert encoded.dtype == torch.float32
    assert encoded.min() >= 0
    assert encoded.max() <= 1
    assert (schema.levels, schema.likelihoods[0]) == (levels, likelihood)
    raw = schema.decode(encoded)
    assert raw.dtype == x.dtype
    assert np.allclose(raw, x, atol=0 if x.dtype.kind in "ub" else 1e-5)
    assert schema_from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_the_channel_axis_is_where_it_should_be():
    x = np.zeros((2, 3, 3, 2), np.uint8)
    x[:, 0, 1, 0], x[:, 2, 0, 1] = 255, 100
    encoded = ImageSchema(2, 3, 3, "uint8", 0, 255, 256, True).encode(x)
    assert encoded[0, 0, 0, 1] == 1
    assert encoded[0, 1, 2, 0] == pytest.approx(100 / 255)
    tensor = torch.zeros(2, 3, 8, 7)
    tensor[:, 2, 4, 5] = 1
    assert open_data(tensor).take(np.arange(1)).x[0, 4, 5, 2] == 1


def test_known_levels_fix_the_range():
    schema = infer_schema(ArraySource(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), levels=17))
    assert schema.encode(np.full((1, 2, 2), 16, np.uint8)).max() == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_vectors_are_standardised_and_come_back(dtype):
    x = (rng.normal(size=(50, 3)) * [1, 10, 1000] + [0, 5, 1e6]).astype(dtype)
    schema = schema_of(x)
    encoded = schema.encode(x)
    assert torch.allclose(encoded.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(encoded.std(0, correction=0), torch.ones(3), atol=1e-3)
    raw = schema.decode(encoded)
    assert raw.dtype == x.dtype
    assert np.allclose(raw, x, rtol=1e-4, atol=1e-4)
    assert schema_from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_a_data_frame_comes_back_as_one():
    frame = pd.DataFrame({"age": [30, 41, 52], "height": np.array([1.5, 1.8, 1.7], np.float32), "member": [True, False, True]})
    schema = schema_of(frame)
    raw = schema.decode(schema.encode(frame.to_numpy(dtype=float)))
    assert list(raw.columns) == list(frame.columns)
    assert list(raw.dtypes) == list(frame.dtypes)
    assert np.allclose(raw.to_numpy(float), frame.to_numpy(float), atol=1e-5)


def test_binary_vectors_stay_zero_and_one():
    x = rng.integers(0, 2, (9, 4)).astype(np.int64)
    schema = schema_of(x)
    assert isinstance(schema, VectorSchema)
    assert schema.likelihoods[0] == "bernoulli"
    assert torch.equal(schema.encode(x), torch.from_numpy(x).float())
    assert np.array_equal(schema.decode(schema.encode(x)), x)


def test_a_constant_column_keeps_its_scale():
    x = np.c_[rng.normal(size=20), np.full(20, 7.3)]
    schema = schema_of(x)
    assert np.allclose(schema.decode(schema.encode(x)), x, atol=1e-5)


def test_log_det_gives_the_density_in_raw_units():
    x = rng.normal(3, 20, size=(400, 1))
    schema = schema_of(x)
    z = schema.encode(x).double().numpy()
    assert np.allclose(norm.logpdf(z[:, 0]) + schema.log_dets(z), norm.logpdf(x[:, 0], x.mean(), x.std()), atol=1e-4)
    image = schema_of(rng.uniform(-2, 6, (5, 2, 2)))
    assert image.log_dets(torch.zeros(1, *image.shape)).item() == pytest.approx(-4 * math.log(image.high - image.low))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(value):
    x = rng.normal(size=(6, 3))
    x[4, 1] = value
    with pytest.raises(RequestError, match=r"1 of 6 examples .* row 4 \(columns x1\)"):
        schema_of(x)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, value]})
    if np.isnan(value):
        assert schema_of(frame).kind == "table"
        return
    with pytest.raises(RequestError, match="row 1"):
        schema_of(frame)


def test_what_is_no_example_is_refused():
    with pytest.raises(RequestError, match="array of 1 axes"):
        schema_of(np.arange(5.0))
    with pytest.raises(RequestError, match="Every pixel is 0"):
        schema_of(np.zeros((4, 3, 3)))
    with pytest.raises(RequestError, match="8 channels"):
        open_data(np.zeros((4, 3, 3, 8)))


def test_a_tampered_schema_is_refused():
    good = schema_of(rng.normal(size=(6, 3))).to_json()
    for change in ({"kind": "sound"}, {"mean": "abc"}, {"scale": [0.0, 1.0, 1.0]}, {"dtypes": ["what"] * 3}, {"extra": 1}):
        with pytest.raises(RequestError):
            schema_from_json({**good, **change})
    with pytest.raises(RequestError):
        schema_from_json({k: v for k, v in good.items() if k != "mean"})
    assert calco.RequestError is RequestError
