"""Options that several verbs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from calco.runs import Run

RunFolder = Annotated[Path, Parameter(help="A run folder.")]
Data = Annotated[str, Parameter(help="A named set (see `calco data`), a file, or a folder of images.")]
Device = Annotated[str, Parameter(help="Where to compute: cpu or cuda.")]


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
    masks: Annotated[Path | None, Parameter(help="A folder or npy file of masks: a class for every place of the data.")] = None
    ignore_index: Annotated[int | None, Parameter(help="The value of places in masks that do not count; 255 if not given.")] = (
        None
    )
    instances: Annotated[
        bool, Parameter(help="What is not 0 in masks is an object: learn objects against the rest.", negative="")
    ] = False

    unlabelled: Annotated[
        str | None, Parameter(help="More data of the same kind without labels, for families that use both.")
    ] = None

    window: Annotated[int | None, Parameter(help="Take the data as series, in windows of so many moments (rows).")] = None
    stride: Annotated[int | None, Parameter(help="Moments between the beginnings of two windows; 1 if not given.")] = None
    time: Annotated[str | None, Parameter(help="The column that tells the time of each row; it is not learned.")] = None
    actions: Annotated[
        tuple[str, ...] | None,
        Parameter(help="Channels that somebody chooses, for planning.", consume_multiple=True, negative=""),
    ] = None

    columns: Annotated[
        Path | None, Parameter(help="A TOML file of what columns of a table hold; `calco columns` writes one to begin with.")
    ] = None

    def open(self, data: str, part: str, run: "Run | None" = None) -> Any:
        """The source that `data` names; a folder's images are read as those of `run` were, where no option says otherwise."""
        from calco.data import PlacesSchema, SeriesSchema, TableSchema, open_data, schema_from_json

        options = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        schema = None if run is None else schema_from_json(run.field("schema", dict))
        if isinstance(schema, (SeriesSchema, TableSchema)):
            options = schema.opening() | options
        elif run is not None and (self.masks or Path(data).is_dir()):
            kept = ("mode", "instances") if self.masks else ("size", "mode", "skip_corrupt")
            before: dict[str, Any] = {name: value for name, value in run.opening().items() if name in kept}
            if self.masks and isinstance(schema, PlacesSchema):
                before |= schema.opening()
            options = before | options
        return open_data(data, part=part, **options)

    def named(self, data: str) -> Any:
        """The name itself, of which both parts can be opened, where no option says how; else the source."""
        plain = all(value in (None, False) for value in vars(self).values())
        return data if plain else self.open(data, "train")


DEFAULT = DataOptions()


@Parameter(name="*", group="Where the data of the run are now")
@dataclass(frozen=True, kw_only=True)
class Moved:
    """Where what a run learned from, and what it watched, are now; they are read as they were, and checked."""

    training_data: Annotated[str | None, Parameter(help="What the run learned from.")] = None
    training_labels: Annotated[Path | None, Parameter(help="The file of their labels.")] = None
    training_masks: Annotated[Path | None, Parameter(help="Their masks.")] = None
    training_unlabelled: Annotated[str | None, Parameter(help="The examples without labels that it learned from too.")] = None
    held_out: Annotated[str | None, Parameter(help="What the run watched while it trained, if it was given that.")] = None
    held_out_labels: Annotated[Path | None, Parameter(help="The file of their labels.")] = None
    held_out_masks: Annotated[Path | None, Parameter(help="Their masks.")] = None

    def tell(self, run: "Run | None") -> None:
        """Let a run know.

        Raises:
            RequestError: it used no such data.
        """
        if run is None:
            return
        told = {"data": self.training_data, "labels": self.training_labels, "masks": self.training_masks}
        run.move("data", **told, unlabelled=self.training_unlabelled)
        run.move("held_out", data=self.held_out, labels=self.held_out_labels, masks=self.held_out_masks)


UNMOVED = Moved()
