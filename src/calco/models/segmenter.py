"""Semantic segmentation: a class for every place of a signal, an image or a volume.

Fully convolutional nets (Long, Shelhamer and Darrell 2015) in six architectures, with any in-network upsampling; the trunk
may begin as the encoder of an autoencoder that never saw a label.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.contract import Batch, Model, Turn, Verdict, shared_by
from calco.data import PlacesSchema, Schema, Source, open_data
from calco.errors import RequestError, at_least
from calco.estimator import Estimator
from calco.maths.overlap import confusion, cross_entropy, dice, focal, overlap, weight_of
from calco.nets.augment import Augmentation
from calco.nets.conv import ConvEncoder
from calco.nets.segmentation import ARCHITECTURES, EncoderTrunk, PoolingTrunk, make_segmentation_net
from calco.training import Training

LOSSES = {"cross_entropy": cross_entropy, "dice": dice, "focal": focal}
STATISTICS = 24
"""Passes of a batch from which the statistics of batch normalisation are taken anew after training, at most."""


class SegmenterModel(Model):
    """The mathematics of segmentation, for any net.

    Args:
        net: (n, channels, ...) to a list: scores (n, classes, ...), and coarser ones.
        classes: how many.
        losses: names of those that are summed.
        weights: of the classes, (classes,), or None.
        deep: weight of the loss of coarser scores.
        augmentation: changes examples and masks alike in training.
    """

    whole_batch = True  # by batch normalisation

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        *,
        losses: tuple[str, ...] = ("cross_entropy",),
        weights: Tensor | None = None,
        deep: float = 0.0,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        self.net, self.classes, self.losses, self.deep = net, classes, losses, deep
        self.register_buffer("weights", weights)
        self._augmentation = [augmentation]  # in a list: not a child, since nothing of it is learned

    def _loss(self, scores: Tensor, mask: Tensor, whole: Tensor | None) -> Tensor:
        weights: Any = self.weights
        return torch.stack([LOSSES[name](scores, mask, weights, whole) for name in self.losses]).sum()

    def _changed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Examples and masks as training sees them."""
        augment = self._augmentation[0]
        return augment(batch.x, _mask_of(batch)) if augment is not None else (batch.x, _mask_of(batch))

    def shared(self, batch: Batch) -> Tensor:
        """What the places with a class count in all: ()."""
        weights: Any = self.weights
        return weight_of(self._changed(batch)[1], weights).float()

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the loss of augmented examples."""
        x, mask = self._changed(batch)
        whole = shared_by(batch)
        scores, *coarser = self.net(x)
        loss = self._loss(scores, mask, whole)
        if self.deep:
            for score in coarser:
                mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[score.ndim]
                loss = loss + self.deep * self._loss(F.interpolate(score, mask.shape[1:], mode=mode), mask, whole)
        yield Turn("model", loss, {})

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """1 - mean IU over all held-out places; beside it pixel accuracy."""
        counts = torch.zeros(self.classes, self.classes, dtype=torch.int64)
        for batch in batches:
            counts += confusion(self.segment(batch.x), _mask_of(batch), self.classes).cpu()
        found = overlap(counts)
        return Verdict(1 - found.mean_iu, {"mean_iu": found.mean_iu, "pixel_accuracy": found.pixel_accuracy})

    def conclude(self, batches: Iterable[Batch]) -> None:
        """Take the statistics of batch normalisation anew, with the weights as they ended."""
        norms = [m for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        before = [(norm.momentum, norm.training) for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over what follows
            norm.train()
        parts = (part for batch in batches for part in batch.x.split(8))
        for _, part in zip(range(STATISTICS), parts, strict=False):
            self.net(part)
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)

    @property
    def cell(self) -> int:
        """Sides of the coarsest cell, in places of an example."""
        net: Any = self.net
        return net.cell

    def scores(self, x: Tensor) -> Tensor:
        """Scores of the classes: (n, channels, ...) to (n, classes, ...)."""
        return self.net(x)[0]

    def segment(self, x: Tensor) -> Tensor:
        """The class of every place: (n, channels, ...) to (n, ...)."""
        return self.scores(x).argmax(1)


def _mask_of(batch: Batch) -> Tensor:
    if batch.y is None or batch.y.ndim != batch.x.ndim - 1:
        raise RequestError("A segmenter learns from masks, a class for every place: give them as y, or with --masks.")
    return batch.y


class Segmenter(Estimator):
    """Semantic segmentation by a fully convolutional net: a class for every place of signals, images or volumes.

    Args:
        architecture: how scores come back to full size.
        upsampling: the operator on the way up; auto takes the architecture's own.
        skips: whether decoders that mirror the trunk take its maps; auto does as the architecture.
        levels: times that the sides are halved; 0 takes as many as leave the smaller side 4 places, 5 at most.
        width: channels of the first level; each further level has twice as many, up to 8 times.
        blocks: convolutions in a level.
        kernel: sides of the kernels in a level, an odd number.
        stem: stride of a convolution before the first level; the scores are interpolated back over it.
        loss: what is minimised, a sum where several are named.
        balance: weigh classes in the loss by their median frequency over their own, to this power: 1 as is, 0 not at all.
        class_weights: weights of the classes in the loss, one for each; none given, all alike.
        deep: weight of the loss of coarser scores (deep supervision); 0 for none.
        contrast: side of the window whose mean and deviation normalise each place of an example; 0 for none. It helps where
            examples to come are lit unlike those of the training.
        flip: mirror half of the images in training from left to right, or also upside down (both), for images that have no
            upper side, as those of a microscope.
        zoom: least share of an image's area that is cut out and scaled up in training; 1 for none.
        colour: range in which factors of the images' brightness and saturation vary about 1 in training; 0 for none.
        crop: height and width of the pieces of images to train on, or one side for both; none given, whole images.
        encoder: run folder of a family with a conv encoder (autoencoder, vae, contrastive, classifier), which becomes the
            trunk; levels, width, kernel and stem are its own then.
        encoder_use: fine-tuned with the rest, frozen, or with random weights, for a comparison.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "segmenter"
    model_class = SegmenterModel
    recipe = Training(steps=1500, batch_size=8, lr=2e-3, weight_decay=1e-4, ema=0.99, clip=5.0)

    def __init__(
        self,
        architecture: Literal["fcn32s", "fcn16s", "fcn8s", "deconvnet", "segnet", "unet"] = "unet",
        *,
        upsampling: Literal[
            "auto",
            "nearest",
            "bed_of_nails",
            "max_unpooling",
            "transpose",
            "bilinear",
            "pixel_shuffle",
            "resize_convolution",
        ] = "auto",
        skips: Literal["auto", "none", "add", "concat"] = "auto",
        levels: int = 0,
        width: int = 32,
        blocks: int = 2,
        kernel: int = 3,
        stem: int = 1,
        loss: Literal["cross_entropy", "dice", "focal", "cross_entropy+dice", "focal+dice"] = "cross_entropy",
        balance: float = 0.0,
        class_weights: tuple[float, ...] = (),
        deep: float = 0.0,
        contrast: int = 0,
        flip: Literal["none", "horizontal", "both"] = "horizontal",
        zoom: float = 0.5,
        colour: float = 0.2,
        crop: tuple[int, ...] = (),
        encoder: str = "",
        encoder_use: Literal["fine_tuned", "frozen", "random"] = "fine_tuned",
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.architecture = architecture
        self.upsampling = upsampling
        self.skips = skips
        self.levels = levels
        self.width = width
        self.blocks = blocks
        self.kernel = kernel
        self.stem = stem
        self.loss = loss
        self.balance = balance
        self.class_weights = class_weights
        self.deep = deep
        self.contrast = contrast
        self.flip = flip
        self.zoom = zoom
        self.colour = colour
        self.crop = crop
        self.encoder = encoder
        self.encoder_use = encoder_use
        self.training = training

    def _open(self, x: Any, y: Any = None, reset: bool = False) -> Source:
        """Examples with masks, given as a pair too."""
        if isinstance(x, tuple) and len(x) == 2 and y is None:
            x, y = x
        if y is None:
            return open_data(x)
        source: Any
        if not reset:
            schema: Any = getattr(self, "schema_", None)
            return open_data(x, masks=y, **(getattr(self, "reading_", None) or schema.opening()))
        source = open_data(x, masks=y)
        self.reading_ = {"classes": source.classes, "ignore_index": source.ignore}  # validation data are read alike
        return source

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags

    def build(self, schema: Schema) -> SegmenterModel:
        """The net for data of this schema."""
        if not isinstance(schema, PlacesSchema):
            raise RequestError("A segmenter learns from masks, a class for every place: give them as y, or with --masks.")
        at_least(self, 1, "width", "blocks", "kernel", "stem")
        at_least(self, 0, "levels", "deep", "contrast", "colour", "balance")
        if self.kernel % 2 == 0:
            raise RequestError(f"kernel is {self.kernel}; it must be odd, so that it has a middle: 3, 5 or 7.")
        plan, dims = ARCHITECTURES[self.architecture], schema.dims
        if self.encoder:
            if self.contrast:
                raise RequestError("An encoder of a run knows examples as they are: leave contrast at 0.")
            trunk = EncoderTrunk(ConvEncoder(**self.gathered_["encoder"]))
            trunk.requires_grad_(self.encoder_use != "frozen")
        else:
            levels = self.levels or max(1, min(5, int(math.log2(max(2, min(schema.sides) / self.stem / 4)))))
            widths = [self.width * min(2**i, 8) for i in range(levels)]
            trunk = PoolingTrunk(schema.channels, widths, self.blocks, dims, plan.bottom, self.stem, self.kernel)
        options = {name: getattr(self, name) for name in ("upsampling", "skips", "blocks", "contrast")}
        net = make_segmentation_net(self.architecture, trunk, len(schema.classes), deep=self.deep > 0, **options)
        if self.crop and dims != 2:
            raise RequestError("crop is of images: leave it out for signals and volumes.")
        augmentation = Augmentation(self.flip, self.zoom, self.colour, self.crop) if dims == 2 else None
        return SegmenterModel(
            net,
            len(schema.classes),
            losses=tuple(self.loss.split("+")),
            weights=self._weights(schema),
            deep=self.deep,
            augmentation=augmentation,
        )

    def gather(self, source: Source, schema: Schema) -> dict[str, Any]:
        """The plan of the encoder that the trunk is made of."""
        return {"encoder": self._encoder(schema).plan} if self.encoder else {}

    def initialise(self, model: Model) -> None:
        """Take the encoder's weights."""
        if self.encoder and self.encoder_use != "random":
            net: Any = model.get_submodule("net.trunk")
            net.load_state_dict(EncoderTrunk(self._encoder()).state_dict())

    def _encoder(self, schema: Schema | None = None) -> ConvEncoder:
        """That of the run `encoder`.

        Raises:
            RequestError: it has none, or one for other data than those of `schema`.
        """
        from calco.models import load

        run = load(self.encoder)
        shape = run.schema_.shape
        found = next((net for net in run.model_.modules() if isinstance(net, ConvEncoder)), None)
        if found is None:
            raise RequestError(
                f"{self.encoder} holds no convolutional encoder: give a run of autoencoder, vae, contrastive or classifier on"
                " images, net 'conv'."
            )
        if schema is not None and (len(schema.shape) != 3 or schema.shape[0] != shape[0]):
            raise RequestError(
                f"The encoder in {self.encoder} is for images of {shape[0]} channels; these examples are {schema.shape}."
            )
        return found

    def _weights(self, schema: PlacesSchema) -> Tensor | None:
        if self.balance and self.class_weights:
            raise RequestError("Give class_weights or balance, not both.")
        # A class that the data lack keeps its weight of 0 whatever the power.
        given = tuple(weight**self.balance for weight in schema.balance()) if self.balance else self.class_weights
        if not given:
            return None
        if len(given) != len(schema.classes):
            raise RequestError(f"There are {len(given)} class weights for {len(schema.classes)} classes: give one each.")
        return torch.tensor(given, dtype=torch.float32)
