"""Noise is that of the whole batch, or of each row, and of one thread."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from calco.maths import noise, streams
from calco.maths.seeding import seeded
from calco.nets.dropout import Dropout


def test_shares_put_together_are_the_whole():
    like = torch.empty(8, 3)
    with noise.share(1, 2, 3):
        whole = noise.normal(like), noise.uniform(like), noise.flips(torch.full((8, 3), 0.4))
    parts = []
    for i in range(4):
        with noise.share(1, 2, 3, index=i, count=4):
            parts.append((noise.normal(like[:2]), noise.uniform(like[:2]), noise.flips(torch.full((2, 3), 0.4))))
    for kind in range(3):
        assert torch.equal(torch.cat([part[kind] for part in parts]), whole[kind])


def test_keys_make_streams_and_shares_have_fresh_ones_in_common():
    like, own = torch.empty(5), []
    with noise.share(0, 1):
        one = noise.normal(like)
    with noise.share(0, 2):
        two = noise.normal(like)
    assert not torch.equal(one, two)
    for i in range(2):
        with noise.share(0, 1, index=i, count=2):
            own.append((noise.fresh(), noise.fresh(), noise.place(3)))
    assert own[0][:2] == own[1][:2]
    assert own[0][0] != own[0][1]
    assert [found[2] for found in own] == [(0, 6), (3, 6)]


@pytest.mark.parametrize("context", [lambda: noise.share(5), lambda: noise.rows(5, start=3, count=1000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_moments(context, dtype):
    like = torch.empty(1000, 100, dtype=dtype)
    with context():
        normal, uniform = noise.normal(like).float(), noise.uniform(like).float()
        chosen, picked = noise.indices(like[:, :9].float(), 3), noise.picks(torch.tensor([1.0, 0, 3]).expand(1000, 20, 3))
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs(normal.pow(4).mean() - 3) < 0.15
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(uniform.var() - 1 / 12) < 0.003
    assert uniform.min() >= 0
    assert uniform.max() < 1 or dtype == torch.bfloat16
    # Rows, columns and kinds know nothing of one another.
    for table in (normal, normal.T):
        apart = np.corrcoef(table.numpy())[np.triu_indices(len(table), 1)]
        assert abs(apart.std() * table.shape[1] ** 0.5 - 1) < 0.05
    assert abs(np.corrcoef(normal.flatten(), uniform.flatten())[0, 1]) < 0.015
    assert torch.allclose(torch.bincount(chosen.flatten()) / 9000, torch.full((3,), 1 / 3), atol=0.02)
    assert torch.allclose(torch.bincount(picked.flatten(), minlength=3) / 20_000, torch.tensor([0.25, 0, 0.75]), atol=0.02)


def drawn(n):
    return torch.cat((noise.normal(torch.empty(n, 2, 3)).flatten(1), noise.uniform(torch.empty(n, 4))), 1)


def test_the_noise_of_a_row_is_its_own():
    with noise.rows(1, 2, start=0, count=10):
        whole = drawn(10)
    for start, count in ((0, 3), (3, 7), (9, 1)):
        with noise.rows(1, 2, start=start, count=count):
            assert torch.equal(drawn(count), whole[start : start + count])
    with noise.rows(1, 3, start=0, count=10):
        assert not torch.isclose(drawn(10), whole).any()
    with noise.rows(1, 2, start=0, count=10), pytest.raises(ValueError, match="10 are in hand"):
        noise.normal(torch.empty(20))


def test_numbers_of_a_stream_are_the_same_in_pieces():
    """So that importance samples may be drawn as many at once as there is memory for."""
    with noise.rows(4, start=0, count=5):
        whole = noise.normal(torch.empty(5, 6, 2))
    with noise.rows(4, start=0, count=5):
        parts = [noise.normal(torch.empty(5, k, 2)) for k in (1, 3, 2)]
    assert torch.equal(torch.cat(parts, 1), whole)


def test_the_noise_of_an_example_is_that_of_its_values():
    x = torch.randn(6, 2, 2)
    x[4], x[5, 0, 0] = x[1], 0.0
    with noise.examples(3, x=x):
        whole = drawn(6)
    assert torch.equal(whole[4], whole[1])
    assert not torch.isclose(whole[0], whole[1]).any()
    order = torch.tensor([5, 2, 0])
    again = x[order].clone()
    again[0, 0, 0] = -0.0
    with noise.examples(3, x=again):
        assert torch.equal(drawn(3), whole[order])
    with noise.examples(4, x=x):
        assert not torch.isclose(drawn(6), whole).any()


@pytest.mark.parametrize("centred", [False, True])
def test_other_devices_have_the_same_bits(centred, monkeypatch):
    rows = streams.streams(2**63 - 5, np.arange(7))
    here = streams.numbers(rows, 2**33, 11, torch.empty(0), centred)
    own = torch.from_numpy(rows.astype(np.int64))
    counted = torch.arange(2**33 + 1, 2**33 + 12) * streams._signed(streams.G)
    top = streams._shifted(streams._mixed_there(own[:, None] + counted), 40 + centred)
    assert torch.equal(here, (top.float() + 0.5 * centred) * 2.0 ** -(24 - centred))
    double = streams.numbers(rows, 2**33, 11, torch.empty(0, dtype=torch.float64), centred)
    assert torch.allclose(here.double(), double, atol=2**-22)
    assert streams.numbers(rows, 0, 10_000, torch.empty(0), True).max() < 1


def test_threads_have_contexts_of_their_own():
    def run(seed):
        found = []
        for step in range(200):
            with noise.share(seed, step):
                found.append(noise.normal(torch.empty(3)) + noise.uniform(torch.empty(3)))
        return torch.cat(found)

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(4)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_what_torch_draws_by_itself_is_drawn_apart():
    def nets():
        spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 6))
        made = nn.ModuleList([nn.GRU(3, 4, 2), nn.Conv2d(2, 3, 3), nn.Embedding(3, 4), nn.MultiheadAttention(4, 2), spectral])
        nn.init.kaiming_normal_(made[1].weight)
        more = torch.randn(5), torch.rand(5), torch.randperm(9), torch.randint(7, (4,)), torch.bernoulli(torch.full((9,), 0.5))
        return [*made.state_dict().values(), *more, torch.distributions.Uniform(0.0, 1.0).sample((3,))]

    before = torch.get_rng_state()
    with seeded(3):
        apart = nets()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(apart, nets(), strict=True))


@pytest.mark.parametrize("channels", [False, True])
def test_dropout_drops_a_share_of_the_whole_batch(channels):
    drop, x = Dropout(0.3, channels), torch.ones(400, 50, 2, 3)
    with noise.share(1):
        whole = drop(x)
    with noise.share(1, index=1, count=4):
        assert torch.equal(drop(x[:100]), whole[100:200])
    assert sorted(whole.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert abs(float((whole == 0).float().mean()) - 0.3) < 0.01
    assert ((whole == whole[:, :, :1, :1]).flatten(2).all(2).all()) == channels
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # where a graph is cut, torch looks at all that crosses
def test_a_compiled_net_drops_by_the_noise_of_each_step():
    net = nn.Sequential(nn.Linear(5, 5), Dropout(0.5), nn.Tanh())
    compiled, x = torch.compile(net, backend="eager"), torch.randn(8, 5)
    steps = []
    for step in range(3):
        with noise.share(0, step):
            expected = net(x)
        with noise.share(0, step):
            steps.append(compiled(x))
        assert torch.allclose(steps[-1], expected)
    assert not torch.equal(steps[0], steps[1])
