"""The one training loop.

A step is a function of the weights, the optimisers' state and (seed, step): the order of the data is drawn from (seed,
epoch), the noise from (seed, step, turn). So a checkpoint holds no generator state, and a run that was killed and resumed
ends with the same bits as one that was not.
"""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from calco.contract import Batch, Model, Verdict
from calco.data import Schema, Source, batches
from calco.errors import RequestError, RunError
from calco.maths import noise
from calco.memory import kept
from calco.runs import Run
from calco.training.feed import Feed
from calco.training.hardware import make_accelerator
from calco.training.learner import Learner
from calco.training.recipe import Training

Report = Callable[[dict[str, Any]], None]


class Diverged(RunError):
    """The loss is no longer finite. `usable` says whether the model holds good weights from before that."""

    usable = False


class Interrupted(RunError):
    """A signal stopped a training before its end; the message says what is kept."""


@dataclass
class Progress:
    """How far a run has come: what an exact resume needs beside the tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    verdicts: list[dict[str, float]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)


class Loop:
    """One run from its first step, or from a checkpoint, to its last."""

    def __init__(
        self,
        model: Model,
        source: Source,
        schema: Schema,
        training: Training,
        held: Source | None,
        run: Run | None,
        report: Report | None,
    ) -> None:
        self.training, self.schema, self.held, self.run, self.report = training, schema, held, run, report
        self.accelerator = make_accelerator(training, str(run.path) if run else ".")
        self.learner = Learner(model, training, self.accelerator)
        self.feed = Feed(source, schema, training, self.learner)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # a term need not be there at every step
        self.measure_every = max(1, training.steps // training.evaluations)

    @property
    def patient(self) -> bool:
        """Whether there is any use in going on."""
        return not 0 < self.training.patience <= self.progress.waited

    def go(self) -> bool:
        """Train to the end; False when a signal stopped the run before it."""
        progress, last = self.progress, time.perf_counter()
        self.learner.model.train()
        with self.learner.wrapped(), interruptible() as halted:
            while progress.step < self.training.steps and self.patient:
                for key, value in self.learner.step(progress.step, self.feed(progress.step)).items():
                    self.sums[key] = self.sums.get(key, 0.0) + value
                    self.counts[key] = self.counts.get(key, 0) + 1
                progress.step += 1
                stop = halted.is_set()  # asked once: a signal that comes now is heeded after the next step
                if self._pausing(stop):
                    now = time.perf_counter()
                    progress.seconds, last = progress.seconds + now - last, now
                    self._pause(stop)
                if stop:
                    return progress.step == self.training.steps
        return True

    def _due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == self.training.steps

    def _pausing(self, halted: bool) -> bool:
        every = (self.training.log_every, self.training.checkpoint_every, self.measure_every)
        return halted or any(self._due(n) for n in every)

    def _pause(self, halted: bool) -> None:
        """Between steps: check that all is well, then log, measure and save what is due."""
        means = {k: float(v) / self.counts[k] for k, v in self.sums.items()}
        self._check(means)
        line = {"step": self.progress.step, "seconds": round(self.progress.seconds, 3)}
        if self._due(self.training.log_every):
            self.sums, self.counts = {}, {}
            self._tell({**line, "lr": self.training.lr_at(self.progress.step - 1), **means})
        if self.held is not None and self._due(self.measure_every):
            verdict = self._judge(self.held)
            self._tell({**line, "held_out": verdict.value, **verdict.terms})
            if concern := self.learner.model.concern(self.progress.verdicts):
                self._tell({**line, "note": concern})
        if halted or self._due(self.training.checkpoint_every) or not self.patient:
            self.save()

    def _check(self, means: dict[str, float]) -> None:
        bad = [k for k, v in means.items() if not math.isfinite(v)]
        if bad:
            kept = ""
            if self.best:
                kept = f" The best weights on the held-out data, those of step {self.progress.best_step}, are kept."
            elif self.run:
                kept = f" The checkpoint in {self.run.path} is from before that."
            raise Diverged(
                f"Training stopped near step {self.progress.step}: {', '.join(bad)} is no longer finite.{kept}"
                " Try a lower lr, clip (1 to 10) or precision fp32, or look for extreme values in the data."
            )

    def _judge(self, held: Source) -> Verdict:
        """Measure, and remember the best weights where they will be wanted."""
        verdict, progress = self._measure(held), self.progress
        progress.verdicts.append(dict(verdict.terms))
        better = math.isfinite(verdict.value) and (progress.best is None or verdict.value < progress.best)
        progress.waited = 0 if better else progress.waited + 1
        if better or verdict.value == progress.best:  # of equals the latest
            progress.best, progress.best_step = verdict.value, progress.step
            if self.training.patience or self.training.keep == "best":
                self.best = {k: v.detach().clone() for k, v in self.learner.final_weights().items()}
        return verdict

    def _measure(self, held: Source) -> Verdict:
        """The verdict on the weights that the run would end with."""
        model = self.learner.judged
        model.eval()
        with torch.no_grad(), noise.share(self.training.seed, -1):
            verdict = model.judge(self._held_batches(held))
        model.train()
        return verdict

    def _held_batches(self, held: Source) -> Iterator[Batch]:
        device = self.accelerator.device
        for i, (x, y) in enumerate(batches(held, self.schema, self.training.batch_size)):
            with noise.share(self.training.seed, -1, i):
                yield Batch(x.to(device), None if y is None else y.to(device))

    def _tell(self, line: dict[str, Any]) -> None:
        if self.accelerator.process_index:
            return
        if self.run is not None:
            self.run.log(line)
        if self.training.trackers:
            self.accelerator.log({k: v for k, v in line.items() if k != "step"}, step=line["step"])
        if self.report is not None:
            self.report(line)

    def say(self) -> None:
        """Before the first step: that parts of a batch do not make the step of the whole, where that is so."""
        parts = self.feed.parts * self.accelerator.num_processes
        if self.learner.model.whole_batch and parts > 1 and not self.progress.step:
            note = (
                f"What this model learns from a batch depends on the batch as a whole: each of the {parts} parts of"
                f" {self.feed.size} examples that batches are worked off in is a batch of its own, and the run another than one"
                " without parts. Leave accumulate at 1, and train in one process, where memory and time allow it."
            )
            self._tell({"step": 0, "note": note})

    def save(self) -> None:
        """Replace the checkpoint by the present state."""
        if self.run is None or self.accelerator.process_index:
            return
        self.progress.scaler = self.learner.scaler.state_dict()
        self.run.save_state(self.learner.tensors() | {f"best.{k}": v for k, v in self.best.items()}, vars(self.progress))

    def load(self) -> None:
        """Go back to the run's checkpoint, where there is one, and forget what was logged after it."""
        saved = self.run.load_state() if self.run is not None else None
        if saved is not None:
            tensors, meta = saved
            self.best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
            self.learner.restore({k: v for k, v in tensors.items() if not k.startswith("best.")})
            try:
                self.progress = Progress(**meta)
                if self.progress.scaler:
                    self.learner.scaler.load_state_dict(self.progress.scaler)
            except (TypeError, KeyError) as error:
                raise RequestError(f"The checkpoint does not fit this calco; it is damaged or was edited: {error}") from error
        if self.run is not None and not self.accelerator.process_index:
            self.run.rewind(self.progress.step)


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Within this context Ctrl-C and SIGTERM set an event, heeded between steps; a second Ctrl-C raises at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
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
        Diverged: the loss stopped being finite; where the best weights are known the model holds those.
        RunError: the disk is full.
    """
    if held is None and (training.patience or training.keep == "best"):
        asked = "patience" if training.patience else "keep 'best'"
        raise RequestError(f"{asked} needs held-out data: give validation data, or set validation to a share such as 0.1.")
    with kept():
        loop = Loop(model, source, schema, training, held, run, report)
        loop.load()
        loop.say()
        if training.trackers:
            loop.accelerator.init_trackers("calco", {k: str(v) for k, v in training.to_json().items()})
        try:
            finished = loop.go()
        except Diverged as error:
            error.usable = bool(loop.best)
            raise
        finally:
            if training.trackers:
                loop.accelerator.end_training()
            model.load_state_dict(loop.best or loop.learner.final_weights())
            model.eval()
    return finished
