"""Options that several verbs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from calco.runs import Run


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

    def open(self, data: str, part: str, run: "Run | None" = None) -> Any:
        """The source that `data` names; a folder's images are read as those of `run` were, where no option says otherwise."""
        from calco.data import open_data

        options = {name: value for name, value in vars(self).items() if value}
        if run is not None and Path(data).is_dir():
            before = run.opening()
            options = {name: before[name] for name in ("size", "mode", "skip_corrupt") if name in before} | options
        return open_data(data, part=part, **options)


DEFAULT = DataOptions()
