"""A model with its optimisers and averaged weights: one step, and the state that an exact resume needs."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from calco.contract import Batch, Model, Part
from calco.errors import RequestError
from calco.maths import noise
from calco.training.averaging import Average
from calco.training.hardware import make_optimizer
from calco.training.recipe import Training

_CASTING = threading.Lock()


class Learner:
    """What a step changes. It knows `Model.turns` and nothing else about any family."""

    def __init__(self, model: Model, training: Training, accelerator: Accelerator) -> None:
        self.training, self.accelerator = training, accelerator
        # Accelerate's own backward and optimisers look for packages at each step, which takes longer than a small step.
        self.scaler = accelerator.scaler or torch.amp.GradScaler(accelerator.device.type, enabled=False)
        self.model = model.to(accelerator.device)
        self.images = any(p.ndim == 4 for p in model.parameters())
        if self.images:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.plain = dict(model.named_children())
        self.optimizers = {name: make_optimizer(nets, training, model.pace) for name, nets in model.players().items()}
        self.averaged = Average(self.model, training.ema) if training.ema else None

    # -- one step ---------------------------------------------------------------------------------------------------

    def step(self, step: int, batches: list[Batch]) -> dict[str, Tensor]:
        """All turns of a step on this process's parts of the batch; gives their losses and terms."""
        self._set_lr(self.training.lr_at(step))
        with self._casts(), noise.share(self.training.seed, step, -1):
            self.model.at_step(step, self.training.steps)
        turns = [self.model.turns(batch) for batch in self._told(step, batches)]
        terms: dict[str, Tensor] = {}
        for index in itertools.count():
            with self._casts():
                player = self._turn((self.training.seed, step, index), turns, terms)
            if player is None:
                break
            self._move(player)
        if self.averaged is not None:
            self.averaged.follow()
        return terms

    def _told(self, step: int, batches: list[Batch]) -> list[Batch]:
        """The parts of a batch with what their losses must know of the whole."""
        first, count = self._place(len(batches))
        if count == 1:
            return batches
        found = []
        for part, batch in enumerate(batches):
            with self._casts(), torch.no_grad(), noise.share(self.training.seed, step, 0, index=first + part, count=count):
                found.append(self.model.shared(batch))
        own = [numbers for numbers in found if numbers is not None]
        if not own:
            return batches
        mean: Any = self.accelerator.reduce(torch.stack(own).mean(0), "mean")
        return [Part.of(batch, mean) for batch in batches]

    def _place(self, parts: int) -> tuple[int, int]:
        """Which of all parts the first one of this process is, and how many there are."""
        return self.accelerator.process_index * parts, self.accelerator.num_processes * parts

    @contextlib.contextmanager
    def _casts(self) -> Iterator[None]:
        """Within this context weights that several forwards take in low precision are cast once."""
        if self.accelerator.mixed_precision == "no":
            yield
            return
        # Autocast forgets what it has cast when its outermost context ends; the nets' own contexts lie within this one. It
        # forgets what other threads have cast too, whose gradients would then be rounded otherwise: one thread at a time.
        with _CASTING, torch.autocast(self.accelerator.device.type, enabled=False):
            yield

    def _turn(self, key: tuple[int, ...], turns: list[Iterator[Any]], terms: dict[str, Tensor]) -> str | None:
        """Add up the gradients of every part's next turn; whose turn it was, None when there are no more."""
        parts, player = len(turns), None
        first, count = self._place(parts)
        for part, generator in enumerate(turns):
            with noise.share(*key, index=first + part, count=count):
                turn = next(generator, None)
                if turn is None:
                    return None
                with self._quiet(part + 1 < parts):
                    self.scaler.scale(turn.loss / parts if parts > 1 else turn.loss).backward()
            player = turn.player
            name = "loss" if len(self.optimizers) == 1 else f"loss_{player}"
            for key_, value in {name: turn.loss, **turn.terms}.items():
                terms[key_] = terms.get(key_, 0.0) + value.detach() / parts
        return player

    def _quiet(self, wait: bool) -> contextlib.AbstractContextManager[Any]:
        """Processes need not exchange gradients before the last part."""
        stack = contextlib.ExitStack()
        if wait and self.accelerator.num_processes > 1:
            for child in self.model.children():
                if isinstance(child, DistributedDataParallel):
                    stack.enter_context(child.no_sync())
        return stack

    def _move(self, player: str) -> None:
        optimizer = self.optimizers[player]
        if self.training.clip:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.training.clip)
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _set_lr(self, lr: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = lr * group["pace"]

    # -- the nets, wrapped and plain --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def wrapped(self) -> Iterator[None]:
        """Within this context each child is prepared by Accelerate: distributed, in mixed precision, compiled."""
        if self.training.compile:
            for child in self.plain.values():
                child.compile()
        try:
            nets = {k: v for k, v in self.plain.items() if any(True for _ in v.parameters())}
            self._put({name: self._prepared(child) for name, child in nets.items()})
            yield
        finally:
            self._put(self.plain)
            for child in self.plain.values():  # Accelerate leaves a forward of its own on the module, and a mark
                for name in ("_original_forward", "forward", "_is_accelerate_prepared"):
                    child.__dict__.pop(name, None)
                child._compiled_call_impl = None

    def _prepared(self, child: nn.Module) -> nn.Module:
        """A child in low precision and distributed, unless nothing of it learns: then there are no gradients to exchange."""
        if self.accelerator.num_processes == 1 and self.accelerator.mixed_precision == "no":
            return child  # as it is; Accelerate would load distributed tensors to find that out, for a second or two
        learns = any(p.requires_grad for p in child.parameters())
        return self.accelerator.prepare_model(child, evaluation_mode=not learns)

    def _put(self, children: dict[str, nn.Module]) -> None:
        for name, child in children.items():
            setattr(self.model, name, child)

    @contextlib.contextmanager
    def plain_model(self) -> Iterator[Model]:
        """The model with its own children in place, for reading its state."""
        placed = dict(self.model.named_children())
        self._put(self.plain)
        try:
            yield self.model
        finally:
            self._put(placed)

    @property
    def judged(self) -> Model:
        """The model whose weights a run would end with now."""
        return self.model if self.averaged is None else self.averaged.module  # type: ignore[return-value]

    def final_weights(self) -> dict[str, Tensor]:
        """The averaged weights if there are such, else the present ones."""
        if self.averaged is not None:
            return self.averaged.module.state_dict()
        with self.plain_model() as model:
            return model.state_dict()

    # -- state ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Weights, averaged weights and the optimisers' moments, by name."""
        with self.plain_model() as model:
            found = {f"model.{k}": v for k, v in model.state_dict().items()}
            names = {id(p): k for k, p in model.named_parameters()}
        if self.averaged is not None:
            found |= {f"ema.{k}": v for k, v in self.averaged.state_dict().items()}
        for player, optimizer in self.optimizers.items():
            for param, state in optimizer.state.items():
                found |= {f"optimizer.{player}.{names[id(param)]}.{k}": v for k, v in state.items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to what `tensors` gave; to be called before `wrapped`.

        Raises:
            RequestError: the state does not fit this model or these settings.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
        try:
            for key, tensor in tensors.items():
                kind, name = key.split(".", 1)
                parts[kind][name] = tensor
            self.model.load_state_dict(parts["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(parts["ema"])
            for player, optimizer in self.optimizers.items():
                self._restore_optimizer(optimizer, player, parts["optimizer"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise RequestError(f"The checkpoint does not fit this run; it is damaged or was edited: {error}") from error

    def _restore_optimizer(self, optimizer: torch.optim.Optimizer, player: str, saved: dict[str, Tensor]) -> None:
        names = {id(p): k for k, p in self.model.named_parameters()}
        for param in (p for group in optimizer.param_groups for p in group["params"]):
            prefix = f"{player}.{names[id(param)]}."
            state = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
            # Moments lie in memory as their parameter does; a count of steps is a scalar.
            fitted = {k: torch.empty_like(param).copy_(v) if v.ndim or param.ndim == 0 else v for k, v in state.items()}
            if fitted:
                optimizer.state[param] = fitted
