"""Files: every format, and every way in which one can be broken."""

import gzip
import pickle
import struct

import numpy as np
import pandas as pd
import pytest

from calco.data import files, infer_schema, open_data
from calco.errors import RequestError

X = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
Y = np.array([2, 1, 1, 0, 2, 2], np.uint8)


def idx(array, code=8):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "x.idx").write_bytes(idx(X))
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx(X)))
    (tmp_path / "y.idx").write_bytes(idx(Y))
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    np.savez(tmp_path / "xy.npz", x=X, y=Y)
    np.savez(tmp_path / "one.npz", anything=X)
    (tmp_path / "y.txt").write_text("".join(f"{v}\n" for v in Y))
    pd.DataFrame({"label": Y}).to_csv(tmp_path / "y.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("name", ["x.idx", "x-idx3-ubyte.gz", "x.npy", "xy.npz", "one.npz"])
def test_every_format_holds_the_same(folder, name):
    source = open_data(folder / name)
    assert np.array_equal(source.take(np.arange(6)).x, X)
    assert source.describe()["open"] == {"data": str(folder / name)}
    again = open_data(**source.describe()["open"])
    assert again.describe()["fingerprint"] == source.describe()["fingerprint"]
    assert source.classes == (("0", "1", "2") if name == "xy.npz" else ())


@pytest.mark.parametrize("name", ["y.idx", "y.npy", "y.txt", "y.csv"])
def test_labels_from_a_file(folder, name):
    source = open_data(str(folder / "x.npy"), labels=folder / name)
    assert source.take(np.arange(6)).y.tolist() == Y.tolist()
    assert open_data(**source.describe()["open"]).classes == source.classes


def labelled(folder, name, content):
    """The labels in a file of this content, of examples as many."""
    (folder / name).write_bytes(content)
    return files.read_labels(folder / name).tolist()


def test_labels_in_text_stay_as_they_are(tmp_path):
    assert labelled(tmp_path, "y.txt", b"1\n10\n9\n-2") == [1, 10, 9, -2]
    assert labelled(tmp_path, "y.txt", b"01\n1\n001\n") == ["01", "1", "001"]
    assert labelled(tmp_path, "y.txt", b"+1\n1\n-0\n") == ["+1", "1", "-0"]
    assert labelled(tmp_path, "y.txt", b"\xef\xbb\xbfcat\r\ndog\r\ncat\r\n\r\n\r\n") == ["cat", "dog", "cat"]
    assert labelled(tmp_path, "y.txt", "1\u0663\n2\u0664\n".encode()) == ["1\u0663", "2\u0664"]  # digits of another script
    assert labelled(tmp_path, "y.txt", "a\u2028b\nc\x0cd\n".encode()) == ["a\u2028b", "c\x0cd"]
    assert labelled(tmp_path, "y.csv", b"\xef\xbb\xbflabel\r\n00501\r\n501\r\n") == ["00501", "501"]
    assert labelled(tmp_path, "y.tsv", b"label\nNA\nNone\nx\n") == ["NA", "None", "x"]
    assert labelled(tmp_path, "y.csv.gz", gzip.compress(b"label\n3\n1\n")) == [3, 1]


def test_labels_of_which_a_line_is_none_are_refused(tmp_path):
    with pytest.raises(RequestError, match=r"Line 2 of the labels .* is blank"):
        labelled(tmp_path, "y.txt", b"a\n \nb\n")
    with pytest.raises(RequestError, match=r"Line 1 of the labels .*'label', is no whole number"):
        labelled(tmp_path, "y.txt", b"label\n1\n2\n")
    with pytest.raises(RequestError, match=r"y\.csv: its first row, 0, looks like data.* txt"):
        labelled(tmp_path, "y.csv", b"0\n1\n0\n")
    with pytest.raises(RequestError, match="Cannot read the labels"):
        labelled(tmp_path, "y.txt", b"caf\xe9\n")
    with pytest.raises(RequestError, match=r"Line 1 of the labels .* is blank"):
        labelled(tmp_path, "y.txt", b"\n")


def test_a_large_file_is_mapped(folder, monkeypatch):
    monkeypatch.setattr(files, "MAPPED_FROM", 10)
    source = open_data(folder / "x.npy")
    assert source.slow
    assert np.array_equal(source.take(np.array([5, 0])).x, X[[5, 0]])


def test_tables_are_vectors(tmp_path):
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    for name in ("t.csv", "t.parquet"):
        schema = infer_schema(open_data(tmp_path / name))
        assert schema.names == ("a", "b")
        assert schema.dtypes == ("int64", "float64")
    pd.DataFrame({"a": [1, 2], "who": ["x", "y"]}).to_csv(tmp_path / "text.csv", index=False)
    assert infer_schema(open_data(tmp_path / "text.csv")).kind == "table"
    pd.DataFrame({"a": [1, None], "b": [1, 2]}).to_csv(tmp_path / "holes.csv", index=False)
    assert infer_schema(open_data(tmp_path / "holes.csv")).kind == "table"
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    with pytest.raises(RequestError, match="is no table"):
        open_data(tmp_path / "x.npy", columns={})


class Trap:
    def __reduce__(self):
        return print, ("unpickled!",)


def broken(tmp_path, name):
    path = tmp_path / name
    content = {
        "short.idx": idx(X)[:-3],
        "header.idx": b"\0\0\x08\x03\0\0",
        "other.idx": b"not idx at all",
        "cut.idx.gz": gzip.compress(idx(X))[:-20],
        "plain.idx.gz": idx(X),
        "short.npy": (np.save(tmp_path / "t.npy", X), (tmp_path / "t.npy").read_bytes()[:-9])[1],
        "trap.npy": pickle.dumps(Trap()),
        "bad.npz": b"PK\x03\x04 no",
        "bad.parquet": b"PAR1 no",
        "empty.csv": b"",
        "what.xyz": b"?",
    }[name]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "short.idx",
        "header.idx",
        "other.idx",
        "cut.idx.gz",
        "plain.idx.gz",
        "short.npy",
        "trap.npy",
        "bad.npz",
        "bad.parquet",
        "empty.csv",
        "what.xyz",
    ],
)
def test_a_broken_file_is_named(tmp_path, name, capsys):
    with pytest.raises(RequestError, match=name.replace(".", r"\.")):
        open_data(broken(tmp_path, name))
    assert "unpickled" not in capsys.readouterr().out


def test_pickled_objects_inside_an_array_are_not_read(tmp_path, capsys):
    np.save(tmp_path / "o.npy", np.array([Trap()], object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=np.array([Trap()], object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(RequestError, match=name):
            open_data(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


def test_wrong_numbers_of_labels_and_unknown_keys(folder):
    (folder / "few.txt").write_text("1\n2\n")
    with pytest.raises(RequestError, match="6 examples but labels of shape"):
        open_data(folder / "x.npy", labels=folder / "few.txt")
    np.savez(folder / "two.npz", a=X, b=Y)
    with pytest.raises(RequestError, match="holds a, b: name the examples 'x'"):
        open_data(folder / "two.npz")
    with pytest.raises(RequestError, match="no file or folder"):
        open_data(folder / "missing.npy")
    pd.DataFrame({"a": [1], "b": [2]}).to_csv(folder / "wide.csv", index=False)
    with pytest.raises(RequestError, match="a file of labels has one"):
        open_data(folder / "x.npy", labels=folder / "wide.csv")


def test_rows_of_numbers_in_text_have_the_labels_of_a_file(tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5, 4.0], "b": [1.0, 0.5, 0.25]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "y.txt").write_text("red\nblue\nred\n")
    source = open_data(tmp_path / "x.csv", labels=tmp_path / "y.txt")
    assert source.classes == ("blue", "red")
    found = source.take(np.arange(3))
    assert found.y.tolist() == [1, 0, 1]
    assert np.array_equal(found.x, frame)


@pytest.mark.parametrize(
    ("x", "y"), [("x", "y"), ("data", "labels"), ("images", "labels"), ("images", "masks"), ("signal", "label"), ("alone", "")]
)
def test_archives_of_any_names(x, y, tmp_path):
    masks = y == "masks"
    belonging = (X > 99).astype(np.uint8) if masks else Y
    np.savez(tmp_path / "a.npz", **{x: X, **({y: belonging} if y else {})})
    source = open_data(tmp_path / "a.npz")
    found = source.take(np.arange(6))
    assert np.array_equal(found.x, X)
    assert found.y is None if not y else np.array_equal(found.y, belonging)


def test_an_archive_of_labels_and_masks_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=X, masks=X, labels=Y)
    with pytest.raises(RequestError, match="labels and masks of its images: keep one"):
        open_data(tmp_path / "a.npz")
