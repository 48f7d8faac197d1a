"""How dates and numbers that are text are written."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

FORMS = [
    *("%Y-%m-%d", "%Y-%m", "%Y%m%d", "%Y"),
    *(
        f"%Y-%m-%d{between}{clock}{zone}"
        for between in " T"
        for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%L", "%H:%M:%S.%f")
        for zone in ("", "Z", "+00:00")
    ),
]
"""Formats of dates as text, in UTC; %L stands for three digits of a second."""


def form_of(present: Any) -> str:
    """The one of the `FORMS` that all texts of dates have, else one of ISO 8601 that has room for all."""
    digits = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%L": 3, "%f": 6}
    text = present.astype("str")
    for form in FORMS:
        pattern = re.sub(r"%\w", lambda part: rf"\d{{{digits[part[0]]}}}", re.escape(form))
        if re.fullmatch(pattern, text.iloc[0]) and text.str.fullmatch(pattern).all():
            return form
    return roomy([mark for mark, sign in (("%f", "."), ("%H", ":")) if text.str.contains(sign, regex=False).any()])


def roomy(forms: Sequence[str]) -> str:
    """The format of ISO 8601 that has room for what all of some formats say."""
    fine = any(mark in form for form in forms for mark in ("%f", "%L"))
    clock = "T%H:%M:%S" + (".%f" if fine else "") if fine or any("%H" in form for form in forms) else ""
    return f"%Y-%m-%d{clock}"


def written(stamps: Any, form: str) -> list[str]:
    """Dates, a pandas series, as text of a format."""
    form = form or roomy(["%H"])
    text = stamps.dt.strftime(form.replace("%L", "%f"))
    return list(text.str.replace(r"(\.\d{3})\d{3}", r"\1", regex=True) if "%L" in form else text)


def places(present: Any) -> int:
    """The decimal places of numbers that are text or Decimals, the most that one has."""
    try:
        exponents = [Decimal(text).as_tuple().exponent for text in {str(value) for value in present}]
    except ArithmeticError:
        return 0
    return max(0, -min((e for e in exponents if isinstance(e, int)), default=0))
