"""Nets: shapes for every size, gradients everywhere, one example's output its own."""

import pytest
import torch

from calco.errors import RequestError
from calco.nets.conv import ConvDecoder, ConvEncoder, ResidualBlock, halvings, shuffle
from calco.nets.mixture import GaussianMixture
from calco.nets.mlp import MLP
from calco.nets.pairs import chosen_net, make_autoencoder_nets
from calco.nets.patches import PatchDecoder, PatchEncoder, grids
from calco.nets.recurrent import RecurrentDecoder, RecurrentEncoder

SIZES = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 1, 1), (2, 5, 9), (3, 33, 47), (4, 17, 100)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("pair", [(ConvEncoder, ConvDecoder), (PatchEncoder, PatchDecoder)])
def test_conv_nets_take_any_size_and_learn_everywhere(shape, pair):
    encoder, decoder = pair[0](shape, 6, width=4), pair[1](6, shape, width=4)
    out = decoder(encoder(torch.randn(2, *shape)))
    assert out.shape == (2, *shape)
    out.square().sum().backward()
    silent = [n for net in (encoder, decoder) for n, p in net.named_parameters() if p.grad is None]
    assert silent == []


@pytest.mark.parametrize("shape", [(3, 24), (1, 7), (28, 100), (2, 5, 6, 9)])
def test_conv_nets_take_series_and_volumes(shape):
    encoder, decoder = ConvEncoder(shape, 6, width=4, dropout=0.1), ConvDecoder(6, shape, width=4)
    out = decoder(encoder(torch.randn(2, *shape)))
    assert out.shape == (2, *shape)
    out.square().sum().backward()
    assert all(p.grad is not None for net in (encoder, decoder) for p in net.parameters())


def test_channels_are_shuffled_into_sides_as_torch_does_for_images():
    x = torch.randn(2, 12, 4, 5)
    assert torch.equal(shuffle(x), torch.nn.functional.pixel_shuffle(x, 2))
    assert shuffle(torch.arange(8.0).view(1, 4, 2)).tolist() == [[[0, 2, 1, 3], [4, 6, 5, 7]]]


@pytest.mark.parametrize("depth", [1, 2])
def test_recurrent_nets_read_and_write_series(depth):
    encoder, decoder = RecurrentEncoder((3, 11), 5, width=4, depth=depth), RecurrentDecoder(5, (3, 11), width=4, depth=depth)
    x = torch.randn(2, 3, 11, requires_grad=True)
    out = decoder(encoder(x))
    assert out.shape == x.shape
    (slope,) = torch.autograd.grad(encoder(x).sum(), x, create_graph=True)
    slope.square().sum().backward()  # penalties on slopes need it
    turned = encoder(x.flip(2))
    assert not torch.allclose(turned, encoder(x), atol=1e-3)  # order counts


def test_nets_are_chosen_by_the_kind_of_example():
    assert [chosen_net("auto", shape) for shape in ((5,), (3, 24), (1, 8, 8))] == ["mlp", "conv", "conv"]
    for net, shape in (("conv", (5,)), ("recurrent", (1, 8, 8)), ("recurrent", (5,))):
        with pytest.raises(RequestError, match=f"'{net}' is not for"):
            chosen_net(net, shape)


def test_sides_are_halved_rounding_up():
    assert halvings((28, 28)) == [(28, 28), (14, 14), (7, 7)]
    assert halvings((33, 47)) == [(33, 47), (17, 24), (9, 12), (5, 6)]
    assert halvings((8, 8)) == [(8, 8), (4, 4)]


def test_patches_bring_grids_to_at_most_eight():
    assert grids((28, 28)) == [(7, 7)]
    assert grids((8, 8)) == [(8, 8)]
    assert grids((20, 13)) == [(10, 7)]
    assert grids((64, 65)) == [(16, 17), (8, 9)]


def test_a_new_residual_block_is_the_identity():
    x = torch.randn(2, 4, 5, 5)
    block = ResidualBlock(4)
    torch.nn.init.zeros_(block.second.bias)
    assert torch.equal(block(x), x)


def test_an_examples_output_depends_on_it_alone():
    encoder, x = ConvEncoder((1, 9, 9), 3, width=4), torch.randn(4, 1, 9, 9)
    assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-6)


def test_mlp_is_what_its_layers_compute():
    net, x = MLP(3, [5], (2, 1, 2), "tanh"), torch.randn(4, 3)
    first, last = (layer for layer in net if isinstance(layer, torch.nn.Linear))
    for layer in (first, last):
        torch.nn.init.normal_(layer.bias)
    expected = torch.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(net(x), expected.reshape(4, 2, 1, 2), atol=1e-6)


def test_signals_pass_a_deep_mlp_without_fading():
    out = MLP(200, [200] * 6, 200, "tanh")(0.1 * torch.randn(500, 200))
    assert 0.03 < out.std().item() < 0.3


def test_bad_names_and_bad_shapes_are_named():
    with pytest.raises(RequestError, match=r"Did you mean 'relu'"):
        MLP(3, [4], 2, "rlu")
    with pytest.raises(RequestError, match="'conv' is not for vectors"):
        make_autoencoder_nets((5,), (5,), code_out=2, code_in=2, net="conv")


@pytest.mark.usefixtures("float64")
def test_mixture_density_against_torch_and_its_own_draws():
    torch.manual_seed(0)
    codes = torch.cat((torch.randn(500, 2) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]]) + 4, 0.5 * torch.randn(300, 2)))
    mixture = GaussianMixture(2, components=2)
    mixture.fit(codes)
    normals = torch.distributions.MultivariateNormal(mixture.means, scale_tril=mixture.factors)
    reference = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weights), normals)
    assert torch.allclose(mixture(codes), reference.log_prob(codes))
    draws = mixture.sample(20_000)
    assert torch.allclose(draws.mean(0), codes.mean(0), atol=0.1)
    assert torch.allclose(draws.T.cov(), codes.T.cov(), atol=0.2)
    assert mixture(codes).mean() > GaussianMixture(2)(codes).mean() + 1


def test_a_mixture_is_as_exact_far_from_the_origin():
    torch.manual_seed(0)
    codes = torch.randn(500, 2, dtype=torch.float64)
    near, far = GaussianMixture(2), GaussianMixture(2)
    near.fit(codes)
    far.fit(codes + 2.0**20)
    assert torch.allclose(far.factors, near.factors, atol=1e-4)
    assert torch.allclose(far.means - 2.0**20, near.means, atol=0.1)
