"""A matching rule as one GoogleSQL statement, and what comes out of it."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from matching import version_words
from matching.latin import replacement
from matching.links import NAME, WORK
from matching.rules import LARGE, LONG_S, MOST_WORDS, Rule
from matching.titles import DIGITS, NUMERALS
from sql import thesis, titles
from sql.durations import FORMS, NUMBER
from sql.names import quoted

TEXTS = ("track_id", "artist_id", "artist", "title", "album")
SECONDS, MILLISECONDS = "duration_s", "duration_ms"  # the latter where the source has no other
DURATIONS = (SECONDS, MILLISECONDS)
EXTENDED = ("artist_ids", "work_id", "recording_id")  # what only the extended rule looks at
IS_VIDEO = "is_video"
COLUMNS = (*TEXTS, *DURATIONS, "release_year", IS_VIDEO, *EXTENDED)
WHITESPACE = r" \t\n\v\f\r"
LATIN_END = 0x20000  # unidecode knows no code point beyond
ROW = "stemlode_row"  # stands for a whole row of the catalogue; no column may have this name
QUOTE = r"[\x22\x27]?"  # one of either kind, or none
TEXT, INTEGER, FLOAT, DATE = "text", "integer", "float", "date"  # kinds of columns
BOOLEAN = "boolean"
TEXTS_LIST = f"{TEXT} list"
NO_TEXT = "CAST(NULL AS STRING)"
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
    columns: what it calls our columns (ours → theirs), of those in COLUMNS that it has.
    kinds: TEXT, INTEGER, FLOAT, DATE or TEXTS_LIST for all its columns, or any other word for what
        is none of them.
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
        keys (that hold an instrumental); of the rows without error whole_seconds and long (above
        rules.LONG_S).
    large: the keys that would give too many pairs and give none (schema rules.LARGE).
    releases: of each year, how many there are and how many of them hold an instrumental.
    words: the most frequent words that describe instrumentals and are none of the rule's, and how
        many each describes.
    facts: what the engine says of the job.
    """

    candidates: pa.Table
    records: pa.Table
    counts: dict[str, int]
    large: pa.Table
    releases: dict[int, tuple[int, int]]
    words: dict[str, int]
    facts: Mapping[str, Any] = field(default_factory=dict)


def statement(
    source: Source, rule: Rule, *, aliased: bool = False, result: str | None = None
) -> str:
    """match.sql for a catalogue and a rule.

    `aliased`: the parameter has aliases, so every artist's name is looked at. `result` puts another
    SELECT in the place of the last one. Raises NotPlain where the SQL cannot read a column.
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
        "has_texts": _has_texts(source),
        "release_year": _year(source),
        "is_video": _flag(source, IS_VIDEO),
        "videos_apart": _VIDEOS_APART if IS_VIDEO in source.columns else "",
        "looked_at": "artist IS NOT NULL" if aliased or rule.artist_names else "artist_id IS NULL",
        "numerals": "|".join(NUMERALS),
        "with_digits": digits,
        "long_s": str(LONG_S),
        "known_words": titles.literal(version_words.KNOWN),
        "most_words": str(MOST_WORDS),
        **{name: _text(source, name) for name in TEXTS},
        **(_extended(source, rule) if rule.is_extended else _thesis()),
    }
    template = resources.files("sql").joinpath("match.sql").read_text(encoding="utf-8")
    if result is not None:
        template = template[: template.rindex("\n\nSELECT\n")] + f"\n\n{result}\n"
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def parameters(
    rule: Rule, most_per_key: int, aliases: str = "", latin: str | None = None
) -> dict[str, str | float | int]:
    """The values of the statement's parameters.

    `aliases`: entries with tabs between, each an artist's key (matching.titles.artist_key), a line
    feed and the artist's id. `latin` is for who needs none of `latin_table`.
    """
    return {
        "latin": latin_table() if latin is None else latin,
        "aliases": aliases,
        "tolerance_s": float(rule.tolerance_s),
        "most_per_key": most_per_key,
        "rule": rule.name,
    }


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
    large = _rows(result, "large").select(LARGE.names).cast(LARGE)
    years = {
        int(row["year"]): (int(row["releases"]), int(row["with_instrumentals"]))
        for row in _rows(result, "year").to_pylist()
    }
    words = {row["word"]: int(row["number"]) for row in _rows(result, "word").to_pylist()}
    return Found(ordered, _rows(result, "record"), numbers, large, years, words, facts or {})


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
        return NO_TEXT
    if kind == INTEGER:
        return f"CAST({column} AS STRING)"
    if kind != TEXT:
        raise NotPlain(f"column {source.columns[ours]} is neither text nor whole numbers")
    return f"NULLIF({column}, '')"


def _has_texts(source: Source) -> str:
    """Whether a row has an id, a title and an artist; said of the columns as they stand, of whose
    statistics an engine can read it."""
    artist = f"{_has(source, 'artist_id')} OR {_has(source, 'artist', trimmed=True)}"
    return f"{_has(source, 'track_id')} AND {_has(source, 'title')} AND ({artist})"


def _has(source: Source, ours: str, *, trimmed: bool = False) -> str:
    column, kind = _column(source, ours)
    if column is None:
        return "FALSE"
    if kind != TEXT:
        return f"{column} IS NOT NULL"
    return f"({column} IS NOT NULL AND {_trimmed(column) if trimmed else column} != '')"


def _seconds(source: Source) -> str:
    if SECONDS in source.columns:
        ours, number = SECONDS, _number(source, SECONDS)
    elif MILLISECONDS in source.columns:
        ours, number = MILLISECONDS, f"{_number(source, MILLISECONDS)} / 1000.0"
    else:
        raise NotPlain(f"no column {SECONDS}")
    further = _in_units(source, ours)
    return f"COALESCE({', '.join([number, *further])})" if further else number


def _number(source: Source, ours: str) -> str:
    column, kind = _column(source, ours)
    if kind == TEXT:
        text = _trimmed(column)
        return f"IF(REGEXP_CONTAINS({text}, r'{NUMBER}'), SAFE_CAST({text} AS FLOAT64), NULL)"
    if kind not in (INTEGER, FLOAT):
        raise NotPlain(f"column {source.columns[ours]} is no number")
    return f"CAST({column} AS FLOAT64)"


def _flag(source: Source, ours: str) -> str:
    """Yes or no; what is not said is no."""
    column, kind = _column(source, ours)
    if column is None:
        return "FALSE"
    if kind == BOOLEAN:
        return f"COALESCE({column}, FALSE)"
    if kind not in (TEXT, INTEGER):
        raise NotPlain(f"column {source.columns[ours]} says neither yes nor no")
    text = f"LOWER(TRIM(CAST({column} AS STRING), '{WHITESPACE}'))"
    return f"COALESCE({text} IN ('true', 'yes', '1'), FALSE)"


def _trimmed(column: str | None) -> str:
    return f"TRIM({column}, '{WHITESPACE}')"


def _in_units(source: Source, ours: str) -> list[str]:
    """Texts that say their units, as seconds; NULL for others."""
    column, kind = _column(source, ours)
    if kind != TEXT:
        return []
    text = _trimmed(column)
    found = []
    for form in FORMS:
        groups = (
            rf"REGEXP_REPLACE({text}, r'{form.pattern}', r'\{n}')"
            for n in range(1, len(form.seconds) + 1)
        )
        numbers = (
            f"COALESCE(SAFE_CAST(REPLACE(NULLIF({g}, ''), ',', '.') AS FLOAT64), 0.0)"
            for g in groups
        )
        terms = [f"{n} * {size}.0" for n, size in zip(numbers, form.seconds, strict=True)]
        found.append(f"IF(REGEXP_CONTAINS({text}, r'{form.pattern}'), {' + '.join(terms)}, NULL)")
    return found


def _year(source: Source) -> str:
    """The year of a year or of a date that begins with one."""
    column, kind = _column(source, "release_year")
    if column is None:
        return "CAST(NULL AS INT64)"
    if kind == FLOAT:  # whole numbers with nulls, as some writers have them
        return f"IF({column} >= 1000 AND {column} < 10000, CAST(FLOOR({column}) AS INT64), NULL)"
    if kind not in (TEXT, INTEGER, DATE):
        raise NotPlain(f"column {source.columns['release_year']} holds neither years nor dates")
    text = column if kind == TEXT else f"CAST({column} AS STRING)"
    digits = rf"SUBSTR(TRIM({text}, '{WHITESPACE}'), 1, 4)"
    is_year = rf"REGEXP_CONTAINS({text}, r'^\s*\d{{4}}(?:\D.*)?$')"
    return f"IF({is_year}, CAST({digits} AS INT64), NULL)"


# Where the rules differ.

# The relations of tracks with their keys, and the tracks.
_UNMARKED = "tracks WHERE marker IS NULL OR fuzzy_title = ''"
_LINKS = (("linked_instrumentals", "instrumentals"), ("linked_others", _UNMARKED))


def _thesis() -> dict[str, str]:
    return {
        **dict.fromkeys(EXTENDED, NO_TEXT),
        "printed": "title",
        "foreign_albums": "",
        "listed": "checked.artist_ids",
        "or_marked": thesis.OR_MARKED,
        "titled": thesis.TITLED,
        **{name: _OWN.format(name=name, tracks=tracks) for name, tracks in _LINKS},
        "once_each": "",
        "pairs": "pairs AS (SELECT * FROM linked_pairs)",
    }


def _extended(source: Source, rule: Rule) -> dict[str, str]:
    listed = ["checked.artist_ids"] if "artist_ids" in source.columns else []
    # Where a catalogue has no artists' names, its lists have them already.
    listed += [_NAMES] if rule.artist_names and "artist" in source.columns else []
    further = bool(listed)
    artists = "ARRAY_CONCAT([artist_id], artist_ids)" if further else "[artist_id]"
    return {
        "artist_ids": _list(source, "artist_ids"),
        "work_id": _text(source, "work_id"),
        "recording_id": _text(source, "recording_id"),
        "listed": f"ARRAY_CONCAT({', '.join(listed)})" if listed[1:] else (listed or [NO_TEXT])[0],
        "printed": titles.as_printed("title"),
        "foreign_albums": _FOREIGN_ALBUMS,
        "or_marked": "",
        "titled": titles.of_extended(rule, further_artists=further),
        **{
            name: _SEVERAL.format(name=name, tracks=tracks, artists=artists)
            for name, tracks in _LINKS
        },
        "once_each": "DISTINCT",
        "pairs": _PAIRS.format(artist=_BY_NAME if rule.artist_names else "MIN(artist_id)"),
    }


def _list(source: Source, ours: str) -> str:
    column, kind = _column(source, ours)
    if column is None:
        return NO_TEXT
    if kind == TEXTS_LIST:
        return f"IFNULL({column}, [])"
    if kind == INTEGER:
        return f"SPLIT(COALESCE({_text(source, ours)}, ''), ';')"
    if kind == TEXT:  # as JSON or Python write lists, of ids without commas and quotes; or parted
        text = _text(source, ours)
        inner = rf"REGEXP_REPLACE({text}, r'^\s*\[\s*{QUOTE}|{QUOTE}\s*,?\s*\]\s*$', '')"
        listed = rf"SPLIT(REGEXP_REPLACE({inner}, r'{QUOTE}\s*,\s*{QUOTE}', ','), ',')"
        parted = f"SPLIT(COALESCE({text}, ''), ';')"
        is_listed = rf"REGEXP_CONTAINS({text}, r'^\s*\[\s*(?:[\x22\x27\d](?s:.*))?\]\s*$')"
        return f"IF({is_listed}, {listed}, {parted})"
    raise NotPlain(f"column {source.columns[ours]} holds no lists of ids")


_FOREIGN_ALBUMS = """\
UNION DISTINCT
    SELECT album AS text
    FROM checked
    WHERE is_good AND BYTE_LENGTH(album) != CHAR_LENGTH(album)"""

_VIDEOS_APART = "AND mix.is_video = instrumental.is_video"
_OWN = """\
{name} AS (
  SELECT *, artist_id AS link_artist, fuzzy_title AS link
  FROM {tracks}
)"""

# As `matching.links` says it: every artist, and the work as well as the title.
_SEVERAL = f"""\
{{name}}_artists AS (
  SELECT *, IF(fuzzy_title = '', [artist_id], {{artists}}) AS artists
  FROM {{tracks}}
),

{{name}}_credits AS (
  SELECT *
  FROM {{name}}_artists, UNNEST(artists) AS credit
),

{{name}}_keys AS (
  SELECT
    *,
    TRIM(credit, '{WHITESPACE}') AS link_artist,
    ARRAY_CONCAT(
      [fuzzy_title],
      IF(other_titles IS NULL OR fuzzy_title = '', [], SPLIT(other_titles, '\\n')),
      IF(
        work_id IS NULL OR fuzzy_title = '',
        [],
        [CONCAT('{WORK}', work_id, IF(descriptors = '', '', CONCAT('|', descriptors)))]
      )
    ) AS links
  FROM {{name}}_credits
),

{{name}}_several AS (
  SELECT *
  FROM {{name}}_keys, UNNEST(links) AS link
),

{{name}} AS (
  SELECT DISTINCT
    track_id, marker, recording_id, is_video, duration_s, fuzzy_title, title_key, link_artist,
    link
  FROM {{name}}_several
  WHERE link_artist != ''
)"""

# As `matching.links` has it.
_NAMES = f"""\
IF(
      COALESCE(known_artists.artist_key, '') = '',
      [],
      [CONCAT('{NAME}', known_artists.artist_key)]
    )"""
_BY_NAME = f"COALESCE(MIN(IF(STARTS_WITH(artist_id, '{NAME}'), artist_id, NULL)), MIN(artist_id))"

# Two tracks may meet under several keys.
_PAIRS = """\
pairs AS (
  SELECT
    mix_track_id,
    instrumental_track_id,
    {artist} AS artist_id,
    MIN(fuzzy_title) AS fuzzy_title,
    MIN(title_key) AS title_key,
    MIN(duration_difference_s) AS duration_difference_s,
    MIN(marker) AS marker
  FROM linked_pairs
  GROUP BY mix_track_id, instrumental_track_id
)"""
