"""Swing up a pendulum by planning with a model that has seen nothing but random play (needs gymnasium)."""

import gymnasium
import numpy as np
import pandas as pd

import calco

CHANNELS = ["cos", "sin", "speed", "torque"]
"""What is logged of each moment; the torque is the one that led to it."""
WINDOW = 16
"""Moments of a window: plans look 15 ahead, three quarters of a second."""


def play(choose, seed):
    """An episode of 200 steps: its return, and its log. `choose` is given what was logged last and gives a torque, -2 to 2."""
    world = gymnasium.make("Pendulum-v1")
    seen, _ = world.reset(seed=seed)
    log, total, over = [[*seen, 0.0]], 0.0, False
    while not over:
        torque = float(choose(np.array(log[-1])))
        seen, reward, _, over, _ = world.step(np.array([torque], np.float32))
        log.append([*seen, torque])
        total += float(reward)
    return total, pd.DataFrame(log, columns=CHANNELS)


class Random:
    """Torques drawn evenly, each held for 1 to 12 steps."""

    def __init__(self, seed=0):
        self.rng, self.left, self.torque = np.random.default_rng(seed), 0, 0.0

    def __call__(self, now):
        """The next torque."""
        if not self.left:
            self.left, self.torque = self.rng.integers(1, 13), self.rng.uniform(-2, 2)
        self.left -= 1
        return self.torque


def reward(futures, actions):
    """What the world gives for these futures: little for being away from upright, for moving and for effort."""
    angle = np.arctan2(futures[..., 1], futures[..., 0])
    return -(angle**2 + 0.1 * futures[..., 2] ** 2 + 0.001 * actions[..., 0] ** 2).sum(1)


class Planned:
    """The first torque of the best plan, made anew at every step around what is left of the last one."""

    def __init__(self, model, **options):
        self.model, self.options, self.plan, self.steps = model, options, np.zeros((WINDOW - 1, 1)), 0

    def __call__(self, now):
        """The next torque."""
        start = np.vstack((self.plan[1:], [[0.0]]))
        self.steps += 1
        options = {"low": -2, "high": 2, "start": start, "seed": self.steps, **self.options}  # other noise at each step
        self.plan = calco.plan(self.model, now[None], reward, WINDOW - 1, **options)
        return self.plan[0, 0]


def learned(episodes=200, seed=0, **options):
    """A model of windows of random play."""
    logs = [play(Random(seed + i), seed=10_000 + seed + i)[1] for i in range(episodes)]
    source = calco.series(logs, window=WINDOW, actions=("torque",))
    return calco.Diffusion(**{"width": 128, "told": 0.9, "stages": 8, **options}).fit(source)


if __name__ == "__main__":
    model = learned(training={"steps": 4000, "batch_size": 256})
    told = "random play {:.0f}, planned {:.0f} (upright throughout: 0)"
    print(told.format(play(Random(), seed=0)[0], play(Planned(model, candidates=128, rounds=3), seed=0)[0]))
