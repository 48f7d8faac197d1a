"""The examples of each step, on their way from the source to the device."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch

from calco.contract import Batch
from calco.data import Raw, Schema, Source
from calco.errors import RequestError
from calco.training.learner import Learner
from calco.training.order import Order
from calco.training.recipe import Training


class Feed:
    """A step's examples as this process's parts, on its device; from a slow source the next step's are fetched ahead."""

    def __init__(self, source: Source, schema: Schema, training: Training, learner: Learner) -> None:
        self.source, self.schema, self.learner = source, schema, learner
        self.order = Order(len(source), training.batch_size, training.seed)
        self.parts, self.steps = training.accumulate, training.steps
        self.rank, world = learner.accelerator.process_index, learner.accelerator.num_processes
        if training.batch_size % (world * self.parts):
            shares = f"{world} processes and {self.parts} accumulated parts"
            raise RequestError(f"batch_size {training.batch_size} does not divide evenly over {shares}.")
        self.size = training.batch_size // (world * self.parts)
        self.pool = ThreadPoolExecutor(1) if source.slow else None
        self.next: tuple[int, Future[list[Raw]]] | None = None

    def _take(self, step: int) -> list[Raw]:
        rows = self.order.rows(step)
        first = self.rank * self.parts
        return [self.source.take(rows[(first + i) * self.size : (first + i + 1) * self.size]) for i in range(self.parts)]

    def __call__(self, step: int) -> list[Batch]:
        """The batches of a step."""
        if self.pool is None:
            return [self._batch(raw) for raw in self._take(step)]
        raws = self.next[1].result() if self.next is not None and self.next[0] == step else self._take(step)
        if step + 1 < self.steps:
            self.next = step + 1, self.pool.submit(self._take, step + 1)
        return [self._batch(raw) for raw in raws]

    def _batch(self, raw: Raw) -> Batch:
        device = self.learner.accelerator.device
        x = self.schema.encode(raw.x).to(device, non_blocking=True)
        if self.learner.images and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return Batch(x, None if raw.y is None else torch.from_numpy(raw.y).to(device))
