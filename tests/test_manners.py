"""scikit-learn's manners: parameters of NumPy, nested settings, labels that are not looked at, one example."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import calco
from calco.data import open_data
from calco.errors import CalcoError, RequestError
from calco.models import families, load
from calco.training import Training
from tests.small import fit, needs_masks, sizes, small, targets

FAMILIES = families()
SHORT = {"steps": 4, "batch_size": 8, "lr_warmup": 0, "log_every": 2}
X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def as_numpy(value):
    kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    return kinds.get(type(value), lambda v: v)(value)


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_of_numpy_make_the_same_run(name, tmp_path):
    cls, x = FAMILIES[name], np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    settings = SHORT | {"lr": 0.01, "seed": 3, "compile": False, "schedule": "linear"}
    plain = small(cls, training=settings)
    given = {key: as_numpy(value) for key, value in plain.get_params(deep=False).items() if key != "training" and value != ""}
    model = fit(clone(cls(**given, training={k: as_numpy(v) for k, v in settings.items()})), x, out=tmp_path / "run")
    assert all(type(model.get_params(deep=False)[key]) is type(value) for key, value in given.items())  # as they were given
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["training"]["lr"] == 0.01
    other = fit(plain, x).model_.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in load(tmp_path / "run").model_.state_dict().items())


def test_numbers_of_numpy_are_refused_where_pythons_are():
    for wrong, words in (
        ({"lr": np.float64("nan")}, "finite"),
        ({"steps": np.float32(3)}, "int"),
        ({"compile": np.int8(1)}, "yes"),
    ):
        with pytest.raises(RequestError, match=words):
            Training(**wrong)
    with pytest.raises(RequestError, match="it must be at least 0"):
        Training(seed=np.int64(-1))


def test_verbs_take_numbers_of_numpy():
    vae = calco.VAE(2, width=8, training=SHORT).fit(X)
    seed = np.int64(3)
    assert np.array_equal(vae.sample(np.int16(5), seed=seed), vae.sample(5, seed=3))
    assert np.array_equal(vae.log_prob(X, seed=seed), vae.log_prob(X, seed=3))
    assert np.array_equal(vae.cluster(X, np.int8(2), seed=seed).cluster, vae.cluster(X, 2, seed=3).cluster)
    assert vae.adjust(samples=np.int64(7)).model_.samples == 7
    known, mask = X[:1], np.array([True, False, False])
    assert np.array_equal(
        vae.sample(np.int8(2), known=known, mask=mask, seed=seed), vae.sample(2, known=known, mask=mask, seed=3)
    )
    for verb in (
        lambda: vae.sample(2.0),
        lambda: vae.sample(True),
        lambda: vae.sample(3, seed="a"),
        lambda: vae.cluster(X, 2.5),
    ):
        with pytest.raises(RequestError, match="must be a whole number"):
            verb()
    waves = calco.VAE(2, width=8, training=SHORT).fit(calco.series(np.random.default_rng(0).normal(size=(60, 2)), window=8))
    future = waves.simulate(np.zeros((4, 2)), np.int64(3), paths=np.int8(2), seed=seed)
    assert np.array_equal(future, waves.simulate(np.zeros((4, 2)), 3, paths=2, seed=3))


# -- settings of training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [None, {"steps": 3}, Training(steps=3)])
def test_settings_of_training_are_parameters(training):
    model = calco.Autoencoder(training=training)
    assert model.get_params()["training__lr"] == model.settings().lr
    assert "training__lr" not in model.get_params(deep=False)
    twin = clone(model).set_params(training__lr=0.5, latent=2)
    assert (twin.settings().lr, twin.latent, twin.settings().steps) == (0.5, 2, model.settings().steps)
    assert model.settings().lr != 0.5
    assert clone(twin).settings() == twin.settings()
    assert clone(model).set_params(training={"steps": 9}, training__lr=0.5).settings().steps == 9


def test_settings_that_are_none_are_refused():
    model = calco.Autoencoder(training={"steps": 3})
    with pytest.raises(RequestError, match="Did you mean 'lr'"):
        model.set_params(training__lrr=0.5)
    assert model.training == {"steps": 3}
    wrong = calco.Autoencoder(training={"step": 3})
    assert wrong.set_params(training={"steps": 3}, latent=2).settings().steps == 3  # what is wrong can be mended


@pytest.mark.parametrize("name", ["autoencoder", "classifier"])
def test_a_grid_search_goes_over_ranges_of_numpy(name):
    cls = FAMILIES[name]
    size = next(iter(sizes(cls)))
    grid = {size: np.arange(2, 4), "training__lr": np.array([0.01, 0.02], np.float32), "training__steps": [2]}
    pipeline = make_pipeline(PCA(2), small(cls, training=SHORT))
    grid = {f"{cls.__name__.lower()}__{key}": values for key, values in grid.items()}
    search = GridSearchCV(
        pipeline, grid, cv=2, scoring=lambda model, x, y=None: model[-1].settings().lr + getattr(model[-1], size)
    )
    found = search.fit(X, Y).best_estimator_[-1]
    assert found.settings().lr == np.float32(0.02)
    assert getattr(found, size) == 3
    assert found.history_[-1]["step"] == 2


# -- labels -------------------------------------------------------------------------------------------------------------


IGNORED = {
    "two columns": np.zeros((40, 2)),
    "gaps": np.where(np.arange(40) % 3 == 0, np.nan, 1.0),
    "gaps in text": np.array(["a", None] * 20, object),
    "several types": np.array(["a", 1] * 20, object),
    "a frame": pd.DataFrame({"a": np.arange(40.0), "b": 1}),
}


@pytest.mark.parametrize("kind", IGNORED)
def test_labels_that_nobody_looks_at_may_be_anything(kind):
    made = make_pipeline(calco.Autoencoder(2, width=8, training=SHORT), Ridge())
    y = IGNORED[kind]
    if kind in ("two columns", "a frame"):
        assert made.fit(X, y).predict(X).shape == (40, 2)
    vae = calco.VAE(2, width=8, training=SHORT)
    assert vae.fit_transform(X, y).shape == (40, 2)
    assert np.array_equal(vae.log_prob(X, y), vae.log_prob(X))
    with pytest.raises(RequestError):
        clone(vae).set_params(conditional=True).fit(X, y)


def conditional():
    return [name for name in FAMILIES if "conditional" in FAMILIES[name]().get_params(deep=False)]


@pytest.mark.parametrize("name", conditional())
def test_conditional_models_take_labels_everywhere(name):
    model = small(FAMILIES[name], conditional=True, training=SHORT | {"evaluations": 1})
    words = np.array(["a", "b"])[Y]
    model.fit(X, words, validation=(X[:20], words[:20]))
    assert model.history_
    with pytest.raises(RequestError, match="no labels"):
        clone(model).fit(X, words, validation=X)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert clone(model).fit(X, words[:, None]).schema_.classes == ("a", "b")
    if "encode" in model.capabilities_:
        codes = clone(model).fit_transform(X, words)
        assert np.array_equal(codes, clone(model).fit(X, words).encode(X, words))
    assert len(model.sample(2, label="b")) == 2


def test_data_to_measure_on_come_with_labels_that_nobody_looks_at():
    assert "held_out" in calco.VAE(2, width=8, training=SHORT).fit(X, validation=(X, Y)).history_[-1]


# -- little of all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_few_examples_are_learned_from_or_refused_by_a_sentence(name, n):
    cls, rng = FAMILIES[name], np.random.default_rng(0)
    for x in (rng.normal(size=(n, 4)), rng.uniform(size=(n, 6, 5)), rng.normal(size=(n, 12, 2))):
        masked, model, y = needs_masks(cls), small(cls, training=SHORT), targets(cls, x)
        if masked and x.ndim == 2:
            continue
        windows = x.shape[1:] == (12, 2) and not masked
        data = calco.series(x, y) if windows else open_data(x, masks=y) if masked else open_data(x, y)
        try:
            model.fit(data)
        except CalcoError:
            assert "gan" in name  # those hold a share out, which would be empty
            continue
        if "encode" in model.capabilities_:
            assert np.isfinite(model.encode(data)).all()
        for way in model.ways_:
            assert np.isfinite(model.sample(2, way=way)).all()


# -- examples without labels --------------------------------------------------------------------------------------------


def people(n, seed=0, job="smith"):
    rng = np.random.default_rng(seed)
    wage = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    return pd.DataFrame({"wage": wage, "job": rng.choice(["nurse", job], n), "born": pd.date_range("2000", periods=n)})


@pytest.mark.parametrize("cls", [calco.Classifier, calco.Regressor])
def test_tables_without_labels_are_learned_from_too(cls):
    few, many = people(20), people(50, 1, "pilot")
    model = cls(width=8, features=3, training=SHORT).fit(few, Y[:20], unlabelled=many)
    assert model.schema_.coded[1].options == ("nurse", "smith", "pilot")
    assert len(model.predict(many)) == 50
    assert np.isfinite(model.score(few, Y[:20]))


def test_tables_of_two_kinds_are_told_apart():
    model = calco.Classifier(width=8, features=3, training=SHORT)
    with pytest.raises(RequestError, match="is to be a number, and one is none"):
        model.fit(people(20), Y[:20], unlabelled=people(50).assign(wage="much"))
    with pytest.raises(RequestError, match="not of one kind"):
        model.fit(people(20), Y[:20], unlabelled=X)


def test_series_without_labels_are_learned_from_as_series():
    waves = np.random.default_rng(0).normal(size=(60, 8, 2))
    model = calco.Classifier(width=8, features=3, training=SHORT)
    fitted = model.fit(calco.series(waves[:20], Y[:20]), unlabelled=calco.series(waves[20:]))
    assert fitted.schema_.kind == "series"
    with pytest.raises(RequestError, match="open both as tables, or as series"):
        model.fit(calco.series(waves[:20], Y[:20]), unlabelled=waves[20:])
