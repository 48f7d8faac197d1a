"""The same seed gives the same numbers: in any thread, in chunks of any size, in any order, whatever else was drawn."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco import verbs
from calco.models import families
from tests.small import fit, learns_from, small, targets

FAMILIES = families()
SHORT = {"steps": 4, "batch_size": 12, "log_every": 2, "lr_warmup": 0, "evaluations": 2}


def images(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 5, 3), dtype=np.uint8)


def people(n=30):
    rng = np.random.default_rng(0)
    wage = np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n))
    return pd.DataFrame({"wage": wage, "job": rng.choice(["nurse", "smith", "cook"], n), "member": rng.random(n) < 0.4})


def waves(n=30):
    phase, moments = np.random.default_rng(0).uniform(0, 6, (n, 1, 1)), np.arange(12)[None, :, None]
    return np.sin(phase + moments * [0.5, 0.8])


def options(name):
    """What draws most in a family, beside its small sizes."""
    cls = FAMILIES[name]
    names = cls().get_params()
    more = {"dropout": 0.2} if "dropout" in names else {}
    more |= {"consistency": "views", "head": (6,)} if learns_from(cls) == "labels" else {}
    return more | ({"prior": "vamp", "pseudo_inputs": 4, "draw": "yes"} if name == "vae" else {})


def learned(name, x, **more):
    """A small estimator after a few steps; an array of three axes is one of series."""
    cls = FAMILIES[name]
    of_images = not isinstance(x, pd.DataFrame) and x.ndim == 4
    more |= {"sweeps": 4, "samples": 12} if name == "vae" else {}
    estimator = small(cls, training=SHORT | more.pop("training", {}), **(options(name) if of_images else {}) | more)
    if isinstance(x, pd.DataFrame):
        return estimator.fit(x, targets(cls, np.arange(len(x))[:, None] % 7))
    return estimator.fit(calco.series(x)) if x.ndim == 3 else fit(estimator, x)


def answers(estimator, x):
    """Weights, and what the verbs say of examples, by name: arrays and tensors."""
    found = {f"weight {key}": value for key, value in estimator.model_.state_dict().items()}
    able = set(estimator.capabilities_)
    for verb in {"encode", "predict", "segment", "log_prob"} & able:
        found[verb] = getattr(estimator, verb)(x)
    if "reconstruct" in able:
        found["reconstruct"] = estimator.reconstruct_tensor(x)
    for way in estimator.ways_:
        found[f"sample {way}"] = estimator.sample_tensor(9, way=way, seed=7)
    if "complete" in able:
        known = torch.zeros(9, *estimator.schema_.shape, dtype=torch.bool)
        found["complete"] = estimator.filled(known.float(), known, seed=3)
    return found


def assert_alike(one, two, exact=True):
    assert one.keys() == two.keys()
    for key, value in one.items():
        a, b = (v.numpy() if isinstance(v, torch.Tensor) else np.asarray(v) for v in (value, two[key]))
        assert np.array_equal(a, b) if exact else np.allclose(a, b, atol=1e-4, rtol=1e-4), key


# -- threads and global generators --------------------------------------------------------------------------------------


def test_threads_change_no_bit():
    x = images(24)

    def run(name):
        return answers(learned(name, x), x[:4])

    alone = [run(name) for name in FAMILIES]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, FAMILIES))
    for one, two in zip(alone, together, strict=True):
        assert_alike(one, two)


def test_threads_may_train_in_different_precisions():
    def run(precision):
        training = {"precision": precision, "steps": 15}
        return learned("vae", people(), prior="vamp", pseudo_inputs=4, training=training).model_.state_dict()

    kinds = ["fp32", "bf16"] * 2
    alone = [run(kind) for kind in kinds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, kinds))
    assert not torch.equal(alone[0]["encoder.1.weight"], alone[1]["encoder.1.weight"])
    for one, two in zip(alone, together, strict=True):
        assert_alike(one, two)


@pytest.mark.parametrize("name", FAMILIES)
def test_global_generators_are_neither_read_nor_moved(name):
    x, found = images(24), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before, other = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        estimator = learned(name, x)
        found.append(answers(estimator, x[:8]))
        assert torch.equal(torch.get_rng_state(), before)
        assert np.array_equal(np.random.get_state()[1], other)  # noqa: NPY002
    assert_alike(*found)


def test_opening_a_run_moves_no_global_generator(tmp_path):
    fit(small(FAMILIES["vae"], training=SHORT), images(24), out=tmp_path / "run")
    before = torch.get_rng_state()
    calco.load(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_series_net_with_dropout_moves_no_global_generator():
    before = torch.get_rng_state()
    calco.Autoencoder(3, net="recurrent", dropout=0.4, width=8, training=SHORT).fit(calco.series(waves()))
    assert torch.equal(torch.get_rng_state(), before)


# -- chunks and order ---------------------------------------------------------------------------------------------------


KINDS = {"images": images, "people": people}
CASES = [(name, kind) for name, cls in FAMILIES.items() for kind in KINDS if kind == "images" or learns_from(cls) != "masks"]


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request):
    """A fitted estimator and its data."""
    name, kind = request.param
    x = KINDS[kind]()
    return learned(name, x), x


def test_chunks_change_no_answer(case, monkeypatch):
    estimator, x = case
    whole = answers(estimator, x)
    for chunk in (7, 3):
        monkeypatch.setattr(verbs, "CHUNK", chunk)
        assert_alike(whole, answers(estimator, x), exact=False)


def test_order_and_company_change_no_answer(case):
    estimator, x = case
    for verb in {"encode", "reconstruct_tensor", "errors", "predict", "segment", "log_prob"} & {*dir(estimator)}:
        ask = getattr(estimator, verb)
        whole = np.asarray(ask(x))
        for seed in (7, 3):
            order = np.random.default_rng(seed).permutation(len(x))
            mixed = x.iloc[order] if isinstance(x, pd.DataFrame) else x[order]
            assert np.allclose(whole[order], np.asarray(ask(mixed)), atol=1e-4, rtol=1e-4), verb
            assert np.allclose(whole[order[:5]], np.asarray(ask(mixed[:5])), atol=1e-4, rtol=1e-4), verb


def test_fewer_samples_are_the_first_of_more_but_of_chains(case):
    estimator, _ = case
    for way in estimator.ways_:
        few, many = (estimator.sample_tensor(n, way=way, seed=3) for n in (3, 8))
        assert estimator.model_.chained or torch.allclose(few, many[:3], atol=1e-5)
        assert not torch.allclose(many[:3], many[3:6])  # rows have noise of their own


def test_a_score_depends_on_its_seed_and_repeated_examples_have_the_same():
    x = images(8)
    vae = learned("vae", x)
    assert not np.allclose(vae.log_prob(x, seed=7), vae.log_prob(x, seed=3))
    repeated = vae.log_prob(np.concatenate((x, x[:2])))
    assert np.allclose(repeated[:2], repeated[8:], rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, cls in FAMILIES.items() if "conditional" in cls().get_params()])
def test_labels_of_samples_beyond_the_first_chunk_are_right(name, monkeypatch):
    x = images(30)
    estimator = small(FAMILIES[name], conditional=True, training=SHORT).fit(x, np.arange(30) % 3)
    whole = estimator.sample_tensor(20, seed=3)
    seen, plain = [], estimator.model_.sample
    monkeypatch.setattr(verbs, "CHUNK", 7)
    monkeypatch.setattr(estimator.model_, "sample", lambda n, way, y: (seen.append(y), plain(n, way, y))[1])
    assert torch.allclose(estimator.sample_tensor(20, seed=3), whole, atol=1e-4)
    assert torch.equal(torch.cat(seen), torch.arange(20) % 3)
    seen.clear()
    estimator.sample_tensor(20, label="2")
    assert torch.cat(seen).eq(2).all()


@pytest.mark.parametrize("name", [name for name, cls in FAMILIES.items() if hasattr(cls.model_class, "complete")])
def test_chunks_change_nothing_that_is_filled_in(name, monkeypatch):
    table, series = learned(name, people()), learned(name, waves())
    history = np.stack((np.sin(np.arange(5)), np.cos(np.arange(5))), 1)
    asked = [
        lambda: table.impute(people(), seed=7),
        lambda: table.sample(20, where={"job": "smith"}, seed=7),
        lambda: series.sample(20, history=history, seed=7),
        lambda: series.simulate(history, 17, paths=20, seed=7),
    ]
    whole = [ask() for ask in asked]
    for chunk in (7, 3):
        monkeypatch.setattr(verbs, "CHUNK", chunk)
        for ask, before in zip(asked, whole, strict=True):
            after = ask()
            if isinstance(before, pd.DataFrame):
                pd.testing.assert_frame_equal(before, after, rtol=1e-3, atol=1e-3)
            else:
                assert np.allclose(before, after, atol=1e-3)
