"""Examples of which only some have labels: their rows, columns, descriptions and shares."""

import numpy as np
import pandas as pd
import pytest

from calco.data import ArraySource, PartlyLabelled, labelled_part, mixed, open_data, reopened
from calco.data.partly import UNLABELLED, marks
from calco.errors import RequestError


def numbers(first, n, y=None):
    return ArraySource(np.arange(first, first + 2.0 * n).reshape(n, 2), y)


def table(n, town, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"size": rng.normal(size=n), "town": rng.choice(town, n)})


def test_rows_come_in_any_order_with_their_labels():
    source = PartlyLabelled(numbers(0, 3, ["b", "a", "b"]), numbers(100, 4))
    x, y = source.take(np.array([5, 0, 2, 3, 1]))
    assert x[:, 0].tolist() == [104, 0, 4, 100, 2]
    assert y is not None
    assert y.dtype == np.int64
    assert y.tolist() == [UNLABELLED, 1, 1, UNLABELLED, 0]
    assert source.classes == ("a", "b")
    for rows in ([4, 3], [1, 0], []):  # of one kind, or of none
        assert len(source.take(np.array(rows, int)).x) == len(rows)


def test_tables_with_options_of_their_own_are_one():
    one, other = table(6, ["Ely", "Bath"]), table(9, ["York", "Bath"], 1)
    source = PartlyLabelled(open_data(one, list("abcabc")), open_data(other))
    _, town = source.plan
    assert town.options == tuple(dict.fromkeys([*sorted(set(one.town)), *sorted(set(other.town))]))
    assert town.kind == open_data(one).plan[1].kind
    whole = pd.concat((one, other), ignore_index=True)
    assert source.column("town").tolist() == whole["town"].tolist()
    found = source.take(np.array([14, 0, 7, 5])).x
    assert found.equals(whole.iloc[[14, 0, 7, 5]]) or found.to_numpy().tolist() == whole.iloc[[14, 0, 7, 5]].to_numpy().tolist()
    assert len(source.take(np.array([], int)).x) == 0


def test_what_does_not_go_together_is_refused():
    with pytest.raises(RequestError, match="none with: give labels"):
        PartlyLabelled(numbers(0, 3), numbers(0, 3))
    with pytest.raises(RequestError, match="not of one kind: shapes"):
        PartlyLabelled(numbers(0, 3, [0, 1, 0]), ArraySource(np.zeros((3, 5))))
    known = open_data(table(8, ["Ely", "Bath"]), [0, 1] * 4)
    sizes = table(8, ["York", "Bath"]).assign(size=["small", "large"] * 4)
    with pytest.raises(RequestError, match=r"another without: size \(number, choice\)\. Say"):
        PartlyLabelled(known, open_data(sizes))
    with pytest.raises(RequestError, match="open both as tables, or as series"):
        PartlyLabelled(known, open_data(table(8, [1.5, 2.5, 3.25])))


def test_the_whole_knows_its_parts(tmp_path):
    for name, frame in (("known", table(6, ["Ely", "Bath"])), ("more", table(9, ["York", "Bath"]))):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "y.txt").write_text("a\nb\n" * 3)
    known = open_data(str(tmp_path / "known.csv"), labels=str(tmp_path / "y.txt"))
    more = open_data(str(tmp_path / "more.csv"))
    source = PartlyLabelled(known, more)
    told = source.describe()
    first, second = known.describe(), more.describe()
    assert told["n"] == 15
    assert told["about"] == "known.csv, with 9 more without labels from more.csv"
    assert told["parts"] == [first["fingerprint"], second["fingerprint"]]
    assert told["labelled"] == [first["fingerprint"]]
    assert told["whole"] == []
    assert marks(told) == {told["fingerprint"], first["fingerprint"], second["fingerprint"]}
    assert marks({}) == {""}
    again = reopened(told["open"])
    assert again.describe() == told
    assert labelled_part(source) is known


@pytest.mark.parametrize(("few", "many", "times"), [(4, 2, 1), (4, 12, 1), (4, 13, 2), (4, 24, 2), (1, 30, 10)])
def test_one_in_four_examples_in_training_has_a_label(few, many, times):
    source = PartlyLabelled(numbers(0, few, np.arange(few) % 2 if few > 1 else ["a"]), numbers(100, many))
    rows = mixed(source).rows
    assert np.bincount(rows, minlength=few + many).tolist() == [times] * few + [1] * many
    assert len(rows) <= 4 * times * few
