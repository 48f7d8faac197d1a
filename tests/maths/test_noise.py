"""Shared noise is the whole batch's noise."""

import torch

from calco.maths import noise


def test_shares_put_together_are_the_whole():
    like = torch.empty(8, 3)
    with noise.share(1, 2, 3):
        whole = noise.normal(like), noise.uniform(like)
    parts = []
    for i in range(4):
        with noise.share(1, 2, 3, index=i, count=4):
            parts.append((noise.normal(like[:2]), noise.uniform(like[:2])))
    assert torch.equal(torch.cat([p[0] for p in parts]), whole[0])
    assert torch.equal(torch.cat([p[1] for p in parts]), whole[1])


def test_keys_make_streams_and_shares_differ_in_what_torch_draws_itself():
    like, own = torch.empty(5), []
    with noise.share(0, 1):
        one = noise.normal(like)
    with noise.share(0, 2):
        two = noise.normal(like)
    assert not torch.equal(one, two)
    for i in range(2):
        with noise.share(0, 1, index=i, count=2):
            own.append(torch.rand(3))
    assert not torch.equal(*own)


def test_moments():
    with noise.share(5):
        normal, uniform = noise.normal(torch.empty(100_000)), noise.uniform(torch.empty(100_000))
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs(uniform.mean() - 0.5) < 0.01
    assert uniform.min() >= 0
    assert uniform.max() < 1
