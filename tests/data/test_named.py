"""Named sets."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from calco.data import infer_schema, named, open_data
from calco.errors import RequestError

HERE = bool(os.environ.get("CALCO_DATA"))


def test_digits_are_always_there():
    train, test = open_data("digits"), open_data("digits:test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.classes == tuple("0123456789")
    schema = infer_schema(train)
    assert (schema.shape, schema.levels) == ((1, 8, 8), 17)
    counts = np.bincount(test.take(np.arange(360)).y)
    assert counts.min() >= 34
    assert open_data("digits", part="test").describe()["fingerprint"] == test.describe()["fingerprint"]
    rows = {x.tobytes() for x in train.take(np.arange(1437)).x}
    assert sum(x.tobytes() in rows for x in test.take(np.arange(360)).x) < 3


@pytest.mark.skipif(not HERE, reason="CALCO_DATA is not set")
@pytest.mark.parametrize(
    ("name", "part", "count", "mean"),
    [
        ("mnist", "test", 10_000, 0.13251),
        ("fashion-mnist", "test", 10_000, 0.28685),
        ("binarized-mnist", "valid", 10_000, 0.13113),
    ],
)
def test_real_sets(name, part, count, mean):
    source = open_data(f"{name}:{part}")
    schema = infer_schema(source)
    assert len(source) == count
    assert schema.shape == (1, 28, 28)
    x = schema.encode(source.take(np.arange(count)).x)
    assert float(x.mean()) == pytest.approx(mean, abs=2e-3)


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("CALCO_DATA", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(named.NamedSet, "places", lambda self: [tmp_path / f for f in (*self.folders, "")])
    return tmp_path


def test_a_set_that_is_not_here_says_where_to_get_it(nothing):
    with pytest.raises(RequestError, match=r"mnist is not on this machine.*CALCO_DATA"):
        open_data("mnist")


def test_a_file_with_other_contents_is_refused(nothing):
    (nothing / "mnist").mkdir()
    (nothing / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(RequestError, match=r"train-images-idx3-ubyte\.gz.*checksum"):
        open_data("mnist")


def test_unknown_names_and_parts_suggest():
    with pytest.raises(RequestError, match=r"Did you mean 'mnist'\?.*no file or folder"):
        open_data("mnst")
    with pytest.raises(RequestError, match="choose from train, test"):
        open_data("digits:valid")
