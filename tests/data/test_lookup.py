"""Tables looked up once for a training."""

import numpy as np
import pytest

from calco.data import infer_schema, lookup, open_data, values
from calco.data.lookup import LookedUp, looked_up
from tests.data.test_tables import people


@pytest.mark.parametrize("mapped", [False, True])
def test_rows_are_those_of_the_table(mapped, monkeypatch):
    monkeypatch.setattr(lookup, "CHUNK", 64)
    monkeypatch.setattr(values, "ROOM", 0 if mapped else 2**30)
    source = open_data(people(), np.arange(400) % 3)
    schema = infer_schema(source)
    found = LookedUp(source, schema)
    assert isinstance(found.rows.choices, np.memmap) == mapped
    rows = np.random.default_rng(0).integers(0, 400, 500)
    (x, y), (again, labels) = found.take(rows), source.take(rows)
    assert schema.encode(x).equal(schema.encode(again))
    assert np.array_equal(y, labels)
    assert found.describe() == source.describe()


def test_what_is_seen_in_part_or_is_no_table_stays_as_it_is():
    source = open_data(people())
    schema = infer_schema(source)
    assert looked_up(source, schema, 399) is source
    assert isinstance(looked_up(source, schema, 400), LookedUp)
    digits = open_data("digits")
    assert looked_up(digits, infer_schema(digits), 10**6) is digits
