"""Options that several verbs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


@Parameter(name="*", group="Data")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How to read the data."""

    labels: Annotated[Path | None, Parameter(help="A file of labels: npy, idx, one-column CSV, or text with one a line.")] = (
        None
    )
    size: Annotated[tuple[int, int] | None, Parameter(help="Height and width to fit the images of a folder to.")] = None
    mode: Annotated[Literal["L", "RGB"] | None, Parameter(help="Convert the images of a folder to grey (L) or colour.")] = None
    skip_corrupt: Annotated[bool, Parameter(help="Leave out images that cannot be read.", negative="")] = False

    def open(self, data: str, part: str, run: Path | None = None) -> Any:
        """The source that `data` names; a folder's images are read as those of `run` were, where no option says otherwise."""
        from calco.data import open_data
        from calco.runs import Run

        options = vars(self)
        if run is not None and Path(data).is_dir():
            before = Run(run).record["data"].get("open") or {}
            options = {name: value or (name != "labels" and before.get(name)) or None for name, value in options.items()}
        return open_data(data, part=part, **{name: value for name, value in options.items() if value})


DEFAULT = DataOptions()
