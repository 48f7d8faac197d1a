"""Densities of one number: they sum to 1, know of every number, and fall with the distance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from calco.maths.cells import cells_of, normal_log_mass
from calco.maths.knots import Knots, fit_knots, from_steps, steps_of
from calco.maths.unseen import Unseen

SEEDS = st.integers(0, 2**31)
GRAINS = st.sampled_from([1.0, 0.1, 0.01, 86400.0])


def skewed(seed, grain):
    """Values of a skewed distribution, some much more often than others, and a few that are options of their own."""
    rng = np.random.default_rng(seed)
    found = np.exp(rng.normal(3, rng.uniform(0.5, 1.5), 400)) - 20
    found = np.concatenate((found, np.repeat(found[:3], rng.integers(5, 60, 3))))
    values, counts = np.unique(from_steps(steps_of(found * (grain or 1), grain), grain), return_counts=True)
    apart = rng.random(len(values)) < 0.02
    return fit_knots(values[~apart], counts[~apart], grain, values[apart]), values[~apart], values[apart]


def single(score):
    """Scores as a model sees them."""
    return score.astype(np.float32).astype(float)


def log_given(knots, x, means, scales):
    """Log density, or probability, of numbers within their bins, where the score is N(mean, scale^2) of the bin's own."""
    bins, score = knots.placed(x)
    mean, scale = means[bins], scales[bins]
    if not knots.grain:
        return bins, norm.logpdf(score, mean, scale) + knots.log_slope(bins, score)
    b, z, m, v = (torch.from_numpy(part) for part in (bins, score, mean, 2 * np.log(scale)))
    return bins, normal_log_mass(cells_of((knots,), b[None], z[None]), z, m, v)[0].numpy()


@given(SEEDS, GRAINS, st.floats(0.01, 2))
def test_probabilities_of_multiples_of_a_grain_sum_to_one(seed, grain, widest):
    knots, _, apart = skewed(seed, grain)
    rng = np.random.default_rng(seed)
    means, scales = rng.normal(0, 1, knots.bins), rng.uniform(0.005, widest, knots.bins)
    ends, span = np.array(knots.values)[[0, -1]], 20 * max(knots.scales)
    x = from_steps(np.arange(np.ceil(ends[0] - span), ends[1] + span), grain)
    x = x[~np.isin(x, apart)]
    bins, log = log_given(knots, x, means, scales)
    assert np.bincount(bins, np.exp(log), knots.bins) == pytest.approx(np.ones(knots.bins), abs=1e-6)


@given(SEEDS)
def test_densities_integrate_to_one(seed):
    knots, _, _ = skewed(seed, 0.0)
    rng = np.random.default_rng(seed)
    means, scales = rng.normal(0, 0.7, knots.bins), rng.uniform(0.3, 1.5, knots.bins)
    grid = np.linspace(-9, 9, 1001)
    for at in range(knots.bins):
        x = np.sort(np.concatenate((knots.value(np.full(len(grid), at), grid), knots.values)))
        bins, log = log_given(knots, x[:-1] / 2 + x[1:] / 2, means, scales)
        assert (np.exp(log) * (bins == at) * np.diff(x)).sum() == pytest.approx(1, abs=2e-3)


@given(SEEDS, st.sampled_from([0.0, 1.0, 0.1, 86400.0]))
def test_what_is_further_out_has_a_greater_score_and_a_smaller_density(seed, grain):
    knots, values, _ = skewed(seed, grain)
    means, scales = np.zeros(knots.bins), np.ones(knots.bins)
    steps = np.geomspace(1, 1e250, 300) * (grain or 1.0)
    for sign, end in ((-1, values[0]), (1, values[-1])):
        x = np.concatenate(([end], end + sign * steps))
        bins, score = knots.placed(x)
        _, log = log_given(knots, x, means, scales)
        assert (np.diff(sign * single(score)) > 0).all()
        assert (np.diff(log) < 0).all()
        assert np.isfinite(log).all()
        assert knots.value(bins, single(score)) == pytest.approx(x, rel=1e-3, abs=(grain or 1e-3) / 2)


@given(SEEDS, st.sampled_from([0.0, 1.0, 0.1, 0.01, 86400.0]))
def test_numbers_come_back(seed, grain):
    knots, values, _ = skewed(seed, grain)
    bins, score = knots.placed(values)
    back = knots.value(bins, single(score))
    assert np.array_equal(back, values) if grain else np.allclose(back, values, rtol=1e-5, atol=1e-4)


def test_gaps_hold_little_and_never_nothing():
    """Two thirds of the numbers are 1,000, the others 1 to 200: it does not spread, and 600 is not impossible."""
    values, counts = np.array([*range(1, 201), 1000.0]), np.array([1] * 200 + [400])
    knots = fit_knots(values, counts, 1.0, np.zeros(0))
    draws = np.random.default_rng(0).normal(size=4000)
    drawn = np.concatenate([knots.value(np.full(len(draws), b), draws) for b in range(knots.bins)])
    assert ((drawn > 200) & (drawn < 999)).mean() < 0.05
    bins, score = (torch.from_numpy(part) for part in knots.placed(np.array([600.0])))
    assert normal_log_mass(cells_of((knots,), bins[None], score[None]), score, torch.zeros(1), torch.zeros(1)) > -20


def test_masses_far_out_keep_their_digits():
    """N(0, 1) of cells at 30 and of tiny ones, against the density times the width and the difference of tails."""
    knots = Knots((-0.5, 0.5, 1000.5), (3.2e-5, 0.5, 1 - 3.2e-5), 1, 1.0)
    x = np.array([0.0, 1.0, 700.0, 1e6, 1e12, 1e100])
    bins, score = (torch.from_numpy(part) for part in knots.placed(x))
    cells = cells_of((knots,), bins[None], score[None])
    found = normal_log_mass(cells, score, torch.tensor(0.3), torch.tensor(0.2))[0].numpy()
    low, high = ((c[0].numpy() - 0.3) / np.exp(0.1) for c in cells[:2])
    assert np.allclose(found[:3], np.log(norm.sf(low[:3]) - norm.sf(high[:3])), rtol=1e-6)
    assert (np.diff(found[3:]) < 0).all()
    mean = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    normal_log_mass(cells, score, mean, torch.tensor(-13.8)).sum().backward()
    assert torch.isfinite(mean.grad).all()


# -- few values ---------------------------------------------------------------------------------------------------------


def few(seed, grain):
    rng = np.random.default_rng(seed)
    atoms = np.unique(from_steps(rng.integers(-30, 60, rng.integers(1, 40)), grain or 0.1) * (1 if grain else 1.37))
    return Unseen(tuple(atoms.tolist()), grain, rng.uniform(0.001, 0.9)), atoms, rng


@given(SEEDS, GRAINS)
def test_shares_of_multiples_of_a_grain_sum_to_one(seed, grain):
    unseen, atoms, _ = few(seed, grain)
    ends = np.round(atoms[[0, -1]] / grain)
    x = from_steps(np.arange(ends[0] - 20_000, ends[1] + 20_001), grain)
    at, apart = unseen.placed(x)
    shares = np.bincount(at, np.exp(unseen.log_share(at, apart)), len(atoms))
    assert shares == pytest.approx(np.ones(len(atoms)), abs=2 * unseen._scale / 20_000)


@given(SEEDS)
def test_shares_elsewhere_integrate_to_what_atoms_leave(seed):
    unseen, atoms, _ = few(seed, 0.0)
    far = np.geomspace(1e-9, 1e7, 20_000) * unseen._scale
    x = np.concatenate((atoms[0] - far[::-1], np.linspace(atoms[0], atoms[-1], 40_001), atoms[-1] + far))
    at, apart = unseen.placed(x)
    density = np.where(apart == 0, np.nan, np.exp(unseen.log_share(at, apart)))
    density = np.interp(x, x[apart != 0], density[apart != 0])
    for j in range(len(atoms)):
        alone = float(np.exp(unseen.log_share(np.array([j]), np.zeros(1)))[0])
        here = at == j
        assert alone + np.trapezoid(density[here], x[here]) == pytest.approx(1, abs=0.03)


@given(SEEDS, st.sampled_from([0.0, 1.0, 0.1, 86400.0]))
def test_what_was_never_seen_is_the_less_likely_the_further_out(seed, grain):
    unseen, atoms, _ = few(seed, grain)
    steps = np.geomspace(1, 1e250, 300) * (grain or 1.0)
    for sign, end in ((-1, atoms[0]), (1, atoms[-1])):
        x = np.concatenate(([end], end + sign * steps))
        at, apart = unseen.placed(x)
        log = unseen.log_share(at, single(apart))
        assert (np.diff(sign * single(apart)) > 0).all()
        assert (np.diff(log[1:]) < 0).all()
        assert unseen.value(at, single(apart)) == pytest.approx(x, rel=1e-3, abs=(grain or 1e-3) / 2)


@given(SEEDS, st.sampled_from([0.0, 1.0, 0.01]))
def test_atoms_are_at_no_distance_and_come_back(seed, grain):
    unseen, atoms, rng = few(seed, grain)
    at, apart = unseen.placed(atoms)
    assert np.array_equal(at, np.arange(len(atoms)))
    assert not apart.any()
    between = from_steps(np.round(rng.uniform(*atoms[[0, -1]] * 2, 50) / (grain or 1)), grain)
    at, apart = unseen.placed(between)
    assert np.allclose(unseen.value(at, single(apart)), between, rtol=1e-5, atol=1e-5)
    assert (abs(atoms[at] - between) <= abs(atoms[:, None] - between).min(0) * (1 + 1e-9) + 1e-9).all()
