"""Augmentation: images and masks change together, and nothing else does."""

import pytest
import torch

from calco.maths.overlap import IGNORED
from calco.nets.augment import Augmentation


def blocks() -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose grey level tells the class of their masks: blocks of 12 x 12 places, one class of them ignored."""
    classes = torch.randint(0, 4, (6, 4, 5), generator=torch.Generator().manual_seed(0))
    mask = classes.repeat_interleave(12, 1).repeat_interleave(12, 2)
    return mask[:, None] / 4, torch.where(mask == 3, IGNORED, mask)


@pytest.mark.parametrize("crop", [(), (24, 36)])
@pytest.mark.parametrize("zoom", [1.0, 0.4])
def test_masks_follow_their_images(zoom, crop):
    torch.manual_seed(0)
    images, masks = blocks()
    x, y = Augmentation(flip="both", zoom=zoom, colour=0.0, crop=crop)(images, masks)
    assert x.shape[2:] == y.shape[1:] == (crop or (48, 60))
    assert not torch.equal(y, masks[:, : y.shape[1], : y.shape[2]])
    told = (4 * x[:, 0]).round().long()
    inside = (4 * x[:, 0] - told).abs() < 0.02  # away from edges, where an image is interpolated
    assert inside.float().mean() > 0.7
    agree = (torch.where(told == 3, IGNORED, told) == y)[inside]
    assert agree.float().mean() > 0.99


def test_colours_change_images_alone_and_by_a_factor():
    torch.manual_seed(0)
    dark, mask = torch.full((50, 3, 4, 4), 0.02), torch.zeros(50, 4, 4, dtype=torch.long)
    x, y = Augmentation(flip="none", zoom=1.0, colour=0.5)(dark, mask)
    assert torch.equal(y, mask)
    assert 0.0099 < x.min() < 0.014
    assert 0.026 < x.max() < 0.0301


def test_nothing_asked_for_changes_nothing():
    images, masks = blocks()
    x, y = Augmentation(flip="none", zoom=1.0, colour=0.0)(images, masks)
    assert torch.equal(x, images)
    assert torch.equal(y, masks)


@pytest.mark.parametrize(("flip", "ways"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_images_are_mirrored_along_the_axes_asked_for(flip, ways):
    torch.manual_seed(0)
    image, mask = torch.rand(1, 1, 6, 8), torch.randint(0, 3, (1, 6, 8))
    x, y = Augmentation(flip=flip, zoom=1.0, colour=0.0)(image.repeat(60, 1, 1, 1), mask.repeat(60, 1, 1))
    seen = {one.numpy().tobytes() for one in x}
    assert len(seen) == ways
    for dims in ((), (2,), (1,), (1, 2))[:ways]:
        mirrored = image[0].flip(dims).numpy().tobytes()
        assert mirrored in seen
        at = [one.numpy().tobytes() for one in x].index(mirrored)
        assert torch.equal(y[at], mask[0].flip([d - 1 for d in dims]))
