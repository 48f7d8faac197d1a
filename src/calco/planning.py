"""Planning: which actions to take, by what a model says that they lead to.

The model is asked, never the world: candidates are simulated from the history on, and rewarded by a function of what follows.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from calco.errors import RequestError, one_of
from calco.maths import noise

Reward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From futures (n, horizon, channels) and actions (n, horizon, actions) to their worth, (n,): higher is better."""


class Simulates(Protocol):
    """Whatever can be planned with: a fitted estimator of series, or a simulator of one's own."""

    def simulate(self, history: Any, steps: int, *, paths: int = 100, actions: Any = None, seed: int = 0) -> np.ndarray:
        """Futures (paths, steps, channels) of a history under the actions (paths, steps, actions)."""
        ...


def plan(
    model: Simulates,
    history: Any,
    reward: Reward,
    horizon: int,
    *,
    low: Any,
    high: Any,
    method: Literal["cem", "shooting"] = "cem",
    candidates: int = 256,
    rounds: int = 4,
    elite: float = 0.1,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The best sequence of actions that was found.

    Args:
        model: simulates futures given actions.
        history: the past, as `simulate` takes it.
        reward: of futures and actions.
        horizon: moments ahead.
        low: least value of each action, (actions,) or a number for one action.
        high: greatest value of each action.
        method: cem, the cross-entropy method (Rubinstein 1999), draws around the best of the round before; shooting draws
            evenly, once.
        candidates: sequences that are tried in a round.
        rounds: of the cross-entropy method.
        elite: share of the candidates that are the best of a round.
        start: a sequence to begin the search around, (horizon, actions): what is left of the plan before, for instance.
        seed: same seed, same plan.

    Returns:
        Actions (horizon, actions).

    Raises:
        RequestError: an argument is not possible, or the reward does not give a number for each future.
    """
    low, high = np.atleast_1d(np.asarray(low, np.float64)), np.atleast_1d(np.asarray(high, np.float64))
    if method not in ("cem", "shooting"):
        raise one_of("method", method, ("cem", "shooting"))
    if low.shape != high.shape or not (low < high).all() or not np.isfinite([low, high]).all():
        raise RequestError(f"The actions lie between {low} and {high}: give a least and a greater value for each.")
    if horizon < 1 or candidates < 2 or rounds < 1 or not 0 < elite < 1:
        raise RequestError("horizon and rounds must be at least 1, candidates 2, and elite a share between 0 and 1.")
    rng, best = np.random.default_rng(seed), max(2, round(elite * candidates))
    middle = np.tile((low + high) / 2, (horizon, 1)) if start is None else np.asarray(start, np.float64)
    spread = np.tile((high - low) / 2, (horizon, 1))
    found, worth = middle, -np.inf
    for i in range(1 if method == "shooting" else rounds):
        if method == "shooting":
            actions = rng.uniform(low, high, (candidates, horizon, len(low)))
        else:
            actions = np.clip(middle + spread * rng.normal(size=(candidates, horizon, len(low))), low, high)
            actions[0] = middle
        futures = model.simulate(history, horizon, paths=candidates, actions=actions, seed=noise.mix(seed, i))
        values = np.asarray(reward(futures, actions), np.float64)
        if values.shape != (candidates,) or not np.isfinite(values).all():
            raise RequestError(f"The reward gave shape {values.shape}, or no finite numbers: it must give ({candidates},).")
        order = values.argsort()[::-1]
        if values[order[0]] > worth:
            found, worth = actions[order[0]], values[order[0]]
        middle, spread = actions[order[:best]].mean(0), actions[order[:best]].std(0)
    return found if method == "shooting" else np.clip(middle, low, high)
