"""Every family small enough for tests: hyper-parameters that set a size get a small one, wherever a family has them."""

import inspect
from typing import Any, get_type_hints

from calco.estimator import Estimator

SMALL: dict[str, Any] = {"latent": 3, "hidden": 3, "burn_in": 5, "thin": 2, "betas": 60, "width": 8}


def sizes(cls: type[Estimator]) -> dict[str, Any]:
    """The small sizes that this family has."""
    hints, given = get_type_hints(cls.__init__), inspect.signature(cls.__init__).parameters
    several = {name for name in given if hints.get(name) == tuple[int, ...]}
    return {name: (size, size) if name in several else size for name, size in SMALL.items() if name in given}


def small(cls: type[Estimator], **changes: Any) -> Estimator:
    """A small estimator of this family, with changes."""
    return cls(**sizes(cls) | changes)
