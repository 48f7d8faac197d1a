"""One classifier for all figures that need one: a convolutional net for images, boosted trees for vectors."""

import numpy as np
import torch
from torch import Tensor

from calco.data import ArraySource, ImageSchema
from calco.evaluation.features import LabelModel, learn, read
from calco.maths.seeding import seeded
from calco.training import Training

RECIPE = Training(steps=500, lr=2e-3, lr_warmup=50, weight_decay=1e-3, device="cpu")
"""How the net is trained."""


def learner(x: Tensor) -> str:
    """What learns from such examples, in words."""
    return "a convolutional net" if x.ndim == 4 else "gradient-boosted trees"


def learned(x: Tensor, y: Tensor, new: Tensor, seed: int = 0) -> Tensor:
    """The classes of new examples (m, ...) after learning from x, (n, ...) as a model sees them, and y, (n,): (m,)."""
    if x.ndim != 4:
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(random_state=seed).fit(x.flatten(1).numpy(), y.numpy())
        return torch.from_numpy(np.asarray(trees.predict(new.flatten(1).numpy())))
    _, channels, height, width = x.shape
    classes = [str(i) for i in range(int(y.max()) + 1)]
    with seeded(seed):
        net = LabelModel((channels, height, width), len(classes))
    schema = ImageSchema(channels, height, width, "float32", 0.0, 1.0, None, True, tuple(classes))
    source = ArraySource(x.permute(0, 2, 3, 1).numpy(), y.numpy())
    learn(net, source, schema, RECIPE.changed({"seed": seed}))
    return read(net.cpu().eval(), new)
