"""How a report writes text and numbers. Titles, ids and paths are hostile until shown otherwise."""

import math
import re
import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stemlode import schemas

# Characters that move, hide or reorder their neighbours, and what no file can hold.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LEAST_SHARE = 1e-9  # one record of a billion
PLAIN = {
    "kept": "kept",
    "unreadable": "unreadable",
    "too_similar": "too similar",
    "swapped": "swapped",
    "a_cappella": "a cappella",
    "partly": "match in part",
    "misaligned": "misaligned",
    "too_different": "too different",
}


def visible(value: Any) -> Any:
    """Text with its invisible characters shown; anything else as it is.

    Control characters and marks that change the direction of writing become their code points,
    lone surrogates the replacement character. Escaping is Jinja's.
    """
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _ODD.sub(_shown, value)


def brief(value: Any, most: int) -> str:
    """Text of at most `most` characters."""
    line = str(value)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def fitted(value: Any, most: int) -> str:
    """A visible line as wide as at most `most` letters; ideographs and pictures count twice."""
    line, width, end = str(visible(str(value))), 0, 0
    for place, letter in enumerate(line):
        wide = unicodedata.east_asian_width(letter) in "WF"
        width += 0 if unicodedata.combining(letter) else 2 if wide else 1
        if width < most:
            end = place + 1
    return line if width <= most else f"{line[:end]}…"


def plain(name: Any) -> str:
    """A name of ours for people: underscores become spaces."""
    return PLAIN.get(str(name), brief(name, 60).replace("_", " "))


def kind(decision: Any) -> str:
    """The class that colours a decision."""
    return decision if decision in schemas.DECISIONS else "other"


def number(value: Any) -> str:
    """A count with separators, a sum with two decimals; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return brief(value, 60)
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}".replace("-", "−")
    return decimals(value, 2)


def decimals(value: Any, places: int) -> str:
    """A number with so many decimals; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–"
    if not math.isfinite(value):
        return "–"
    shown = f"{value:,.{places}f}"
    return shown.lstrip("-") if float(shown.replace(",", "")) == 0 else shown.replace("-", "−")


def signed(value: Any) -> str:
    """A difference in dB, with its sign."""
    shown = decimals(value, 2)
    return shown if shown.startswith(("−", "–")) else f"+{shown}"


def percent(share: float) -> str:
    """A share of 1; never rounded to all or nothing, but for what adding up seconds leaves."""
    if _LEAST_SHARE < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1 - _LEAST_SHARE:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def coordinate(value: float) -> str:
    """A number inside SVG."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


FILTERS = {
    "brief": brief,
    "coordinate": coordinate,
    "decimals": decimals,
    "fitted": fitted,
    "kind": kind,
    "number": number,
    "percent": percent,
    "plain": plain,
    "signed": signed,
}


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"⟨U+{code:04X}⟩"


def environment(templates: Path) -> Environment:
    """A folder's templates: everything is escaped, and what no eye sees is made visible."""
    found = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(FILTERS)
    return found
