"""Frozen features that sets of examples are compared by, under a name and a digest of their weights."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import calco
from calco.contract import Batch, Model, Turn
from calco.data import Schema, Source
from calco.data.cache import keep, recall
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.maths.seeding import seeded
from calco.nets.conv import ConvEncoder
from calco.nets.features import RandomFeatures
from calco.training import Interrupted, Training, train
from calco.verbs import device_of

RECIPE = Training(steps=2000, lr=2e-3, weight_decay=1e-3, device="cpu")
"""How the net is trained whose features compare images with labels: alike everywhere, but for the rounding of machines."""
CHUNK = 500


@dataclass(frozen=True)
class Extractor:
    """A frozen net from examples as a model sees them to features (n, width)."""

    name: str
    net: nn.Module

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: equal digests, comparable figures."""
        digest = hashlib.sha256(self.name.encode())
        for key, value in sorted(self.net.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(n, ...) to (n, width), on the CPU.

        Raises:
            RequestError: the net does not give one row an example.
        """
        self.net.eval()
        found = torch.cat([self.net(part.to(device_of(self.net))).cpu().float().flatten(1) for part in x.split(CHUNK)])
        if not torch.isfinite(found).all():
            raise RequestError(f"The features of {self.name} are not finite on these examples.")
        return found


class LabelModel(Model):
    """A small classifier of images; the features are its last hidden layer."""

    def __init__(self, shape: tuple[int, int, int], classes: int, features: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvEncoder(shape, features, 32, 1, "relu"), nn.ReLU())
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Features: (n, channels, height, width) to (n, features)."""
        return self.body(x)

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: cross-entropy."""
        assert batch.y is not None
        yield Turn("model", F.cross_entropy(self.head(self.body(batch.x)), batch.y), {})


def label_model(schema: Schema, source: Source) -> LabelModel:
    """A classifier trained on a source's labels, always in the same way; kept in the cache folder.

    Machines round differently: only figures by nets of one digest are comparable.

    Raises:
        RequestError: the examples are not images with labels of two classes or more.
    """
    shape, classes = schema.shape, len(source.classes)
    if len(shape) != 3 or classes < 2:
        raise RequestError("A classifier of these examples cannot be trained: that takes images with labels of two classes.")
    with seeded(0):
        model = LabelModel((shape[0], shape[1], shape[2]), classes)
    made = f"{calco.__version__} {torch.__version__} {_contents(source)} {schema.to_json()}"
    key = hashlib.sha256(f"{made} {RECIPE.to_json()} {model}".encode())
    kept = recall("extractors", key.hexdigest())
    if kept is None:
        learn(model, source, schema, RECIPE)
        keep("extractors", key.hexdigest(), **{name: value.cpu().numpy() for name, value in model.state_dict().items()})
    else:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in kept.items()})
    return model.cpu().eval()


def _contents(source: Source) -> str:
    """What is learned from: the fingerprint of the examples, and a digest of their labels, of which it may know nothing."""
    digest = hashlib.sha256(repr(source.classes).encode())
    for start in range(0, len(source), CHUNK):
        y = source.take(np.arange(start, min(start + CHUNK, len(source)))).y
        digest.update(b"" if y is None else y.tobytes())
    return f"{source.describe()['fingerprint']} {digest.hexdigest()}"


def learn(model: LabelModel, source: Source, schema: Schema, recipe: Training) -> None:
    """Train a classifier to the end.

    Raises:
        Interrupted: a signal stopped it; figures of what it had learned would be wrong.
    """
    if not train(model, source, schema, recipe):
        raise Interrupted("Stopped by a signal while a net that figures need was learning; nothing was measured.")


@torch.no_grad()
def read(classifier: LabelModel, x: Tensor) -> Tensor:
    """The class that a classifier gives each example: (n, ...) to (n,)."""
    return torch.cat([classifier.head(classifier(part)).argmax(1) for part in x.split(CHUNK)])


def extractor_for(estimator: Estimator, source: Source) -> Extractor:
    """The features to compare examples by: of a net trained on the labels, where there are any; else of a random net.

    Vectors are compared as they are, standardised.
    """
    shape = estimator.schema_.shape
    if len(shape) != 3:
        return Extractor("the values as the model sees them", RandomFeatures(shape))
    if len(source.classes) < 2:
        return Extractor("a fixed random convolutional net", RandomFeatures(shape))
    name = f"the last hidden layer of a net trained on the labels of {len(source):,} training examples"
    return Extractor(name, label_model(estimator.schema_, source))
