"""Labels come back as they were given: their dtype and their values, whatever they look like."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import calco
from calco.data import ArraySource, infer_schema, open_data, schema_from_json, valued, with_classes
from calco.data.labels import as_given, encode_labels, name_of
from calco.data.schema import classes_of
from calco.errors import RequestError
from calco.evaluation.figures import labels_of

SHORT = {"steps": 4, "batch_size": 16, "lr_warmup": 0}
ROW = np.arange(40)
X = np.random.default_rng(0).normal(size=(40, 3)) + (ROW % 3)[:, None] * [4, -4, 0]

NUMBERS = {kind: (ROW % 3).astype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">i4")}
WORDS = np.array(["1", "2", "10"])[ROW % 3]
LABELS = NUMBERS | {
    "bool": ROW % 2 == 0,
    "text": WORDS,
    "text of yes and no": np.array(["True", "False"])[ROW % 2],
    "objects": WORDS.astype(object),
    "a list": WORDS.tolist(),
    "category": pd.Series(pd.Categorical(WORDS, categories=["2", "10", "1"], ordered=True)),
    "category of numbers": pd.Series(pd.Categorical(ROW % 3)),
    "string": pd.Series(WORDS).astype("string"),
    "dates": np.array(["2020-01-01", "2021-01-01"], "M8[D]")[ROW % 2],
}


def classifier(**changes):
    return calco.Classifier(width=8, features=3, training=SHORT | changes)


@pytest.mark.parametrize("kind", LABELS)
def test_classes_and_predictions_are_those_of_scikit_learn(kind, tmp_path):
    y = LABELS[kind]
    reference, fitted = LogisticRegression().fit(X, y), classifier().fit(X, y, out=tmp_path / "run")
    for one in (fitted, calco.load(tmp_path / "run")):
        assert one.classes_.dtype == reference.classes_.dtype
        assert one.classes_.tolist() == reference.classes_.tolist()
        assert one.predict(X).dtype == reference.predict(X).dtype
        assert one.score(X, y) == np.mean([a == b for a, b in zip(one.predict(X).tolist(), np.asarray(y).tolist())])


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (pd.Series(ROW % 3).astype("Int8"), "int8"),
        (pd.Series(ROW % 2 == 0).astype("boolean"), "bool"),
        (pd.Series(ROW % 3).astype("int64[pyarrow]"), "int64"),
        ((ROW % 2 == 0).astype(object), "bool"),
        ((ROW % 3).astype(object), "int64"),
    ],
)
def test_labels_that_scikit_learn_takes_otherwise_keep_their_values(y, dtype):
    fitted = classifier().fit(X, y)
    assert fitted.classes_.dtype == dtype
    assert fitted.classes_.tolist() == sorted(set(y.tolist()))


@pytest.mark.parametrize("words", [["1", "2"], ["True", "False"], ["1.0", "01"], ["nan", "0"]])
def test_text_that_looks_like_something_else_is_learned_and_scored(words):
    y = np.array(words)[(ROW % 2)]
    x = X + (ROW % 2)[:, None] * 20
    model = classifier(steps=60, lr=0.01)
    assert model.fit(x, y).score(x, y) > 0.9
    assert cross_val_score(model, x, y, cv=2).min() > 0.9


@given(
    st.one_of(
        some.arrays(st.sampled_from([*(k for k in NUMBERS if k[-2] != "f"), "?"]), st.integers(1, 20)),
        some.arrays(
            st.sampled_from(["f2", "f4", "f8"]), st.integers(1, 20), elements={"allow_nan": False, "allow_infinity": False}
        ),
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1).map(np.array),
        st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1).map(lambda y: np.array([*y, ""], object)[:-1]),
    )
)
def test_labels_of_any_dtype_come_back(y):
    source = ArraySource(np.zeros((len(y), 2)) + np.arange(2), y)
    schema = infer_schema(source)
    again = schema_from_json(json.loads(json.dumps(schema.to_json())))
    found = classes_of(again)[source.take(np.arange(len(y))).y]
    assert found.dtype == y.dtype
    assert np.array_equal(found, y)
    assert len(set(schema.classes)) == len(np.unique(y))
    assert [schema.classes[i] for i in np.asarray(source.take(np.arange(len(y))).y)] == [name_of(label) for label in y]


def test_a_label_is_asked_for_as_it_is_or_by_its_text():
    def model(y):
        return calco.VAE(2, width=8, conditional=True, training=SHORT).fit(X, y)

    for y, asked in ((ROW % 3, (2, 2.0, np.int8(2), "2")), ((ROW % 3) * 1.0, (2, 2.0, "2")), (WORDS, ("2", np.str_("2")))):
        fitted = model(y)
        assert {fitted.schema_.classes[fitted.class_index(label)] for label in asked} == {"2"}
        assert len(fitted.sample(3, label=asked[0])) == 3
    flags = model(ROW % 2 == 0)
    assert [flags.class_index(label) for label in (False, True, "False", "True", np.True_)] == [0, 1, 0, 1, 1]
    for label in (1, 0, "1"):
        with pytest.raises(RequestError, match="choose from False, True"):
            flags.class_index(label)


@pytest.mark.parametrize("y", [[1, "1"], np.array([1, "1"], object), [True, 1, "x"], np.array([True, 1], object)])
def test_labels_of_several_types_are_refused(y):
    with pytest.raises(RequestError, match="of several types"):
        encode_labels(y, len(y))


@pytest.mark.parametrize("y", [np.array([b"a", b"b"]), np.array([1, 2], "m8[s]"), np.array([{}, {}], object), [1j, 2j]])
def test_labels_of_other_types_are_refused(y):
    with pytest.raises(RequestError, match="give numbers, booleans or text"):
        encode_labels(y, 2)


def test_labels_of_another_kind_are_no_wrong_predictions():
    with pytest.raises(RequestError, match="give them as those were"):
        classifier().fit(X, WORDS).score(X, WORDS.astype(int))


def test_labels_of_other_data_are_matched_by_name():
    source = with_classes(open_data(X[:3], [2.0, 0.0, 1.0]), ("0", "1", "2", "3"))
    assert labels_of(source).tolist() == [2, 0, 1]


@given(some.arrays(st.sampled_from(["f4", "f8"]), 12, elements={"allow_nan": False, "allow_infinity": False}))
def test_values_to_predict_never_pass_through_text(y):
    assert np.array_equal(labels_of(valued(ArraySource(np.zeros((12, 2)) + np.arange(2), y))), y.astype(np.float64))


def test_what_a_record_says_of_labels_is_checked():
    schema = infer_schema(open_data(X, ROW % 3)).to_json()
    for wrong in ({"label_dtype": "bool"}, {"label_dtype": "none"}, {"classes": ["a", "b"]}, {"label_dtype": 3}):
        with pytest.raises(RequestError, match="damaged"):
            schema_from_json(json.loads(json.dumps(schema | wrong)))


def test_names_are_read_by_their_dtype():
    assert as_given(("False", "True"), "bool").tolist() == [False, True]
    assert as_given(("0.1",), "float32")[0] == np.float32(0.1)


def test_numbers_of_no_dtype_are_refused_as_labels():
    with pytest.raises(RequestError, match="labels are of type Fraction"):
        encode_labels(np.array([Fraction(1, 3), Fraction(2, 3)], object), 2)
