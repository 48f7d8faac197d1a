"""Boltzmann machines small enough to enumerate, against that enumeration."""

import itertools
import math
from typing import Any

import pytest
import torch

from calco.maths.divergences import bernoulli_entropy
from calco.nets.annealing import binary_states, estimate_log_z, exact_log_z, log_z_at_start, start
from calco.nets.boltzmann import Machine, Pair, Scale

pytestmark = pytest.mark.usefixtures("float64")


def machine_of(sizes, gaussian=False, strength=1.0) -> Any:
    """A machine with random weights, biases and offsets."""
    pairs = [Pair(a, b, gaussian and i == 0).double() for i, (a, b) in enumerate(itertools.pairwise(sizes))]
    for pair in pairs:
        for tensor in (*pair.parameters(), *pair.buffers()):
            tensor.data = strength * torch.randn_like(tensor)
    return Machine(pairs, gaussian, torch.rand(sizes[0]))


def energy(machine, layers):
    """E of states of all layers, written out from the definition."""
    total = torch.zeros(len(layers[0]))
    for i, pair in enumerate(machine.pairs):
        x, y = layers[i], layers[i + 1]
        own = 0.5 * (x - pair.lower_bias).square().sum(1) if pair.gaussian else -((x - pair.mu) @ pair.lower_bias)
        total = total + own - (y - pair.lam) @ pair.upper_bias
        total = total - torch.einsum("ni,ij,nj->n", x - pair.mu, pair.weight, y - pair.lam)
    return total


def everything(sizes):
    """All states of all layers."""
    states = torch.cat(list(binary_states(sum(sizes), torch.zeros(()))))
    return list(states.split(list(sizes), 1))


SIZES = [(4, 3), (3, 2, 4), (3, 2, 2, 3)]


@pytest.mark.parametrize("sizes", SIZES)
def test_what_a_side_sees_is_the_energy(sizes):
    machine, layers = machine_of(sizes), everything(sizes)
    expected = energy(machine, layers)
    for odd in (False, True):
        mine, others = layers[odd::2], layers[not odd :: 2]
        own, inputs = machine.seen(mine, odd=odd)
        found = own - sum((field * state).sum(1) for field, state in zip(inputs, others, strict=True))
        assert torch.allclose(found, expected)


def test_a_gaussian_layer_sees_and_is_seen_as_the_energy_says():
    machine, h = machine_of((3, 2), gaussian=True), everything((2,))[0].repeat(5, 1)
    x = torch.randn(len(h), 3)
    own, inputs = machine.seen([x])
    assert torch.allclose(own - (inputs[0] * h).sum(1), energy(machine, [x, h]))
    own, means = machine.seen([h], odd=True)
    assert torch.allclose(own - (means[0] * x).sum(1) + 0.5 * x.square().sum(1), energy(machine, [x, h]))


@pytest.mark.parametrize("sizes", SIZES)
def test_log_weight_sums_the_odd_layers_out(sizes):
    machine, layers = machine_of(sizes), everything(sizes)
    joint = torch.exp(-energy(machine, layers))
    evens = [torch.cat([layer[:1] for layer in layers[::2]], 1)]
    row = (torch.cat(layers[::2], 1) == evens[0]).all(1)
    chosen = [layer[:1] for layer in layers[::2]]
    weight = machine.log_weight(chosen, *machine.seen(chosen))
    assert torch.allclose(weight.exp(), joint[row].sum())


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_annealing_mixes_the_energies(beta):
    machine, layers = machine_of((4, 3)), everything((4, 3))
    mixed = (1 - beta) * -(layers[0] @ machine.base) + beta * energy(machine, layers)
    own, inputs = machine.seen(layers[:1])
    weight = machine.log_weight(layers[:1], own, inputs, beta)
    for v in everything((4,))[0]:
        rows = (layers[0] == v).all(1)
        assert torch.allclose(weight[rows][0], torch.logsumexp(-mixed[rows], 0))


@pytest.mark.parametrize("sizes", [*SIZES, (7, 2), (2, 7)])
def test_exact_log_z(sizes):
    machine = machine_of(sizes)
    expected = torch.logsumexp(-energy(machine, everything(sizes)), 0)
    assert torch.allclose(exact_log_z(machine, sizes), expected)
    assert exact_log_z(machine_of((21, 21)), (21, 21)) is None


def test_exact_log_z_of_a_gaussian_machine_is_its_integral():
    machine = machine_of((1, 3), gaussian=True)
    x = torch.linspace(-40, 40, 200_001)[:, None]
    integral = torch.trapezoid(machine.log_weight([x], *machine.seen([x])).exp(), x[:, 0])
    assert torch.allclose(exact_log_z(machine, (1, 3)), integral.log(), atol=1e-8)


@pytest.mark.parametrize("gaussian", [False, True])
def test_offsets_move_without_moving_the_distribution(gaussian):
    machine = machine_of((4, 3, 2), gaussian)
    v = torch.randn(6, 4) if gaussian else torch.bernoulli(torch.full((6, 4), 0.5))
    h2 = torch.bernoulli(torch.full((6, 2), 0.5))

    def relative():
        weight = machine.log_weight([v, h2], *machine.seen([v, h2]))
        return weight - weight[0]

    before = relative()
    h = torch.bernoulli(torch.full((6, 3), 0.3))
    offsets = machine.pairs[0].lam.clone()
    machine.seen([h], odd=True, recentre=0.5)
    machine.seen([v, h2], recentre=0.5)
    assert torch.allclose(machine.pairs[0].lam, 0.5 * offsets + 0.5 * h.mean(0))
    assert torch.allclose(relative(), before)


def chi(sizes, machine, rows):
    """Largest difference, in standard errors, between frequencies of states of the even layers and their probabilities."""
    states = everything(sizes[::2])
    weight = machine.log_weight(states, *machine.seen(states)).detach()
    p = torch.softmax(weight, 0)
    place = 2 ** torch.arange(sum(sizes[::2]))
    counts = torch.bincount((torch.cat(rows, 1).long() * place).sum(1), minlength=len(p))
    return float(((counts / len(rows[0]) - p).abs() / (p * (1 - p) / len(rows[0])).sqrt()).max())


@pytest.mark.parametrize("sizes", [(3, 2), (3, 2, 2)])
def test_gibbs_chains_have_the_machines_moments(sizes):
    machine = machine_of(sizes)
    evens = start(machine, sizes, 20_000)
    for _ in range(50):
        evens = machine.gibbs(evens)
    assert chi(sizes, machine, evens) < 4


def test_tempered_chains_have_the_moments_of_their_temperatures():
    sizes, betas, n = (3, 2), torch.tensor([0.0, 0.5, 1.0]), 20_000
    machine = machine_of(sizes, strength=2.0)
    evens = start(machine, sizes, 3 * n)
    for _ in range(100):
        evens = machine.tempered(evens, betas)
    assert chi(sizes, machine, [state[-n:] for state in evens]) < 4
    pair = machine.pairs[0]
    for parameter in pair.parameters():  # at beta 1/2 it is the machine of half the energies
        parameter.data *= 0.5
    pair.lower_bias.data += 0.5 * machine.base
    assert chi(sizes, machine, [state[n : 2 * n] for state in evens]) < 4


def test_tempering_reaches_what_gibbs_does_not():
    """Two deep modes, all ones and all zeros: chains that start in one of them."""
    pair = Pair(6, 6).double()
    pair.weight.data.fill_(4.0)
    machine = Machine([pair], False, torch.full((6,), 0.5))
    n, betas = 200, torch.linspace(0, 1, 12)
    ones = [torch.ones(n * 12, 6)]
    tempered, plain = ones, [torch.ones(n, 6)]
    for _ in range(600):
        with torch.no_grad():
            tempered, plain = machine.tempered(tempered, betas), machine.gibbs(plain)
    assert float(plain[0].mean()) > 0.99
    assert abs(float(tempered[0][-n:].mean()) - 0.5) < 0.15


@pytest.mark.parametrize(("sizes", "gaussian"), [((8, 6), False), ((5, 4, 3), False), ((3, 4), True)])
def test_annealing_finds_log_z_within_its_error(sizes, gaussian):
    machine = machine_of(sizes, gaussian, strength=0.7)
    exact = exact_log_z(machine, sizes)
    states = start(machine, sizes, 2000)
    for _ in range(200):
        states = machine.gibbs(states)
    found: Any = estimate_log_z(machine, sizes, 2000, 100, states)
    assert 0 < found.error < 0.1
    assert abs(found.value - exact) < 4 * found.error
    assert abs(found.high - exact) < 4 * found.high_error


def test_too_few_temperatures_err_to_the_two_sides():
    machine, sizes = machine_of((12, 10), strength=1.5), (12, 10)
    exact = exact_log_z(machine, sizes)
    states = start(machine, sizes, 200)
    for _ in range(2000):
        states = machine.gibbs(states)
    found: Any = estimate_log_z(machine, sizes, 5, 4, [state[:5] for state in states])
    assert found.value < exact < found.high


def test_log_z_of_independent_units():
    machine = machine_of((4, 3))
    assert float(log_z_at_start(machine, (4, 3))) == pytest.approx(
        float(torch.log1p(machine.base.exp()).sum() + 3 * math.log(2))
    )


@pytest.mark.parametrize("sizes", [(3, 2, 4), (3, 2, 2, 3)])
def test_mean_field_is_a_bound_that_no_small_change_raises(sizes):
    machine = machine_of(sizes, strength=0.5)
    v = torch.bernoulli(torch.full((1, sizes[0]), 0.5))

    def bound(means):
        entropy = sum(bernoulli_entropy(mean).sum(1) for mean in means)
        return machine.log_weight([v, *means], *machine.seen([v, *means])) + entropy

    _, *means = machine.mean_field(v, sizes, 200)
    layers = everything(sizes)
    rows = (layers[0] == v).all(1)
    exact = torch.logsumexp(-energy(machine, layers)[rows], 0)
    best = bound(means)
    assert exact - 0.5 < best < exact
    for _ in range(20):
        moved = [(mean + 0.01 * torch.randn_like(mean)).clamp(1e-6, 1 - 1e-6) for mean in means]
        assert bound(moved) <= best + 1e-9


def test_scale_and_back():
    scale = Scale(3)
    scale.start(torch.tensor([0.5, 1.0, 4.0]))
    x = torch.randn(5, 3)
    units, log_det = scale(x)
    assert torch.allclose(scale(units, back=True)[0], x)
    assert torch.allclose(log_det, torch.autograd.functional.jacobian(lambda x: scale(x[None])[0][0], x[0]).logdet())
