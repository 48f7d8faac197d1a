"""The mathematics of a head on an encoder, and of what examples without labels tell it.

Those make predictions consistent: the same for two views of an image (Sohn et al. 2020), or however an example is moved a
little (Miyato et al. 2018).
"""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn, shared_by
from calco.errors import RequestError
from calco.maths.consistency import adversarial, reach
from calco.nets.augment import Views
from calco.nets.standard import Standardise
from calco.nets.start import unit_variance

ALONE = 5.0
"""Factor of the learning rate of a head on an encoder that is frozen."""
FOLLOWED = 0.99
"""Share of its weights that the teacher of consistent views keeps in a step."""


class PredictorModel(Model):
    """The mathematics of a head on an encoder, for any nets.

    Args:
        encoder: (n, ...) to features (n, width).
        standard: puts the features on a common scale.
        head: (n, width) to (n, outputs).
        frozen: the encoder learns nothing.
        encoder_pace: factor of the learning rate by which it learns.
        fresh: it has learned nothing yet, so that its weights are scaled by the data.
        consistency: views or adversarial, of all examples, or none.
        weight: of that loss.
        views: changes images in training, or None; needed for consistency of views.
        augment: learn the labels from views too.
        radius: of adversarial moves; 0 takes a share of the distance to neighbours in the data.
    """

    radius: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        standard: Standardise,
        head: nn.Module,
        *,
        frozen: bool = False,
        encoder_pace: float = 1.0,
        fresh: bool = False,
        consistency: str = "none",
        weight: float = 1.0,
        views: Views | None = None,
        augment: bool = False,
        radius: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.standard, self.head = encoder, standard, head
        self.frozen, self.encoder_pace, self.fresh, self.weight = frozen, encoder_pace, fresh, weight
        self.consistency, self.augment = consistency, augment
        self.encoder.requires_grad_(not frozen)
        if consistency == "views":
            # Its predictions are steadier than those of the weights as they learn, and go wrong less often.
            self.teacher = copy.deepcopy(nn.Sequential(encoder, standard, head)).requires_grad_(False)
        self._views = [views]  # in a list: not a child, since nothing of it is learned
        self.register_buffer("radius", torch.tensor(float(radius)))

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """One, with all that learns."""
        return {"model": [self.encoder, self.head]}

    def pace(self, child: nn.Module) -> float:
        """That of the encoder; of the head 1, or more where it learns alone."""
        if child is self.encoder:
            return self.encoder_pace
        return ALONE if self.frozen else 1.0

    def train(self, mode: bool = True) -> Self:
        """As of all modules; but a frozen encoder is never in training."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def begin(self, batches: Iterable[Batch]) -> None:
        """Take the scale of the features from the data, and the radius of adversarial moves."""
        x = torch.cat([batch.x for batch in batches])
        if self.fresh:
            unit_variance(self.encoder, x[:500])
        self.standard.start(torch.cat([self.encode(part) for part in x.split(500)]))
        if self.consistency == "adversarial" and not self.radius:
            self.radius.fill_(reach(x))
        if self.consistency == "views":
            self._follow(1.0)

    @torch.no_grad()
    def at_step(self, step: int, steps: int) -> None:
        """Let the teacher follow what was learned."""
        if self.consistency == "views" and step:
            self._follow(max(1 - FOLLOWED, 1 / (step + 1)))

    def _follow(self, share: float) -> None:
        """Move the teacher's weights a share of the way."""
        nets = (self.encoder, self.standard, self.head)
        theirs = [w.detach() for net in nets for w in itertools.chain(net.parameters(), net.buffers())]
        mine = [w for net in self.teacher for w in itertools.chain(net.parameters(), net.buffers())]
        for weight, other in zip(mine, theirs, strict=True):
            weight.lerp_(other, share)

    # -- what the kinds of predictors say ---------------------------------------------------------------------------

    def labelled(self, y: Tensor) -> Tensor:
        """Which examples have labels: (n,), booleans."""
        raise NotImplementedError

    def losses(self, out: Tensor, y: Tensor) -> Tensor:
        """Of outputs (n, outputs) given labels, example by example: (n,)."""
        raise NotImplementedError

    def apart(self, out: Tensor, moved: Tensor) -> Tensor:
        """How far two outputs are apart, a scalar; no gradient goes to the first."""
        raise NotImplementedError

    def agreement(self, out: Tensor, moved: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of outputs for views given those for the examples, and terms for the log."""
        return self.apart(out, moved), {}

    def unsure(self, out: Tensor) -> Tensor:
        """What outputs without labels pay for being undecided: a scalar."""
        return torch.zeros((), device=out.device)

    # -- training ---------------------------------------------------------------------------------------------------

    def outputs(self, x: Tensor) -> Tensor:
        """(n, ...) to (n, outputs)."""
        return self.head(self.standard(self.encode(x)))

    def shared(self, batch: Batch) -> Tensor | None:
        """How many examples have labels."""
        return None if batch.y is None else self.labelled(batch.y).sum().float()[None]

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the mean loss of the labels, and what inconsistency adds to it."""
        if batch.y is None or batch.y.ndim != 1:
            raise RequestError("A supervised model learns from labels, one for an example: give them as y, or with --labels.")
        known, views = self.labelled(batch.y), self._views[0]
        seen = views(batch.x) if views is not None and (self.augment or self.consistency == "views") else batch.x
        out = self.outputs(seen)
        # Of all labels of a batch, of which a part may hold more than another, or none.
        shared = shared_by(batch)
        count = known.sum().clamp_min(1) if shared is None else shared[0]
        loss = torch.where(known, self.losses(out, batch.y), 0.0).sum() / count.clamp_min(1e-9)
        terms: dict[str, Tensor] = {}
        if self.consistency != "none":
            terms["labels"] = loss
            more, others = self._inconsistency(batch.x, out)
            terms |= {"consistency": more, **others}
            loss = loss + self.weight * more
        yield Turn("model", loss, terms)

    def _inconsistency(self, x: Tensor, out: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of outputs that change where they should not; `out` are those of x, or of its views."""
        if self.consistency == "views":
            with torch.no_grad():
                told = self.teacher(x)
            return self.agreement(told, out)
        moved = adversarial(self.outputs, self.apart, x, float(self.radius))
        return self.apart(out, self.outputs(moved)) + self.unsure(out), {}

    def held_out(self, batch: Batch) -> Tensor:
        """The mean loss of the labels."""
        if batch.y is None:
            raise RequestError("A supervised model is measured by labels, and the held-out data have none: give them.")
        return self.losses(self.outputs(batch.x), batch.y).mean()

    # -- after training ---------------------------------------------------------------------------------------------

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The encoder's features: (n, ...) to (n, width)."""
        return self.encoder(x)

    def feed_forward(self) -> nn.Module:
        """The encoder."""
        return self.encoder
