"""Planning on gymnasium's Pendulum: how far a model of random play comes on the way from random to true-dynamics planning.

    python -m benchmarks.planning    # learns for some minutes, then plays EPISODES

Both planners are one: the same search, horizon and candidates; one asks the model that was learned, the other the world's own
equations.
"""

import time
from typing import Any

import numpy as np

from benchmarks.record import commit, save
from examples.pendulum import Planned, Random, learned, play

EPISODES = 10
RECIPE: dict[str, Any] = {"training": {"steps": 8000, "batch_size": 256}}
SEARCH: dict[str, Any] = {"candidates": 128, "rounds": 3}


class Truth:
    """The equations of Pendulum-v1."""

    def simulate(self, history, steps, *, paths=100, actions=None, seed=0):
        """Futures (paths, steps, 4) of a history under actions (paths, steps, 1)."""
        cos, sin, speed = np.tile(np.asarray(history)[-1, :3], (paths, 1)).T
        angle, found = np.arctan2(sin, cos), []
        for torque in np.clip(np.asarray(actions)[..., 0], -2, 2).T[:steps]:
            speed = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
            angle = angle + speed * 0.05
            found.append(np.stack((np.cos(angle), np.sin(angle), speed, torque), 1))
        return np.stack(found, 1)


def main() -> None:
    measured_at = commit()
    began = time.perf_counter()
    model = learned(**RECIPE)
    minutes = (time.perf_counter() - began) / 60
    returns: dict[str, list[float]] = {"random": [], "the model": [], "the truth": []}
    for seed in range(EPISODES):
        for name, choose in (
            ("random", Random(seed)),
            ("the model", Planned(model, **SEARCH)),
            ("the truth", Planned(Truth(), **SEARCH)),
        ):
            returns[name].append(play(choose, seed)[0])
        print(seed, {name: round(values[-1]) for name, values in returns.items()}, flush=True)
    low, found, high = (np.array(values) for values in returns.values())
    means = ", ".join(f"{name} {np.mean(values):.0f}" for name, values in returns.items())
    draws = np.random.default_rng(0).integers(0, EPISODES, (2000, EPISODES))
    spread = [(found[d].mean() - low[d].mean()) / (high[d].mean() - low[d].mean()) for d in draws]
    figure = {
        "what": "planning on Pendulum: share of the way from random to true-dynamics planning",
        "value": float((found.mean() - low.mean()) / (high.mean() - low.mean())),
        "error": float(np.std(spread)),
        "unit": "share",
        "better": "higher",
        "at_least": 0.6,
        "reach_for": 0.9,
        "protocol": f"200 episodes of random play, {minutes:.1f} minutes of training; {EPISODES} episodes of 200 steps from"
        f" other seeds, mean return of {means}; the error is that of the bootstrap over episodes",
    }
    save("planning_pendulum", [figure], measured_at, recipe={**RECIPE, **SEARCH})


if __name__ == "__main__":
    main()
