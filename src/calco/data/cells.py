"""How the cells of a column are held, so that others can be held alike: the dtype of pandas, and what that does not say."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import numpy as np

from calco.data.forms import form_of, places, roomy, written
from calco.data.typed import DATED, read, readable, told, type_of, typed
from calco.data.values import within
from calco.errors import RequestError

YEARS, YEARS_NS = (-62135596800.0, 253402300799.0), (-9223372036.0, 9223372036.0)
"""The first and last second of the years 1 to 9999, and of those that nanoseconds have room for."""
WIDE = Context(prec=2000)
"""Of more digits than a float64 has before and behind the decimal point."""


@dataclass(frozen=True)
class Cells:
    """How the cells of a column are held.

    `dtype` is the name of its dtype, `arrow` one of Arrow in full. `type` is that of values which are objects, and `gap` what
    stands among those for a missing one. `form` is how they are written: the format of dates that are text, the zone of
    those that are objects, the decimal places of numbers that are text or Decimals. `texts` are all values that there may
    be, those of a categorical its categories, which `inner` holds, and `types` the types of each.
    """

    dtype: str
    arrow: str = ""
    type: str = ""
    gap: str = ""
    form: str = ""
    texts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    inner: "Cells | None" = None

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Cells":
        """Those that `dataclasses.asdict` wrote."""
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
        inner = fields.pop("inner", None)
        return Cells(**fields, inner=Cells.from_json(inner) if inner else None)

    @property
    def categorical(self) -> bool:
        """Whether the column is a categorical."""
        return self.dtype.startswith("category")

    @property
    def pandas(self) -> Any:
        """The dtype, but of a categorical that of its categories.

        Raises:
            TypeError, ValueError: there is none of this name.
        """
        import pandas as pd
        import pyarrow as pa

        if self.inner:
            return self.inner.pandas
        if self.arrow:
            return pd.ArrowDtype(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.arrow))).field(0).type)
        name, _, storage = self.dtype.partition("[")
        if name == "str" and storage:
            return pd.StringDtype(storage.removesuffix("]"), na_value=np.nan)
        return pd.api.types.pandas_dtype(self.dtype)

    @property
    def unheld(self) -> str:
        """The types of cells that do not come back, told; "" where all do."""
        own = () if self.types else (self.type or "str",)
        return ", ".join(kind for kind in dict.fromkeys((*self.types, *own)) if not readable(kind))

    def sound(self) -> bool:
        """Whether values can be held so."""
        strings = (self.dtype, self.arrow, self.type, self.gap, self.form, *self.texts, *self.types)
        if not all(isinstance(v, str) for v in strings) or self.unheld:
            return False
        for text, kind in zip(self.texts, self.types, strict=True):
            read(text, kind)
        return self.pandas is not None

    def _series(self, values: Sequence[Any], gone: np.ndarray | None = None) -> Any:
        """Values as a column, those that are `gone` missing."""
        import pandas as pd

        gap = {"None": None, "NA": pd.NA, "NaT": pd.NaT}.get(self.gap, np.nan) if self.dtype == "object" else None
        found = np.full(len(values), gap, object)
        for i, value in enumerate(values):
            if gone is None or not gone[i]:
                found[i] = value
        return pd.Series(found, dtype=self.pandas)

    def choices(self, options: Sequence[str], codes: np.ndarray) -> Any:
        """The column of these options, -1 what is missing, a pandas series: (n,)."""
        import pandas as pd

        values = self._series([read(text, kind) for text, kind in zip(self.texts, self.types, strict=True)])
        place = {text: i for i, text in enumerate(self.texts)}
        codes = np.array([*(place[option] for option in options), -1])[codes]
        if self.categorical:
            ordered = self.dtype.endswith("ordered")
            return pd.Series(pd.Categorical.from_codes(codes, pd.Index(values), ordered=ordered))
        if self.dtype == "object":  # whose gap may be any
            return self._series(list(values.iloc[codes]) if len(values) else codes.tolist(), codes < 0)
        return values.reindex(codes).reset_index(drop=True)

    def numbers(self, found: np.ndarray) -> Any:
        """The column of these numbers, NaN what is missing, a pandas series: (n,)."""
        import pandas as pd

        if self.dtype != "object" and self.type not in ("Decimal", "str"):
            return pd.Series(within(found, self.dtype)).astype(self.pandas)
        return self._series([self._number(float(value)) for value in found], np.isnan(found))

    def _number(self, value: float) -> Any:
        if value != value or self.type == "float":
            return value
        if self.type in ("int", "bool"):
            return round(value) if self.type == "int" else round(value) > 0
        exact = Decimal(repr(value))
        rounded = exact.quantize(Decimal(1).scaleb(-int(self.form)), context=WIDE) if self.form else exact
        return rounded if self.type == "Decimal" else f"{rounded:f}"

    def dates(self, seconds: np.ndarray) -> Any:
        """The column of these dates, seconds since 1970 in UTC and NaN what is missing, a pandas series: (n,)."""
        import pandas as pd

        gone = np.isnan(seconds)
        within_reach = np.where(gone, 0, seconds).clip(*(YEARS_NS if "[ns" in self.dtype else YEARS))
        moments = np.round(within_reach * 1e6).astype(np.int64).astype("datetime64[us]")
        stamps: Any = pd.Series(np.where(gone, np.datetime64("NaT"), moments))
        if self.type == "str":
            return self._series(written(stamps, self.form), gone)
        if self.dtype == "object":
            zoned = stamps.dt.tz_localize("UTC").dt.tz_convert(self.form) if self.form else stamps
            return self._series([_dated(stamp, self.type) for stamp in zoned], gone)
        wanted = self.pandas
        if isinstance(wanted, pd.PeriodDtype):
            return stamps.dt.to_period(wanted.freq)
        # Of Arrow's dtypes none has a zone by that name: they take what has none for UTC.
        return (stamps.dt.tz_localize("UTC") if getattr(wanted, "tz", None) else stamps).astype(wanted)


def _dated(stamp: Any, kind: str) -> Any:
    """A stamp of pandas as an object of this type."""
    ways = {"date": "date", "datetime": "to_pydatetime", "datetime64": "to_datetime64"}
    return getattr(stamp, ways[kind])() if kind in ways else stamp


def dtype_of(values: Any) -> str:
    """The name of a column's dtype, where ordered categoricals are told from others."""
    import pandas as pd

    dtype = values.dtype
    name = str(dtype) + (", ordered" if getattr(dtype, "ordered", False) is True and str(dtype) == "category" else "")
    if isinstance(dtype, pd.StringDtype) and dtype != pd.api.types.pandas_dtype(name):
        return f"{name}[{dtype.storage}]"
    return name


def cells_of(values: Any, kind: str) -> Cells:
    """How the cells of a column, a pandas series, are held; `kind` is what it holds: number, choice or date.

    Raises:
        RequestError: its dtype cannot be written down.
    """
    import pandas as pd

    dtype, present = values.dtype, values.dropna()
    if isinstance(dtype, pd.CategoricalDtype):
        table: Any = dtype.categories
        clash = {text: kinds for text, kinds in typed(table).items() if "|" in kinds}
        pairs = [(str(value), clash.get(str(value), type_of(value))) for value in table]
        inner = dataclasses.replace(cells_of(pd.Series(table, name=values.name), "number"), type="", gap="", form="")
        texts, types = zip(*pairs, strict=True) if pairs else ((), ())
        return Cells(dtype_of(values), inner=inner, texts=texts, types=types)
    made: dict[str, Any] = {"dtype": dtype_of(values), "arrow": _arrow(dtype)}
    if isinstance(dtype, pd.StringDtype):
        made["type"] = "str"
    elif dtype.kind == "O":
        made["type"] = _common({type_of(value) for value in {type(value): value for value in present}.values()})
    if made["dtype"] == "object":
        made["gap"] = gap_of(values)
    cells = Cells(**made, form=_form(present, made.get("type", ""), kind))
    if not _restores(cells, dtype):
        raise RequestError(f"The column {values.name} is of dtype {dtype}, which cannot be brought back: convert it by astype.")
    if kind != "choice":
        return cells
    table = typed(present)
    return dataclasses.replace(cells, type="", texts=tuple(table), types=tuple(table.values()))


def joined(one: Cells, other: Cells) -> Cells:
    """How the cells of a column are held that comes in two parts; the dtype is that of the first."""
    if one == other:
        return one
    types = {name for cells in (one, other) for name in cells.type.split("|") if name}
    pairs = [(text, kind) for cells in (one, other) for text, kind in zip(cells.texts, cells.types, strict=True)]
    table = dict(pairs) if one.categorical else told(pairs)
    return dataclasses.replace(
        one,
        type=_common(types),
        form=one.form if one.form == other.form else _both_forms(one.form, other.form),
        texts=tuple(table),
        types=tuple(table.values()),
    )


def _both_forms(one: str, other: str) -> str:
    """How values are written that are so in part: decimal places, formats of dates, or zones."""
    if one.isdecimal() and other.isdecimal():
        return str(max(int(one), int(other)))
    return roomy([one, other]) if "%" in one + other else "UTC"


def _arrow(dtype: Any) -> str:
    """A dtype of Arrow in full, which its name is not."""
    import pandas as pd
    import pyarrow as pa

    if not isinstance(dtype, pd.ArrowDtype):
        return ""
    return base64.b64encode(pa.schema([pa.field("", dtype.pyarrow_dtype)]).serialize()).decode()


def gap_of(values: Any) -> str:
    """What stands for a missing one among values that are objects: the name of its type, that of NaN where there is none."""
    gone = values[values.isna()]
    return type(gone.iloc[0]).__name__.replace("Type", "") if len(gone) else "float"


def _restores(cells: Cells, dtype: Any) -> bool:
    try:
        return cells.pandas == dtype
    except (TypeError, ValueError, NotImplementedError):
        return False


def _common(names: set[str]) -> str:
    """The one type that values of all these equal; all of their names where there is none."""
    for pair in ({"int", "float"}, {"int", "Decimal"}, {"datetime", "Timestamp"}):
        if names == pair:
            return max(pair, key=["int", "float", "Decimal", "datetime", "Timestamp"].index)
    return "|".join(sorted(names))


def _form(present: Any, kind: str, holds: str) -> str:
    """How values that are objects are written."""
    if not len(present) or holds == "choice":
        return ""
    if holds == "date" and kind in DATED:
        zones = {str(getattr(value, "tzinfo", None)) for value in present}
        return "" if zones == {"None"} else next(iter(zones)) if len(zones) == 1 else "UTC"
    if holds == "date" and kind == "str":
        return form_of(present)
    return str(places(present)) if kind in ("Decimal", "str") else ""
