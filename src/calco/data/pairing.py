"""Which file is the mask of which."""

from collections import Counter
from pathlib import Path

from calco.data.decoding import SUFFIXES
from calco.data.folder import files_below
from calco.data.masks import refuse
from calco.data.source import as_text
from calco.data.volumes import VOLUMES
from calco.errors import RequestError

ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_L")
"""What may follow the name of an example in the name of its mask."""
MATCHED = (
    "Examples and masks are matched by their paths below the folders, without suffixes and with _mask, _label or _seg behind"
    " a mask's or not; where no two stems are alike, by those alone."
)


def stem(path: Path) -> str:
    """A file's name without its suffix, or both of them for .nii.gz."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def key(path: Path, folder: Path) -> str:
    """A file's path below a folder, without suffix."""
    return path.relative_to(folder).with_name(stem(path)).as_posix()


def example_files(folder: Path) -> list[Path]:
    """Images and volumes below a folder, sorted; hidden ones are left out.

    Raises:
        RequestError: there is none.
    """
    return files_below(folder, (*SUFFIXES, *VOLUMES), "images or volumes")


def pairs(examples_at: Path, masks_at: Path) -> tuple[list[Path], list[Path]]:
    """The examples below a folder, and the mask of each below another or the same.

    Raises:
        RequestError: one has no mask, a mask has no example, or it is not clear whose it is.
    """
    examples, masks = example_files(examples_at), example_files(masks_at)
    if examples_at.samefile(masks_at):
        names = {key(path, examples_at) for path in examples}
        masks = [path for path in examples if _base(key(path, examples_at), names)]
        examples = [path for path in examples if path not in set(masks)]
        if not masks:
            raise RequestError(
                f"{examples_at} holds no masks: beside images, they are called like those with {', '.join(ENDINGS)} behind,"
                " as 001.png and 001_mask.png."
            )
    return examples, partners(examples, masks, examples_at, masks_at)


def _base(name: str, names: set[str]) -> str:
    """The example whose mask has this name; nothing where it is none."""
    bases = (name.removesuffix(end) for end in ENDINGS if name.endswith(end))
    return next((base for base in bases if base in names), "")


def partners(examples: list[Path], masks: list[Path], examples_at: Path, masks_at: Path) -> list[Path]:
    """The mask of each example: by its path, else by its stem where that is the only one.

    Raises:
        RequestError: one has no mask, a mask has no example, or two files have one name.
    """
    for kind, files, folder in (("examples", examples, examples_at), ("masks", masks, masks_at)):
        twice = sorted(name for name, times in Counter(key(path, folder) for path in files).items() if times > 1)
        refuse(twice, len(files), "Give each a name of its own.", f"{kind} share their names with others")
    by_path, stems = {key(path, masks_at): path for path in masks}, Counter(map(stem, masks))
    by_stem = {stem(path): path for path in masks if stems[stem(path)] == 1}
    own = Counter(map(stem, examples))

    def find(path: Path) -> Path | None:
        near = [by_path.get(key(path, examples_at) + end) for end in ("", *ENDINGS)]
        far = [by_stem.get(stem(path) + end) for end in ("", *ENDINGS) if own[stem(path)] == 1]
        return next((mask for mask in (*near, *far) if mask is not None), None)

    found = [find(path) for path in examples]
    without = [example for example, mask in zip(examples, found, strict=True) if mask is None]
    refuse(_names(examples_at, without), len(examples), MATCHED, "examples have no mask")
    unused = sorted(set(masks) - set(found))
    refuse(_names(masks_at, unused), len(masks), MATCHED, "masks have no example")
    known = [path for path in found if path is not None]
    several = sorted(mask for mask, times in Counter(known).items() if times > 1)
    refuse(_names(masks_at, several), len(masks), MATCHED, "masks could be those of several examples")
    return known


def _names(folder: Path, files: list[Path]) -> list[str]:
    return [as_text(path.relative_to(folder).as_posix()) for path in files]
