"""Options that several verbs share."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from calco.data.dialect import Dialect
    from calco.runs import Run

RunFolder = Annotated[Path, Parameter(help="A run folder.")]
Data = Annotated[str, Parameter(help="A named set (see `calco data`), a file, or a folder of images.")]
Device = Annotated[str, Parameter(help="Where to compute: cpu or cuda.")]


@Parameter(name="*", group="Data")
@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a table is written as text (CSV and its like); what is not said is found out."""

    delimiter: Annotated[str | None, Parameter(help="What separates cells: one character, or tab.")] = None
    decimal: Annotated[Literal[".", ","] | None, Parameter(help="The decimal sign.")] = None
    thousands: Annotated[str | None, Parameter(help="What groups digits.")] = None
    header: Annotated[bool | None, Parameter(help="Whether the first row names the columns.")] = None
    na_values: Annotated[
        tuple[str, ...] | None,
        Parameter(help='Texts of missing cells, beside empty ones; "" if there are none.', consume_multiple=True, negative=""),
    ] = None
    encoding: Annotated[str | None, Parameter(help="Of the text, such as latin-1; UTF-8 if not given.")] = None

    def dialect(self, path: Path, run: "Run | None" = None) -> "Dialect":
        """What is said of a file; what was said of the data of `run`, where no option says otherwise and the file is text."""
        from calco.data.delimited import is_delimited
        from calco.data.dialect import Dialect

        said = {name: value for name in TEXT if (value := getattr(self, name)) is not None}
        before = run.opening() if run is not None and is_delimited(path) else {}
        return Dialect(**{name: before[name] for name in TEXT if name in before} | said)


@Parameter(name="*", group="Data")
@dataclass(frozen=True, kw_only=True)
class DataOptions(TextOptions):
    """How to read the data."""

    labels: Annotated[Path | None, Parameter(help="A file of labels: npy, idx, one-column CSV, or txt with one a line.")] = None
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

        options = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}
        schema = None if run is None else schema_from_json(run.field("schema", dict))
        if isinstance(schema, (SeriesSchema, TableSchema)):
            options = schema.opening() | options
        elif run is not None and (self.masks or Path(data).is_dir()):
            kept = ("mode", "instances") if self.masks else ("size", "mode", "skip_corrupt")
            before: dict[str, Any] = {name: value for name, value in run.opening().items() if name in kept}
            if self.masks and isinstance(schema, PlacesSchema):
                before |= schema.opening()
            options = before | options
        return open_data(data, part=part, **options | self.dialect(Path(data), run).given())

    def named(self, data: str) -> Any:
        """The name itself, of which both parts can be opened, where no option says how; else the source."""
        return data if self == DEFAULT else self.open(data, "train")


DEFAULT, AS_FOUND = DataOptions(), TextOptions()
TEXT = tuple(field.name for field in fields(TextOptions))


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
