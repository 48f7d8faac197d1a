"""Changes of examples, and of their masks, that leave what is to be learned as it is, for training.

Kornia does them, on tensors, so that they run where the training runs. What it draws is drawn for the whole batch and is a
function of (seed, step, turn), like all other noise; each share of the batch is changed by its own part of that.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from calco.errors import RequestError, at_least, below_one
from calco.maths import noise
from calco.maths.overlap import IGNORED
from calco.maths.seeding import seeded


class Augmentation:
    """Random flips, crops, scales and colours of images and their masks.

    Args:
        flip: mirror half of the images from left to right (horizontal), and half of them upside down (both), or none.
        zoom: least share of an image's area that is cut out and scaled up; 1 for none.
        colour: range in which the factors of brightness and saturation vary about 1; 0 for none.
        crop: height and width of the pieces to train on, or one side for both; () keeps the size.

    Raises:
        RequestError: crop is neither.
    """

    def __init__(self, flip: str = "horizontal", zoom: float = 0.5, colour: float = 0.2, crop: tuple[int, ...] = ()) -> None:
        if len(crop) > 2 or min(crop, default=1) < 1:
            raise RequestError(f"crop is {', '.join(map(str, crop))}: give height and width in pixels, or one side for both.")
        self.flip, self.zoom, self.colour, self.crop = flip, zoom, colour, crop * 2 if len(crop) == 1 else crop
        self._made: dict[tuple[int, ...], Any] = {}

    def _for(self, channels: int, height: int, width: int) -> Any:
        """Kornia's sequence for images of this size."""
        key = (channels, height, width)
        if key not in self._made:
            import kornia.augmentation as kornia

            steps: list[Any] = []
            if self.flip != "none":
                steps.append(kornia.RandomHorizontalFlip(p=0.5))
            if self.flip == "both":
                steps.append(kornia.RandomVerticalFlip(p=0.5))
            size = (self.crop[0], self.crop[1]) if self.crop else (height, width)
            if self.zoom < 1:
                shape = width / height
                steps.append(kornia.RandomResizedCrop(size, scale=(self.zoom, 1.0), ratio=(0.8 * shape, 1.25 * shape)))
            elif self.crop:
                steps.append(kornia.RandomCrop(size, pad_if_needed=True, padding_mode="reflect"))
            if self.colour:
                span = (1 - self.colour, 1 + self.colour)
                # What it calls contrast is a factor of all values; its brightness adds, which would drown dark images.
                steps.append(kornia.RandomContrast(span, clip_output=False))
                if channels == 3:
                    steps.append(kornia.RandomSaturation(span))
            self._made[key] = kornia.AugmentationSequential(*steps, data_keys=["input", "mask"])
        return self._made[key]

    @torch.no_grad()
    def __call__(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, channels, height, width) and masks (n, height, width) to the same, perhaps of the size of crops."""
        # Shifted, because what a step brings in from beyond the border is 0: so it is ignored.
        images, masks = changed(self._for(*x.shape[1:]), x, (mask - IGNORED)[:, None].to(x.dtype))
        return images, masks[:, 0].round().long() + IGNORED


PLAIN = 0.2
"""Share of the images that a view leaves as they are: those are what is asked about after training."""


class Views:
    """Random views of images that show the same thing.

    Args:
        flip: mirror half of the images from left to right (horizontal), and half of them upside down (both), or none.
        rotate: degrees by which images are turned, and sheared, at most.
        shift: share of a side by which they are moved at most.
        zoom: share by which they are made larger or smaller at most.
        colour: range in which the factors of brightness and saturation vary about 1; 0 for none.
        erase: share of the images in which a rectangle is made black.

    Raises:
        RequestError: one is out of range.
    """

    def __init__(
        self,
        flip: str = "none",
        rotate: float = 15.0,
        shift: float = 0.1,
        zoom: float = 0.15,
        colour: float = 0.2,
        erase: float = 0.5,
    ) -> None:
        self.flip, self.rotate, self.shift, self.zoom, self.colour, self.erase = flip, rotate, shift, zoom, colour, erase
        at_least(self, 0, "rotate", "shift", "colour", "erase")
        below_one(self, "zoom")
        if erase > 1:
            raise RequestError(f"erase is {erase}: it is a share, from 0 to 1.")
        self._made: dict[int, Any] = {}

    def _for(self, channels: int) -> Any:
        """Kornia's sequence for images of so many channels."""
        if channels not in self._made:
            import kornia.augmentation as kornia

            steps: list[Any] = []
            if self.flip != "none":
                steps.append(kornia.RandomHorizontalFlip(p=0.5))
            if self.flip == "both":
                steps.append(kornia.RandomVerticalFlip(p=0.5))
            if self.rotate or self.shift or self.zoom:
                turn, shift = self.rotate, self.shift
                scale, shear = (1 - self.zoom, 1 + self.zoom), torch.tensor([[-turn, turn], [-turn / 3, turn / 3]])
                # Bilinear values would be smoother than those of images as they are, and a net would see that.
                steps.append(kornia.RandomAffine(turn, (shift, shift), scale, shear, resample="bicubic", p=1.0))
            if self.colour:
                span = (1 - self.colour, 1 + self.colour)
                steps.append(kornia.RandomContrast(span, clip_output=False, p=1.0))  # it is a factor, as above
                if channels == 3:
                    steps.append(kornia.RandomSaturation(span, p=1.0))
            if self.erase:
                steps.append(kornia.RandomErasing(p=self.erase, scale=(0.02, 0.15)))
            self._made[channels] = kornia.AugmentationSequential(*steps, data_keys=["input"])
        return self._made[channels]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Images in [0, 1], (n, channels, height, width), to others of the same size; some stay as they are."""
        plain = noise.uniform(x[:, :1, :1, :1]) < PLAIN
        return torch.where(plain, x, changed(self._for(x.shape[1]), x).clamp(0, 1))


def changed(sequence: Any, x: Tensor, *others: Tensor) -> Any:
    """What a sequence of kornia makes of images (n, channels, height, width), and of others alike."""
    first, whole = noise.place(len(x))
    with seeded(noise.mix(*noise.fresh())):
        drawn = sequence.forward_parameters(torch.Size((whole, *x.shape[1:])))
    for item in drawn if whole > len(x) else ():
        if item.data is not None:
            item.data.update(_rows_of(item.data, first, len(x)))
    return sequence(x, *others, params=drawn)


def _rows_of(drawn: Mapping[str, Tensor], first: int, n: int) -> dict[str, Tensor]:
    """What was drawn for `n` examples of a batch: one row for each example of it, or for each that is changed at all."""
    changing = drawn["batch_prob"] > 0.5
    before, inside = (int(part.sum()) for part in (changing[:first], changing[first : first + n]))
    found = {k: v[first : first + n] if len(v) == len(changing) else v[before : before + inside] for k, v in drawn.items()}
    size = drawn["forward_input_shape"].clone()
    size[0] = n
    return found | {"forward_input_shape": size}
