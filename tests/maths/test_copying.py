"""Copies are told from samples of the same distribution, from noise, from blur and from a collapse."""

import pytest
import torch

from calco.maths.copying import CLOSE, copying, nearest


def draw(n: int, seed: int, width: int = 5) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TRAIN, HELD = draw(4000, 0), draw(2000, 1)


def test_nearest_neighbours_are_those_of_all_pairs():
    x, others = draw(1500, 2), draw(300, 3)
    found = nearest(x, others)
    apart = (x[:, None] - others).norm(dim=2)
    assert torch.equal(found.row, apart.argmin(1))
    torch.testing.assert_close(found.distance, apart.amin(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("quick", [True, False])
def test_low_precision_finds_the_same_neighbours(quick, monkeypatch):
    monkeypatch.setattr("calco.maths.copying.quick_bf16", lambda: quick)
    x, others = torch.rand(300, 784), torch.rand(3000, 784)
    apart = torch.cat([(one - others).norm(dim=1)[None] for one in x])
    found = nearest(x, others)
    assert torch.equal(found.row, apart.argmin(1))
    torch.testing.assert_close(found.distance, apart.amin(1))


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("width", [2, 10, 100])
def test_rounding_hides_no_neighbour_in_tight_clusters(width, quick, monkeypatch):
    monkeypatch.setattr("calco.maths.copying.quick_bf16", lambda: quick)
    rng = torch.Generator().manual_seed(0)
    others = 10 * torch.randn(5, width, generator=rng).repeat(400, 1) + 0.03 * torch.randn(2000, width, generator=rng)
    x = torch.cat((others[:100], others[100:200] + 0.01 * torch.randn(100, width, generator=rng)))
    apart = (x[:, None].double() - others.double()).norm(dim=2)
    found = nearest(x, others)
    assert (found.distance[:100] == 0).all()
    torch.testing.assert_close(found.distance.double(), apart.amin(1), rtol=1e-4, atol=0)


def test_sums_of_many_values_hide_no_neighbour(monkeypatch):
    monkeypatch.setattr("calco.maths.copying.quick_bf16", lambda: False)
    rng = torch.Generator().manual_seed(2)
    middle = 10 * torch.rand(100, 100, generator=rng)
    others = (middle[:, None] + 7e-4 * torch.randn(100, 6, 100, generator=rng)).flatten(0, 1)
    x = middle + 7e-4 * torch.randn(100, 100, generator=rng)
    found = nearest(x, others).distance.double()
    torch.testing.assert_close(found, (x[:, None].double() - others.double()).norm(dim=2).amin(1), rtol=1e-3, atol=0)


def test_copies_are_noticed_where_many_examples_are_equal():
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(12, generator=rng)

    def table(n: int) -> torch.Tensor:
        return (torch.rand(n, 12, generator=rng) < p).double()

    train, held = table(300), table(1000)
    new, copied = copying(table(1000), train, held), copying(train[torch.randint(300, (1000,), generator=rng)], train, held)
    assert new.usual > CLOSE
    assert abs(new.sided - new.expected) < 3 * new.sided_error
    assert not new.suspected
    assert copied.close == 1
    assert copied.suspected


def test_the_distance_of_a_copy_is_exactly_nothing():
    x = (1000 + torch.rand(2000, 300, generator=torch.Generator().manual_seed(0))).float()
    assert (nearest(x[:50], x).distance == 0).all()


def test_shares_of_the_distribution_itself_lie_within_their_errors():
    outside = 0
    for seed in range(20):
        found = copying(draw(1000, 10 + seed), draw(2000, 50 + seed), draw(1000, 100 + seed))
        outside += abs(found.close - CLOSE) > 2 * found.close_error
        outside += abs(found.sided - found.expected) > 2 * found.sided_error
        assert not found.suspected
    assert outside <= 6  # of 40; 2 are expected


def test_a_model_that_returns_training_examples_is_suspected():
    found = copying(TRAIN[torch.randperm(4000)[:1000]], TRAIN, HELD)
    assert found.close == 1
    assert found.sided == 1
    assert found.suspected


def test_few_copies_among_many_samples_are_noticed():
    samples = torch.cat((TRAIN[:300], draw(1700, 4)))
    assert copying(samples, TRAIN, HELD).suspected


@pytest.mark.parametrize(
    "samples",
    [3 * draw(1000, 5), TRAIN[:1000] + 2 * draw(1000, 6), 0.3 * draw(1000, 7), draw(1, 8).repeat(1000, 1)],
    ids=["noise", "noisy", "blur", "collapse"],
)
def test_what_is_wrong_otherwise_is_not_suspected(samples):
    assert not copying(samples, TRAIN, HELD).suspected
