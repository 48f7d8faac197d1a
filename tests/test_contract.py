"""Promises that every family keeps, whatever it is. A new family is found and tested without an edit here."""

import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

import calco
from calco import verbs
from calco.contract import CAPABILITIES
from calco.errors import RequestError
from calco.models import families, load
from calco.training import Training
from tests.small import fit, model_and_batch, needs_masks, sizes, small, targets

FAMILIES = families()
SHORT = {"steps": 6, "batch_size": 16, "ema": 0.9, "log_every": 2, "lr_warmup": 0}


def images(n=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 5, 3), dtype=np.uint8)


def vectors(n=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 4)) * [1, 2, 3, 4] + 5


def waves(n=40, seed=0):
    """Series of 12 moments and 3 channels."""
    rng = np.random.default_rng(seed)
    phase, moments = rng.uniform(0, 6, (n, 1, 1)), np.arange(12)[None, :, None]
    return 5 + np.sin(phase + moments * [0.5, 0.8, 1.1]) + 0.1 * rng.normal(size=(n, 12, 3))


def people(n=40, seed=0):
    """A table of numbers, choices and flags, some missing and of several dtypes, and of columns that say nothing."""
    rng = np.random.default_rng(seed)
    wage = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    job, member = rng.choice(["nurse", "smith"], n), rng.random(n) < 0.4
    gap = rng.random((2, n)) < 0.2
    return pd.DataFrame(
        {
            "wage": wage,
            "job": job,
            "member": member,
            "land": "here",
            "version": 3,
            "visits": pd.array(np.where(gap[0], None, rng.integers(0, 3, n)), "Int64"),
            "insured": pd.array(np.where(gap[1], None, rng.random(n) < 0.5), "boolean"),
            "grade": pd.Categorical(rng.integers(0, 2, n), [1, 0, 2]),
        }
    )


KINDS = {"images": images, "vectors": vectors, "series": waves, "table": people}
TABULAR = [name for name, cls in FAMILIES.items() if not needs_masks(cls)]
CASES = [(name, kind) for name in FAMILIES for kind in KINDS if kind == "images" or name in TABULAR]


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request, tmp_path_factory):
    """A fitted estimator with a run folder, and its data."""
    name, kind = request.param
    x = KINDS[kind]()
    folder = tmp_path_factory.mktemp(f"{name}-{kind}") / "run"
    return learn(small(FAMILIES[name], training=SHORT), x, out=folder), x, folder


def learn(estimator, x, **options):
    """`fit` of data as their kind is given: an array of three axes is one of series here."""
    if isinstance(x, pd.DataFrame):
        return estimator.fit(x, targets(type(estimator), np.arange(len(x))[:, None] % 7), **options)
    if x.ndim == 3:
        return estimator.fit(calco.series(x, targets(type(estimator), x)), **options)
    return fit(estimator, x, **options)


def alike(a, b):
    """Whether two sets of examples are the same."""
    return a.equals(b) if isinstance(a, pd.DataFrame) else np.array_equal(a, b)


def model_for(name, x):
    return model_and_batch(small(FAMILIES[name]), x)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_has_one_owner(name):
    model, _ = model_for(name, images())
    owned = [id(p) for nets in model.players().values() for net in nets for p in net.parameters()]
    assert len(set(owned)) == len(owned)
    assert set(owned) == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_turn_moves_its_own_player_only(name):
    model, batch = model_for(name, images())
    owners = {player: {id(p) for net in nets for p in net.parameters()} for player, nets in model.players().items()}
    model.at_step(5, 10)
    played = set()
    for turn in model.turns(batch):
        model.zero_grad()
        assert turn.loss.ndim == 0
        turn.loss.backward()
        moved = {id(p) for p in model.parameters() if p.grad is not None}
        assert moved
        assert moved <= owners[turn.player]
        played.add(turn.player)
    assert played == set(owners)


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_reach_parameters_only_through_child_modules(name):
    """A loop that wraps each child sees every use of it."""

    class Wrapped(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **options):
            return self.inner(*args, **options)

    model, batch = model_for(name, images())
    for child_name, child in list(model.named_children()):
        setattr(model, child_name, Wrapped(child))
    model.at_step(5, 10)
    for turn in model.turns(batch):
        turn.loss.backward()
    with torch.no_grad():
        assert math.isfinite(model.judge([batch]).value)


@pytest.mark.parametrize("name", FAMILIES)
def test_measuring_held_out_data_moves_no_state(name):
    model, batch = model_for(name, images())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        model.eval().judge([batch])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_data_come_back_as_they_went_in(case):
    estimator, x, _ = case
    for verb in {"reconstruct", "sample"} & set(estimator.capabilities_):
        raw = estimator.reconstruct(x) if verb == "reconstruct" else estimator.sample(len(x))
        assert raw.shape == x.shape
        assert raw.dtypes.equals(x.dtypes) if isinstance(x, pd.DataFrame) else raw.dtype == x.dtype


def test_verbs_do_not_depend_on_the_batch(case):
    estimator, x, _ = case
    if "encode" in estimator.capabilities_:
        whole, part = estimator.encode(x), estimator.encode(x.iloc[7:9] if isinstance(x, pd.DataFrame) else x[7:9])
        assert whole.dtype == np.float32
        assert np.allclose(whole[7:9], part, atol=1e-5)


def deterministic(estimator, x):
    """What the verbs without chance give for these examples, each (n, ...)."""
    found = {verb: getattr(estimator, verb)(x) for verb in ("encode", "predict", "segment") if verb in estimator.capabilities_}
    if "reconstruct" in estimator.capabilities_:
        found |= {"reconstruct": estimator.reconstruct_tensor(x).numpy(), "errors": estimator.errors(x)}
    if hasattr(estimator, "predict_proba"):
        found["predict_proba"] = estimator.predict_proba(x)
    return found


@pytest.fixture(params=[7, 3])
def odd_chunks(request, monkeypatch):
    """After training so many examples are worked on at once, which do not divide the others; also the seed of an order."""
    monkeypatch.setattr(verbs, "CHUNK", request.param)
    return request.param


def test_neither_chunks_nor_order_change_what_verbs_give(case, odd_chunks, monkeypatch):
    estimator, x, _ = case
    order = np.random.default_rng(odd_chunks).permutation(len(x))
    mixed = x.iloc[order] if isinstance(x, pd.DataFrame) else x[order]
    parts = deterministic(estimator, mixed)
    monkeypatch.undo()
    whole = deterministic(estimator, x)
    for verb, values in parts.items():
        assert np.allclose(values, whole[verb][order], rtol=1e-4, atol=1e-5), verb


def test_a_run_folder_gives_the_same_estimator(case):
    estimator, _, folder = case
    again = load(folder)
    assert again.get_params(deep=False).keys() == estimator.get_params(deep=False).keys()
    for key, value in estimator.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[key]), key
    for way in estimator.ways_:
        assert alike(estimator.sample(5, way=way, seed=3), again.sample(5, way=way, seed=3))
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["family"] == estimator.family
    assert {p.name for p in folder.iterdir()} == {"run.json", "model.safetensors", "checkpoint", "log.jsonl"}


def test_the_same_seed_gives_the_same_run_and_another_another(case):
    estimator, x, _ = case
    one, two = learn(clone(estimator), x), learn(clone(estimator).set_params(training=SHORT | {"seed": 1}), x)
    state = estimator.model_.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in one.model_.state_dict().items())
    assert not all(torch.equal(v, state[k]) for k, v in two.model_.state_dict().items())


def test_fitting_leaves_the_callers_random_numbers_alone(case):
    estimator, x, _ = case
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    learn(clone(estimator), x)
    assert torch.equal(torch.rand(3), expected)


def test_samples_follow_the_seed_and_fill_every_number(case):
    estimator, _, _ = case
    if "sample" not in estimator.capabilities_:
        pytest.skip("does not sample")
    for way in estimator.ways_:
        assert alike(estimator.sample(3, way=way, seed=1), estimator.sample(3, way=way, seed=1))
        assert len(estimator.sample(501, way=way)) == 501
    with pytest.raises(RequestError, match="at least 1"):
        estimator.sample(0)
    with pytest.raises(RequestError, match="choose from"):
        estimator.sample(1, way="magic")


def test_log_densities_come_with_their_errors_and_grow_on_their_own_data(case):
    estimator, x, _ = case
    if "log_prob" not in estimator.capabilities_:
        with pytest.raises(AttributeError):
            _ = estimator.log_prob
        return
    values, errors = estimator.log_prob(x, with_error=True)
    assert values.shape == errors.shape == (len(x),)
    assert np.isfinite(values).all()
    assert (errors >= 0).all()
    assert "nats" in estimator.density_


def test_a_verb_that_is_missing_is_refused_with_those_that_are_not(case):
    estimator, _, _ = case
    missing = next(verb for verb in CAPABILITIES if verb not in estimator.capabilities_)
    with pytest.raises(RequestError, match=f"it can {estimator.capabilities_[0]}"):
        estimator.require(missing)


@pytest.mark.parametrize("name", TABULAR)
def test_other_data_than_trained_on_are_refused(name):
    estimator = fit(small(FAMILIES[name], training=SHORT), images())
    with pytest.raises(RequestError, match="the model knows 6 x 5 x 3"):
        list(estimator.batches(images()[:, :5]))
    broken = images().astype(np.float32)
    broken[3, 0, 0, 0] = np.nan
    with pytest.raises(RequestError, match="the first in row 3"):
        list(estimator.batches(broken))
    with pytest.raises(RequestError, match="NaN or infinity"):
        small(FAMILIES[name], training=SHORT).fit(broken, targets(FAMILIES[name], images()))


@pytest.mark.parametrize("name", TABULAR)
def test_a_pipeline_ends_with_it(name):
    from sklearn.preprocessing import StandardScaler

    cls, x = FAMILIES[name], vectors()
    pipeline = make_pipeline(StandardScaler(), small(cls, training=SHORT)).fit(x, targets(cls, x))
    if "encode" in pipeline[-1].capabilities_:
        assert np.array_equal(pipeline.transform(vectors()), pipeline[-1].encode(pipeline[0].transform(vectors())))


@pytest.mark.parametrize("name", TABULAR)
def test_a_grid_search_goes_over_parameters_and_settings(name):
    estimator = small(FAMILIES[name])
    size, value = next(iter(sizes(FAMILIES[name]).items()))
    grid = {size: [value], "training": [SHORT, SHORT | {"lr": 0.01}]}
    search = GridSearchCV(estimator, grid, cv=2, scoring=lambda estimator, x, y=None: float(len(estimator.history_)))
    x = vectors()
    assert search.fit(x, targets(FAMILIES[name], x)).best_params_[size] == value


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_precision_trains(name, precision):
    estimator = fit(small(FAMILIES[name], training=SHORT | {"precision": precision}), images())
    assert all(torch.isfinite(v).all() for v in estimator.model_.state_dict().values())
    assert all(v.dtype != torch.bfloat16 for v in estimator.model_.state_dict().values())


@pytest.mark.parametrize("name", FAMILIES)
def test_accumulated_parts_give_the_step_of_the_whole_batch(name):
    # Adam would blow up the rounding of gradients that are all but zero.
    settings = {**SHORT, "precision": "fp32", "ema": 0.0, "steps": 3, "optimizer": "sgd", "lr": 0.1, "clip": 1.0}
    if FAMILIES[name].model_class.whole_batch:
        pytest.skip("its loss is of the batch as a whole")
    fitted = fit(small(FAMILIES[name], training=settings), images()).model_
    parts = fit(small(FAMILIES[name], training={**settings, "accumulate": 4}), images()).model_.state_dict()
    for key, value in fitted.state_dict().items():
        if not key.startswith("codes"):  # the fitted mixture may order its components otherwise
            assert torch.allclose(value, parts[key], atol=2e-4), key


@pytest.mark.parametrize("name", FAMILIES)
def test_unknown_and_impossible_settings_are_named(name):
    with pytest.raises(RequestError, match="Did you mean 'steps'"):
        fit(FAMILIES[name](training={"step": 3}), images())
    size, value = next(iter(sizes(FAMILIES[name]).items()))
    with pytest.raises(RequestError, match=size):
        fit(FAMILIES[name](**{size: (0, 0) if isinstance(value, tuple) else 0}), images())
    if "net" in FAMILIES[name]().get_params():
        with pytest.raises(RequestError, match="choose from auto, conv"):
            fit(FAMILIES[name](net="mpl"), vectors())
    with pytest.raises(RequestError, match="at least 1"):
        Training(steps=0)


FLOAT32 = 1e-4
"""The relative tolerance of scikit-learn's checks for float32, in which all is computed, whatever predictions come as."""


def _estimator_checks():
    found = []
    for cls in (FAMILIES[name] for name in TABULAR):  # the checks are of tables
        brief = {"steps": 2, "batch_size": 8, "lr_warmup": 0, "precision": "fp32"}
        for estimator, check in estimator_checks_generator(small(cls, training=brief)):
            name = check.func.__name__
            if name.endswith(("_train", "_classes")):  # what predicts is asked to predict well
                estimator = clone(estimator).set_params(training=brief | {"steps": 150, "batch_size": 32, "lr": 0.01})
            found.append(pytest.param(estimator, check, id=f"{cls.family}-{name}"))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("estimator", "check"), _estimator_checks())
def test_scikit_learns_own_checks(estimator, check, monkeypatch):
    for name in ("assert_allclose", "assert_allclose_dense_sparse"):
        monkeypatch.setattr(estimator_checks, name, partial(getattr(estimator_checks, name), rtol=FLOAT32))
    check(estimator)


def test_the_front_door_knows_every_family():
    for cls in FAMILIES.values():
        assert getattr(calco, cls.__name__) is cls
        assert cls.__name__ in dir(calco)
