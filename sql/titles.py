"""What a title says, in GoogleSQL: the relation `titled`, from the relation `lowercase`.

Its rows are those of `lowercase`, with the text that makes the key, `marker` (NULL for a mixture)
and `descriptors`. The extended rule's is put together from the very steps of `matching.extended`,
so that no engine has words of its own.
"""

from collections.abc import Iterator, Sequence

from matching import extended, version_words
from matching.extended import Step
from matching.titles import MARKERS

STEPS_AT_ONCE = 8  # sqlglot reads nested calls recursively
BACKQUOTED = "';;` '"

THESIS = f"""\
titled AS (
  SELECT *, '' AS descriptors, REGEXP_EXTRACT(text, r'{"|".join(MARKERS)}') AS marker
  FROM lowercase
)"""


def of_extended() -> str:
    """`titled` as `matching.extended.parse` says it."""
    return ",\n\n".join(_relations())


def in_latin_words(title: str) -> str:
    """A title with Latin words for the markers that other scripts print without spaces."""
    text = title
    for word, replacement in version_words.ORIGINAL_SCRIPTS:
        text = f"REPLACE({text}, {literal(word)}, {literal(replacement)})"
    anywhere = literal("|".join(word for word, _ in version_words.ORIGINAL_SCRIPTS))
    return f"IF(REGEXP_CONTAINS({title}, {anywhere}), {text}, {title})"


def literal(text: str) -> str:
    """A text of ours as a raw string; it must not hold both kinds of quotes."""
    quote = '"' if "'" in text else "'"
    assert quote not in text and "\n" not in text
    return f"r{quote}{text}{quote}"


def _relations() -> Iterator[str]:
    """One relation after the other, each a step of `parse`; only the first looks at all titles."""
    not_plain = f"REGEXP_CONTAINS(text, {literal(extended.NOT_PLAIN)})"
    yield _relation("commented", "DISTINCT text, text AS title", f"lowercase WHERE {not_plain}")
    yield from _replaced_in_turn("tidy", "commented", "text, {} AS title", "title", extended.TIDY)
    outside = replaced("title", extended.OUTSIDE)
    brackets = replaced("CONCAT(')', title, '(')", extended.BRACKETS)
    yield _relation("parted", f"text, {outside} AS outside, {brackets} AS comments", "tidy")
    after = f"CONCAT(comments, {BACKQUOTED}, {replaced('outside', extended.AFTER_DASH)})"
    base = replaced("outside", (*extended.BEFORE_DASH, *extended.GUESTS))
    yield _relation(
        "dashed",
        f"text, {base} AS base, IF(STRPOS(outside, ' - ') > 0, {after}, comments) AS comments",
        "parted",
    )
    is_title = f"REGEXP_CONTAINS(base, {literal(extended.IS_TITLE)})"
    yield _moved_ends("unmarked", "dashed", extended.MARKER_AT_END, f" AND NOT {is_title}")
    yield _moved_ends("unversioned", "unmarked", extended.VERSION_AT_END)
    yield _relation("closed", "text, base, CONCAT(comments, ';;') AS comments", "unversioned")
    columns = "text, base, {} AS comments"
    yield from _replaced_in_turn("said", "closed", columns, "comments", extended.COMMENTS)
    marker = f"IF(STRPOS(comments, '@') > 0, {replaced('comments', extended.MARKER)}, NULL)"
    words = replaced("comments", extended.DESCRIPTORS)
    yield _relation("described", f"text, base, {marker} AS marker, {words} AS words", "said")
    yield _SORTED
    album = replaced("LOWER(COALESCE(latin_texts.latin, albums.album))", extended.PRINTABLE)
    yield _ALBUMS.format(
        text=album,
        instrumental=literal(version_words.INSTRUMENTAL_ALBUM),
        mixed=literal(version_words.MIXED_ALBUM),
    )


_SORTED = """\
words AS (
  SELECT DISTINCT words, word
  FROM (SELECT DISTINCT words FROM described) AS descriptions, UNNEST(SPLIT(words, ' ')) AS word
),

sorted_words AS (
  SELECT words, STRING_AGG(word, ' ' ORDER BY word) AS descriptors
  FROM words
  GROUP BY words
),

versions AS (
  SELECT described.text, described.base, described.marker, sorted_words.descriptors
  FROM described
  JOIN sorted_words ON sorted_words.words = described.words
)"""

_ALBUMS = """\
album_texts AS (
  SELECT albums.album, {text} AS text
  FROM (
    SELECT DISTINCT album FROM checked WHERE error IS NULL AND album IS NOT NULL
  ) AS albums
  LEFT JOIN latin_texts ON latin_texts.text = albums.album
),

marked_albums AS (
  SELECT album, 'instrumental' AS marker
  FROM album_texts
  WHERE REGEXP_CONTAINS(text, {instrumental}) AND NOT REGEXP_CONTAINS(text, {mixed})
),

titled AS (
  SELECT
    lowercase.* EXCEPT (text),
    COALESCE(versions.base, lowercase.text) AS text,
    COALESCE(versions.descriptors, '') AS descriptors,
    COALESCE(versions.marker, marked_albums.marker) AS marker
  FROM lowercase
  LEFT JOIN versions ON versions.text = lowercase.text
  LEFT JOIN marked_albums ON marked_albums.album = lowercase.album
)"""


def replaced(text: str, steps: Sequence[Step]) -> str:
    """A text after some of the rule's replacements."""
    for pattern, replacement in steps:
        text = f"REGEXP_REPLACE({text}, {literal(pattern)}, {literal(replacement)})"
    return text


def _relation(name: str, columns: str, source: str) -> str:
    return f"{name} AS (\n  SELECT {columns}\n  FROM {source}\n)"


def _replaced_in_turn(
    name: str, source: str, columns: str, text: str, steps: Sequence[Step]
) -> Iterator[str]:
    """Relations that end in one called `name`; `columns` has a place for the replaced text."""
    for first in range(0, len(steps), STEPS_AT_ONCE):
        some = steps[first : first + STEPS_AT_ONCE]
        is_last = first + STEPS_AT_ONCE >= len(steps)
        following = name if is_last else f"{name}_{first // STEPS_AT_ONCE + 1}"
        yield _relation(following, columns.format(replaced(text, some)), source)
        source = following


def _moved_ends(name: str, source: str, pattern: str, condition: str = "") -> str:
    """What the pattern's second group finds at the end of the base, moved to the comments."""
    ends = f"REGEXP_CONTAINS(base, {literal(pattern)}){condition}"
    rest, end = (replaced("base", ((pattern, group),)) for group in (r"\1", r"\2"))
    moved = f"CONCAT(comments, {BACKQUOTED}, {end})"
    base, comments = f"IF({ends}, {rest}, base)", f"IF({ends}, {moved}, comments)"
    return _relation(name, f"text, {base} AS base, {comments} AS comments", source)
