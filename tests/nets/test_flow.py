"""A flow is a bijection with the log determinant it says."""

import pytest
import torch

from calco.nets.flow import RealNVP

pytestmark = pytest.mark.usefixtures("float64")


def stirred(features, layers=4):
    flow = RealNVP(features, layers, hidden=16)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return flow


@pytest.mark.parametrize("features", [2, 3, 6])
def test_inverse_and_determinant(features):
    flow, z = stirred(features), torch.randn(5, features)
    u, log_det = flow(z)
    assert (u - z).abs().max() > 0.1
    assert torch.allclose(flow.inverse(u), z, atol=1e-9)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], z[i])
        assert torch.allclose(torch.linalg.slogdet(jacobian).logabsdet, log_det[i])


def test_every_unit_moves_and_a_new_flow_is_the_identity():
    z = torch.randn(4, 5)
    assert ((stirred(5, layers=2)(z)[0] - z).abs().amax(0) > 1e-3).all()
    assert torch.allclose(RealNVP(5)(z)[0], z)


def test_its_density_integrates_to_one():
    flow = stirred(2)
    axis = torch.linspace(-12, 12, 481)
    grid = torch.cartesian_prod(axis, axis)
    u, log_det = flow(grid)
    density = torch.exp(-0.5 * (u**2).sum(1) - torch.log(torch.tensor(2 * torch.pi)) + log_det)
    assert density.sum().item() * (24 / 480) ** 2 == pytest.approx(1, abs=0.02)
