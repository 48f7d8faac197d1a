"""Sources: whole batches, labels, parts."""

import time

import numpy as np
import pytest
import torch

from calco.data import ArraySource, Source, Subset, ahead, batches, infer_schema, open_data, split
from calco.errors import RequestError


def source(n=10):
    return ArraySource(np.arange(3.0 * n).reshape(n, 3), np.arange(n) % 2)


def test_take_gives_rows_in_the_order_asked():
    raw = source().take(np.array([4, 0, 4]))
    assert raw.x[:, 0].tolist() == [12, 0, 12]
    assert raw.y.tolist() == [0, 0, 0]
    assert isinstance(source(), Source)


@pytest.mark.parametrize(
    ("labels", "classes", "index"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([7, 3, 7], ("3", "7"), [1, 0, 1]),
        ([1.0, 0.0, 1.0], ("0", "1"), [1, 0, 1]),
        (np.array([True, False, True]), ("False", "True"), [1, 0, 1]),
        (np.array(["x", "y", "x"], object), ("x", "y"), [0, 1, 0]),
    ],
)
def test_labels_of_any_kind(labels, classes, index):
    found = ArraySource(np.zeros((3, 2)), labels)
    assert found.classes == classes
    assert found.take(np.arange(3)).y.tolist() == index


def test_wrong_labels_are_refused():
    with pytest.raises(RequestError, match=r"10 examples but labels of shape \(9,\)"):
        ArraySource(np.zeros((10, 2)), np.zeros(9))
    with pytest.raises(RequestError, match="1 labels are NaN"):
        ArraySource(np.zeros((2, 2)), [1.0, np.nan])


@pytest.mark.parametrize("x", [np.zeros((0, 4)), np.zeros((3, 0))])
def test_nothing_is_refused(x):
    with pytest.raises(RequestError, match="empty"):
        open_data(x)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(RequestError, match="not numbers"):
        open_data(np.array([["a", "b"]]))
    with pytest.raises(RequestError, match="not numbers"):
        open_data(np.array([[1, 2], [3]], dtype=object))


def test_parts_are_disjoint_and_whole():
    rest, held = split(source(), 0.3, 5)
    assert (len(rest), len(held)) == (7, 3)
    rows = sorted([*rest.take(np.arange(7)).x[:, 0], *held.take(np.arange(3)).x[:, 0]])
    assert rows == source().x[:, 0].tolist()
    assert not np.array_equal(split(source(), 0.3, 6)[1].rows, held.rows)
    with pytest.raises(RequestError, match="one part empty"):
        split(source(), 0.01, 0)


def test_batches_cover_everything_in_order():
    found = list(batches(source(), infer_schema(source()), 4))
    assert [len(b.x) for b in found] == [4, 4, 2]
    assert torch.cat([b.y for b in found]).tolist() == [0, 1] * 5


def test_a_slow_source_is_read_ahead_in_order():
    class Slow(ArraySource):
        def take(self, rows):
            time.sleep(0.02)
            return super().take(rows)

    slow = Slow(np.arange(12.0).reshape(12, 1))
    slow.slow = True
    parts = np.array_split(np.arange(12), 6)
    began = time.perf_counter()
    seen = []
    for raw in ahead(slow, parts):
        time.sleep(0.02)
        seen += raw.x[:, 0].tolist()
    assert seen == list(range(12))
    assert time.perf_counter() - began < 6 * 0.04  # reading and working overlap


def test_the_fingerprint_is_of_the_contents():
    one, two, moved = source(), source(), source()
    moved.x[3, 1] += 1
    prints = [
        s.describe()["fingerprint"] for s in (one, two, moved, ArraySource(one.x), ArraySource(one.x.astype("f4"), one.y))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
    assert Subset(one, np.arange(3)).describe()["n"] == 3
