"""Upsampling operators against their definitions, their adjoints and worked numbers."""

import math

import pytest
import torch
from torch.nn import functional as F

from calco.nets.upsampling import (
    UPSAMPLINGS,
    bed_of_nails,
    interpolating,
    linear,
    max_pooling,
    max_unpooling,
    nearest,
    shuffled,
    tent,
)

pytestmark = pytest.mark.usefixtures("float64")

SIDES = {1: (11,), 2: (7, 10), 3: (5, 4, 7)}
SMALL = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)


def example(dims, channels=3, n=2):
    return torch.randn(n, channels, *SIDES[dims])


def inner(a, b):
    return float((a * b).sum())


def test_nearest_and_bed_of_nails_by_hand():
    assert nearest(SMALL, 2)[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert bed_of_nails(SMALL, 2)[0, 0].tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3])
def test_nearest_and_bed_of_nails_are_adjoints(dims, factor):
    x = example(dims)
    u = torch.randn_like(nearest(x, factor))
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[dims]
    assert math.isclose(inner(nearest(x, factor), u), inner(x, factor**dims * pool(u, factor)), rel_tol=1e-10)
    strided = u[(..., *(slice(None, None, factor) for _ in range(dims)))]
    assert math.isclose(inner(bed_of_nails(x, factor), u), inner(x, strided), rel_tol=1e-10)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 2, 1, 1), (4, 2, 1, 1), (5, 3, 2, 1), (3, 2, 1, 2)])
def test_transpose_convolution_is_the_adjoint_of_convolution(kernel, stride, padding, dilation):
    x, weight = torch.randn(1, 3, 17, 17), torch.randn(4, 3, kernel, kernel)
    u = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
    u = torch.randn_like(u)
    extra = (17 + 2 * padding - dilation * (kernel - 1) - 1) % stride
    back = F.conv_transpose2d(u, weight, stride=stride, padding=padding, dilation=dilation, output_padding=extra)
    assert back.shape == x.shape
    forth = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
    assert math.isclose(inner(forth, u), inner(x, back), rel_tol=1e-9)


def test_a_transpose_convolution_copies_its_filter_weighted_by_the_input():
    x, weight = torch.tensor([[[2.0, 3.0]]]), torch.tensor([[[5.0, 7.0, 11.0]]])
    x, weight = x.double(), weight.double()
    assert F.conv_transpose1d(x, weight, stride=2)[0, 0].tolist() == [10, 14, 37, 21, 33]
    # torch's padding and output padding of 1 drop the first place.
    assert F.conv_transpose1d(x, weight, stride=2, padding=1, output_padding=1)[0, 0].tolist() == [14, 37, 21, 33]
    full = F.conv1d(bed_of_nails(x, 2)[..., :3], weight.flip(2), padding=2)
    assert torch.allclose(full, F.conv_transpose1d(x, weight, stride=2))


COVER = {
    (2, 2): [1, 1],
    (3, 2): [2, 1],
    (3, 3): [1, 1, 1],
    (4, 2): [2, 2],
    (5, 2): [3, 2],
    (5, 3): [2, 2, 1],
    (6, 3): [2, 2, 2],
    (7, 2): [4, 3],
    (9, 4): [3, 2, 2, 2],
}


@pytest.mark.parametrize(("kernel", "stride"), COVER)
def test_how_often_filters_overlap(kernel, stride):
    counts = F.conv_transpose1d(torch.ones(1, 1, 12), torch.ones(1, 1, kernel), stride=stride)[0, 0]
    assert counts[4 * stride : 5 * stride].tolist() == COVER[kernel, stride]


@pytest.mark.parametrize(
    ("kernel", "weights"),
    [
        (2, [1 / 2, 1 / 2]),
        (3, [1 / 2, 1, 1 / 2]),
        (4, [1 / 4, 3 / 4, 3 / 4, 1 / 4]),
        (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
        (6, [1 / 6, 1 / 2, 5 / 6, 5 / 6, 1 / 2, 1 / 6]),
        (8, [1 / 8, 3 / 8, 5 / 8, 7 / 8, 7 / 8, 5 / 8, 3 / 8, 1 / 8]),
    ],
)
def test_tents(kernel, weights):
    assert torch.allclose(tent(kernel), torch.tensor(weights))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_an_interpolating_weight_keeps_channels_apart(dims):
    weight = interpolating(3, dims, 4)
    for i in range(3):
        for j in range(3):
            assert torch.allclose(weight[i, j].sum(), torch.tensor(2.0**dims if i == j else 0.0))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_transpose_convolution_starts_as_interpolation(dims, factor):
    x = example(dims)
    operator = UPSAMPLINGS["transpose"](3, dims, factor)
    size = [factor * side for side in SIDES[dims]]
    found, expected = operator(x, size), linear(x, factor)
    inside = (..., *(slice(factor, -factor) for _ in range(dims)))
    assert torch.allclose(found[inside], expected[inside])
    assert not torch.allclose(found, expected)  # zeros, not the last value, lie beyond the border


def test_interpolation_at_the_border():
    x = torch.arange(4.0)[None, None]
    between = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert linear(x, 2)[0, 0].tolist() == [*between, 3]
    assert torch.allclose(UPSAMPLINGS["transpose"](1, 1)(x, (8,))[0, 0], torch.tensor([*between, 2.25]))


def test_of_equal_values_the_first_has_the_switch():
    assert max_pooling(torch.ones(1, 1, 4, 4), 2)[1][0, 0].tolist() == [[0, 2], [8, 10]]


def test_odd_sides_come_back_to_their_places():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 1, 2], x[0, 0, 4, 4] = 3.0, 2.0
    pooled, switches = max_pooling(x, 2)
    assert pooled.shape == (1, 1, 3, 3)
    assert int(switches[0, 0, 0, 1]) == 7
    assert torch.equal(max_unpooling(pooled, switches, (5, 5)), x)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3])
def test_unpooling_undoes_pooling(dims, factor):
    x, sides = example(dims), SIDES[dims]
    pooled, switches = max_pooling(x, factor)
    assert pooled.shape[2:] == tuple(-(-side // factor) for side in sides)
    spread = max_unpooling(pooled, switches, sides)
    assert torch.equal(spread[spread != 0].sort().values, pooled.flatten().sort().values)
    assert torch.equal(spread[spread != 0], x[spread != 0])
    y = torch.randn_like(pooled)
    even = all(side % factor != 1 for side in sides)  # a last block of one place cannot hide its value behind a zero
    if even:
        assert torch.equal(max_pooling(max_unpooling(y, switches, sides), factor)[0], y.clamp_min(0))
    u = torch.randn_like(x)
    read = u.flatten(2).gather(2, switches.flatten(2)).view_as(y)
    assert math.isclose(inner(max_unpooling(y, switches, sides), u), inner(y, read), rel_tol=1e-10)


def test_where_blocks_overlap_values_add_and_gradients_are_right():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1.0
    pooled, switches = max_pooling(x, 2, kernel=3)
    assert switches.flatten().tolist() == [12] * 4
    assert float(max_unpooling(pooled, switches, (5, 5))[0, 0, 2, 2]) == 4.0
    assert torch.autograd.gradcheck(lambda y: max_unpooling(y, switches, (5, 5)), (pooled.requires_grad_(),))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_shuffling_deals_groups_of_channels_out(dims):
    x = torch.randn(2, 3 * 2**dims, *SIDES[dims])
    out = shuffled(x, 2)
    assert out.shape == (2, 3, *(2 * side for side in SIDES[dims]))
    for place in range(2**dims):
        offset = [place >> (dims - 1 - i) & 1 for i in range(dims)]
        assert torch.equal(out[(..., *(slice(o, None, 2) for o in offset))], x[:, place :: 2**dims])


@pytest.mark.parametrize("name", UPSAMPLINGS)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3])
def test_every_operator_gives_the_size_asked_for_by_one_call(name, dims, factor):
    large = example(dims)
    small, switches = max_pooling(large, factor)
    operator = UPSAMPLINGS[name](3, dims, factor)
    out = operator(small, SIDES[dims], switches)
    assert out.shape == large.shape
    assert torch.isfinite(out).all()
    constant = operator(torch.ones_like(small), SIDES[dims], switches)
    if name in ("nearest", "transpose", "bilinear"):
        inside = (..., *(slice(factor, -factor) for _ in range(dims)))
        assert torch.allclose(constant[inside], torch.ones(()))
    if name == "pixel_shuffle":  # one value a block to begin with
        copies = nearest(operator.full(small)[(..., *(slice(None, None, factor) for _ in range(dims)))], factor)
        assert torch.allclose(out, copies[(..., *(slice(side) for side in SIDES[dims]))])


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_gradients_by_finite_differences(name):
    x = torch.randn(1, 2, 5, 3)
    small, switches = max_pooling(x, 2)
    operator = UPSAMPLINGS[name](2, 2)

    def run(small, *parameters):
        return torch.func.functional_call(operator, dict(zip(names, parameters, strict=True)), (small, (5, 3), switches))

    names = [n for n, _ in operator.named_parameters()]
    inputs = (small.detach().requires_grad_(), *(p.detach().double().requires_grad_() for p in operator.parameters()))
    assert torch.autograd.gradcheck(run, inputs)


def test_max_unpooling_asks_for_switches():
    with pytest.raises(ValueError, match="switches of that shape"):
        UPSAMPLINGS["max_unpooling"](2, 2)(torch.ones(1, 2, 3, 3), (6, 6))
