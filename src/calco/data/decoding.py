"""One picture of a file: all that it holds, upright. What would be lost on the way is refused by name, not lost."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calco.errors import RequestError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What these suffixes stand for. A file of another kind under one of them is not opened: PostScript would be a program."""

PIXELS = 1 << 30
"""Pixels of an image at most, four times as many bytes or less: a small file can name any number."""

BITS, FRAME, SIGN = 258, 254, 339
"""Tags of TIFF: bits of each channel, what a page is, and how numbers are written."""
ORIENTATION = 274
"""The tag of EXIF that says how a picture is to be turned."""
EXTRA = 5
"""Bits of `FRAME` of a page that is another's smaller copy, or its mask."""


class Corrupt(RequestError):
    """An image that cannot be read, and may be skipped."""


class _Large:
    """Lifts Pillow's own bound on the size of images while threads of ours read some; ours is checked instead."""

    lock = threading.Lock()
    inside = 0
    before: int | None = None

    def __enter__(self) -> None:
        from PIL import Image

        with self.lock:
            if not _Large.inside:
                _Large.before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            _Large.inside += 1

    def __exit__(self, *error: object) -> None:
        from PIL import Image

        with self.lock:
            _Large.inside -= 1
            if not _Large.inside:
                Image.MAX_IMAGE_PIXELS = _Large.before


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A picture as Pillow gives it, not yet decoded.

    Raises:
        Corrupt: it is corrupt or truncated; also where that shows only while it is decoded.
        RequestError: it has too many pixels, several pages, or channels of more bits than Pillow keeps.
    """
    from PIL import Image

    try:
        with _Large(), Image.open(path, formats=FORMATS) as image:
            _check(image, path)
            yield image
    except RequestError:
        raise
    except Exception as error:  # decoders meet broken files with errors of many kinds
        raise Corrupt(f"{path} is corrupt or truncated ({error}): mend or remove it, or give skip_corrupt.") from error


def _check(image: Any, path: Path) -> None:
    if image.width * image.height > PIXELS:
        raise RequestError(
            f"{path} has {image.width:,} x {image.height:,} pixels: images of up to {PIXELS:,} are read. Cut it to pieces."
        )
    pages = _pages(image)
    if pages > 1:
        raise RequestError(
            f"{path} holds {pages} pages or frames, and one would be read: save each as a file of its own, or give all as one"
            " npy file."
        )
    signed = 2 in _tag(image, SIGN)
    if image.mode[0] not in "IF" and (signed or _bits(image) > 8):  # Pillow would keep 8 of them
        told = "signed channels of 8 bits" if signed else "more than 8 bits a channel, of several channels"
        raise RequestError(f"{path} has {told}: convert the images to bytes, or give them as one npy file.")


def _tag(image: Any, number: int) -> tuple[int, ...]:
    found = getattr(image, "tag_v2", {}).get(number, ())
    return found if isinstance(found, tuple) else (found,)


def _bits(image: Any) -> int:
    """Bits of a channel, as far as they may be more than 8."""
    if image.format == "PNG":
        return 16 if ";16" in str(image.tile) else 8
    return 16 if _top(image) > 255 else max(_tag(image, BITS), default=8)


def _pages(image: Any) -> int:
    """Pages or frames: without those of a TIFF that are smaller copies or masks, or what cameras put behind a JPEG."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return 1
    if image.format != "TIFF":
        return image.n_frames
    kinds = []
    for page in range(image.n_frames):
        image.seek(page)
        kinds.append((*_tag(image, FRAME), 0)[0])
    image.seek(0)
    return max(1, sum(not kind & EXTRA for kind in kinds))


def _top(image: Any) -> int:
    """The file's own greatest value, of grey levels that Pillow spreads over a wider range; else 0."""
    args: Any = image.tile[0][3] if image.tile else ""
    if image.format == "PPM" and isinstance(args, tuple) and isinstance(args[-1], int):
        return args[-1]
    if image.mode == "L":
        bits = _tag(image, BITS)[:1] if image.format == "TIFF" else [int(args[2:])] if args in ("L;2", "L;4") else []
        return 2 ** bits[0] - 1 if bits and bits[0] < 8 else 0
    return 0


def upright(image: Any) -> Any:
    """A picture, decoded and turned as its EXIF says."""
    from PIL import Image

    image.load()
    ways = Image.Transpose
    turns = (ways.FLIP_LEFT_RIGHT, ways.ROTATE_180, ways.FLIP_TOP_BOTTOM, ways.TRANSPOSE, ways.ROTATE_270, ways.TRANSVERSE)
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # an EXIF that cannot be understood says nothing, and the pixels are read
        return image
    return image.transpose((*turns, ways.ROTATE_90)[orientation - 2]) if orientation in range(2, 9) else image


def decode(path: Path, size: tuple[int, int] | None = None, mode: str | None = None, *, asked: bool = True) -> np.ndarray:
    """One image, (height, width) or (height, width, channels): uint8, or as deep as it is where it is grey.

    Args:
        path: the file.
        size: height and width to fit it to.
        mode: L, LA, RGB or RGBA, to convert it to.
        asked: whether somebody asked for that mode; else no colors and no transparency may be lost by it.

    Raises:
        Corrupt: it is corrupt or truncated.
        RequestError: something of it would be lost.
    """
    with opened(path) as image:
        top, deep = _top(image), image.mode[0] in "IF"
        if deep and mode in ("RGB", "RGBA"):
            raise RequestError(f"{path} is grey and has more than 8 bits: it cannot become {mode}. Leave the mode out.")
        picture = upright(image) if deep else _converted(upright(image), path, mode, asked)
        if size:
            from PIL import Image, ImageOps

            picture = ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BICUBIC)
        return _deep(picture, image, path, top) if deep else np.asarray(picture, dtype=np.uint8)


def _converted(image: Any, path: Path, mode: str | None, asked: bool) -> Any:
    """Of 8 bits: grey or colours, with alpha where the file has it or where places of it are transparent."""
    if image.mode in ("P", "PA", "1", "L", "RGB") and ("transparency" in image.info or image.mode == "PA"):
        clear = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
        image = clear if _holds_alpha(clear) else image
    if mode and not asked and "A" not in mode and _holds_alpha(image):
        raise RequestError(
            f"{path} has an alpha channel, and places that are not opaque, which {mode} would drop: convert the images first,"
            f" or ask for the mode {mode}."
        )
    if mode in ("L", "LA") and not asked and _holds_color(image):
        raise RequestError(f"{path} has colors, which the others or the model have not: convert it first, or ask for a mode.")
    if mode or image.mode not in ("L", "RGB", "RGBA", "LA"):
        return image.convert(mode or ("L" if image.mode == "1" else "RGB"))
    return image


def _holds_color(image: Any) -> bool:
    if image.mode in ("1", "L", "LA"):
        return False
    red, green, blue = (np.asarray(image.convert("RGB"))[..., i] for i in range(3))
    return not (np.array_equal(red, green) and np.array_equal(green, blue))


def _holds_alpha(image: Any) -> bool:
    return image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() != (255, 255)


def _deep(picture: Any, image: Any, path: Path, top: int) -> np.ndarray:
    """Values of more than 8 bits as the file has them."""
    values = np.asarray(picture)
    if image.format == "TIFF" and 1 in (*_tag(image, SIGN), 1)[:1] and values.dtype == np.int32 and (values < 0).any():
        raise RequestError(f"{path} holds whole numbers beyond 2^31: give the images as one npy file.")
    if image.format in ("PPM", "PNG") and values.dtype == np.int32:
        return np.round(values * (top / 65535 if top else 1)).astype(np.uint16)
    return values


def numbers(path: Path) -> tuple[np.ndarray, Any]:
    """A picture whose values are numbers, as the file has them: (height, width), and its palette (colours, 3) or None.

    A picture in colours gives (height, width, 3), bytes.

    Raises:
        Corrupt: it is corrupt or truncated.
        RequestError: something of it would be lost, or was lost when it was written.
    """
    with opened(path) as image:
        if is_lossy(image, path):
            return _of_two(image, path), None
        top, picture = _top(image), upright(image)
        if picture.mode[0] in "IF":
            return _deep(picture, image, path, top), None
        if picture.mode == "P":
            return np.asarray(picture), np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
        if _holds_alpha(picture):
            raise RequestError(f"{path} is a mask with places that are not opaque: give those the value to ignore instead.")
        if picture.mode not in ("1", "L", "LA"):
            return np.asarray(picture.convert("RGB")), None
        values = np.asarray(picture.convert("L") if picture.mode == "LA" else picture)
        return (np.round(values * (top / 255)).astype(np.uint8) if top else values), None


def is_lossy(image: Any, path: Path) -> bool:
    """Whether a picture was written so that its values changed a little."""
    if image.format == "WEBP":
        with path.open("rb") as file:
            return b"VP8 " in file.read(1 << 16)
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")


def _of_two(image: Any, path: Path) -> np.ndarray:
    """The values of a lossy picture that is black and white all the same.

    Raises:
        RequestError: it is not.
    """
    values = np.asarray(upright(image).convert("L"))
    if not np.isin(values, (0, 255)).all():
        raise RequestError(
            f"{path} was saved with loss ({image.format}), so that its values are not what they were: save masks as png."
        )
    return values
