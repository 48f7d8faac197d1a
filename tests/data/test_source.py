"""Sources: whole batches, labels, parts."""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from calco.data import ArraySource, Source, Subset, ahead, batches, identify, infer_schema, open_data, split, with_classes
from calco.data.source import as_text
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


def test_examples_know_which_they_are(tmp_path):
    rows = np.array([3, 0])
    assert identify(open_data(np.arange(12).reshape(6, 2)), rows)["row"].tolist() == [3, 0]
    table = open_data(pd.DataFrame({"a": list("xyzxyz"), "b": range(6)}))
    assert {name: column.tolist() for name, column in identify(table, rows).items()} == {"row": [3, 0]}
    for i, name in enumerate(("a/1.png", "a/2.png", "b/1.png", "b/3.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / name)
    images = open_data(tmp_path)
    assert identify(images, rows)["file"].tolist() == ["b/3.png", "a/1.png"]
    rest, held = split(images, 0.5, 0)
    for part in (rest, held, with_classes(held, ("b", "a"))):
        names = identify(part, np.arange(2))["file"]
        assert [int(x.flat[0]) for x in part.take(np.arange(2)).x] == [images.files.index(name) for name in names]


def test_a_folder_that_is_decoded_on_the_fly_names_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr("calco.data.folder.IN_MEMORY", 0)
    (tmp_path / "broken.png").write_text("no image")
    for i in range(2):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i}.png")
    source = open_data(tmp_path, skip_corrupt=True)
    assert identify(source, np.array([1, 0]))["file"].tolist() == ["1.png", "0.png"]
    assert as_text("gr\udcfcn.png") == "gr\\xfcn.png"  # a name that is not in UTF-8


def test_windows_know_their_file_their_row_and_their_time(tmp_path):
    days = [*pd.date_range("2024-01-01", periods=6).astype(str), *pd.date_range("2024-03-01", periods=5).astype(str)]
    for name, shift in (("one", 0), ("two", 100)):
        (tmp_path / name).mkdir()
        frame = pd.DataFrame({"day": days, "a": np.arange(11) + shift, "file": -1})
        frame.to_csv(tmp_path / name / "x.csv", index=False)
    source = open_data(str(tmp_path), window=4, stride=2, time="day")
    found = identify(source, np.arange(len(source)))
    assert list(found) == ["file", "start", "time"]
    for i, (file, start, day) in enumerate(zip(*found.values(), strict=True)):  # the gap between 6 and 7 is in no window
        first = source.take(np.array([i])).x[0, 0, 0]
        assert (file, days[start], start) == (f"{'two' if first >= 100 else 'one'}/x.csv", day, first % 100)
    assert found["start"].tolist() == 2 * [0, 2, 6]
    unnamed = open_data([np.zeros((5, 2)), np.zeros((4, 2))], window=4)
    assert {k: v.tolist() for k, v in identify(unnamed, np.arange(3)).items()} == {
        "recording": [0, 0, 1],
        "start": [0, 1, 0],
    }
    np.save(tmp_path / "x.npy", np.zeros((3, 5, 2)))
    several = identify(open_data(str(tmp_path / "x.npy"), window=4), np.arange(6))
    assert several["file"].tolist() == ["x.npy"] * 6
    assert several["recording"].tolist() == [0, 0, 1, 1, 2, 2]
    assert list(identify(open_data(np.zeros((9, 1)), window=4), np.arange(2))) == ["start"]
