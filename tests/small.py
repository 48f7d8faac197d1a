"""Every family small enough for tests: hyper-parameters that set a size get a small one, wherever a family has them."""

import inspect
from typing import Any, get_type_hints

import numpy as np

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


def needs_masks(cls: type[Estimator]) -> bool:
    """Whether this family learns from targets."""
    return cls().__sklearn_tags__().target_tags.required


def targets(cls: type[Estimator], x: np.ndarray) -> np.ndarray | None:
    """Masks of two classes for images, where a family needs them: what is bright."""
    grey = x.mean(-1) if x.ndim == 4 else x
    return (grey > grey.mean()).astype(int) if needs_masks(cls) else None


def fit(estimator: Estimator, x: np.ndarray, *, validation: np.ndarray | None = None, **options: Any) -> Estimator:
    """`estimator.fit` with the masks that its family needs."""
    return estimator.fit(x, targets(type(estimator), x), validation=paired(type(estimator), validation), **options)


def paired(cls: type[Estimator], x: np.ndarray | None) -> Any:
    """Images with the masks that this family needs, in one."""
    return (x, targets(cls, x)) if x is not None and needs_masks(cls) else x
