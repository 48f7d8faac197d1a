"""Boltzmann machines: gradients and densities by enumeration, data of every kind, completion."""

import itertools

import numpy as np
import pytest
import torch

import calco
from calco.contract import Batch
from calco.data import open_data
from calco.errors import RequestError
from calco.evaluation.likelihood import constant_log_prob
from calco.models.boltzmann.dbn import DBNModel
from calco.models.boltzmann.machine import BoltzmannModel
from calco.nets.annealing import binary_states, exact_log_z


def tiny(hidden=(3,), visible=4, **options):
    """A small machine in float64 with random weights."""
    model = BoltzmannModel((visible,), hidden, **{"chains": 10, "recentre": 0.0, **options}).double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    return model


def log_likelihood(model, x):
    """Exact mean log likelihood, differentiable."""
    machine = model._machine()
    log_z = exact_log_z(machine, model.sizes)
    return (machine.log_weight([x], *machine.seen([x])) - log_z).mean()


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("hidden", [(3,), (3, 2)])
def test_a_turn_has_the_gradient_of_the_log_likelihood_where_chains_are_exact(hidden, float64):
    """Of a deep machine it is that of the bound whose posterior the mean field has found."""
    model = tiny(hidden, chains=200_000)
    x, sizes = torch.bernoulli(torch.full((30, 4), 0.3)), model.sizes
    states = next(iter(binary_states(sum(sizes[::2]), torch.zeros(()))))
    machine, side = model._machine(), list(states.split(sizes[::2], 1))
    p = torch.softmax(machine.log_weight(side, *machine.seen(side)), 0).detach()
    counts = (p * 200_000).floor().long()
    counts[0] += 200_000 - counts.sum()
    model.chains.copy_(states.repeat_interleave(counts, 0))
    with torch.no_grad():
        evens = machine.mean_field(x, sizes, model.inference)
    log_z = exact_log_z(machine, sizes)
    assert log_z is not None
    bound = (machine.log_weight(evens, *machine.seen(evens)) - log_z).mean()
    (turn,) = model.turns(Batch(x))
    for found, expected in zip(gradients(turn.loss, model), gradients(-bound, model), strict=True):
        assert torch.allclose(found, expected, atol=2e-4)


def test_a_gaussian_turn_has_the_gradient_of_the_log_likelihood(float64):
    """Chains are exact draws: a hidden state by its enumerated probability, then the visible units given it."""
    model = tiny(units="gaussian", chains=400_000)
    model.scale.log_scale.data.mul_(0.2)
    machine, x = model._machine(), torch.randn(30, 4)
    hidden = next(iter(binary_states(3, torch.zeros(()))))
    own, inputs = machine.seen([hidden], odd=True)
    p = torch.softmax(0.5 * inputs[0].square().sum(1) - own, 0).detach()
    means = inputs[0][torch.multinomial(p, 400_000, replacement=True)]
    model.chains.copy_(means.detach() + torch.randn(400_000, 4))
    units, log_det = model.scale(x)
    log_z = exact_log_z(machine, model.sizes)
    assert log_z is not None
    likelihood = (machine.log_weight([units], *machine.seen([units])) - log_z).mean() + log_det
    (turn,) = model.turns(Batch(x))
    for found, expected in zip(gradients(turn.loss, model), gradients(-likelihood, model), strict=True):
        assert torch.allclose(found, expected, atol=0.03), (found, expected)


def test_exact_likelihood_has_the_gradient_of_finite_differences(float64):
    model, x = tiny(), torch.bernoulli(torch.full((5, 4), 0.5))
    (weight, *_) = gradients(log_likelihood(model, x), model)
    parameter, step = next(model.parameters()), 1e-6
    for i, j in ((0, 0), (3, 2)):
        values = []
        for sign in (1, -1):
            parameter.data[i, j] += sign * step
            values.append(float(log_likelihood(model, x).detach()))
            parameter.data[i, j] -= sign * step
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(weight[i, j]), abs=1e-6)


@pytest.mark.parametrize("examples", [1, 5, 10])
def test_batches_of_any_size_pull_alike(examples, float64):
    """Data and chains that agree leave the biases alone, however few the examples are beside the chains."""
    model = tiny(chains=10)
    model.chains.fill_(1.0)
    (turn,) = model.turns(Batch(torch.ones(examples, 4)))
    turn.loss.backward()
    assert float(model.pair0.lower_bias.grad.abs().max()) < 1e-12


@pytest.mark.parametrize("method", ["pcd", "cd"])
def test_it_learns_what_can_be_learned(method):
    """Two patterns of 6 bits, equally frequent: the best log likelihood is -log 2."""
    x = np.repeat([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], 50, 0)
    settings = {"steps": 1500, "lr": 0.05, "precision": "fp32"}
    rbm = calco.RBM(8, method=method, sweeps=5, training=settings).fit(x)
    assert "exact by enumeration" in rbm.density_
    assert rbm.score(x) > -np.log(2) - 0.4
    rows = {tuple(row) for row in rbm.sample(200)}
    assert {tuple(row) for row in x} <= rows
    everything = np.array([[i >> k & 1 for k in range(6)] for i in range(64)])
    assert np.exp(rbm.log_prob(everything)).sum() == pytest.approx(1, abs=1e-4)


def test_log_z_is_that_of_the_weights_as_they_are():
    x = np.random.default_rng(0).integers(0, 2, (40, 6))
    rbm = calco.RBM(4, training={"steps": 20}).fit(x)
    before = rbm.score(x)
    with torch.no_grad():
        rbm.model_.pair0.weight.mul_(3)
    after = rbm.score(x)
    assert after != before
    rbm.model_._known.clear()
    assert rbm.score(x) == after


def test_a_classifier_can_begin_with_its_hidden_units():
    x = np.random.default_rng(0).integers(0, 2, (40, 6))
    model = calco.RBM(4, training={"steps": 20}).fit(x).model_
    classifier = torch.nn.Linear(4, 2)
    classifier(model.encode(torch.as_tensor(x, dtype=torch.float32))).sum().backward()
    assert model.pair0.weight.grad.abs().sum() > 0


def test_real_vectors_get_gaussian_units_and_a_density_that_integrates_to_one():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.5, (200, 1)), rng.normal(3, 0.5, (200, 1))])
    rbm = calco.RBM(5, temperatures=5, training={"steps": 1500, "lr": 0.05, "precision": "fp32"}).fit(x)
    assert "Gaussian" in rbm.chosen(rbm.schema_)
    grid = np.linspace(-30, 30, 20_001)[:, None]
    assert np.trapezoid(np.exp(rbm.log_prob(grid)), grid[:, 0]) == pytest.approx(1, abs=1e-3)
    one_gaussian = -0.5 * np.log(2 * np.pi * x.var()) - 0.5
    assert rbm.score(x) > one_gaussian + 1
    samples = rbm.sample(500)
    assert 0.25 < (samples > 0).mean() < 0.75
    assert (np.abs(np.abs(samples) - 3) < 2).mean() > 0.9


def test_the_bound_of_a_deep_machine_lies_below_its_likelihood(float64):
    model = tiny(hidden=(3, 3))
    for parameter in model.parameters():
        parameter.data *= 0.5
    x = next(iter(binary_states(4, torch.zeros(()))))
    with torch.no_grad():
        bound = model.log_prob(x)
        machine = model._machine()
        h2 = next(iter(binary_states(3, torch.zeros(()))))
        pairs = [x.repeat_interleave(8, 0), h2.repeat(16, 1)]
        exact = torch.logsumexp(machine.log_weight(pairs, *machine.seen(pairs)).view(16, 8), 1)
        exact = exact - torch.logsumexp(exact, 0)
    assert (bound.value <= exact + 1e-9).all()
    assert float((exact - bound.value).max()) < 0.5


def test_a_deep_machine_learns_layer_by_layer_and_then_together():
    x = np.repeat([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], 50, 0)
    dbm = calco.DBM((6, 4), training={"steps": 2000, "lr": 0.05, "precision": "fp32"}).fit(x)
    assert dbm.score(x) > -np.log(2) - 0.4
    assert dbm.encode(x).shape == (100, 4)
    model = calco.DBM((6, 4), greedy=0.5).build(dbm.schema_)
    moving = []
    for step in (0, 3, 6, 9):
        model.zero_grad()
        model.at_step(step, 10)
        (turn,) = model.turns(Batch(torch.from_numpy(x[::10].astype(np.float32))))
        turn.loss.backward()
        moving.append({name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None})
    assert moving == [{"pair0"}, {"pair0"}, {"pair0", "pair1"}, {"pair0", "pair1"}]


def test_nothing_jumps_where_a_layer_joins():
    """Pairs that learned apart would both explain the layer they share, and lock it to one state."""
    x = np.random.default_rng(0).random((500, 40)) < np.linspace(0.1, 0.9, 40)
    x = (x ^ np.repeat(np.random.default_rng(1).random((500, 4)) < 0.5, 10, 1)).astype(np.float32)
    dbm = calco.DBM((30, 60, 30), greedy=0.6, training={"steps": 600, "lr": 0.1, "evaluations": 12, "ema": 0.0})
    dbm.fit(x[:400], validation=x[400:])
    bounds = [line["held_out"] for line in dbm.history_ if "held_out" in line]
    assert max(b - a for a, b in itertools.pairwise(bounds)) < 1.0
    assert bounds[-1] < bounds[0] - 1.0


def test_completion_has_the_exact_conditional_distribution(float64):
    model = tiny(chains=1, burn_in=50)
    model.chains.zero_()
    n = 20_000
    x, known = torch.tensor([1.0, 0, 0, 0]).expand(n, 4), torch.tensor([True, False, False, True]).expand(n, 4)
    with torch.no_grad():
        found = model.complete(x, known)
        states = next(iter(binary_states(4, torch.zeros(()))))
        machine = model._machine()
        weight = machine.log_weight([states], *machine.seen([states]))
    possible = (states[:, 0] == 1) & (states[:, 3] == 0)
    p = torch.softmax(weight.masked_fill(~possible, -torch.inf), 0)
    counts = torch.bincount((found.long() * 2 ** torch.arange(4)).sum(1), minlength=16)
    assert float(((counts / n - p).abs() / (p * (1 - p) / n + 1e-12).sqrt()).max()) < 4


@pytest.fixture(scope="module")
def rbm():
    return calco.RBM(21, burn_in=20, betas=100, training={"steps": 50}).fit("digits")


def test_known_pixels_stay(rbm):
    x = calco.open_data("digits:test").take(np.arange(3)).x
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    found = rbm.sample(3, known=x, mask=mask)
    assert np.array_equal(found[:, :4], x[:, :4])
    assert not np.array_equal(found[:, 4:], x[:, 4:])
    assert rbm.sample(5, known=x[0], mask=mask).shape == (5, 8, 8)
    with pytest.raises(RequestError, match=r"booleans of shape \(8, 8\)"):
        rbm.sample(3, known=x, mask=mask[:3])
    with pytest.raises(RequestError, match="booleans"):
        rbm.sample(3, known=x, mask=mask.astype(float))
    with pytest.raises(RequestError, match="8 x 8"):
        rbm.sample(3, known=x[:, :5], mask=mask[:5])
    with pytest.raises(RequestError, match="3 known examples for 2 samples"):
        rbm.sample(2, known=x, mask=mask)
    with pytest.raises(RequestError, match="both"):
        rbm.sample(2, known=x)


def test_a_bracket_says_when_not_to_trust_it(rbm):
    found = rbm.log_prob_estimate("digits:test")
    assert found.low is not None
    assert 0 < found.shared == pytest.approx(found.mean_errors()[0])
    assert "a bracket of" in found.bracket()
    assert "NOT TRUSTWORTHY" not in found.bracket()
    assert "NOT TRUSTWORTHY" in found._replace(low=found.value - 3.1).bracket()
    assert rbm.adjust(betas=50).model_.betas == 50
    with pytest.raises(RequestError, match="at least 1"):
        rbm.adjust(betas=0)
    with pytest.raises(RequestError, match="it has samples, betas, burn_in, thin"):
        rbm.adjust(magic=3)


GREY, REAL = (
    np.random.default_rng(0).integers(0, 256, (30, 4, 4)).astype(np.uint8),
    np.random.default_rng(0).normal(size=(30, 3)),
)


@pytest.mark.parametrize(
    ("options", "x", "words"),
    [
        ({"visible": "bernoulli"}, GREY, "256 grey levels: say how.*'threshold'.*'stochastic'"),
        ({"visible": "bernoulli"}, REAL, "these vectors hold real numbers.*binary first"),
        ({"binarise": "threshold"}, REAL, "units are Gaussian"),
        ({"visible": "gaussian"}, GREY > 3, "binary"),
    ],
)
def test_data_that_do_not_suit_the_units_are_refused_with_a_way_out(options, x, words):
    with pytest.raises(RequestError, match=words):
        calco.RBM(3, **options, training={"steps": 2}).fit(x)


@pytest.mark.parametrize(
    "options", [{"binarise": "threshold"}, {"visible": "bernoulli", "binarise": "stochastic"}, {"visible": "gaussian"}]
)
def test_grey_images_become_units_as_asked(options):
    rbm = calco.RBM(3, **options, burn_in=3, training={"steps": 5}).fit(GREY)
    assert rbm.sample(4).dtype == np.uint8
    x = rbm.schema_.encode(GREY)
    units = rbm.model_._drawn(x)[0]
    assert set(units.unique().tolist()) == {0.0, 1.0} if "binarise" in options else len(units.unique()) > 2
    if options.get("binarise") == "threshold":
        assert torch.equal(units, (x.flatten(1) >= 0.5).float())
    assert rbm.chosen(rbm.schema_) == ""
    assert calco.RBM(3).chosen(rbm.schema_).startswith("These images have 256 grey levels")


def test_the_bound_of_a_belief_network_tightens_to_its_likelihood(float64):
    model = DBNModel((3,), (3, 2), chains=5, particles=1).double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    x, h = (next(iter(binary_states(units, torch.zeros(())))) for units in (3, 3))
    with torch.no_grad():
        machine = model._machine(1)
        top = torch.log_softmax(machine.log_weight([h], *machine.seen([h])), 0)
        logits = model.pair(0)(h, False)[1]
        down = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits[None].expand(8, 8, 3), x[:, None].expand(8, 8, 3), reduction="none"
        ).sum(2)
        exact = torch.logsumexp(down + top, 1)
        loose = torch.stack([model.log_prob(x).value for _ in range(500)]).mean(0)
        model.particles = 20_000
        tight = model.log_prob(x)
    assert (loose < exact).all()
    assert ((tight.value - exact).abs() < 4 * tight.error).all()
    assert float(tight.error.max()) < 0.1


def test_the_bound_of_a_belief_network_is_of_one_binary_image():
    """With weights 0 and the data's means as biases it is the constant model, whatever the number of particles."""
    dbn = calco.DBN((3, 2), training={"steps": 2, "lr": 0.0}).fit("digits")
    for pair in (dbn.model_.pair0, dbn.model_.pair1):
        pair.weight.data.zero_()
    expected = constant_log_prob(dbn, open_data("digits:test"), open_data("digits"))
    for particles in (1, 10, 50):
        assert dbn.adjust(particles=particles).score("digits:test") == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("options", [{"temperatures": 4, "chains": 20}, {"method": "cd"}, {"method": "cd", "last_sweeps": 4}])
def test_every_way_to_train_learns_what_repeats_and_only_depends_on_its_seed(options):
    x = np.repeat([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], 50, 0)

    def fitted(state, steps):
        torch.manual_seed(state)
        return calco.RBM(8, **options, training={"steps": steps, "precision": "fp32"}).fit(x)

    assert fitted(0, 1000).score(x) > -np.log(2) - 0.6
    one, two = (fitted(state, 100).model_.state_dict() for state in (1, 2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_offsets_follow_by_a_share_of_the_way():
    x = (np.random.default_rng(0).random((60, 6)) < 0.3).astype(np.uint8)
    rbm = calco.RBM(4, recentre=1.0, training={"steps": 10}).fit(x)
    assert 0 <= rbm.model_.pair0.lam.min() <= rbm.model_.pair0.lam.max() <= 1
    with pytest.raises(RequestError, match=r"recentre is 1.5"):
        calco.RBM(4, recentre=1.5).fit(x)
    with pytest.raises(RequestError, match="not tempered"):
        calco.RBM(4, method="cd", temperatures=3).fit(x)


def test_a_belief_network_learns_layer_by_layer():
    x = np.repeat([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], 50, 0)
    dbn = calco.DBN((8, 6), training={"steps": 2000, "lr": 0.1, "precision": "fp32"}).fit(x)
    assert dbn.score(x) > -np.log(2) - 0.5
    rows, counts = np.unique(dbn.sample(300), axis=0, return_counts=True)
    assert {tuple(row) for row in x} <= {tuple(row) for row in rows[counts > 60]}
    model = calco.DBN((6, 4)).build(dbn.schema_)
    for step, moving in ((0, "pair0"), (4, "pair0"), (5, "pair1"), (9, "pair1")):
        model.zero_grad()
        model.at_step(step, 10)
        (turn,) = model.turns(Batch(torch.from_numpy(x[::10].astype(np.float32))))
        turn.loss.backward()
        assert {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {moving}
