"""Parts of a source: disjoint and complete, whatever it is; what one part's schema does not take is left out and told."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from calco.data import PartlyLabelled, fitting, infer_schema, open_data, split
from calco.data.recordings import series
from calco.errors import RequestError

SHARES, SEEDS = st.floats(0.01, 0.99), st.integers(0, 2**31)


def held_count(n, share):
    return round(share * n)


@given(st.integers(2, 60), SHARES, SEEDS)
def test_any_split_is_disjoint_and_complete(n, share, seed):
    assume(0 < held_count(n, share) < n)
    source = open_data(np.arange(2.0 * n).reshape(n, 2), np.arange(n))
    parts = split(source, share, seed)
    rows = np.concatenate([part.take(np.arange(len(part))).x[:, 0] / 2 for part in parts])
    assert sorted(rows) == list(range(n))
    assert len(parts[1]) == held_count(n, share)
    for part in parts:
        raw = part.take(np.arange(len(part)))
        assert raw.y is not None
        assert np.array_equal(raw.x[:, 0] / 2, raw.y)  # each keeps its label


@given(st.lists(st.integers(8, 30), min_size=1, max_size=6), st.integers(2, 6), st.floats(0.1, 0.6), SEEDS)
def test_any_split_of_windows_shares_no_moment(lengths, window, share, seed):
    moments = np.split(np.arange(float(sum(lengths)))[:, None], np.cumsum(lengths)[:-1])
    source = series(moments, window=window)
    try:
        parts = split(source, share, seed)
    except RequestError:
        return  # too short for that share
    learned, held = (set(part.take(np.arange(len(part))).x.ravel()) for part in parts)
    assert not learned & held
    assert len(parts[0]) + len(parts[1]) <= len(source)


@given(st.integers(4, 30), st.integers(1, 20), st.floats(0.3, 0.7), SEEDS)
def test_a_split_holds_out_labelled_examples_alone(few, many, share, seed):
    x = np.arange(2.0 * (few + many)).reshape(-1, 2)
    rest, held = split(PartlyLabelled(open_data(x[:few], np.arange(few) % 2), open_data(x[few:])), share, seed)
    found = [part.take(np.arange(len(part))).x[:, 0] / 2 for part in (rest, held)]
    assert sorted(np.concatenate(found)) == list(range(few + many))
    assert max(found[1]) < few


@given(st.sets(st.integers(0, 39), max_size=39), st.integers(1, 50))
def test_what_a_schema_does_not_take_is_left_out(odd, size):
    schema = infer_schema(open_data(np.tile([[0, 1], [1, 0]], (20, 1))))  # knows 0 and 1
    x = np.tile([[0, 1], [1, 1]], (20, 1))
    x[list(odd)] = 7
    kept, told = fitting(open_data(x), schema, size)
    assert np.array_equal(kept.take(np.arange(len(kept))).x, np.delete(x, list(odd), 0))
    assert told.startswith(f"{len(odd)} of 40 held-out examples are left out") if odd else not told


def test_a_schema_that_takes_nothing_is_told():
    schema = infer_schema(open_data(np.tile([[0, 1], [1, 0]], (20, 1))))
    with pytest.raises(RequestError, match="10 of 10 held-out examples are left out"):
        fitting(open_data(np.full((10, 2), 7)), schema)
