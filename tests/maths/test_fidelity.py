"""Distances between sets, against the reference implementations and what theory expects."""

import math

import numpy as np
import pytest
import torch

from calco.errors import RequestError
from calco.maths.fidelity import frechet_distance, frechet_error, kernel_distance, neighbours


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(300, 8)), rng.normal(size=(200, 8)) * 1.3 + 0.4
    fake[:, 0] += fake[:, 1]
    return torch.from_numpy(real), torch.from_numpy(fake)


def test_frechet_distance_is_that_of_torch_fidelity(sets):
    assert frechet_distance(*sets) == pytest.approx(3.749715878947761, rel=1e-9)  # torch-fidelity 0.4.0 on these sets


def test_frechet_distance_of_diagonal_gaussians():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, 3, generator=rng, dtype=torch.float64)
    scale, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, 1.0, -2.0])
    expected = float(shift.square().sum() + (scale - 1).square().sum())
    assert frechet_distance(x, x * scale + shift) == pytest.approx(expected, rel=0.02)


def test_kernel_distance_is_that_of_torch_fidelity(sets):
    real, fake = sets[0][:200], sets[1]
    found, error = kernel_distance(real, fake)
    assert found == pytest.approx(2.172125586136505, rel=1e-9)  # torch-fidelity 0.4.0, one subset of all examples
    assert math.isnan(error)


def test_kernel_distance_of_equal_sets_is_zero_within_its_error():
    rng = torch.Generator().manual_seed(0)
    one, two = (torch.randn(4000, 16, generator=rng) for _ in range(2))
    found, error = kernel_distance(one, two, size=500)
    assert abs(found) < 4 * error < 0.1
    assert kernel_distance(one, two * 1.1, size=500)[0] > 4 * error


def test_neighbours_are_those_of_prdc(sets, capsys):
    from prdc import compute_prdc

    expected = compute_prdc(*(part.numpy() for part in sets), nearest_k=5)
    assert neighbours(*sets)._asdict() == pytest.approx({name: float(value) for name, value in expected.items()})


def test_neighbours_of_equal_distributions():
    """Density 1 and coverage 1 - 2^-k are expected, whatever the dimension."""
    rng = torch.Generator().manual_seed(0)
    found = neighbours(*(torch.randn(3000, 64, generator=rng) for _ in range(2)))
    assert found.density == pytest.approx(1, abs=0.06)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.015)


def test_a_missing_mode_costs_coverage_and_an_invented_one_precision():
    rng = torch.Generator().manual_seed(0)
    left, right, far = (torch.randn(300, 2, generator=rng) + shift for shift in (-10, 10, 50))
    both = torch.cat((left, right))
    assert neighbours(both, left).coverage < 0.55
    assert neighbours(both, left).recall < 0.55
    assert neighbours(both, torch.cat((both, far))).precision < 0.7
    assert neighbours(both, torch.cat((both, far))).coverage > 0.9


@pytest.mark.parametrize(("measure", "count"), [(frechet_distance, 1), (kernel_distance, 1), (neighbours, 5)])
def test_too_few_examples_are_refused(measure, count):
    with pytest.raises(RequestError, match=f"needs at least {count + 1} examples of each set; one has {count}"):
        measure(torch.randn(20, 3), torch.randn(count, 3))


def test_the_error_of_the_frechet_distance_is_its_spread_over_sets():
    generator = torch.Generator().manual_seed(0)

    def draw(shift: float) -> torch.Tensor:
        return torch.randn(400, 4, generator=generator, dtype=torch.float64) + shift

    found = torch.tensor([frechet_distance(draw(0.0), draw(0.7)) for _ in range(60)])
    told = torch.tensor([frechet_error(draw(0.0), draw(0.7), seed=seed) for seed in range(10)])
    assert float(told.mean()) == pytest.approx(float(found.std()), rel=0.3)
