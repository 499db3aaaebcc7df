"""The words by which titles tell versions apart, as patterns: made from the table `words.csv`.

A row of the table is a word as it is printed, its language and

- kind: what it says (`marker`: no lead vocals; `voice`: nothing but vocals; `version`: another
  recording, mix or edit; `form`: a noun such as "version"; …, see docs/words.md);
- means: the one name that its kind goes by here, where there are several spellings or languages;
- position: where it counts: `alone` in a bracket or after a dash, there beside other words
  (`bracket`), also after half a dash (`dashed`), also at a title's end (`bare`); `anywhere` is in
  brackets and in the title itself, `script` the same for scripts without spaces;
- source: where it was looked up (`word_sources.csv`).

In a word, "(s)" and "(a|b)" may be missing, "-" is a hyphen, a space or nothing, and "*" stands for
more letters.

Every pattern is read by RE2 (Arrow, BigQuery, DuckDB) and by Python's `re` alike: no look-around,
no back-references, no match of the empty string. They see a latinised title in lowercase, so
"Минус" is "minus" here and "Instrumental'naia" is Russian.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import NamedTuple

from matching.latin import latinise


class Word(NamedTuple):
    """A row of the table."""

    language: str
    word: str
    kind: str
    means: str
    position: str
    source: str


def _read() -> Iterator[Word]:
    with (resources.files("matching") / "words.csv").open(encoding="utf-8") as file:
        yield from (Word(*row) for row in csv.reader(file))


HEADER, *WORDS = _read()

_MORE = {"*": "[a-z']*", "-": "[ -]?", "(": "(?:", ")": ")?", "|": "|"}


def pattern(word: str) -> str:
    """A pattern for a word of the table, in latinised lowercase."""
    plain = latinise(word).lower()
    letters = "".join(_MORE.get(letter) or re.escape(letter) for letter in plain)
    return letters.replace(r"\ ", " ")


def words(*patterns: str) -> str:
    """A pattern for any of these as whole words."""
    return rf"\b(?:{'|'.join(patterns)})\b"


def _rows(kind: str, *positions: str, means: str | None = None) -> list[Word]:
    """The rows of a kind, but for those in scripts that are replaced as they are printed."""
    return [
        row
        for row in WORDS
        if row.kind == kind
        and (row.position in positions if positions else row.position != "script")
        and (means is None or row.means == means)
    ]


def _either(rows: Iterable[Word]) -> str:
    """Patterns of words to choose from, those that may be longer first."""
    found = dict.fromkeys(row.word for row in rows)
    longest = sorted(found, key=lambda word: (not word.endswith("*"), -len(word)))
    return "|".join(dict.fromkeys(map(pattern, longest)))


def _any_of(rows: Iterable[Word]) -> str:
    return words(_either(rows))


def _english(row: Word) -> str:
    """What takes the place of a word in a script without spaces."""
    name = (row.means or latinise(row.word)).replace("-", " ")
    return f" {name} version " if row.kind == "language" else f" {name} "


# Words in scripts that have no spaces around them are replaced in the title as it is printed, the
# longest first.
ORIGINAL_SCRIPTS = tuple(
    (row.word, _english(row))
    for row in sorted(WORDS, key=lambda row: -len(row.word))
    if row.position == "script"
)

# "Pt. 2", "part two" and "(Part II)" are one.
PART = rf"(?:{_either(_rows('part'))})[. ]*"
NUMBERS = {
    digits: _either(_rows("number", means=digits))
    for digits in dict.fromkeys(row.means for row in _rows("number"))
}

_FORM = rf"(?:{_either((*_rows('form'), *_rows('edit')))})\b\.?"

# What marks an instrumental inside brackets or after a dash, each with the name it goes by.
_NAMES = dict.fromkeys(row.means for row in _rows("marker"))
MARKERS = tuple(
    (name, rf"{_any_of(rows)}\.?(?: {_FORM})?")
    for name in _NAMES
    if (rows := _rows("marker", "bracket", "dashed", "bare", means=name))
)
# These have other meanings too, so they must fill the bracket.
LONE_MARKERS = tuple(
    (name, rf"(?:{_either(rows)})")
    for name in _NAMES
    if (rows := _rows("marker", "alone", means=name))
)
LONE_MARKER_TAIL = rf"(?: {_FORM})?"
_BARE = _either(_rows("marker", "bare"))
_DASHED = _either(_rows("marker", "dashed"))
SURE_MARKERS = words(_BARE, _DASHED)

# What may end a title without brackets or a dash.
MARKER_SUFFIX = rf"(?:(?:{_BARE})\.?|(?:{_BARE}|{_DASHED})\.? {_FORM})"
# … but for these it is the title: "The Instrumental", "My Karaoke Version".
MARKER_TITLE = rf"(?:(?:the|a|an|my|our|your|this|that|another|some|just|no) )*{MARKER_SUFFIX}"
_SUFFIXES = dict.fromkeys(row.means or pattern(row.word) for row in _rows("version", "bare"))
VERSION_SUFFIX = f"(?:{'|'.join(_SUFFIXES)})"

# Credits name people or releases, never a version.
GUESTS = _any_of(_rows("guest"))
CREDITS = rf"(?:w/ |(?:{_either(_rows('credit'))})\b)"

# … but "with strings" is one.
WITH_MORE = rf"\bwith (?:the |an? )?({_either(_rows('ensemble'))})\b"

# Albums of instrumentals, whose tracks need not say so themselves …
_ALBUM = _either(_rows("album"))
INSTRUMENTAL_ALBUM = (
    rf"^[^a-z0-9]*[a-z0-9].*?[ (\[:-](?:{_ALBUM})(?: (?:version|edition|album|mix)s?)?[)\] ]*$"
)
# … unless they hold more than that.
MIXED_ALBUM = (
    r"(?:[+&/,]|\band|\bplus|\bwith) (?:the |bonus )?(?:instrumental|karaoke)"
    r"|\ba[ -]?cc?app?ell?as?\b"
)

YEAR = r"(?:19|20)\d\d"
_REMASTER = _any_of(_rows("remaster"))
REMASTER = (
    rf"(?:\b{YEAR}[ -]+)?(?:\bdigital(?:ly)? )?{_REMASTER}"
    rf"(?: (?:version|edition|mix)\b)?(?:[ -]+(?:in |version )?{YEAR}\b)?"
)

# Several spellings of one word.
SPELLINGS = tuple(
    (_any_of(_rows("version", "bare", "anywhere", means=name)), name)
    for name in dict.fromkeys(row.means for row in _rows("version", "bare", "anywhere"))
    if name
)

# A bracket without any of these is a subtitle: "(Shawty Snappin')".
VERSIONS = _any_of(_rows("version", "bracket", "bare"))

# Words of a version that tell nothing about its sound beside the voice.
GENERIC = _any_of((*_rows("form"), *_rows("generic")))
