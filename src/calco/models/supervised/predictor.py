"""The front door of classifiers and regressors: a head on an encoder that begins as a run left it, or at random."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from sklearn.base import clone
from sklearn.utils import assert_all_finite, column_or_1d
from torch import nn

from calco.contract import Model
from calco.data import PartlyLabelled, Schema, Source, check_columns, infer_schema, mixed, open_data
from calco.data.labels import as_array
from calco.data.schema import with_labels
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator
from calco.models.supervised.head import PredictorModel
from calco.nets.augment import Views
from calco.nets.mlp import MLP, activation
from calco.nets.pairs import make_encoder
from calco.nets.standard import Standardise
from calco.runs import Run
from calco.training import Training


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
        net: Literal["auto", "conv", "recurrent", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        head: tuple[int, ...] = (),
        consistency: Literal["auto", "none", "views", "adversarial"] = "auto",
        consistency_weight: float = 1.0,
        threshold: float = 0.8,
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
            name: clone(value, safe=False) for name, value in self.get_params(deep=False).items() if name != "encoder"
        }
        return type(self)(encoder=self.encoder, **given)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its hyper-parameters; those of a fitted encoder are its own."""
        return {name: value for name, value in super().get_params(deep).items() if not name.startswith("encoder__")}

    def fit(self, x: Any, y: Any = None, *, unlabelled: Any = None, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn from labels.

        Args:
            x: as in `Estimator.fit`.
            y: labels, one per example, where the data do not bring them.
            unlabelled: more examples of the same kind, without labels.
            options: as in `Estimator.fit`.

        Raises:
            RequestError: data or settings are wrong; nothing was started.
            RunError: training failed, or a signal stopped it; the last checkpoint is in `out`.
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
        try:
            y = column_or_1d(as_array(y), warn=True)
            assert_all_finite(y, input_name="y")
        except ValueError as error:
            raise RequestError(str(error)) from error
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
        return with_labels(schema, source)

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
        at_least(self, 0, "width", "encoder_pace", "consistency_weight", "radius")
        below_one(self, "dropout", "threshold")
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
        return mixed(source) if isinstance(source, PartlyLabelled) else source

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
