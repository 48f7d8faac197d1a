"""Adversarial networks: what the players learn, what they leave alone, what is said of a collapse."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import calco
from benchmarks.adversarial import MODES, mixture, nearness
from calco.contract import Batch
from calco.data import ArraySource, infer_schema, open_data
from calco.errors import RequestError
from calco.maths import noise
from calco.maths.mixed import Piece
from calco.models.adversarial.game import GANModel
from calco.models.adversarial.lapgan import enlarge, halve
from calco.models.adversarial.rows import Rows, by_sampling, favours, shares_of
from calco.nets.mlp import MLP
from calco.training import Diverged


@pytest.mark.long
def test_the_default_recipe_covers_every_mode():
    """Of ten seeds `benchmarks.adversarial modes` tells."""
    gan = calco.GAN(training={"steps": 2000}).fit(mixture())  # not all its steps, to save time
    near, fewest = nearness(gan.sample(2000))
    assert near > 0.6
    assert fewest > 2000 / 8 / 4


class Score(nn.Module):
    """A discriminator of examples alone."""

    def __init__(self, features):
        super().__init__()
        self.net = MLP(features, [64, 64], 1)

    def forward(self, x, y=None):
        return self.net(x)[:, 0]


class Shift(nn.Module):
    """A generator that shifts codes."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([float(shift)]))

    def forward(self, z, y=None):
        return z + self.shift


def test_the_discriminator_approaches_its_optimum():
    """Real N(0, 1), generated N(1, 1): the best logit is log p / q = 1/2 - x."""
    model = GANModel(Shift(1.0), Score(1), (1,), 1, game="nonsaturating", penalty="none")
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 3e-3)
    for _ in range(1500):
        turn = next(model.turns(Batch(torch.randn(256, 1))))
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
    x = torch.linspace(-1, 2, 7)[:, None]
    with torch.no_grad():
        found = torch.sigmoid(model.discriminator(x))
    assert float((found - torch.sigmoid(0.5 - x[:, 0])).abs().max()) < 0.06


@pytest.mark.parametrize("penalty", ["r1", "r1r2", "gradient"])
def test_penalties_are_what_autograd_by_hand_gives(penalty, float64):
    """For D(x) = sum tanh(W x) the slopes are known in closed form."""

    class Tanh(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 2))

        def forward(self, x, y=None):
            return torch.tanh(x @ self.weight.T).sum(1)

    def slope(x, weight):
        return (1 - torch.tanh(x @ weight.T) ** 2) @ weight

    discriminator = Tanh()
    model = GANModel(Shift(1.0), discriminator, (2,), 2, game="hinge", penalty=penalty, gamma=3.0)
    x, weight = torch.randn(6, 2), discriminator.weight
    torch.manual_seed(1)
    turn = next(model.turns(Batch(x)))
    torch.manual_seed(1)
    fake = torch.randn(6, 2) + 1
    at_real, at_fake = (slope(part, weight).square().sum(1).mean() for part in (x, fake))
    if penalty == "gradient":
        points = torch.lerp(fake, x, torch.rand(6, 1))
        expected = 3.0 * (slope(points, weight).norm(dim=1) - 1).square().mean()
    else:
        expected = 1.5 * (at_real if penalty == "r1" else at_real + at_fake)
    assert float(turn.terms["penalty"].detach()) == pytest.approx(float(expected.detach()))
    plain = torch.relu(1 - torch.tanh(x @ weight.T).sum(1)).mean() + torch.relu(1 + torch.tanh(fake @ weight.T).sum(1)).mean()
    (found,), (wanted,) = (torch.autograd.grad(loss, weight) for loss in (turn.loss, plain + expected))
    assert torch.allclose(found, wanted)


@pytest.mark.parametrize("penalty", ["r1", "r1r2", "gradient"])
def test_a_penalty_weighs_as_much_more_as_it_is_rarer(penalty):
    model = GANModel(Shift(1.0), Score(1), (1,), 1, game="hinge", penalty=penalty, penalty_every=4, gamma=3.0)
    batch, losses, added = Batch(torch.randn(16, 1)), [], 0.0
    for step in range(8):
        model.at_step(step, 8)
        with noise.share(0):
            turn = next(model.turns(batch))
        losses.append(float(turn.loss.detach()))
        if "penalty" in turn.terms:
            added = float(turn.terms["penalty"].detach())
    assert added > 1e-3
    assert [loss - losses[1] for loss in losses] == pytest.approx([4 * added, 0, 0, 0] * 2, abs=1e-5)


def test_turns_leave_the_other_player_and_the_loop_as_they_were():
    model = GANModel(Shift(1.0), Score(1), (1,), 1, game="hinge", penalty="none", discriminator_steps=2)
    players = []
    for step in range(4):
        model.at_step(step, 4)
        for turn in model.turns(Batch(torch.randn(8, 1))):
            players.append(turn.player)
            frozen = [not p.requires_grad for p in model.discriminator.parameters()]
            assert all(frozen) if turn.player == "generator" else not any(frozen)
        assert all(p.requires_grad for p in model.parameters())
    assert players == ["discriminator", "discriminator", "generator"] * 2


@pytest.mark.parametrize("game", ["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"])
@pytest.mark.parametrize("spectral", [False, True])
def test_every_game_trains_on_images(game, spectral):
    gan = calco.GAN(latent=4, width=4, depth=1, game=game, spectral=spectral, training={"steps": 6, "batch_size": 16})
    gan.fit("digits")
    told = {name for name in gan.history_[-2] if name.startswith("right_on")}
    assert told == ({"right_on_pairs"} if game in ("wasserstein", "relativistic") else {"right_on_real", "right_on_fake"})
    assert gan.sample(3).dtype == np.uint8


def test_spectral_normalisation_bounds_the_discriminator():
    gan = calco.GAN(latent=4, width=16, spectral=True, training={"steps": 200}).fit(mixture(200))
    layers = [module for module in gan.model_.discriminator.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == 4
    with torch.no_grad():
        assert all(float(torch.linalg.matrix_norm(layer.weight, 2)) == pytest.approx(1, abs=0.1) for layer in layers)


def test_a_conditional_model_samples_the_label_asked_for():
    x = mixture()
    y = np.linalg.norm(x[:, None] - MODES, axis=2).argmin(1)
    gan = calco.GAN(latent=8, width=64, conditional=True, training={"steps": 1000}).fit(x, y)
    for label in (0, 5):
        near = np.linalg.norm(gan.sample(200, label=label) - MODES[label], axis=1) < 1.5
        assert near.mean() > 0.9
    with pytest.raises(RequestError, match="needs labels"):
        calco.GAN(conditional=True).fit(x)
    with pytest.raises(RequestError, match="leave the label out"):
        calco.GAN(latent=2, width=8, training={"steps": 2}).fit(x).sample(1, label=3)


def test_a_density_is_refused_with_a_word_on_why():
    gan = calco.GAN(latent=2, width=8, training={"steps": 2}).fit(mixture(100))
    with pytest.raises(RequestError, match=r"cannot log_prob: it can decode, sample\. It is an implicit model"):
        gan.require("log_prob")


def test_collapse_is_seen():
    model = GANModel(Shift(), Score(1), (1,), 1)
    good = {"variance": 0.9, "coverage": 0.8}
    assert model.concern([good]) == ""
    assert model.concern([good, {"variance": 0.9, "coverage": 0.5}]) == ""
    assert model.concern([good, {"variance": 0.9, "coverage": 0.3}]).startswith("Collapse begins: samples cover 0.30")
    assert model.concern([good, {"variance": 0.05, "coverage": 0.8}]).startswith("Collapse: samples vary 0.05 times")
    assert model.concern([good, {"variance": 20.0, "coverage": 0.8}]).startswith("Samples vary 20 times")
    assert "not finite" in model.concern([good, {"variance": math.nan}])
    assert model.concern([{"variance": 0.9, "coverage": 0.1}, {"variance": 0.9, "coverage": 0.01}]) == ""

    class Point(nn.Module):
        def forward(self, z, y=None):
            return torch.zeros_like(z)

    model.generator = Point()
    with torch.no_grad():
        verdict = model.judge([Batch(torch.randn(50, 1)), Batch(torch.randn(1, 1))])
        alone = model.judge([Batch(torch.randn(1, 1))])
    assert verdict.terms["variance"] < 1e-3
    assert "Collapse" in model.concern([dict(verdict.terms)])
    assert math.isinf(alone.value)
    assert "Hold out more" in model.concern([{**alone.terms, "variance": 1.0}])


def test_samples_of_values_that_repeat_can_be_told_apart():
    """Four values, each many times: the balls around examples would be empty but for the blur."""
    x = torch.arange(4.0).repeat(50)[:, None]
    model = GANModel(Shift(), Score(1), (1,), 1)
    good, bad = (model.judge([Batch(x)]) for model.make in (lambda x, y: x.flip(0), lambda x, y: torch.zeros_like(x)))
    assert good.terms["coverage"] > 0.8
    assert good.terms["density"] > 0.8
    assert bad.terms["coverage"] < 0.3


def test_held_out_labels_are_those_trained_on():
    x = mixture(300)
    y = np.array(["a", "b", "c"])[np.arange(300) % 3]
    gan = calco.GAN(latent=2, width=8, conditional=True, training={"steps": 2})
    seen = []
    judge = GANModel.judge

    def spy(self, batches):
        batches = list(batches)
        seen.append(torch.cat([batch.y for batch in batches]))
        return judge(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GANModel, "judge", spy)
        gan.fit(x, y, validation=ArraySource(x[:20], np.array(["b", "c"] * 10)))
    assert seen[0].tolist() == [1, 2] * 10
    with pytest.raises(RequestError, match="Unknown label 'd'"):
        gan.fit(x, y, validation=ArraySource(x[:20], np.array(["b", "d"] * 10)))
    with pytest.raises(RequestError, match="have no labels"):
        gan.fit(x, y, validation=x[:20])


def test_divergence_keeps_the_best_checkpoint(tmp_path):
    """A learning rate that ruins the nets at once, after a slow start."""
    settings = {"steps": 400, "lr": 1e4, "lr_warmup": 400, "optimizer": "sgd", "evaluations": 200, "log_every": 1}
    settings |= {"precision": "fp32", "ema": 0.0}
    with pytest.raises(Diverged, match="The best weights on the held-out data, those of step"):
        calco.GAN(latent=2, width=16, training=settings).fit(mixture(500), out=tmp_path / "run")
    again = calco.load(tmp_path / "run")
    assert again.run_.record["status"] == "diverged"
    assert np.isfinite(again.sample(5)).all()


def test_a_pyramid_is_lossless():
    x = torch.rand(3, 2, 7, 10)
    small = halve(x)
    band = x - enlarge(small, (7, 10))
    assert small.shape == (3, 2, 4, 5)
    assert torch.allclose(enlarge(small, (7, 10)) + band, x)
    assert torch.allclose(halve(enlarge(small, (7, 10))), small, atol=1e-6)


def test_each_level_has_its_players():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 20, 13), dtype=np.uint8)
    lapgan = calco.LAPGAN(latent=4, width=4, depth=1, training={"steps": 3, "batch_size": 8}).fit(x)
    assert lapgan.model_.sizes == ((20, 13), (10, 7))
    assert list(lapgan.model_.players()) == ["discriminator0", "generator0", "discriminator1", "generator1"]
    assert lapgan.sample(3).shape == (3, 20, 13)
    players = [turn.player for turn in lapgan.model_.turns(Batch(torch.rand(8, 1, 20, 13)))]
    assert players == list(lapgan.model_.players())
    with pytest.raises(RequestError, match="have 6 at most"):
        calco.LAPGAN(levels=9).fit(x)
    for a, b in itertools.pairwise(calco.LAPGAN(levels=4, width=4).build(lapgan.schema_).sizes):
        assert b == ((a[0] + 1) // 2, (a[1] + 1) // 2)


def test_a_conditional_pyramid():
    lapgan = calco.LAPGAN(latent=4, width=4, depth=1, conditional=True, training={"steps": 3, "batch_size": 8}).fit("digits")
    seven, eight = (lapgan.sample_tensor(3, label=label) for label in (7, 8))
    assert seven.shape == (3, 1, 8, 8)
    assert not torch.equal(seven, eight)


# -- rows of tables -----------------------------------------------------------------------------------------------------


def rare_shop(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.choice(["tea", "bread", "cake"], n, p=[0.79, 0.2, 0.01])
    return pd.DataFrame({"kind": kind, "price": np.where(kind == "tea", 5, 50) + rng.normal(size=n)})


def test_training_by_sampling_meets_rare_options_and_asks_for_them():
    source = open_data(rare_shop())
    schema = infer_schema(source)
    shares = shares_of(source, schema)
    assert shares[:3].sum() == pytest.approx(1)
    assert (shares[-1:] == 0).all()  # a score is no option
    rows = by_sampling(source, schema, shares, 0)
    often = rows.take(np.arange(len(rows))).x["kind"].value_counts(normalize=True)
    usual = rare_shop()["kind"].value_counts(normalize=True)
    assert often["cake"] > 4 * usual["cake"]
    favour = favours(torch.from_numpy(shares), [p for p in schema.pieces if p.kind == "choice"])
    for piece in schema.pieces:
        if piece.kind == "choice":  # a column is asked for as often as any other
            span = slice(piece.start, piece.stop)
            assert float((favour.numpy() * shares)[span].sum()) == pytest.approx(1)


def test_soft_draws_are_all_but_hard_and_as_frequent_as_their_chances():
    """At the temperature of Jang, Gu and Poole one option takes nearly all; which does is a draw from the softmax."""
    logits = torch.tensor([1.0, 0.0, -1.0])
    rows = Rows(nn.Identity(), (Piece("real", 0, 1), Piece("choice", 1, 4)))
    with noise.share(1):
        found = rows(torch.cat((torch.tensor([0.7]), logits)).expand(20_000, 4))
    assert torch.equal(found[:, 0], torch.full((20_000,), 0.7))
    soft = found[:, 1:]
    assert torch.allclose(soft.sum(1), torch.ones(20_000))
    assert 0.9 < float(soft.max(1).values.mean()) < 0.97
    assert torch.allclose(torch.bincount(soft.argmax(1)) / 20_000, torch.softmax(logits, 0), atol=0.015)


def test_rows_are_asked_for_as_often_as_they_occur():
    frame = rare_shop()
    model = calco.GAN(4, width=16, training={"steps": 3, "batch_size": 64, "lr_warmup": 0}).fit(frame).model_
    seen = []
    body = model.generator.body.forward
    model.generator.body.forward = lambda z: seen.append(z[:, 4:]) or body(z)
    with torch.no_grad():
        model.make(torch.zeros(30_000, len(model.shares)), None)
    asked = seen[0]
    assert (asked.sum(1) == 1).all()
    columns = len(model.choices)
    assert torch.allclose(asked.mean(0), model.shares / columns, atol=0.01)


def test_a_conditional_table_is_refused():
    with pytest.raises(RequestError, match="among its columns"):
        calco.GAN(conditional=True, training={"steps": 1}).fit(open_data(rare_shop(), np.arange(2000) % 2))
