"""Tables as text: delimiters, decimal signs, headers, missing cells, and what is refused by line."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from calco.data import columnar, files, open_data, reopened
from calco.data.delimited import Delimited
from calco.data.dialect import Dialect
from calco.data.files import read_table
from calco.errors import RequestError


def read(text, columns=None, **said):
    """The data frame in a text."""
    return Delimited(text if isinstance(text, bytes) else text.encode(), Dialect(**said), columns).frame()


def cells(text, columns=None, **said):
    return read(text, columns, **said).to_dict("list")


def refused(match, text, columns=None, **said):
    with pytest.raises(RequestError, match=match):
        read(text, columns, **said)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_delimiter_and_decimal_sign_are_found(delimiter, decimal):
    if delimiter == decimal:
        pytest.skip("numbers would be quoted: see below")
    rows = ["number|whole|text", "1.5|1|a", "-22.25|20|b", "3|-3|c"]
    text = "\n".join(row.replace("|", delimiter).replace(".", decimal) for row in rows)
    frame = read(text)
    assert frame.to_dict("list") == {"number": [1.5, -22.25, 3.0], "whole": [1, 20, -3], "text": ["a", "b", "c"]}
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "int64", "str"]


def test_every_row_has_as_many_cells_as_the_header():
    rows = "a,b\n" + "1,2\n" * 40_000  # more than is looked at for the delimiter
    assert read(rows).shape == (40_000, 2)
    refused(r"line 40002 has 3 cells .* begins '1,2,3'", rows + "1,2,3\n")
    refused("line 40002 has 1 cell ", rows + "1\n")
    refused("line 2 has 3 cells", "a,b\n1,2,3\n4,5,6\n")  # no index: columns do not shift
    refused("line 4 has 3 cells", 'a,b\n"x\n,",y\n1,2,3\n')
    refused("line 2 has 2 cells .* first row 1", "# a comment\na,b\n1,2\n")
    refused("line 5 has 1 cell ", "a,b\n1,2\n\n3,4\n   \n")
    assert cells("a,b,\n1,2,\n3,4,\n") == {"a": [1, 3], "b": [2, 4]}


def test_cells_that_could_be_separated_in_several_ways():
    text = "a, b;c\n1,5;2\n"
    refused("separated by ',' or by ';'", text)
    assert cells(text, delimiter=";") == {"a, b": [1.5], "c": [2]}
    assert cells("a b\n1 2\n", delimiter=" ") == {"a": [1], "b": [2]}
    assert cells("a\tb\n1\t2\n", delimiter="tab") == {"a": [1], "b": [2]}
    refused("line 2 has 2 cells", "price\n1,5\n2,5\n")
    assert cells("price\n1,5\n2,5\n", decimal=",") == {"price": [1.5, 2.5]}


def test_thousands_and_decimal_signs():
    assert cells('a,b\n"1,234.5",1\n"2,345",2\n') == {"a": [1234.5, 2345.0], "b": [1, 2]}
    assert cells("a;b\n1.234,5;1\n2.345;2\n") == {"a": [1234.5, 2345.0], "b": [1, 2]}
    assert cells("a;b\n1.234.567;1\n2.345;2\n") == {"a": [1234567, 2345], "b": [1, 2]}
    assert cells("a\tb\n1 234\t1\n22\t2\n", thousands=" ") == {"a": [1234, 22], "b": [1, 2]}
    assert cells("a;b\n1.234;0,5\n", thousands=".") == {"a": [1234], "b": [0.5]}
    assert cells("a;b\n1.234;1\n", decimal=".") == {"a": [1.234], "b": [1]}
    assert cells("a;b\n1.23;1\n4.567;1\n")["a"] == [1.23, 4.567]
    assert cells("a;b\n0.234;1\n4.567;1\n")["a"] == [0.234, 4.567]
    assert cells("a;b\n0,234;1\n4,567;1\n")["a"] == [0.234, 4.567]
    assert cells("a;b\n1e5;1\n 7;2\n")["a"] == [1e5, 7.0]
    one_of_two = "more than one way"
    refused(one_of_two, "a;b\n1.234;1\n2.345;2\n")
    refused(one_of_two, 'a,b\n"1,234",1\n')
    refused(one_of_two, 'a,b\n"1,5",1\n')  # a list, perhaps
    refused(one_of_two, "a;b\n1.234;0,5\n")
    assert cells('a,b\n"1,5",1\n', {"a": "choice"})["a"] == ["1,5"]
    assert cells('a,b\n"1,5",1\n', decimal=",", delimiter=",")["a"] == [1.5]
    refused("written in different ways, such as '1.5' in a and '1,5' in b", "a;b\n1.5;1,5\n2.5;2,25\n")
    refused("column a mixes numbers with a decimal comma and others", "a;b\n1,5;1\n2,5;2\n?;3\n")
    assert cells("a;b\n1,5;1\n2,5;2\n?;3\n", na_values=["?"])["a"] == pytest.approx([1.5, 2.5, np.nan], nan_ok=True)


def test_amounts_are_no_numbers_and_no_text():
    refused("column p holds numbers with a sign such as a currency", "p,q\n€5,1\n$6,2\n")
    refused("column p", "p,q\n5 %,1\n6%,2\n")
    assert cells("p,q\n€5,1\n", {"p": "choice"})["p"] == ["€5"]


def test_a_first_row_that_looks_like_data():
    numbers, texts = "1,2,x\n3,4,y\n5,6,x\n", "red,small\nblue,large\nred,small\nblue,large\n"
    refused(r"first row, 1, 2, x, looks like data .*header=False", numbers)
    refused("looks like data", texts)
    refused("looks like data", "2020-01-01,a\n2020-01-02,b\n")
    refused("looks like data", "True\nFalse\n")
    refused("looks like data", ",2019\n1,5\n2,6\n")  # a blank cell tells nothing
    refused("looks like data", "5,1,5\n2,3,4\n")  # before it is said that two columns have one name
    assert cells(numbers, header=False) == {"x0": [1, 3, 5], "x1": [2, 4, 6], "x2": ["x", "y", "x"]}
    assert cells(numbers, header=True) == {"1": [3, 5], "2": [4, 6], "x": ["y", "x"]}
    assert cells("id,2019\n1,5\n2,6\n")["2019"] == [5, 6]
    assert cells(",a\n0,5\n1,6\n") == {"Unnamed: 0": [0, 1], "a": [5, 6]}
    assert cells("other\nthis\nthat\n") == {"other": ["this", "that"]}
    assert cells("2019\n5\n6\n", {"2019": "number"}) == {"2019": [5.0, 6.0]}


def test_what_holds_no_table_is_refused():
    refused("it is empty", "")
    refused("it is empty", "\n\n")
    refused("no rows but the first", "a,b\n")
    refused("no rows but the first", "a,b")
    assert cells("1,2", header=False) == {"x0": [1], "x1": [2]}
    refused("more than one column called a", "a,b,a\nx,2,3\n")
    refused("line 3 holds a NUL byte", b"a,b\r\n1,2\r\n1,\x002\r\n")
    refused("line 2 .* never closed", 'a,b\n1,"abc\n4,5\n')
    refused("line 2 .* text after one", 'a,b\n1,"abc\n2,5\n3,"x"\n4,7\n')


def test_encodings():
    text = "Größe,n\nä,1\nö,2\n"
    for encoding in ("utf-8", "utf-8-sig"):
        assert cells(text.encode(encoding)) == {"Größe": ["ä", "ö"], "n": [1, 2]}
    refused("line 1 is not UTF-8: .*encoding='latin-1'", text.encode("latin-1"))
    refused("line 3 is not UTF-8", b"a,b\rx,1\r\n\xe4,2\n")
    refused("encoding='utf-16'", text.encode("utf-16"))
    whole = "a,b\n" + "ä,1\n" * (1 << 18)  # letters lie across the parts that are looked at
    assert len(read(whole)) == 1 << 18
    assert len(read("x" + whole)) == 1 << 18


def test_blank_lines_and_ends_of_lines():
    for text in ("a,b\n1,2\n3,4", "\n\na,b\n\n1,2\n\n3,4\n\n\n", "a,b\r\n1,2\n3,4\r\n", "a,b\r1,2\r3,4\r"):
        assert cells(text) == {"a": [1, 3], "b": [2, 4]}, text
    one = read("\na\n1\n\n3\n\n\n")["a"]  # of one column, a line between others is a cell
    assert one.tolist() == pytest.approx([1, np.nan, 3], nan_ok=True)
    assert read('a\n"x"\n""\n\n')["a"].isna().tolist() == [False, True]
    long = "x" * 300_000
    assert cells(f'a,b\n1,"{long}\n{long}"\n')["b"] == [f"{long}\n{long}"]


def test_what_is_missing():
    text = "country,n,day,flag,free\nNA,1,2020-01-01,True,\nDE,NA,null,None,x\n,nan,2021-01-01,False,n/a\n"
    with pytest.warns(UserWarning, match="text in country, free holds words such as NA, which are taken for values"):
        frame = read(text)
    assert frame["country"].fillna("-").tolist() == ["NA", "DE", "-"]
    assert frame["free"].fillna("-").tolist() == ["-", "x", "n/a"]
    for name, gone in {"n": [False, True, True], "day": [False, True, False], "flag": [False, True, False]}.items():
        assert frame[name].isna().tolist() == gone, name
    assert frame["flag"].dropna().tolist() == [True, False]
    assert read(text, na_values=())["country"].tolist()[:2] == ["NA", "DE"]
    assert read(text, na_values=["NA"])["country"].isna().tolist() == [True, False, True]
    assert read(text, na_values="-99")["country"].isna().tolist() == [False, False, True]
    assert read(text, {"country": "choice", "free": "drop"})["country"].tolist()[:2] == ["NA", "DE"]
    assert read("a,b\nNA,1\n,2\n")["a"].isna().all()
    assert cells("a,b\nNA,1\n,2\n", {"a": "choice"})["a"][0] == "NA"
    assert cells("a,b\n-1,1\n5,-1\n", na_values=["-1"])["a"] == pytest.approx([np.nan, 5], nan_ok=True)


def test_digits_that_are_no_numbers():
    zip_codes = "zip,n\n00501,1\n10001,2\n"
    assert cells(zip_codes)["zip"] == ["00501", "10001"]
    assert cells(zip_codes, {"zip": "number"})["zip"] == [501, 10001]
    assert cells("hex,n\n0x10,1\n0x11,2\n")["hex"] == ["0x10", "0x11"]
    ids = [f"1234567890123456789{i}" for i in range(2)]  # a float would lose digits
    assert cells("id,n\n" + "".join(f"{one},1\n" for one in ids))["id"] == ids
    assert cells("n,b\n0,-0\n-5,+7\n") == {"n": [0, -5], "b": [0, 7]}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_what_is_called_a_choice_is_its_text(holes, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAPPED_TABLE", 0 if mapped else 1 << 28)
    monkeypatch.setattr(columnar, "ROWS", 16)
    frame = pd.DataFrame(
        {"zip": ["00501", "501", "10001", "7"] * 20, "year": ["2001", "2002"] * 40, "half": ["1.50", "2"] * 40}
    )
    frame["n"] = np.arange(80) % 7
    if holes:
        frame.loc[::5, ["zip", "year", "half"]] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    source = open_data(tmp_path / "t.csv", columns=dict.fromkeys(("zip", "year", "half"), "choice"))
    options = {column.name: column.options for column in source.plan}
    assert options == {"zip": ("00501", "10001", "501", "7"), "year": ("2001", "2002"), "half": ("1.50", "2"), "n": ()}
    back = source.take(np.arange(80)).x["zip"].astype(object)
    assert (back.isna() == frame["zip"].isna()).all()
    assert back.dropna().tolist() == frame["zip"].dropna().tolist()


def test_whole_numbers_and_booleans_that_are_called_choices_stay_so():
    kinds = dict.fromkeys("abc", "choice")
    frame = read("a,b,c\n1,True,0.5\n22,False,1.0\n", kinds)
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "bool", "float64"]
    european = "a;n\n0.5;1.234,5\n2.25;2,5\n"
    assert cells(european, {"a": "choice"}) == {"a": [0.5, 2.25], "n": [1234.5, 2.5]}
    assert cells("a,b,c\n+1,TRUE,0.50\n22,false,1.0\n", kinds) == {
        "a": ["+1", "22"],
        "b": ["TRUE", "false"],
        "c": ["0.50", "1.0"],
    }
    assert cells("a,n\n9223372036854775808,1\n1,2\n", {"a": "choice"})["a"] == ["9223372036854775808", "1"]


def compressed(path, text):
    content = text.encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside.csv", content)
        return
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix.lower(), bytes)
    path.write_bytes(pack(content))


@pytest.mark.parametrize(
    "name",
    ["a.csv", "A.CSV", "a.tsv", "a.tab", "a.txt", "a.b.csv.gz", "a.tsv.gz", "a.Csv.GZ", "a.csv.bz2", "a.csv.xz", "a.csv.zip"],
)
def test_names_of_tables(name, tmp_path, monkeypatch):
    separated = "\t" if ".t" in name and "txt" not in name else ";"
    compressed(tmp_path / name, f"a{separated}who\n1{separated}x, y\n2{separated}z\n")
    for limit in (1 << 28, 0):
        monkeypatch.setattr(files, "MAPPED_TABLE", limit)
        source = open_data(tmp_path / name, columns={})
        assert source.names == ("a", "who")
        assert source.take(np.arange(2)).x["who"].tolist() == ["x, y", "z"]


def test_broken_compression_is_named(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-12])
    (tmp_path / "b.csv.gz").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "c.csv.zip").write_bytes(b"a,b\n1,2\n")
    with zipfile.ZipFile(tmp_path / "d.csv.zip", "w") as archive:
        archive.writestr("1.csv", "a\n1\n")
        archive.writestr("2.csv", "a\n1\n")
    for name, reason in {"a.csv.gz": "truncated", "b.csv.gz": "truncated", "c.csv.zip": "", "d.csv.zip": "2 files"}.items():
        with pytest.raises(RequestError, match=f"{name}.*{reason}"):
            open_data(tmp_path / name)


def test_what_was_said_is_kept_to_open_it_again(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("1 234|ä|-\n2 345|ö|x\n".encode("latin-1"))
    said = {"delimiter": "|", "decimal": ",", "thousands": " ", "header": False, "na_values": ["-"], "encoding": "latin-1"}
    source = open_data(path, **said, columns={})
    assert source.describe()["open"] == {"data": str(path), **said}
    again = reopened(source.describe()["open"])
    assert again.describe() == source.describe()
    assert again.take(np.arange(2)).x["x0"].tolist() == [1234, 2345]


def test_what_is_said_of_text_is_said_of_text_only(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    for data in (tmp_path / "x.npy", tmp_path / "x.parquet", tmp_path, "digits", np.zeros((3, 2))):
        with pytest.raises(RequestError, match="decimal"):
            open_data(data, decimal=",")
    for data in (tmp_path / "x.npy", "stocks", np.zeros((3, 2))):
        with pytest.raises(RequestError, match="decimal"):
            open_data(data, decimal=",", window=2)


@pytest.mark.parametrize(
    "said",
    [
        {"delimiter": "ab"}, {"delimiter": "a"}, {"delimiter": '"'}, {"decimal": ";"}, {"thousands": "5"}, {"thousands": ",,"},
        {"thousands": ",", "decimal": ","}, {"header": 3}, {"header": 0}, {"encoding": "no-such"}, {"encoding": "rot13"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(said):
    with pytest.raises(RequestError, match=str(next(iter(said.values())))):
        Dialect(**said)


def test_recordings_are_read_so_too(tmp_path):
    for i, name in enumerate(("a.csv", "b.TSV", "c.csv.gz")):
        separated = "\t" if name == "b.TSV" else ";"
        rows = "".join(f"{t},5{separated}{i}\n" for t in range(30))
        compressed(tmp_path / name, f"x{separated}y\n{rows}")
    (tmp_path / "readme.txt").write_text("What this is.\n")
    source = open_data(tmp_path, window=10)
    assert np.unique(source.spans[:, 0]).tolist() == [0, 1, 2]
    assert source.take(np.array([0])).x[0, :2].tolist() == [[0.5, 0.0], [1.5, 0.0]]
    headless = tmp_path / "d.csv"
    headless.write_text("".join(f"{t},1\n" for t in range(30)))
    with pytest.raises(RequestError, match=r"d\.csv: its first row"):
        open_data(headless, window=10)
    again = reopened(open_data(headless, window=10, header=False).describe()["open"])
    assert (again.names, len(again)) == (("x0", "x1"), 21)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
"""Anything that a file can hold."""


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(("thousands", "gap"), [("", ""), ("", "NA"), (" ", "")])
def test_large_whole_numbers_keep_their_digits_beside_gaps(mapped, thousands, gap, tmp_path, monkeypatch):
    """float64, which whole numbers with gaps become otherwise, tells no two of these apart."""
    monkeypatch.setattr(files, "MAPPED_TABLE", 0 if mapped else 1 << 28)
    monkeypatch.setattr(columnar, "ROWS", 2)
    values = [2**60 + 2 * i + 1 for i in range(6)]
    written = [f"{value:,}".replace(",", thousands) for value in values]
    (tmp_path / "t.csv").write_text("id,of\n" + "".join(f"{text},x\n" for text in [*written, gap]))
    dialect = Dialect(thousands=thousands) if thousands else None
    found = read_table(tmp_path / "t.csv", mapped=mapped, dialect=dialect)["id"]
    assert str(found.dtype) == ("category" if mapped else "Int64")
    assert [int(value) for value in found[:6]] == values
    assert found.isna().tolist() == [False] * 6 + [True]


@given(
    rows=st.lists(st.tuples(texts, texts, st.decimals(-(10**9), 10**9, places=3)), min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|", " "]),
    decimal=st.sampled_from([".", ","]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from([None, "utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_is_read(rows, delimiter, decimal, quoting, end, encoding, tmp_path):
    assume(end == "\r\n" or not any("\r" in cell for row in rows for cell in row[:2]))  # which csv does not quote
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([("one", "two, or\n more", "number"), *((a, b, str(n).replace(".", decimal)) for a, b, n in rows)])
    path = tmp_path / "t.csv"
    path.write_bytes(out.getvalue().encode(encoding or "utf-8"))
    dialect = Dialect(delimiter=delimiter, decimal=decimal, header=True, encoding=encoding)
    frame = read_table(path, {"one": "choice", "two, or\n more": "choice"}, dialect=dialect)
    assert list(frame) == ["one", "two, or\n more", "number"]
    assert frame["number"].tolist() == [float(n) for _, _, n in rows]
    for i, name in enumerate(["one", "two, or\n more"]):
        back = ["" if pd.isna(cell) else str(cell) for cell in frame[name]]
        assert back == [row[i] for row in rows]


@given(rows=st.lists(st.tuples(st.integers(), st.floats(allow_infinity=False), st.booleans()), min_size=1, max_size=6))
def test_numbers_come_back_exactly(rows):
    rows = [(i % 2**62, x, flag) for i, x, flag in rows]
    frame = read("i,x,flag\n" + "".join(f"{i},{x!r},{flag}\n" for i, x, flag in rows))
    for j, name in enumerate(frame):
        assert frame[name].tolist() == pytest.approx([row[j] for row in rows], rel=0, abs=0, nan_ok=True)
