"""`calco fit`: one command a family, its flags derived from the constructor and from the training settings."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import App, Parameter

from calco.cli.display import Display
from calco.cli.options import DEFAULT, DataOptions
from calco.errors import RequestError
from calco.estimator import Estimator
from calco.models import families
from calco.training import Training

DATA = "What to learn from: a named set (see `calco data`), a file, or a folder of images."

app = App(name="fit", help="Train a model of a family on data, into a run folder.", help_format="plaintext")


def constructor_flags(cls: type[Estimator]) -> list[inspect.Parameter]:
    """A flag for each hyper-parameter, with its line of the class's docstring."""
    where = next(base for base in cls.__mro__ if "__init__" in vars(base))  # whose docstring speaks of the arguments
    hints, helps = get_type_hints(cls.__init__), argument_lines(where.__doc__ or "")
    given = inspect.signature(cls.__init__).parameters
    return [
        flag(name, hints[name], parameter.default, helps.get(name, ""), "Model")
        for name, parameter in given.items()
        if name not in ("self", "training")
    ]


def training_flags(recipe: Training) -> list[inspect.Parameter]:
    """A flag for each training setting; its default is the family's recipe."""
    hints, helps = get_type_hints(Training), attribute_lines(Training)
    return [
        flag(field.name, hints[field.name], getattr(recipe, field.name), helps.get(field.name, ""), "Training")
        for field in dataclasses.fields(Training)
    ]


def flag(name: str, hint: Any, default: Any, text: str, group: str) -> inspect.Parameter:
    """A keyword-only parameter that the command line shows in `group`."""
    # Only a switch that is on by default needs a flag that turns it off.
    settings = Parameter(help=text, group=group, negative=None if default is True else "", consume_multiple=True)
    if get_origin(hint) is UnionType and str in get_args(hint):  # what may be an estimator too is a run folder here
        hint = str
    annotation = Annotated[hint, settings]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _held(name: str, hint: Any, text: str) -> inspect.Parameter:
    annotation = Annotated[hint, Parameter(help=text, group="Data")]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def argument_lines(doc: str) -> dict[str, str]:
    """The `Args:` section of a docstring, by argument."""
    section = inspect.cleandoc(doc).partition("Args:\n")[2].split("\n\n")[0]
    entries = re.split(r"\n    (?=\w+: )", "\n" + section)
    return {k.strip(): _sentence(v) for k, _, v in (entry.partition(": ") for entry in entries) if v}


def attribute_lines(cls: type) -> dict[str, str]:
    """The strings below the fields of a dataclass, by field."""
    pattern = re.compile(r'^    (\w+): [^\n]*\n    """(.*?)"""', re.MULTILINE | re.DOTALL)
    return {name: _sentence(text) for name, text in pattern.findall(inspect.getsource(cls))}


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text[:1].upper() + text[1:] + "."


def command(cls: type[Estimator]) -> Callable[..., None]:
    """The command that fits this family."""
    model, training = constructor_flags(cls), training_flags(cls.recipe)

    def run(
        data: str,
        *,
        out: Path,
        options: DataOptions = DEFAULT,
        held_out: str | None = None,
        held_out_masks: Path | None = None,
        held_out_labels: Path | None = None,
        **flags: Any,
    ) -> None:
        given = {p.name: flags.get(p.name, p.default) for p in (*model, *training)}
        settings = Training(**{p.name: given[p.name] for p in training})
        estimator = cls(**{**{p.name: given[p.name] for p in model}, "training": settings})
        source = options.open(data, "train")
        held = None
        if (options.masks is None or held_out is None) != (held_out_masks is None):
            raise RequestError("Give masks for both or none: --masks for the data, --held-out-masks for those of --held-out.")
        if held_out is not None:
            own = {"masks": held_out_masks, "labels": held_out_labels, "unlabelled": None}
            held = dataclasses.replace(options, **own).open(held_out, "test")
        with Display(settings.steps, f"{cls.family} on {data}") as display:
            estimator.fit(source, validation=held, out=out, report=display.report)
        display.done(f"Done: {out}. See it with: calco report {out}")

    kind = inspect.Parameter
    shared = [
        kind("data", kind.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, Parameter(help=DATA)]),
        kind("options", kind.KEYWORD_ONLY, default=DEFAULT, annotation=DataOptions),
        kind("out", kind.KEYWORD_ONLY, annotation=Annotated[Path, Parameter(help="The run folder to make.", negative="")]),
        _held("held_out", str | None, "Data to measure on while training."),
        _held("held_out_masks", Path | None, "The masks of those data."),
        _held("held_out_labels", Path | None, "A file of the labels of those data, where they do not bring them."),
    ]
    run.__annotations__ = {}  # the signature's annotations count
    run.__signature__ = inspect.Signature([*shared, *model, *training])  # type: ignore[attr-defined]
    run.__doc__ = (cls.__doc__ or "").partition("\n")[0]
    run.__name__ = cls.family
    return run


for _name, _cls in families().items():
    app.command(command(_cls), name=_name)
