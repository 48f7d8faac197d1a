"""The one training loop. It knows `Model.turns` and nothing else about any family.

A step is a function of the weights, the optimisers' state and (seed, step): the order of the data is a fresh
permutation per epoch, drawn from (seed, epoch), and the noise is drawn from (seed, step, turn). So a checkpoint holds no
generator state, and a run that was killed ends with the same bits as one that was not.
"""

import contextlib
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from calco.contract import Batch, Model
from calco.data import Schema, Source, batches
from calco.errors import RequestError, RunError
from calco.maths import noise
from calco.recipe import Training
from calco.runs import Run

Report = Callable[[dict[str, Any]], None]


@dataclass
class Progress:
    """How far a run has come: what an exact resume needs beside the tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_step: int = 0
    waited: int = 0
    scaler: dict[str, Any] | None = None


class Order:
    """The order of the data: step k takes positions k b to (k + 1) b of an endless row of permutations.

    No batch is short and no example is left out; a batch may reach over the end of an epoch.
    """

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self._epochs: dict[int, np.ndarray] = {}

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            self._epochs[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.examples)
        return self._epochs[epoch]

    def rows(self, step: int) -> np.ndarray:
        """The rows of a step's whole batch."""
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        for epoch in range(start // self.examples, (stop - 1) // self.examples + 1):
            first = epoch * self.examples
            parts.append(self._permutation(epoch)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def make_accelerator(training: Training, run: Run | None = None) -> Accelerator:
    """An Accelerator for these settings; an earlier one of this process is forgotten, its process group kept."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    AcceleratorState._reset_state(reset_partial_state=alone)
    wanted = training.device
    if wanted in ("cuda", "mps") and not getattr(torch, wanted).is_available():
        raise RequestError(f"device {wanted!r} was asked for, but this machine has none: use device 'auto' or 'cpu'.")
    try:
        return Accelerator(
            cpu=wanted == "cpu",
            mixed_precision={"fp32": "no"}.get(precision(training), precision(training)),
            log_with=list(training.trackers) or None,
            project_dir=str(run.path) if run else ".",
        )
    except ValueError as error:
        raise RequestError(f"These settings cannot be met here: {error}") from error


def precision(training: Training) -> str:
    """The precision that 'auto' stands for on this machine: bf16 where the hardware multiplies in it."""
    if training.precision != "auto":
        return training.precision
    if training.device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if training.device != "cpu" and torch.backends.mps.is_available():
        return "fp32"
    capable = torch.cpu.get_capabilities()
    return "bf16" if capable.get("avx512_bf16") or capable.get("amx_bf16") or capable.get("sve_bf16") else "fp32"


def make_optimizer(nets: list[nn.Module], training: Training) -> torch.optim.Optimizer:
    """One player's optimiser."""
    params = [p for net in nets for p in net.parameters() if p.requires_grad]
    lr, decay = training.lr, training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(params, lr, momentum=0.9, weight_decay=decay, fused=True)
    if training.optimizer == "rmsprop":
        return torch.optim.RMSprop(params, lr, weight_decay=decay)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(params, lr, weight_decay=decay, fused=params[0].device.type != "mps")


class Trainer:
    """The state of one run: the model, its optimisers, averaged and best weights, and how far it has come."""

    def __init__(self, model: Model, source: Source, schema: Schema, training: Training, run: Run | None) -> None:
        self.training, self.source, self.schema, self.run = training, source, schema, run
        self.accelerator = make_accelerator(training, run)
        self.world, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        parts = self.world * training.accumulate
        if training.batch_size % parts:
            raise RequestError(f"batch_size {training.batch_size} does not divide over {parts} processes and accumulated parts.")
        self.device = self.accelerator.device
        self.model = model.to(self.device)
        self.images = any(p.ndim == 4 for p in model.parameters())
        if self.images:
            self.model.to(memory_format=torch.channels_last)
        self.order = Order(len(source), training.batch_size, training.seed)
        self.progress = Progress()
        self.optimizers = {name: make_optimizer(nets, training) for name, nets in model.players().items()}
        self.averaged = AveragedModel(model, multi_avg_fn=self._average) if training.ema else None
        self.best: dict[str, Tensor] = {}
        self.stop = False
        self.plain = dict(model.named_children())

    # -- weights and state ------------------------------------------------------------------------------------------

    def _average(self, averaged: Any, current: Any, count: Any) -> None:
        # A young average would remember the initial weights: its decay starts low (as in Polyak averaging).
        steps = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(self.training.ema, (1 + steps) / (10 + steps)))

    @contextlib.contextmanager
    def wrapped(self) -> Iterator[None]:
        """Within this context each child is prepared by Accelerate: distributed, in mixed precision, compiled."""
        if self.training.compile:
            for child in self.plain.values():
                child.compile()
        forwards = {name: child.forward for name, child in self.plain.items()}
        prepared = {name: self.accelerator.prepare(child) for name, child in self.plain.items()}
        self.optimizers = {k: self.accelerator.prepare(v) for k, v in self.optimizers.items()}
        try:
            self._place(prepared)
            yield
        finally:
            self._place(self.plain)
            for name, child in self.plain.items():
                child.__dict__.pop("_original_forward", None)
                child.__dict__.pop("forward", None)
                if child.forward != forwards[name]:
                    child.forward = forwards[name]

    def _place(self, children: dict[str, nn.Module]) -> None:
        for name, child in children.items():
            setattr(self.model, name, child)

    @contextlib.contextmanager
    def _plain_model(self) -> Iterator[Model]:
        """The model with its own children in place, for reading its state."""
        placed = dict(self.model.named_children())
        self._place(self.plain)
        try:
            yield self.model
        finally:
            self._place(placed)

    def tensors(self) -> dict[str, Tensor]:
        """Everything an exact resume needs, by name."""
        with self._plain_model() as model:
            found = {f"model.{k}": v for k, v in model.state_dict().items()}
            names = {id(p): k for k, p in model.named_parameters()}
        if self.averaged is not None:
            found |= {f"ema.{k}": v for k, v in self.averaged.state_dict().items()}
        found |= {f"best.{k}": v for k, v in self.best.items()}
        for player, optimizer in self.optimizers.items():
            for param, state in optimizer.state.items():
                found |= {f"optimizer.{player}.{names[id(param)]}.{k}": v for k, v in state.items()}
        return found

    def save(self) -> None:
        """Replace the checkpoint by the present state."""
        if self.run is None or not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        self.progress.scaler = scaler.state_dict() if scaler is not None else None
        self.run.save_state(self.tensors(), vars(self.progress))

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Go back to a state that was saved.

        Raises:
            RequestError: the state does not fit this model or these settings.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "best": {}, "optimizer": {}}
        try:
            for key, tensor in tensors.items():
                kind, name = key.split(".", 1)
                parts[kind][name] = tensor
            self.model.load_state_dict(parts["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(parts["ema"])
            self.best = parts["best"]
            self.progress = Progress(**meta)
            self.stop = 0 < self.training.patience <= self.progress.waited
            for player, optimizer in self.optimizers.items():
                self._restore_optimizer(optimizer, player, parts["optimizer"])
            if self.accelerator.scaler is not None and self.progress.scaler is not None:
                self.accelerator.scaler.load_state_dict(self.progress.scaler)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise RequestError(f"The checkpoint does not fit this run, it is damaged or was edited: {error}") from error

    def _restore_optimizer(self, optimizer: torch.optim.Optimizer, player: str, saved: dict[str, Tensor]) -> None:
        names = {id(p): k for k, p in self.model.named_parameters()}
        for group in optimizer.param_groups:
            for param in group["params"]:
                prefix = f"{player}.{names[id(param)]}."
                state = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
                for k, v in state.items():
                    # Moments lie in memory as their parameter does; the count of steps is a scalar.
                    state[k] = torch.empty_like(param).copy_(v) if v.shape == param.shape and v.ndim else v
                if state:
                    optimizer.state[param] = state

    # -- one step ---------------------------------------------------------------------------------------------------

    def shares(self, step: int) -> list[Batch]:
        """This process's parts of a step's batch, on its device."""
        rows = self.order.rows(step)
        size, parts = len(rows) // (self.world * self.training.accumulate), self.training.accumulate
        first = self.rank * parts
        return [self.batch(rows[(first + i) * size : (first + i + 1) * size]) for i in range(parts)]

    def batch(self, rows: np.ndarray) -> Batch:
        """Some rows of the data, on the device."""
        raw = self.source.take(rows)
        x = self.schema.encode(raw.x).to(self.device, non_blocking=True)
        if self.images and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return Batch(x, None if raw.y is None else torch.from_numpy(raw.y).to(self.device))

    def run_step(self, step: int) -> dict[str, Tensor]:
        """All turns of a step; returns their losses and terms, this process's share."""
        training, parts = self.training, self.training.accumulate
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = training.lr_at(step)
        self.model.at_step(step, training.steps)
        turns = [self.model.turns(batch) for batch in self.shares(step)]
        terms: dict[str, Tensor] = {}
        for index in itertools.count():
            player = None
            for part, generator in enumerate(turns):
                count = self.world * parts
                with noise.share(training.seed, step, index, index=self.rank * parts + part, count=count):
                    turn = next(generator, None)
                    if turn is None:
                        break
                    with self._quiet(part + 1 < parts):
                        self.accelerator.backward(turn.loss / parts if parts > 1 else turn.loss)
                player = turn.player
                name = "loss" if len(self.optimizers) == 1 else f"loss_{player}"
                for key, value in {name: turn.loss, **turn.terms}.items():
                    terms[key] = terms.get(key, 0.0) + value.detach() / parts
            if player is None:
                return terms
            self._move(player)

    def _quiet(self, wait: bool) -> contextlib.AbstractContextManager[Any]:
        """Processes need not exchange gradients before the last accumulated part."""
        stack = contextlib.ExitStack()
        if wait and self.world > 1:
            for child in self.model.children():
                stack.enter_context(self.accelerator.no_sync(child))
        return stack

    def _move(self, player: str) -> None:
        optimizer = self.optimizers[player]
        if self.training.clip:
            params = [p for group in optimizer.param_groups for p in group["params"]]
            self.accelerator.clip_grad_norm_(params, self.training.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    # -- the run ----------------------------------------------------------------------------------------------------

    def measure(self, held: Source) -> float:
        """The held-out figure, a mean over examples, with the weights that the run would end with."""
        model = self.averaged.module if self.averaged is not None else self.model
        model.eval()
        total = 0.0
        with torch.no_grad():
            for i, batch in enumerate(batches(held, self.schema, self.training.batch_size)):
                x = batch.x.to(self.device)
                y = None if batch.y is None else batch.y.to(self.device)
                with noise.share(self.training.seed, -1, i):
                    total += float(model.held_out(Batch(x, y))) * len(x)
        model.train()
        return total / len(held)

    def judge(self, held: Source) -> dict[str, float]:
        """Measure, remember the best weights, and say to stop when patience is at its end."""
        figure, progress = self.measure(held), self.progress
        if figure < progress.best:
            progress.best, progress.best_step, progress.waited = figure, progress.step, 0
            if self.training.patience:
                self.best = {k: v.detach().clone() for k, v in self.final_weights().items()}
        else:
            progress.waited += 1
        if self.training.patience and progress.waited >= self.training.patience:
            self.stop = True
        return {"held_out": figure}

    def final_weights(self) -> dict[str, Tensor]:
        """The averaged weights if there are such, else the present ones."""
        if self.averaged is not None:
            return self.averaged.module.state_dict()
        with self._plain_model() as model:
            return model.state_dict()

    def go(self, held: Source | None, report: Report | None) -> bool:
        """Train to the end; False when a signal stopped the run before it."""
        training, progress = self.training, self.progress
        sums: dict[str, Tensor] = {}
        count, last = 0, time.perf_counter()
        every = max(1, training.steps // training.evaluations)
        self.model.train()
        with self.wrapped(), interruptible() as interrupted:
            while progress.step < training.steps and not self.stop:
                for key, value in self.run_step(progress.step).items():
                    sums[key] = sums.get(key, 0.0) + value
                if self.averaged is not None:
                    self.averaged.update_parameters(self.model)
                progress.step, count = progress.step + 1, count + 1
                done = progress.step == training.steps
                halted = interrupted.is_set()
                save = halted or done or progress.step % training.checkpoint_every == 0
                measure = held is not None and (done or progress.step % every == 0)
                if not (save or measure or progress.step % training.log_every == 0):
                    continue
                means = {k: float(v) / count for k, v in sums.items()}
                self._check(means)
                now = time.perf_counter()
                progress.seconds, last = progress.seconds + now - last, now
                if progress.step % training.log_every == 0 or done:
                    sums, count = {}, 0
                    line = {"step": progress.step, "seconds": round(progress.seconds, 3), "lr": training.lr_at(progress.step - 1)}
                    self._tell({**line, **means}, report)
                if measure and held is not None:
                    self._tell({"step": progress.step, "seconds": round(progress.seconds, 3), **self.judge(held)}, report)
                if save or self.stop:
                    self.save()
                if halted:
                    return False
        return True

    def _check(self, means: dict[str, float]) -> None:
        bad = [k for k, v in means.items() if not math.isfinite(v)]
        if bad:
            kept = f" The checkpoint in {self.run.path} is from before that." if self.run else ""
            raise Diverged(
                f"Training stopped near step {self.progress.step}: {', '.join(bad)} is no longer finite.{kept}"
                " Try a lower lr, clip (1 to 10), precision 'fp32', or look for extreme values in the data."
            )

    def _tell(self, line: dict[str, Any], report: Report | None) -> None:
        if not self.accelerator.is_main_process:
            return
        if self.run is not None:
            self.run.log(line)
        if self.training.trackers:
            self.accelerator.log({k: v for k, v in line.items() if k != "step"}, step=line["step"])
        if report is not None:
            report(line)


class Diverged(RunError):
    """The loss is no longer finite."""


class Interrupted(RunError):
    """A signal stopped the run; what it had learned is saved."""


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Within this context Ctrl-C and SIGTERM set an event that the loop heeds between steps; a second Ctrl-C is a KeyboardInterrupt."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    model: Model,
    source: Source,
    schema: Schema,
    training: Training,
    *,
    held: Source | None = None,
    run: Run | None = None,
    report: Report | None = None,
) -> bool:
    """Train `model` in place, from the run's checkpoint where it has one; False when a signal stopped it early.

    Args:
        model: any model of the contract; afterwards it holds the averaged or best weights where the settings ask for
            them.
        source: the data to train on.
        schema: how they become tensors.
        training: the settings.
        held: data to measure on while training; without them `training.patience` must be 0.
        run: where to log and to keep checkpoints.
        report: called with each line of the log.

    Raises:
        RequestError: settings or checkpoint do not fit the machine or the data.
        RunError: the loss stopped being finite, or the disk is full.
    """
    if training.patience and held is None:
        raise RequestError("patience needs held-out data: give validation data, or set validation to a share such as 0.1.")
    with torch.random.fork_rng():
        trainer = Trainer(model, source, schema, training, run)
        saved = run.load_state() if run else None
        if saved is not None:
            trainer.restore(*saved)
        if run is not None and trainer.accelerator.is_main_process:
            run.rewind(trainer.progress.step)
        if training.trackers:
            trainer.accelerator.init_trackers("calco", {k: str(v) for k, v in training.to_json().items()})
        finished = trainer.go(held, report)
        if training.trackers:
            trainer.accelerator.end_training()
        model.load_state_dict(trainer.best or trainer.final_weights())
    model.eval()
    return finished
