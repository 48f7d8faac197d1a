"""Planning on a world whose best plan is known."""

import numpy as np
import pytest

import calco
from calco.errors import RequestError
from examples import pendulum


class Line:
    """A point on a line that moves as it is told: the channels are its place and its move."""

    def simulate(self, history, steps, *, paths=100, actions=None, seed=0):
        assert actions is not None
        place = np.asarray(history)[-1, 0] + np.cumsum(actions[..., 0], 1)
        return np.stack((place, actions[..., 0]), 2)


def close_to_three(futures, actions):
    return -((futures[..., 0] - 3) ** 2).sum(1)


@pytest.mark.parametrize(("method", "least"), [("cem", -5.2), ("shooting", -9.0)])
def test_the_best_plan_is_found(method, least):
    """From 0, by at most 1 a move: 1, 1, 1 and then nothing, worth -(4 + 1)."""
    found = calco.plan(Line(), [[0.0, 0.0]], close_to_three, 5, low=-1, high=1, method=method, rounds=8)
    assert found.shape == (5, 1)
    assert abs(found).max() <= 1
    worth = close_to_three(Line().simulate([[0.0, 0.0]], 5, actions=found[None]), found[None])[0]
    assert least < worth <= -5 + 1e-9
    again = calco.plan(Line(), [[0.0, 0.0]], close_to_three, 5, low=-1, high=1, method=method, rounds=8)
    assert np.array_equal(found, again)


@pytest.mark.long
def test_a_model_of_random_play_swings_up_a_pendulum():
    """Upright throughout is 0, random play some -1,200; well trained it comes to -130 from here."""
    training = {"steps": 2000, "batch_size": 128, "ema": 0.99, "lr": 3e-3}
    model = pendulum.learned(100, depth=2, spectral=0.0, stages=6, training=training)
    planned = pendulum.play(pendulum.Planned(model, candidates=64, rounds=2), seed=0)[0]
    assert planned > -800
    assert np.mean([pendulum.play(pendulum.Random(seed), seed=seed)[0] for seed in range(5)]) < -950


def test_a_good_start_is_not_lost():
    start = np.array([[1.0], [1], [1], [0], [0]])
    options = {"low": -1, "high": 1, "candidates": 10, "rounds": 1, "start": start}
    found = calco.plan(Line(), [[0.0, 0.0]], close_to_three, 5, **options)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 1, "high": 1}, "a least and a greater"),
        ({"low": [-1, -1], "high": 1}, "a least and a greater"),
        ({"low": -1, "high": np.inf}, "a least and a greater"),
        ({"method": "magic"}, "choose from cem, shooting"),
        ({"candidates": 1}, "must be at least"),
        ({"elite": 1.0}, "must be at least"),
    ],
)
def test_impossible_plans_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        calco.plan(Line(), [[0.0, 0.0]], close_to_three, 3, **{"low": -1, "high": 1, **options})


def test_rewards_must_be_a_number_a_future():
    with pytest.raises(RequestError, match="The reward gave shape"):
        calco.plan(Line(), [[0.0, 0.0]], lambda futures, actions: 1.0, 3, low=-1, high=1)
