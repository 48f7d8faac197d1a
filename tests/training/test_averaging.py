"""Averaged weights against PyTorch's own, for models that share weights and have buffers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel

from calco.training.averaging import Average


class Net(nn.Module):
    """Weights that two layers share, a layer whose weight is computed, one that never learns, and running statistics."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.two.weight = self.one.weight
        self.bounded = spectral_norm(nn.Linear(3, 3))
        self.still = nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("nothing", None)

    def forward(self, x):
        self.seen = self.seen + 1  # another tensor than that at the beginning
        return self.norm(self.two(self.one(self.bounded(x)))) + self.still


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_averages_and_buffers_are_those_of_pytorch(decay):
    model = Net()
    average = Average(model, decay)

    def rule(own, other, count):
        for one, new in zip(own, other, strict=True):
            one.lerp_(new, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    expected = AveragedModel(copy.deepcopy(model), multi_avg_fn=rule)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.5)
    for _ in range(12):
        model(torch.randn(8, 3)).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.follow()
        expected.update_parameters(model)
        found, wanted = average.state_dict(), expected.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert average.module.two.weight is average.module.one.weight
    assert average.module.seen == 12
    assert not torch.equal(average.module.one.weight, model.one.weight)
