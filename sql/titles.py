"""What a title says by the extended rule, in GoogleSQL: the relation `titled`, from `once`.

As `sql.thesis` has it, and `other_titles`. It is put together from the very steps of
`matching.extended`, so that no engine has words of its own.
"""

from collections.abc import Iterator, Sequence

from matching import title_steps as steps
from matching import version_words
from matching.rules import Rule
from matching.title_steps import Step
from matching.titles import DIGITS

STEPS_AT_ONCE = 8  # sqlglot reads nested calls recursively
BACKQUOTED = "';;` '"


def of_extended(rule: Rule, *, further_artists: bool) -> str:
    """`titled` as `matching.extended.parse` says it.

    `further_artists`: a track may have other artists than its own, so none is passed over.
    """
    return ",\n\n".join([*_relations(rule), _ALL if further_artists else _PROMISING])


def as_printed(title: str) -> str:
    """A title as `matching.extended.as_printed` has it."""
    signs = f"TO_HEX(SHA256({replaced(title, steps.SIGNS_ONLY)}))"
    behind = replaced(title, steps.BEHIND_SIGNS)
    of_signs = f"CONCAT('sign', SUBSTR({signs}, 1, 16), ' ', {behind})"
    other = replaced(title, steps.PRINTED)
    is_signs = _contains(title, steps.SIGNS_TITLE)
    return f"IF({_contains(title, steps.IN_PRINT)}, IF({is_signs}, {of_signs}, {other}), {title})"


def literal(text: str) -> str:
    """A text of ours as a raw string; it must not hold both kinds of quotes."""
    quote = '"' if "'" in text else "'"
    assert quote not in text and "\n" not in text
    return f"r{quote}{text}{quote}"


def _relations(rule: Rule) -> Iterator[str]:
    """One relation after the other, each a step of `parse`; only the first looks at all titles."""
    yield _LOWERCASE
    not_plain = _contains("text", steps.NOT_PLAIN)
    yield _relation("commented", "DISTINCT text, text AS title", f"lowercase WHERE {not_plain}")
    yield from _replaced_in_turn("tidy", "commented", "text, {} AS title", "title", steps.TIDY)
    starts = _contains("title", steps.MARKER_AT_START)
    starts += f" AND NOT {_contains('title', steps.TITLE_AT_START)}"
    turned = replaced("title", ((steps.MARKER_AT_START, r"\2 (\1)"),))
    yield _relation("turned", f"text, IF({starts}, {turned}, title) AS title", "tidy")
    outside = replaced("title", steps.OUTSIDE)
    brackets = replaced("CONCAT(')', title, '(')", steps.BRACKETS)
    yield _relation("parted", f"text, {outside} AS outside, {brackets} AS comments", "turned")
    after = f"CONCAT(comments, {BACKQUOTED}, {replaced('outside', steps.AFTER_DASH)})"
    base = replaced("outside", (*steps.BEFORE_DASH, *steps.GUESTS))
    yield _relation(
        "dashed",
        f"text, {base} AS base, IF(STRPOS(outside, ' - ') > 0, {after}, comments) AS comments",
        "parted",
    )
    is_title = _contains("base", steps.IS_TITLE)
    yield _moved_ends("unmarked", "dashed", steps.MARKER_AT_END, f" AND NOT {is_title}")
    yield _moved_ends("unversioned", "unmarked", steps.VERSION_AT_END)
    yield _relation("closed", "text, base, CONCAT(comments, ';;') AS comments", "unversioned")
    columns = "text, base, {} AS comments"
    yield from _replaced_in_turn("said", "closed", columns, "comments", steps.COMMENTS)
    script = f"IF({_contains('comments', steps.IN_OTHER_SCRIPT)}, "
    script += f"{replaced('comments', steps.SCRIPT)}, NULL)"
    counted = replaced("comments", steps.UNCOUNTED)
    yield _relation("counted", f"text, base, {script} AS script, {counted} AS comments", "said")
    marker = f"IF(STRPOS(comments, '@') > 0, {replaced('comments', steps.MARKER)}, NULL)"
    beside = f"IF(STRPOS(comments, '@') > 0, {replaced('comments', steps.ASIDE)}, comments)"
    columns = f"text, base, script, {marker} AS marker, {beside} AS comments"
    yield _relation("beside_markers", columns, "counted")
    words = ", ".join(
        f"{_words_without(pattern)} AS {name}"
        for name, pattern in (
            ("words", None),
            ("of_mixtures", steps.LANGUAGE),
            ("of_instrumentals", steps.YEAR_OR_ONE),
        )
    )
    yield _relation("in_words", f"text, base, script, marker, {words}", "beside_markers")
    rest = replaced("words", ((steps.REMIX, ""), *steps.SPACES))
    rest = f"IF({_contains('words', steps.REMIX)}, {rest}, NULL) AS named"
    yield _relation("with_remixes", f"*, {rest}", "in_words")
    is_name = f"{_contains('named', steps.NAME)} AND NOT {_contains('named', VERSIONS)}"
    further = (
        ("m", "of_mixtures IS NOT NULL", "of_mixtures"),
        ("i", "of_instrumentals IS NOT NULL", "of_instrumentals"),
        ("e", f"named IS NOT NULL AND {is_name}", "named"),
    )
    arrays = ["[CONCAT('e', words)]", *(_if(c, f"CONCAT('{who}', {w})") for who, c, w in further)]
    columns = (
        f"text, base, script, marker, words, ARRAY_CONCAT({', '.join(arrays)}) AS descriptions"
    )
    yield _relation("described", columns, "with_remixes")
    yield _SORTED
    yield from _others()
    yield _VERSIONS.format(base=replaced("described.base", steps.NO_UMLAUTS))
    album = replaced("LOWER(COALESCE(latin_texts.latin, albums.album))", steps.PRINTABLE)
    yield _ALBUMS.format(
        text=album,
        instrumental=literal(version_words.INSTRUMENTAL_ALBUM),
        mixed=literal(version_words.MIXED_ALBUM),
    )
    key = replaced("COALESCE(versions.base, lowercase.text)", steps.KEY)
    if not rule.covers:
        key = f"IF({_contains('lowercase.text', version_words.COVERS)}, '', {key})"
    yield _TITLED.format(key=key)


def _words_without(pattern: str | None) -> str:
    """The words of the comments without what a pattern finds; NULL where it finds nothing."""
    if pattern is None:
        return replaced("comments", steps.DESCRIPTORS)
    words = replaced("comments", ((pattern, " "), *steps.DESCRIPTORS))
    return f"IF({_contains('comments', pattern)}, {words}, NULL)"


def _others() -> Iterator[str]:
    """Further fuzzy titles, of those few that have any."""
    umlauts = "STRPOS(base, '^') > 0"
    slashed = _contains("base", steps.SLASHED_GUESTS)
    without = replaced("base", ((steps.SLASHED_GUESTS, ""), *steps.NO_UMLAUTS))
    bases = (
        f"[{replaced('base', steps.NO_UMLAUTS)}]",
        _if(umlauts, replaced("base", steps.UMLAUTS)),
        _if("script IS NOT NULL", "script"),
        _if(slashed, without),
    )
    has_others = f"ARRAY_LENGTH(descriptions) > 1 OR {umlauts} OR script IS NOT NULL OR {slashed}"
    columns = f"text, descriptions, ARRAY_CONCAT({', '.join(bases)}) AS bases"
    yield _relation("with_others", columns, f"described WHERE {has_others}")
    columns = f"text, descriptions, {replaced('TRIM(base)', steps.KEY)} AS base"
    yield _relation("other_bases", columns, "with_others, UNNEST(bases) AS base")
    columns = "text, descriptions, {} AS base"
    yield from _replaced_in_turn("other_keys", "other_bases", columns, "base", FUZZY)
    yield _OTHERS


FUZZY: tuple[Step, ...] = (
    ("&", "and"),
    *((rf"\b{word}\b", digit) for word, digit in DIGITS.items()),
    (r"^the\b", ""),
    ("[^a-z0-9]+", ""),
)
VERSIONS = version_words.VERSIONS

_LOWERCASE = """\
lowercase AS (
  SELECT
    once.* EXCEPT (title, printed),
    LOWER(COALESCE(latin_texts.latin, once.printed)) AS text
  FROM once
  LEFT JOIN latin_texts ON latin_texts.text = once.printed
)"""

_SORTED = """\
each_description AS (
  SELECT text, description
  FROM described, UNNEST(descriptions) AS description
),

words AS (
  SELECT DISTINCT description, word
  FROM (SELECT DISTINCT description FROM each_description) AS each, UNNEST(
    SPLIT(SUBSTR(description, 2), ' ')
  ) AS word
),

sorted_words AS (
  SELECT description, STRING_AGG(word, ' ' ORDER BY word) AS descriptors
  FROM words
  GROUP BY description
)"""

_OTHERS = """\
other_versions AS (
  SELECT text, base, description
  FROM other_keys, UNNEST(descriptions) AS description
),

each_other AS (
  SELECT
    other_versions.text,
    SUBSTR(other_versions.description, 1, 1) AS role,
    IF(
      sorted_words.descriptors = '', base, CONCAT(base, '|', sorted_words.descriptors)
    ) AS title
  FROM other_versions
  JOIN sorted_words ON sorted_words.description = other_versions.description
  WHERE base != ''
),

other_titles AS (
  SELECT
    text,
    STRING_AGG(IF(role = 'i', NULL, title), '\\n') AS of_mixture,
    STRING_AGG(IF(role = 'm', NULL, title), '\\n') AS of_instrumental
  FROM each_other
  GROUP BY text
)"""

_VERSIONS = """\
versions AS (
  SELECT
    described.text,
    {base} AS base,
    described.marker,
    sorted_words.descriptors,
    other_titles.of_mixture,
    other_titles.of_instrumental
  FROM described
  JOIN sorted_words ON sorted_words.description = CONCAT('e', described.words)
  LEFT JOIN other_titles ON other_titles.text = described.text
)"""

_ALBUMS = """\
album_texts AS (
  SELECT albums.album, {text} AS text
  FROM (
    SELECT DISTINCT album FROM checked WHERE is_good AND album IS NOT NULL
  ) AS albums
  LEFT JOIN latin_texts ON latin_texts.text = albums.album
),

marked_albums AS (
  SELECT album, 'instrumental' AS marker
  FROM album_texts
  WHERE REGEXP_CONTAINS(text, {instrumental}) AND NOT REGEXP_CONTAINS(text, {mixed})
)"""

_TITLED = """\
marked AS (
  SELECT
    lowercase.* EXCEPT (text),
    {key} AS text,
    COALESCE(versions.descriptors, '') AS descriptors,
    COALESCE(versions.marker, marked_albums.marker) AS marker,
    versions.of_mixture,
    versions.of_instrumental
  FROM lowercase
  LEFT JOIN versions ON versions.text = lowercase.text
  LEFT JOIN marked_albums ON marked_albums.album = lowercase.album
),

marked_tracks AS (
  SELECT
    * EXCEPT (marker, of_mixture, of_instrumental), of_instrumental AS other_titles, marker
  FROM marked
  WHERE marker IS NOT NULL
),

unmarked_tracks AS (
  SELECT
    * EXCEPT (marker, of_mixture, of_instrumental),
    of_mixture AS other_titles,
    CAST(NULL AS STRING) AS marker
  FROM marked
  WHERE marker IS NULL
)"""

# A text that begins with a letter other than "t", or with a digit, makes a key.
_PROMISING = """\
marked_artists AS (
  SELECT DISTINCT artist_id
  FROM marked_tracks
),

titled AS (
  SELECT *
  FROM marked_tracks
  UNION ALL
  SELECT *
  FROM unmarked_tracks AS tracks
  WHERE
    NOT REGEXP_CONTAINS(text, r'^[a-su-z0-9]')
    OR EXISTS (SELECT 1 FROM marked_artists WHERE marked_artists.artist_id = tracks.artist_id)
)"""
_ALL = "titled AS (SELECT * FROM marked_tracks UNION ALL SELECT * FROM unmarked_tracks)"


def _contains(text: str, pattern: str) -> str:
    return f"REGEXP_CONTAINS({text}, {literal(pattern)})"


def _if(condition: str, item: str) -> str:
    """An array with one item, or none."""
    return f"IF({condition}, [{item}], [])"


def replaced(text: str, replacements: Sequence[Step]) -> str:
    """A text after some of the rule's replacements."""
    for pattern, replacement in replacements:
        text = f"REGEXP_REPLACE({text}, {literal(pattern)}, {literal(replacement)})"
    return text


def _relation(name: str, columns: str, source: str) -> str:
    return f"{name} AS (\n  SELECT {columns}\n  FROM {source}\n)"


def _replaced_in_turn(
    name: str, source: str, columns: str, text: str, replacements: Sequence[Step]
) -> Iterator[str]:
    """Relations that end in one called `name`; `columns` has a place for the replaced text."""
    for first in range(0, len(replacements), STEPS_AT_ONCE):
        some = replacements[first : first + STEPS_AT_ONCE]
        is_last = first + STEPS_AT_ONCE >= len(replacements)
        following = name if is_last else f"{name}_{first // STEPS_AT_ONCE + 1}"
        yield _relation(following, columns.format(replaced(text, some)), source)
        source = following


def _moved_ends(name: str, source: str, pattern: str, condition: str = "") -> str:
    """What the pattern's second group finds at the end of the base, moved to the comments."""
    ends = f"{_contains('base', pattern)}{condition}"
    rest, end = (replaced("base", ((pattern, group),)) for group in (r"\1", r"\2"))
    moved = f"CONCAT(comments, {BACKQUOTED}, {end})"
    base, comments = f"IF({ends}, {rest}, base)", f"IF({ends}, {moved}, comments)"
    return _relation(name, f"text, {base} AS base, {comments} AS comments", source)
