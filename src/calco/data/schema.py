"""Schemas: what one example is, how raw values become floats, and how they come back.

A schema is fitted on the training data and saved as JSON in the run folder. It is the only place that knows about dtypes,
column names and units.
"""

import dataclasses
from typing import Any

import numpy as np

from calco.data.images import ImageSchema, fit_images
from calco.data.labels import TEXT, as_given, given_of
from calco.data.masks import masked_of
from calco.data.places import PlacesSchema
from calco.data.recordings import Channels
from calco.data.series import SeriesSchema, fit_series
from calco.data.source import Source, plan_of
from calco.data.tables import TableSchema, fit_table
from calco.data.vectors import VectorSchema, fit_vectors
from calco.errors import RequestError, one_of

Schema = ImageSchema | VectorSchema | SeriesSchema | TableSchema | PlacesSchema


def infer_schema(source: Source) -> Schema:
    """The schema of a source, its statistics fitted on all of it.

    Raises:
        RequestError: the examples are neither images nor vectors, or a value is not finite.
    """
    masked = masked_of(source)
    return with_labels(_of_examples(source), source) if masked is None else masked.schema()


def with_labels(schema: Any, source: Source) -> Any:
    """A schema with the labels of a source, and the dtype by which those come back as they were given."""
    return dataclasses.replace(schema, classes=source.classes, label_dtype=str(given_of(source).dtype))


def classes_of(schema: Schema) -> np.ndarray:
    """The classes of a schema as they were given: (classes,)."""
    return as_given(schema.classes, getattr(schema, "label_dtype", TEXT))


def _of_examples(source: Source) -> Schema:
    if plan := plan_of(source):
        return fit_series(source) if isinstance(plan, Channels) else fit_table(source)
    first = source.take(np.arange(1)).x
    if first.ndim == 2:
        return fit_vectors(source, first)
    if first.ndim in (3, 4):
        return fit_images(source, first)
    raise RequestError(
        f"Cannot tell what one example is from an array of {first.ndim} axes:"
        " give (n, features), (n, height, width) or (n, height, width, channels)."
    )


def schema_from_json(content: dict[str, Any]) -> Schema:
    """The schema that `to_json` wrote.

    Raises:
        RequestError: the content is not such a schema.
    """
    kinds: dict[str, Any] = {kind.kind: kind for kind in (ImageSchema, VectorSchema, SeriesSchema, TableSchema, PlacesSchema)}
    if not isinstance(content, dict):
        raise RequestError("The schema in run.json is damaged or was edited: it is not an object.")
    fields = dict(content)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise one_of("kind of schema", kind, kinds)
    try:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        schema = kinds[kind](**arguments)
        good = schema.sound() and len(classes_of(schema)) == len(schema.classes)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise RequestError(f"The schema in run.json is damaged or was edited: {error}.") from error
    if not good:
        raise RequestError("The schema in run.json is damaged or was edited: its sizes make no sense.")
    return schema
