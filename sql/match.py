"""The matching rule as one GoogleSQL statement, and what comes out of it."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from matching.latin import replacement
from matching.rules import Rule
from matching.titles import DIGITS, MARKERS, NUMERALS
from sql.names import quoted

TEXTS = ("track_id", "artist_id", "artist", "title")
NEEDED = (*TEXTS, "duration_s")
LATIN_END = 0x20000  # unidecode knows no code point beyond
ROW = "stemlode_row"  # stands for a whole row of the catalogue; no column may have this name
NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
TEXT, INTEGER, FLOAT = "text", "integer", "float"  # kinds of columns
CANDIDATE = pa.schema(
    [
        ("pair_id", pa.string()),
        ("song_id", pa.string()),
        ("mix_track_id", pa.string()),
        ("instrumental_track_id", pa.string()),
        ("artist_id", pa.string()),
        ("fuzzy_title", pa.string()),
        ("duration_difference_s", pa.float64()),
        ("marker", pa.string()),
        ("rule", pa.string()),
    ]
)


class NotPlain(ValueError):
    """The rule's SQL cannot read this catalogue as it stands; the message says why."""


@dataclass(frozen=True)
class Source:
    """A catalogue in GoogleSQL.

    relation: a table or a query in brackets, quoted (see `sql.names`).
    columns: what it calls our columns (ours → theirs), of those in NEEDED that it has.
    kinds: TEXT, INTEGER or FLOAT for all its columns, or any other word for what is none of them.
    """

    relation: str
    columns: Mapping[str, str]
    kinds: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """What the statement found.

    candidates: a row for each pair, in ascending order of pair_id (schema CANDIDATE).
    records: the catalogue's rows, all columns, that are in a pair, have an error (no id, title,
        artist or duration), or share their id with another row. Of rows that share an id the rule
        takes the one that sorts first by title, artist_id and duration_s.
    counts: tracks_read, errors, duplicates (rows beyond an id's first), empty_keys, instrumentals,
        keys (that hold an instrumental).
    facts: what the engine says of the job.
    """

    candidates: pa.Table
    records: pa.Table
    counts: dict[str, int]
    facts: Mapping[str, Any] = field(default_factory=dict)


def statement(source: Source, result: str | None = None) -> str:
    """match.sql for a catalogue; `result` puts another SELECT in the place of its last one.

    Raises NotPlain where the SQL cannot read one of the columns.
    """
    if ROW in map(str.lower, source.kinds):
        raise NotPlain(f"a column has the name {ROW}")
    digits = "text"
    for word, digit in DIGITS.items():
        digits = rf"REGEXP_REPLACE({digits}, r'\b{word}\b', '{digit}')"
    parts = {
        "catalogue": source.relation,
        "record": ROW,
        "duration_s": _seconds(source),
        "markers": "|".join(MARKERS),
        "numerals": "|".join(NUMERALS),
        "with_digits": digits,
    } | {name: _text(source, name) for name in TEXTS}
    template = resources.files("sql").joinpath("match.sql").read_text(encoding="utf-8")
    if result is not None:
        template = template[: template.rindex("\n\nSELECT ")] + f"\n\n{result}\n"
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def parameters(rule: Rule) -> dict[str, str | float]:
    """The values of the statement's parameters."""
    return {"latin": latin_table(), "tolerance_s": float(rule.tolerance_s), "rule": rule.name}


@functools.cache
def latin_table() -> str:
    """unidecode's table: each letter beyond ASCII with what replaces it, separated by tabs."""
    entries = ((chr(code), replacement(code)) for code in range(128, LATIN_END))
    return "\t".join(letter + latin for letter, latin in entries if latin)


def found(result: pa.Table, facts: Mapping[str, Any] | None = None) -> Found:
    """The statement's result taken apart."""
    candidates = _rows(result, "candidate")
    counts = _rows(result, "count").to_pylist()
    ordered = candidates.select(CANDIDATE.names).cast(CANDIDATE).sort_by("pair_id")
    numbers = {row["name"]: int(row["number"]) for row in counts}
    return Found(ordered, _rows(result, "record"), numbers, facts or {})


def _rows(result: pa.Table, name: str) -> pa.Table:
    structs = pc.drop_null(result[name])
    names = [member.name for member in structs.type]
    columns = [pc.struct_field(structs, [place]) for place in range(len(names))]
    return pa.table(columns, names)


def _column(source: Source, ours: str) -> tuple[str | None, str]:
    """A column's SQL and its kind; None where the catalogue has no such column."""
    theirs = source.columns.get(ours)
    if theirs is None:
        return None, TEXT
    if "." in theirs:  # BigQuery has no such names, and sqlglot would take it for a path
        raise NotPlain(f"column {theirs} has a dot in its name")
    return f"{ROW}.{quoted(theirs)}", source.kinds[theirs]


def _text(source: Source, ours: str) -> str:
    column, kind = _column(source, ours)
    if column is None:
        return "CAST(NULL AS STRING)"
    if kind == INTEGER:
        return f"CAST({column} AS STRING)"
    if kind != TEXT:
        raise NotPlain(f"column {source.columns[ours]} is neither text nor whole numbers")
    return f"NULLIF({column}, '')"


def _seconds(source: Source) -> str:
    column, kind = _column(source, "duration_s")
    if column is None:
        raise NotPlain("no column duration_s")
    if kind == TEXT:
        trimmed = rf"TRIM({column}, ' \t\n\v\f\r')"
        number = f"SAFE_CAST({trimmed} AS FLOAT64)"
        return f"IF(REGEXP_CONTAINS({column}, r'{NUMBER}'), {number}, NULL)"
    if kind not in (INTEGER, FLOAT):
        raise NotPlain(f"column {source.columns['duration_s']} is no number")
    return f"CAST({column} AS FLOAT64)"
