"""What classifiers and regressors have in common: a head on an encoder, and what examples without labels tell them.

The encoder begins as a run left it, or at random. Examples without labels make predictions consistent: the same for two
views of an image (Sohn et al. 2020), or however an example is moved a little (Miyato et al. 2018).
"""

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from sklearn.base import clone
from sklearn.utils import assert_all_finite, column_or_1d
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn
from calco.data import Mixed, PartlyLabelled, Schema, Source, check_columns, infer_schema, open_data
from calco.errors import RequestError
from calco.estimator import Estimator, at_least
from calco.maths.consistency import adversarial, reach
from calco.nets.augment import Views
from calco.nets.mlp import MLP, activation
from calco.nets.pairs import make_encoder
from calco.nets.standard import Standardise
from calco.nets.start import unit_variance
from calco.runs import Run
from calco.training import Training

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

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the mean loss of the labels, and what inconsistency adds to it."""
        if batch.y is None or batch.y.ndim != 1:
            raise RequestError("A supervised model learns from labels, one for an example: give them as y, or with --labels.")
        known, views = self.labelled(batch.y), self._views[0]
        seen = views(batch.x) if views is not None and (self.augment or self.consistency == "views") else batch.x
        out = self.outputs(seen)
        # A share of a batch may hold no label: its mean is then 0.
        loss = torch.where(known, self.losses(out, batch.y), 0.0).sum() / known.sum().clamp_min(1)
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
        if not self.frozen:
            return self.encoder(x)
        with torch.no_grad():
            return self.encoder(x)

    def feed_forward(self) -> nn.Module:
        """The encoder."""
        return self.encoder


class Predictor(Estimator):
    """A head on an encoder.

    Args:
        encoder: run folder, or fitted estimator, of a family that can transfer, whose encoder it begins with; none given, it
            learns one from scratch.
        encoder_use: fine-tuned with the rest, frozen, or with random weights, for a comparison.
        encoder_pace: factor of the learning rate by which an encoder is fine-tuned.
        features: width of the features, where they are learned from scratch.
        net: conv for images, mlp for anything; auto takes conv for images. This and the next four are of an encoder that is
            learned from scratch.
        width: channels of the first level of conv nets, or units per layer of mlp nets; 0 takes 32 or 512.
        depth: residual blocks per level, or hidden layers.
        activation: of the nets.
        dropout: share of units, or of channels of conv nets, dropped in training.
        head: units of hidden layers between features and outputs.
        consistency: predictions are to be the same for views of an image, or for adversarial moves of an example; auto takes
            the one that suits the data where there are examples without labels, and otherwise none.
        consistency_weight: of that loss.
        threshold: least probability of a class at which it counts for other views.
        radius: of adversarial moves; 0 takes a quarter of the distance to the tenth neighbour.
        augment: learn the labels of images from views, even where all have labels.
        flip: views: mirror half of the images from left to right, or also upside down (both).
        rotate: views: degrees by which images are turned, and sheared, at most.
        shift: views: share of a side by which they are moved at most.
        zoom: views: share by which they are made larger or smaller at most.
        colour: views: range in which factors of brightness and saturation vary about 1.
        erase: views: share of the images in which a rectangle is made black.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    recipe = Training(steps=1000, lr=2e-3, ema=0.99, weight_decay=1e-2, clip=5.0)
    model_class: ClassVar[type[PredictorModel]]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        encoder: str | Estimator = "",
        *,
        encoder_use: Literal["fine_tuned", "frozen", "random"] = "fine_tuned",
        encoder_pace: float = 0.3,
        features: int = 128,
        net: Literal["auto", "conv", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        head: tuple[int, ...] = (),
        consistency: Literal["auto", "none", "views", "adversarial"] = "auto",
        consistency_weight: float = 1.0,
        threshold: float = 0.95,
        radius: float = 0.0,
        augment: bool = False,
        flip: Literal["none", "horizontal", "both"] = "none",
        rotate: float = 15.0,
        shift: float = 0.1,
        zoom: float = 0.15,
        colour: float = 0.2,
        erase: float = 0.5,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.encoder_use = encoder_use
        self.encoder_pace = encoder_pace
        self.features = features
        self.net = net
        self.width = width
        self.depth = depth
        self.activation = activation
        self.dropout = dropout
        self.head = head
        self.consistency = consistency
        self.consistency_weight = consistency_weight
        self.threshold = threshold
        self.radius = radius
        self.augment = augment
        self.flip = flip
        self.rotate = rotate
        self.shift = shift
        self.zoom = zoom
        self.colour = colour
        self.erase = erase
        self.training = training

    def __sklearn_clone__(self) -> Any:
        """A fitted encoder is shared with the clone: a copy of it would have learned nothing."""
        given: dict[str, Any] = {
            name: clone(value, safe=False) for name, value in self.get_params().items() if name != "encoder"
        }
        return type(self)(encoder=self.encoder, **given)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its hyper-parameters; those of a fitted encoder are its own."""
        return super().get_params(deep=False)

    def fit(self, x: Any, y: Any = None, *, unlabelled: Any = None, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn from labels.

        Args:
            x: as in `Estimator.fit`.
            y: labels, one per example, where the data do not bring them.
            unlabelled: more examples of the same kind, without labels.
            options: as in `Estimator.fit`.

        Raises:
            RequestError: data or settings are wrong; nothing was started.
            RunError: training failed; the last checkpoint is in `out`.
        """
        if unlabelled is not None:
            x, y = open_data(x, y, unlabelled=unlabelled), None
        return super().fit(x, y, **options)

    def _open(self, x: Any, y: Any = None, reset: bool = False) -> Source:
        """Data with labels given as a pair too."""
        if isinstance(x, tuple) and len(x) == 2 and y is None:
            x, y = x
        if y is not None:
            y = self._checked(y)
        source = super()._open(x, y, reset)
        if reset and not source.classes:
            raise RequestError(
                f"This {type(self).__name__} requires y to be passed, but the target y is None, and the data bring no labels:"
                " give y, or on the command line --labels, or a folder with a subfolder for each class."
            )
        return source

    def _checked(self, y: Any) -> Any:
        """Labels given as an array, refused in scikit-learn's words."""
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        return y

    # -- the encoder ------------------------------------------------------------------------------------------------

    def _plan(self) -> dict[str, Any]:
        """What the encoder's estimator is, as JSON."""
        if isinstance(self.encoder, Estimator):
            return self.encoder.record()
        record = Run(self.encoder).record
        return {name: record[name] for name in ("family", "parameters", "schema", "gathered") if name in record}

    def gather(self, source: Source, schema: Schema) -> dict[str, Any]:
        """What the encoder's estimator is, so that its run may go, and whether there are examples without labels."""
        found: dict[str, Any] = {"unlabelled": True} if isinstance(source, PartlyLabelled) else {}
        return found | ({"encoder": self._plan()} if self.encoder else {})

    def understood(self, source: Source) -> Schema:
        """The schema of the data: that of the encoder, where there is one, with the classes of these."""
        if not self.encoder:
            return infer_schema(source)
        schema: Any = like(self._plan()).schema_
        check_columns(source.names, schema.columns)
        return dataclasses.replace(schema, classes=source.classes)

    def initialise(self, model: Model) -> None:
        """Take the encoder's weights."""
        if not self.encoder or self.encoder_use == "random":
            return
        from calco.models import load

        given = self.encoder if isinstance(self.encoder, Estimator) else load(self.encoder)
        trained: Any = given.model_
        model.get_submodule("encoder").load_state_dict(trained.feed_forward().state_dict())

    def build(self, schema: Schema) -> Any:
        """Encoder and head for data of this schema."""
        at_least(self, 1, "features", "depth")
        at_least(self, 0, "width", "dropout", "encoder_pace", "consistency_weight", "radius", "rotate", "shift", "colour")
        for name in ("zoom", "erase", "threshold", "dropout"):
            if not 0 <= getattr(self, name) <= 1 or (name != "erase" and getattr(self, name) == 1):
                raise RequestError(f"{name} is {getattr(self, name)}: it is a share, at least 0 and below 1.")
        image, plan = len(schema.shape) == 3, getattr(self, "gathered_", {}).get("encoder")
        consistency = self.consistency
        if consistency == "auto":
            partly = getattr(self, "gathered_", {}).get("unlabelled")
            consistency = ("views" if image else "adversarial") if partly else "none"
        if consistency == "views" and not image:
            raise RequestError("Views are of images, and these data are vectors: use consistency 'adversarial' or 'auto'.")
        if plan is not None:
            given = like(plan)
            net: Any = given.build(given.schema_)
            encoder = net.feed_forward()
        else:
            names = ("net", "width", "depth", "activation", "dropout")
            encoder = make_encoder(schema.shape, self.features, **{name: getattr(self, name) for name in names})
        with torch.no_grad():
            width = encoder.eval()(torch.zeros(1, *schema.shape)).shape[1]
        between = [activation(self.activation)] if plan is None else []  # or two linear maps would be one
        looks: dict[str, Any] = {n: getattr(self, n) for n in ("flip", "rotate", "shift", "zoom", "colour", "erase")}
        return self.model_class(
            encoder.train(),
            Standardise(width),
            nn.Sequential(*between, MLP(width, self.head, self._outputs(schema), self.activation, self.dropout)),
            frozen=plan is not None and self.encoder_use == "frozen",
            encoder_pace=self.encoder_pace if plan is not None and self.encoder_use == "fine_tuned" else 1.0,
            fresh=plan is None or self.encoder_use == "random",
            consistency=consistency,
            weight=self.consistency_weight,
            views=Views(**looks) if image else None,
            augment=self.augment,
            radius=self.radius,
            **self._more(schema),
        )

    def fed(self, source: Source, schema: Schema, model: Model) -> Source:
        """Examples with labels repeated among those without, until they are a fixed share."""
        return Mixed(source) if isinstance(source, PartlyLabelled) else source

    def _outputs(self, schema: Schema) -> int:
        """How many numbers the head gives."""
        raise NotImplementedError

    def _more(self, schema: Schema) -> dict[str, Any]:
        """Arguments of the model that only one kind of predictor has."""
        return {}


def like(plan: Mapping[str, Any]) -> Estimator:
    """The estimator, without weights, that a plan of `Estimator.record` is of.

    Raises:
        RequestError: its family cannot transfer.
    """
    from calco.models import family

    given = family(plan["family"]).from_record(plan)
    given.require("transfer")
    return given
