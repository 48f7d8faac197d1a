"""The settings of training, shared by every family."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from calco.errors import RequestError, at_least, below_one, one_of


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained; each family has a default recipe.

    Raises:
        RequestError: a value is out of its range.
    """

    steps: int = 2000
    """Steps of the optimiser."""
    batch_size: int = 128
    """Examples per step, over all processes and accumulated parts."""
    lr: float = 1e-3
    """Learning rate at its highest."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the learning rate falls to the last step."""
    lr_end: float = 0.0
    """Share of the learning rate that is left at the last step."""
    lr_warmup: int = 100
    """Steps in which the learning rate rises from 0."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    """Adam and AdamW differ in how they apply the weight decay."""
    momentum: float = 0.9
    """Of SGD; of Adam the decay of the mean gradient, beta 1."""
    beta2: float = 0.999
    """Of Adam, the decay of the mean squared gradient."""
    weight_decay: float = 0.0
    """Pull of weights towards 0; biases and scales are free."""
    clip: float = 0.0
    """Largest norm of a player's gradient; 0 does not clip."""
    accumulate: int = 1
    """Parts that a batch is worked off in, to save memory; where they do not make the step of the whole, the run says so."""
    ema: float = 0.0
    """Decay of the moving average of the weights that the run ends with; 0 keeps the last weights."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the nets in training; auto takes bf16 where the hardware is faster in it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    compile: bool = False
    """Compile the nets with torch.compile: slower to start, often faster after."""
    seed: int = 0
    """Same seed, same run."""
    validation: float = 0.0
    """Share of the data held out to measure on, where no data are given for that."""
    evaluations: int = 20
    """Times in a run that the held-out data are measured."""
    patience: int = 0
    """Stop after this many evaluations without improvement and keep the best weights; 0 goes on to the end."""
    keep: Literal["last", "best"] = "last"
    """The weights that a run ends with: the last, or the best on the held-out data where there are such."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of the log."""
    trackers: tuple[str, ...] = ()
    """Where else to log, by Accelerate's names: tensorboard, wandb, mlflow, ..."""

    def __post_init__(self) -> None:
        hints = get_type_hints(Training)
        for field in dataclasses.fields(self):
            check_type(field.name, getattr(self, field.name), hints[field.name])
        at_least(self, 1, "steps", "batch_size", "accumulate", "evaluations", "checkpoint_every", "log_every")
        at_least(self, 0, "lr", "lr_warmup", "weight_decay", "clip", "patience")
        below_one(self, "ema", "validation", "momentum", "beta2", "lr_end")
        if self.batch_size % self.accumulate:
            raise RequestError(
                f"batch_size {self.batch_size} cannot be worked off in {self.accumulate} equal parts (accumulate)."
            )

    def changed(self, changes: "Training | Mapping[str, Any] | None") -> "Training":
        """These settings with some of them changed; a whole `Training` takes their place.

        Raises:
            RequestError: there is no such setting.
        """
        if isinstance(changes, Training):
            return changes
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes or {}:
            if name not in known:
                raise one_of("training setting", name, known)
        return dataclasses.replace(self, **dict(changes or {}))

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, 0 <= step < steps."""
        rise = min(1.0, (step + 1) / self.lr_warmup) if self.lr_warmup else 1.0
        done = step / self.steps
        fall = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
        return self.lr * rise * (self.lr_end + (1 - self.lr_end) * fall[self.schedule])

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON."""
        return dataclasses.asdict(self)


def check_type(name: str, value: object, hint: Any) -> None:
    """Check a setting against its annotation: a Literal, a number, a yes or no, a text, a tuple of numbers or names, or None.

    Raises:
        RequestError: it does not fit.
    """
    if get_origin(hint) is UnionType:
        if value is None and NoneType in get_args(hint):
            return
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        if any(isinstance(kind, type) and kind not in (bool, int, float) and isinstance(value, kind) for kind in kinds):
            return  # numbers have rules of their own below
        hint = kinds[0]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise one_of(name, value, get_args(hint))
        return
    if hint in (tuple[int, ...], tuple[float, ...]):
        kinds, word = ((int,), "whole") if hint == tuple[int, ...] else ((int, float), "finite")
        if not isinstance(value, (tuple, list)) or not all(type(v) in kinds and math.isfinite(v) for v in value):
            raise RequestError(f"{name} is {value!r}: it must be some {word} numbers.")
        return
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
            raise RequestError(f"{name} is {value!r}: it must be a tuple of names.")
        return
    if hint is str:
        if not isinstance(value, str):
            raise RequestError(f"{name} is {value!r}: it must be a name.")
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = isinstance(value, bool) if hint is bool else number and (hint is float or isinstance(value, int))
    if not good or (isinstance(value, float) and not math.isfinite(value)):
        raise RequestError(f"{name} is {value!r}: it must be {'a yes or no' if hint is bool else f'a finite {hint.__name__}'}.")
