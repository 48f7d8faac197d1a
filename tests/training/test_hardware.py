"""Optimisers: those of PyTorch, whatever is left out of them."""

import pytest
import torch
from torch import nn

from calco.training.hardware import make_optimizer
from calco.training.recipe import Training

PLAIN = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}


@pytest.mark.parametrize("name", PLAIN)
def test_steps_are_those_of_pytorch(name, float64):
    x, y = torch.randn(32, 3), torch.randn(32, 2)
    settings = Training(optimizer=name, lr=0.05, weight_decay=0.1, momentum=0.8)
    ours, theirs = (nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer([ours], settings)
    assert isinstance(optimizer, PLAIN[name])
    options = {"lr": settings.lr} if name == "rmsprop" else {"lr": settings.lr, "momentum": 0.8}
    if name.startswith("adam"):
        options = {"lr": settings.lr, "betas": (0.8, settings.beta2)}
    groups = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    expected = PLAIN[name](groups, **options)
    for _ in range(5):
        for net, mover in ((ours, optimizer), (theirs, expected)):
            (net(x) - y).pow(2).mean().backward()
            mover.step()
            mover.zero_grad(set_to_none=True)
            assert net.weight.grad is None
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-12)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-12)
    assert all(not state["step"].requires_grad for state in optimizer.state.values() if "step" in state)
    # PyTorch's own are left as they were.
    assert type(expected) is PLAIN[name]
    assert expected.state_dict()["param_groups"][0]["weight_decay"] == 0.1
