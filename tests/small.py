"""Every family small enough for tests: hyper-parameters that set a size get a small one, wherever a family has them."""

import inspect
from typing import Any, get_type_hints

import numpy as np
import torch

from calco.contract import Batch, Model
from calco.estimator import Estimator

SMALL: dict[str, Any] = {
    "latent": 3,
    "hidden": 3,
    "burn_in": 5,
    "thin": 2,
    "betas": 60,
    "samples": 20,
    "features": 3,
    "width": 8,
    "stages": 4,
}


def sizes(cls: type[Estimator]) -> dict[str, Any]:
    """The small sizes that this family has."""
    hints, given = get_type_hints(cls.__init__), inspect.signature(cls.__init__).parameters
    several = {name for name in given if hints.get(name) == tuple[int, ...]}
    return {name: (size, size) if name in several else size for name, size in SMALL.items() if name in given}


def small(cls: type[Estimator], **changes: Any) -> Estimator:
    """A small estimator of this family, with changes."""
    return cls(**sizes(cls) | changes)


def learns_from(cls: type[Estimator]) -> str:
    """What this family learns from beside examples: masks, labels, or nothing."""
    tags = cls().__sklearn_tags__()
    if tags.estimator_type in ("classifier", "regressor"):
        return "labels"
    return "masks" if tags.target_tags.required else "nothing"


def needs_masks(cls: type[Estimator]) -> bool:
    """Whether this family learns from masks."""
    return learns_from(cls) == "masks"


def targets(cls: type[Estimator], x: np.ndarray) -> np.ndarray | None:
    """What a family needs to learn from: masks of what is bright, or whether an example is."""
    kind = learns_from(cls)
    if kind == "labels":
        means = x.reshape(len(x), -1).mean(1)
        return (means > np.median(means)).astype(int)
    grey = x.mean(-1) if x.ndim == 4 else x
    return (grey > grey.mean()).astype(int) if kind == "masks" else None


def fit(estimator: Estimator, x: np.ndarray, *, validation: np.ndarray | None = None, **options: Any) -> Estimator:
    """`estimator.fit` with the targets that its family needs."""
    return estimator.fit(x, targets(type(estimator), x), validation=paired(type(estimator), validation), **options)


def paired(cls: type[Estimator], x: np.ndarray | None) -> Any:
    """Examples with the targets that this family needs, in one."""
    return (x, targets(cls, x)) if x is not None and learns_from(cls) != "nothing" else x


def model_and_batch(estimator: Estimator, x: np.ndarray) -> tuple[Model, Batch]:
    """The model as training begins with it, and all examples in one batch."""
    source = estimator._open(x, targets(type(estimator), x), reset=True)
    schema = estimator.understood(source)
    estimator.gathered_ = estimator.gather(source, schema)
    model = estimator.build(schema)
    raw = estimator.fed(source, schema, model).take(np.arange(len(source)))
    batch = Batch(schema.encode(raw.x), None if raw.y is None else torch.from_numpy(raw.y))
    with torch.no_grad():
        model.begin([batch])
    return model, batch
