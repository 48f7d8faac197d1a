"""What a column of text holds, seen a part at a time: whole numbers, numbers, booleans, dates or text; its cells as that."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from calco.data.dialect import Dialect
from calco.data.numerals import Format, called, compute, formats
from calco.errors import RequestError

WORDS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL"),
    *("NaN", "None", "n/a", "nan", "null"),
)
"""Words of a missing cell where the other cells of the column are numbers, dates or booleans: those of pandas."""
TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
PATTERNS = {
    "boolean": f"^({'|'.join(TRUE + FALSE)})$",
    "date": r"^\d{4}-\d\d(-\d\d([T ]\d.*)?)?$",
    "amount": r"^\s*[+-]?(\p{Sc}\s*[+-]?\d[\d.,]*|\d[\d.,]*\s*(\p{Sc}|%))\s*$",  # with a currency or a percent sign
}
CODE = r"^\s*[+-]?(0\d+|\d{19,})\s*$"
"""Digits of which a number would lose some."""
WITH_COMMA = r"^\s*[+-]?[\d.]*,\d+\s*$"
FAR = 16
"""Digits of whole numbers that may be beyond what float64 tells apart, and so stay whole where cells are missing."""
HEAD = 32
"""Cells that are looked at before all are."""


class Inference:
    """What a column holds by the cells that were seen.

    Args:
        name: of the column.
        named: number, choice, date or drop, where that was said, else "". A choice is its texts, unless numbers or booleans
            are written exactly so.
        dialect: what is said of the table.
        header: the cell above the column, "" for none.
        quotes: whether the table has quotes, without which no cell holds the end of a line.
    """

    def __init__(self, name: str, named: str, dialect: Dialect, header: str = "", quotes: bool = True) -> None:
        self.name, self.named, self.header, self.quotes = name, named, header, quotes
        self.gone = ("", *(dialect.na_values or ()))
        self.formats = formats(dialect) if named in ("", "number") else set[Format]()
        self.whole, self.proven, self.example = set(self.formats), set[Format](), ""
        self.others = {"": {*PATTERNS}, "choice": {"integer", "number", "boolean"}}.get(named, set[str]())
        self.rows = self.missing = self.words = self.commas = 0
        self.plain, self.lines, self.recurs, self.far = True, False, False, False

    def see(self, texts: Any) -> None:
        """Look at the next part, an Arrow array of text."""
        pc = compute()
        present = _without(texts, self.gone)
        self.rows, self.missing = self.rows + len(texts), self.missing + len(texts) - len(present)
        dtype = _dtype(present) if self.formats else ""
        rest = present if dtype or self.named == "choice" else _without(present, WORDS)
        self.words += len(present) - len(rest)
        if not len(rest):
            return
        if self.formats:
            self._see_numbers(rest, dtype if len(rest) == len(present) else _dtype(rest))
        if not self.formats:  # it is no number
            self.lines |= self.quotes and _any(pc.match_substring(rest, "\n"))
            self.recurs |= _any(pc.equal(rest, self.header))
            self.commas += _count(rest, WITH_COMMA) if self.named == "" and _any(pc.match_substring(rest, ",")) else 0
        if self.named == "choice":
            different = pc.unique(rest).to_pylist() if self.others else []
            self.others = {one for one in self.others if all(_written(text, one) for text in different)}
        self.others -= {one for one in self.others & {*PATTERNS} if self.named == "" and not _all(rest, PATTERNS[one])}

    def _see_numbers(self, texts: Any, dtype: str) -> None:
        """Strike out the formats that a cell is no number in, and note what numbers show."""
        pc = compute()
        self.plain &= dtype != ""
        for one in [] if dtype == "int64" else list(self.formats):
            pointed = dtype == "float64" and one.decimal == "."  # as was just seen
            if not pointed and not _all(texts, one.number):
                self.formats.discard(one)
            elif pointed or not _all(texts, one.whole):
                self.whole.discard(one)
            if one in self.formats and one.thousands and not pointed and _count(texts, one.proof):
                self.proven.add(one)
        if self.whole and not self.far:
            digits = texts if dtype == "int64" else pc.replace_substring_regex(texts, "[^0-9]", "")
            self.far = _any(pc.greater_equal(pc.binary_length(digits), FAR))
        if dtype != "int64" and self.formats:
            self.example = self.example or next((t for t in texts[:HEAD].to_pylist() if not t.isdigit()), texts[0].as_py())
            if self.named == "" and _count(texts[:HEAD] if dtype else texts, CODE):
                self.formats.clear()

    @property
    def seen(self) -> int:
        """Cells that are neither empty nor a word of what is missing."""
        return self.rows - self.missing - self.words

    def kind(self, form: Format) -> str:
        """What it holds, where numbers have this format: integer, number, boolean, date, text, or empty."""
        if self.missing == self.rows or (self.named in ("", "number") and not self.seen):
            return "empty"
        if form in self.formats:
            return "integer" if form in self.whole else "number"
        # Whole numbers of a choice, some of them missing, would be floats, which are written otherwise.
        whole = ("integer",) if not (self.named == "choice" and self.missing) else ()
        return next((one for one in (*whole, "number", "boolean", "date") if one in self.others), "text")

    def check(self, form: Format) -> None:
        """Raise if numbers are written so that nothing could be learned from them.

        Raises:
            RequestError: they have a currency, or are mixed with text.
        """
        text = self.named == "" and self.seen and self.kind(form) == "text"
        if text and "amount" in self.others:
            raise RequestError(
                f"the column {self.name} holds numbers with a sign such as a currency: leave the sign out, or"
                f" {called(self.name)}."
            )
        if text and self.commas >= self.seen / 2:
            raise RequestError(
                f"the column {self.name} mixes numbers with a decimal comma and others, or text: mend it, name texts of missing"
                f" cells (na_values, --na-values), or {called(self.name)}."
            )

    def above(self, form: Format, dialect: Dialect) -> bool | None:
        """Whether the cell above is like those below; None where one cannot tell."""
        import pyarrow as pa

        own, one = self.kind(form), Inference("", "", dialect)
        if own == "text":
            return True if self.recurs else None
        one.see(pa.array([self.header]))
        told, numbers = one.kind(form), ("integer", "number")
        return None if "empty" in (own, told) else told == own or (told in numbers and own in numbers)

    def converted(self, texts: Any, form: Format) -> Any:
        """Cells, an Arrow array of text, as a pandas series of what the column holds."""
        import pandas as pd

        pc = compute()
        kind = self.kind(form)
        if kind == "empty":
            return pd.Series(np.full(len(texts), np.nan))
        words = WORDS if (kind != "text" and self.named != "choice") or self.named == "date" else ()
        if self.missing or self.words:
            texts = pc.if_else(_among(texts, (*self.gone, *words)), None, texts)
        if kind in ("text", "date"):
            return texts.to_pandas()
        if kind == "boolean":
            return pc.if_else(pc.is_null(texts), None, _among(texts, TRUE)).to_pandas()
        if self.named != "choice" and (not self.plain or form.decimal != "."):
            texts = form.pointed(texts)
        if kind == "integer" and self.far and (self.missing or self.words):
            return pc.cast(texts, "int64").to_pandas(types_mapper=lambda _: pd.Int64Dtype())
        return pc.cast(texts, "int64" if kind == "integer" else "float64").to_pandas()


def _written(text: str, kind: str) -> bool:
    """Whether a number or boolean of this text is written as that text."""
    if kind == "boolean":
        return text in ("True", "False")
    try:
        number = int(text) if kind == "integer" else float(text)
        return repr(number) == text and math.isfinite(number) and abs(number) < 2**63
    except (ValueError, OverflowError):
        return False


def _dtype(texts: Any) -> str:
    """int64 or float64 where all of an array can be read as such without more ado, else ""."""
    pc = compute()
    dtype = next((one for one in ("int64", "float64") if _casts(texts[:HEAD], one) and _casts(texts, one)), "")
    if dtype != "int64":
        return dtype
    led = pc.or_(pc.starts_with(texts, "0"), pc.starts_with(texts, "-0"))  # 007, and 0x1F, which Arrow takes too
    return "" if _any(pc.and_(led, pc.greater(pc.binary_length(texts), 1))) else dtype


def _casts(texts: Any, dtype: str) -> bool:
    import pyarrow as pa

    pc = compute()
    try:
        pc.cast(texts, dtype)
    except pa.ArrowInvalid:
        return False
    return True


def _among(texts: Any, values: Sequence[str]) -> Any:
    import pyarrow as pa

    pc = compute()
    return pc.is_in(texts, value_set=pa.array(values))


def _without(texts: Any, values: Sequence[str]) -> Any:
    pc = compute()
    found = pc.equal(texts, "") if tuple(values) == ("",) else _among(texts, values)
    return texts.filter(pc.invert(found)) if _any(found) else texts


def _any(flags: Any) -> bool:
    pc = compute()
    return bool(pc.any(flags).as_py())


def _count(texts: Any, pattern: str) -> int:
    pc = compute()
    return pc.sum(pc.match_substring_regex(texts, pattern)).as_py() or 0


def _all(texts: Any, pattern: str) -> bool:
    """Whether all texts match, looking at some first."""
    return _count(texts[:HEAD], pattern) == len(texts[:HEAD]) and _count(texts, pattern) == len(texts)
