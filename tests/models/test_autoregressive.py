"""Autoregressive models: exact densities by enumeration, any order, and tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco.data import infer_schema, open_data
from calco.maths.likelihoods import Bernoulli
from calco.maths.mixed import Mixed, Piece
from calco.models.autoregressive import AutoregressiveModel
from calco.nets.masked import MaskedNet


@pytest.fixture
def binary(float64):
    torch.manual_seed(0)
    net = MaskedNet((5,), (5,), width=16, depth=1)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return AutoregressiveModel(net.eval(), Bernoulli((5,)))


EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)), dtype=torch.float64)


@torch.no_grad()
def test_the_density_sums_to_one(binary):
    assert binary.log_prob(EVERY).value.exp().sum().item() == pytest.approx(1)


@torch.no_grad()
def test_samples_follow_the_density(binary):
    torch.manual_seed(1)
    x = binary.sample(40_000, "ancestral")
    counts = torch.bincount((x @ (2 ** torch.arange(4, -1, -1.0).double())).long(), minlength=32) / 40_000
    assert (counts - binary.log_prob(EVERY).value.exp()).abs().max() < 0.01


@torch.no_grad()
def test_what_is_held_out_estimates_minus_the_density(binary):
    torch.manual_seed(2)
    x = EVERY[7:8].expand(60_000, -1)
    assert binary.held_out(calco.Batch(x, None)).item() == pytest.approx(-binary.log_prob(EVERY[7:8]).value.item(), abs=0.03)


@torch.no_grad()
def test_mixed_pieces_sum_to_one():
    torch.manual_seed(0)
    likelihood = Mixed((5,), (Piece("choice", 0, 3), Piece("choice", 3, 5)))
    net = MaskedNet((5,), likelihood.params_shape, width=16, depth=1)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    model = AutoregressiveModel(net.eval(), likelihood)
    rows = [[*np.eye(3)[i], *np.eye(2)[j]] for i in range(3) for j in range(2)]
    assert model.log_prob(torch.tensor(rows).float()).value.exp().sum().item() == pytest.approx(1, abs=1e-5)
    known = likelihood.spread(torch.tensor([[1.0, 0.0]]))
    assert known.tolist() == [[1, 1, 1, 0, 0]]
    assert likelihood.gathered(known).tolist() == [[1, 0]]


def test_a_score_is_asked_for_after_its_choice():
    likelihood = Mixed((6,), (Piece("choice", 0, 2), Piece("choice", 2, 5), Piece("real", 5, 6, (2, 4))))
    model = AutoregressiveModel(MaskedNet((6,), likelihood.params_shape, width=8), likelihood, any_order=1.0)
    torch.manual_seed(0)
    known = model._known(torch.zeros(2000, 6), 1.0)
    assert not ((known[:, 2] > 0) & (known[:, 1] == 0)).any()
    assert {tuple(row) for row in known.tolist()} == {(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0)}
    assert likelihood.ready(known)[:, 2].equal(known[:, 1])


def shop(n=3000, seed=0):
    """Two choices that agree nine times in ten, and a number that depends on one."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["tea", "bread"], n, p=[0.7, 0.3])
    again = np.where(rng.random(n) < 0.9, kind, np.where(kind == "tea", "bread", "tea"))
    return pd.DataFrame({"kind": kind, "price": np.where(kind == "tea", 5.0, 50.0) + rng.normal(size=n), "again": again})


def test_a_table_is_learned_with_what_hangs_together():
    model = calco.Autoregressive(64, depth=1, training={"steps": 800, "lr": 5e-3}).fit(shop())
    made = model.sample(3000, seed=1)
    assert (made["kind"] == made["again"]).mean() == pytest.approx(0.9, abs=0.03)
    assert (made["kind"] == "tea").mean() == pytest.approx(0.7, abs=0.04)
    assert (abs(made["price"] - np.where(made["kind"] == "tea", 5, 50)) < 5).mean() > 0.97
    schema = infer_schema(open_data(shop()))
    mask = np.array([False, False, True])
    known = schema.encode(shop(1).assign(again="bread")).expand(500, -1)
    with torch.no_grad():
        torch.manual_seed(0)
        found = schema.decode(model.model_.complete(known, schema.flags(mask).expand(500, -1)))
    assert (found["again"] == "bread").all()
    # p(bread | again is bread) = .27 / (.27 + .07)
    assert (found["kind"] == "bread").mean() == pytest.approx(0.27 / 0.34, abs=0.08)
