"""Files of masks, and the list of their classes, which may give each a color."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calco.data.decoding import SUFFIXES, numbers
from calco.data.volumes import read_volume
from calco.errors import RequestError, one_of

RGB, HEX = r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})", r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})"
FORMS = [(re.compile(form), 10) for form in (rf"(?P<name>.+?)[\s,]+{RGB}", rf"{RGB}[\s,]+(?P<name>.+)")]
FORMS += [(re.compile(form), 16) for form in (rf"(?P<name>.+?)[\s,]+{HEX}", rf"{HEX}[\s,]+(?P<name>.+)")]
"""Lines of a class and its color, and the base of its numbers: `road 128 64 128`, `128 64 128 road`, `road #804080`, ..."""
STRIP = 256
"""Rows of a mask in colors that are looked up at once."""

Color = tuple[int, ...]


class Listed(NamedTuple):
    """What a classes.txt says: names in order and, where it gives them, the color of each in masks."""

    names: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()

    def table(self, classes: Sequence[str], ignore: int) -> dict[Color, int]:
        """The value of each color: the index of its name in `classes`, or what is to be ignored.

        Raises:
            RequestError: a name is none of the classes.
        """
        found: dict[Color, int] = {}
        for i, (name, color) in enumerate(zip(self.names, self.colors, strict=bool(self.colors))):
            if i != ignore and name not in classes:
                raise one_of("class", name, classes)
            found[color] = ignore if i == ignore else list(classes).index(name)
        return found


def read_classes(*folders: Path) -> Listed:
    """Names from the first classes.txt in these folders: one a line in order, or each behind its number; none without one.

    Raises:
        RequestError: it cannot be read, skips or repeats something, or gives colors to some of the classes only.
    """
    path = next((folder / "classes.txt" for folder in folders if (folder / "classes.txt").is_file()), None)
    if path is None:
        return Listed()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"Cannot read {path} ({error}): give the name of a class a line, as UTF-8.") from error
    found = _in_order([_parsed(line) for line in lines], path)
    names, colors = tuple(name for name, _ in found), tuple(color for _, color in found if color)
    if colors and len(colors) < len(names):
        bare = next(name for name, color in found if not color)
        raise RequestError(f"{path} gives colors to some classes and none to {bare}: give one to each, as 'name r g b'.")
    for what, several in (("class", names), ("color", [_words(color) for color in colors])):
        twice = [one for one, times in Counter(several).items() if times > 1]
        if twice:
            raise RequestError(f"{path} has the {what} {twice[0]} in more than one line: leave one.")
    return Listed(names, colors)


def _parsed(line: str) -> tuple[str, Color]:
    """A line's name and color; () where it has none."""
    for form, base in FORMS:
        found = form.fullmatch(line)
        if found:
            color = tuple(int(found[i], base) for i in range(1, 5) if i != form.groupindex["name"])
            if max(color) < 256:
                return found["name"], color
    return line, ()


def _in_order(found: list[tuple[str, Color]], path: Path) -> list[tuple[str, Color]]:
    """By the numbers before their names, where all have one."""
    parts = [name.split(maxsplit=1) for name, _ in found]
    if not all(len(one) == 2 and one[0].isdecimal() for one in parts):
        return found
    numbered = {int(one[0]): (one[1], color) for one, (_, color) in zip(parts, found, strict=True)}
    if sorted(numbered) != list(range(len(found))):
        raise RequestError(f"{path} skips or repeats a number: give the classes the numbers 0 to {len(found) - 1}.")
    return [numbered[i] for i in range(len(found))]


def read_mask(path: Path, table: dict[Color, int]) -> np.ndarray:
    """A mask of whole numbers: indices of a palette, grey levels, an array, or colors by a table of their values.

    Raises:
        RequestError: it cannot be read, was saved with loss, or has colors that the table lacks.
    """
    if path.suffix.lower() not in SUFFIXES:
        return _whole(read_volume(path))
    values, palette = numbers(path)
    if palette is not None and table:  # a program may have given a picture in colors a palette of its own order
        values = np.concatenate([palette, np.zeros((256 - len(palette), 3), np.uint8)])[values]
    return _looked_up(values, table, path) if values.ndim == 3 else _whole(values)


def _whole(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.int64) if mask.dtype.kind == "f" and (mask == mask.round()).all() else mask


def _looked_up(pixels: np.ndarray, table: dict[Color, int], path: Path) -> np.ndarray:
    """Pictures in colors, (height, width, 3), as values, (height, width)."""
    codes = np.array(sorted(_code(np.array(color)) for color in table), np.int64)
    values = np.array([table[color] for color in sorted(table)])
    found = np.zeros(pixels.shape[:2], np.int32)
    others: Counter[int] = Counter()
    for top in range(0, len(pixels), STRIP):
        code = _code(pixels[top : top + STRIP])
        place = np.searchsorted(codes, code).clip(0, max(0, len(codes) - 1))
        known = codes[place] == code if len(codes) else np.zeros(code.shape, bool)
        others.update(dict(zip(*(a.tolist() for a in np.unique(code[~known], return_counts=True)), strict=True)))
        if known.all():
            found[top : top + STRIP] = values[place]
    if others:
        told = "; ".join(f"{_words(_parts(code))} ({n:,} places)" for code, n in others.most_common(8))
        told += f" and {len(others) - 8} more" if len(others) > 8 else ""
        advice = "give each class its color in a classes.txt beside the masks, a line of 'name r g b'"
        what = "holds colors that classes.txt does not list" if table else "is a picture in colors"
        raise RequestError(f"{path} {what}: {told}. Masks hold class numbers, or a palette; otherwise {advice}.")
    return found


def _code(pixels: np.ndarray) -> np.ndarray:
    """Colors (..., 3) as one number each."""
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _parts(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


def _words(color: Color) -> str:
    return " ".join(map(str, color))
