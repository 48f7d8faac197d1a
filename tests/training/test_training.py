"""Settings, order and steps."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from calco.contract import Batch, Model, Turn
from calco.data import ArraySource, Subset, infer_schema
from calco.errors import RequestError
from calco.training import Training, train
from calco.training.hardware import make_optimizer, precision
from calco.training.order import Order


def test_every_epoch_sees_every_example_once_and_no_batch_is_short():
    order = Order(10, 4, seed=3)
    rows = np.concatenate([order.rows(step) for step in range(10)])
    assert all(len(order.rows(step)) == 4 for step in range(10))
    epochs = rows.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert np.array_equal(Order(10, 4, seed=3).rows(7), rows[28:32])  # no step needs those before it
    assert not np.array_equal(Order(10, 4, seed=4).rows(0), rows[:4])


def test_batches_larger_than_the_data():
    assert sorted(np.bincount(Order(3, 7, 0).rows(0))) == [2, 2, 3]
    assert sorted(np.bincount(np.concatenate([Order(3, 7, 0).rows(step) for step in range(3)]))) == [7, 7, 7]
    assert np.bincount(Order(3, 6, 0).rows(5)).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.5, 1, 1, 1]), ("linear", [0.5, 0.9, 0.5, 0.1]), ("cosine", [0.5, None, 0.5, None])],
)
def test_the_learning_rate_rises_and_falls(schedule, expected):
    training = Training(steps=10, lr=1.0, lr_warmup=2, schedule=schedule)
    found = [training.lr_at(step) for step in (0, 1, 5, 9)]
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted)
    assert Training(steps=10, lr=1.0, lr_warmup=0).lr_at(9) == pytest.approx(0.5 * (1 + math.cos(0.9 * math.pi)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 1.5}, "steps is 1.5: it must be a finite int"),
        ({"steps": True}, "steps is True"),
        ({"lr": float("nan")}, "finite float"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"ema": 1.0}, "below 1"),
        ({"compile": "yes"}, "a yes or no"),
        ({"trackers": "tensorboard"}, "a tuple of names"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(RequestError, match=words):
        Training(**settings)


class Mean(Model):
    """Learns the mean of the data: loss (x - m)^2 / 2, gradient m - mean(x)."""

    def __init__(self, start=0.0):
        super().__init__()
        self.point = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.point.weight, start)

    def turns(self, batch):
        m = self.point(torch.ones(1, 1, device=batch.x.device))
        yield Turn("model", 0.5 * (batch.x - m).square().mean(), {})

    def held_out(self, batch):
        return 0.5 * (batch.x - self.point(torch.ones(1, 1))).square().mean()


def fitted(settings, x=None, held=None, **more):
    x = np.array([[0.0], [1.0], [0.0], [1.0]]) if x is None else x
    source = ArraySource(x)
    model = Mean()
    lines = []
    base = {"precision": "fp32", "device": "cpu", "optimizer": "sgd", "schedule": "constant", "lr_warmup": 0, "log_every": 1}
    train(model, source, infer_schema(source), Training(**{**base, **settings}), report=lines.append, held=held, **more)
    return model.point.weight.item(), lines


def test_plain_gradient_descent_is_followed_exactly():
    # Binary data stay 0 and 1; each batch is the whole set; the mean is 0.5. SGD has momentum 0.9.
    weight, lines = fitted({"steps": 3, "batch_size": 4, "lr": 0.1})
    w, v = 0.0, 0.0
    for line in lines:
        assert line["loss"] == pytest.approx(0.5 * (0.5 * w**2 + 0.5 * (1 - w) ** 2))
        v = 0.9 * v + (w - 0.5)
        w -= 0.1 * v
    assert weight == pytest.approx(w)


def test_clipping_bounds_the_step():
    weight, _ = fitted({"steps": 1, "batch_size": 4, "lr": 1.0, "clip": 0.01})
    assert weight == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_weights_decay_and_biases_do_not(name):
    net = torch.nn.Linear(2, 3)
    torch.nn.init.ones_(net.bias)
    before = {key: value.detach().clone() for key, value in net.named_parameters()}
    optimizer = make_optimizer([net], Training(lr=1e-3, momentum=0.0, weight_decay=0.5, optimizer=name))
    (0.0 * sum(p.sum() for p in net.parameters())).backward()
    optimizer.step()
    assert torch.equal(net.bias, before["bias"])
    assert (net.weight.abs() < before["weight"].abs()).all()


def test_the_average_of_the_weights_is_the_recursion():
    weight, _ = fitted({"steps": 4, "batch_size": 4, "lr": 0.1, "ema": 0.9})
    path = [fitted({"steps": k, "batch_size": 4, "lr": 0.1})[0] for k in (1, 2, 3, 4)]
    average = path[0]  # the first average is the first weights
    for count, value in enumerate(path[1:], start=1):
        decay = min(0.9, (1 + count) / (10 + count))
        average = decay * average + (1 - decay) * value
    assert weight == pytest.approx(average)


def test_held_out_data_are_measured_by_the_averaged_weights():
    held = ArraySource(np.array([[0.0], [1.0], [1.0]]))
    settings = {"steps": 4, "batch_size": 4, "lr": 0.5, "evaluations": 4}
    for ema in (0.0, 0.9):
        averages = [fitted({**settings, "steps": k, "ema": ema})[0] for k in (1, 2, 3, 4)]
        lines = fitted({**settings, "ema": ema}, held=held)[1]
        found = [line["held_out"] for line in lines if "held_out" in line]
        assert found == pytest.approx([(0.5 * w**2 + (1 - w) ** 2) / 3 for w in averages], rel=1e-5)


def test_accumulated_parts_are_one_step():
    x = np.arange(8.0).reshape(8, 1)
    assert fitted({"steps": 5, "batch_size": 4, "lr": 0.1}, x)[0] == pytest.approx(
        fitted({"steps": 5, "batch_size": 4, "lr": 0.1, "accumulate": 4}, x)[0], rel=1e-5
    )


def test_a_slow_source_gives_the_same_run():
    x = np.random.default_rng(0).normal(size=(20, 1))
    slow = ArraySource(x)
    slow.slow = True
    results = []
    for source in (ArraySource(x), slow, Subset(slow, np.arange(20))):
        model = Mean()
        settings = Training(steps=7, batch_size=4, precision="fp32", device="cpu", lr=0.1)
        train(model, source, infer_schema(source), settings)
        results.append(model.point.weight.item())
    assert results[0] == results[1] == results[2]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_nets_give_the_same_run():
    settings = {"steps": 3, "batch_size": 4, "lr": 0.1}
    assert fitted({**settings, "compile": True})[0] == pytest.approx(fitted(settings)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("capable", "kind"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ],
)
def test_bf16_is_chosen_where_it_is_faster(monkeypatch, capable, kind):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable)
    assert precision(Training(device="cpu")) == kind


def test_a_second_training_of_the_same_nets_keeps_its_precision():
    seen = []

    class Watched(nn.Linear):
        def forward(self, input):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(input)

    class Scaled(Model):
        def __init__(self):
            super().__init__()
            self.net = Watched(2, 1)

        def turns(self, batch):
            yield Turn("model", self.net(batch.x).square().mean(), {})

    model, source = Scaled(), ArraySource(np.arange(8.0).reshape(4, 2))
    for kind in ("bf16", "fp32", "bf16"):
        train(model, source, infer_schema(source), Training(steps=2, batch_size=2, precision=kind))
    assert seen == [True, True, False, False, True, True]


def test_a_turn_casts_its_weights_once_and_still_reaches_them():
    casts = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten._to_copy.default and args[0].shape == (3, 2):
                casts.append(func)
            return func(*args, **(kwargs or {}))

    class Thrice(Model):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 3, bias=False)

        def turns(self, batch):
            with Watch():
                with torch.no_grad():
                    self.net(batch.x)
                loss = self.net(batch.x).square().mean() + self.net(-batch.x).square().mean()
            yield Turn("model", loss, {})

    model, source = Thrice(), ArraySource(np.arange(1.0, 9.0).reshape(4, 2))
    before = model.net.weight.detach().clone()
    train(model, source, infer_schema(source), Training(steps=2, batch_size=2, precision="bf16"))
    assert len(casts) == 2  # one a step
    assert (model.net.weight != before).all()


class Two(Model):
    """Two players in one step; the second sees the first after its move."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.a.weight, 1.0)
        nn.init.constant_(self.b.weight, 1.0)
        self.seen = []

    def players(self):
        return {"first": [self.a], "second": [self.b]}

    def turns(self, batch: Batch):
        one = torch.ones(1, 1)
        yield Turn("first", self.a(one).sum(), {})
        self.seen.append(self.a(one).item())
        yield Turn("second", (self.a(one).detach() * self.b(one)).sum(), {})


def test_players_move_in_turn():
    source = ArraySource(np.arange(4.0).reshape(4, 1))
    model, lines = Two(), []
    settings = Training(
        steps=1, batch_size=2, optimizer="sgd", lr=0.25, schedule="constant", lr_warmup=0, precision="fp32", device="cpu"
    )
    train(model, source, infer_schema(source), settings, report=lines.append)
    assert model.seen == [0.75]
    assert model.b.weight.item() == pytest.approx(1 - 0.25 * 0.75)
    assert {"loss_first", "loss_second"} <= set(lines[0])
