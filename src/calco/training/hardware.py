"""What the settings mean on this machine: device, precision, processes, optimisers."""

import inspect
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from torch import nn

from calco.errors import RequestError
from calco.processor import quick_bf16
from calco.training.recipe import Training

_MAKING = threading.Lock()


def make_accelerator(training: Training, folder: str) -> Accelerator:
    """An Accelerator for these settings, whose trackers write into `folder`.

    Raises:
        RequestError: this machine or this installation cannot meet them.
    """
    for name in ("cuda", "mps"):
        if training.device == name and not getattr(torch, name).is_available():
            raise RequestError(f"device {name!r} was asked for, but this machine has none: use device 'auto' or 'cpu'.")
    kind = precision(training)
    try:
        with _MAKING:
            _forget_state()
            return Accelerator(
                cpu=training.device == "cpu",
                mixed_precision="no" if kind == "fp32" else kind,
                log_with=list(training.trackers) or None,
                project_dir=folder,
                # Buffers are each process's own, as a function of the same steps: nothing is gained by sending them around.
                kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
            )
    except ValueError as error:
        raise RequestError(f"These settings cannot be met here: {error}") from error


def _forget_state() -> None:
    """Let the next Accelerator have a device and a precision of its own.

    Accelerate keeps one state per process. It is not emptied but replaced: trainings in other threads still use theirs. The
    process group of a distributed run stays.
    """
    AcceleratorState._shared_state = {}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        PartialState._shared_state = {}


def precision(training: Training) -> str:
    """The precision that 'auto' stands for on this machine: bf16 where the hardware multiplies faster in it."""
    if training.precision != "auto":
        return training.precision
    if training.device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if training.device != "cpu" and torch.backends.mps.is_available():
        return "fp32"
    return "bf16" if quick_bf16() else "fp32"


def make_optimizer(
    nets: Sequence[nn.Module], training: Training, pace: Callable[[nn.Module], float] = lambda net: 1.0
) -> torch.optim.Optimizer:
    """One player's optimiser. Weights decay, biases and scales do not: theirs is to be where the data are.

    `pace` gives the factor of the learning rate by which a net learns; its groups hold it under that name.
    """
    groups: list[dict[str, Any]] = []
    for factor in dict.fromkeys(pace(net) for net in nets):
        params = [p for net in nets if pace(net) == factor for p in net.parameters() if p.requires_grad]
        for decay, some in (
            (training.weight_decay, [p for p in params if p.ndim > 1]),
            (0.0, [p for p in params if p.ndim <= 1]),
        ):
            groups += [{"params": some, "weight_decay": decay, "pace": factor}] if some else []
    lr, fused = training.lr, groups[0]["params"][0].device.type != "mps"
    if training.optimizer == "sgd":
        return _uncompiled(torch.optim.SGD)(groups, lr, momentum=training.momentum, fused=fused)
    if training.optimizer == "rmsprop":
        return _uncompiled(torch.optim.RMSprop)(groups, lr)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return _uncompiled(kind)(groups, lr, betas=(training.momentum, training.beta2), fused=fused)


@cache
def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimiser as it was written, without what keeps torch's compiler out of it: that loads the compiler, for seconds.

    Nets are compiled on request, optimisers never.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    own: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    own["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), own)
