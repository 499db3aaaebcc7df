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
    longest = sorted(found, key=lambda word: (" " not in word, "*" not in word, -len(word)))
    return "|".join(dict.fromkeys(map(pattern, longest)))


def _any_of(rows: Iterable[Word]) -> str:
    return words(_either(rows))


def _english(row: Word) -> str:
    """What takes the place of a word in a script without spaces."""
    name = (row.means or latinise(row.word)).replace("-", " ")
    return f" {name} version " if row.kind == "language" else f" {name} "


def _in_scripts() -> Iterator[tuple[str, str]]:
    """(pattern, what takes its place), so that a word comes before those that it contains."""
    scripts = [row for row in WORDS if row.position == "script"]
    groups: dict[str, list[str]] = {}
    for row in sorted(scripts, key=lambda row: -len(row.word)):
        groups.setdefault(_english(row), []).append(row.word)
    while groups:
        first = next(
            english
            for english, some in groups.items()
            if not any(
                word != other and word in other
                for word in some
                for name, others in groups.items()
                for other in others
                if name != english
            )
        )
        yield "|".join(map(re.escape, groups.pop(first))).replace(r"\ ", " "), first


# Words in scripts that have no spaces around them are replaced in the title as it is printed.
ORIGINAL_SCRIPTS = tuple(_in_scripts())

# "Pt. 2", "part two" and "(Part II)" are one.
PART = rf"(?:{_either(_rows('part'))})[. ]*"
NUMBERS = {
    digits: _either(_rows("number", means=digits))
    for digits in dict.fromkeys(row.means for row in _rows("number"))
}

_FORM = rf"(?:{_either((*_rows('form'), *_rows('edit')))})\b\.?"

# What marks an instrumental inside brackets or after a dash, each with the name it goes by.
_LATER = ("off-vocal", "instrumental", "karaoke")  # their words are part of others': "base karaoke"
_ALL = dict.fromkeys(row.means for row in _rows("marker"))
_NAMES = (*(name for name in _ALL if name not in _LATER), *_LATER)
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
LONE_MARKER_TAIL = rf"(?: {_any_of(_rows('form'))}\.?)?"  # a "beat edit" is one of the beat
_BARE = _either(_rows("marker", "bare"))
_DASHED = _either(_rows("marker", "dashed"))
SURE_MARKERS = words(_BARE, _DASHED)
UNDERSCORED = rf"_({_BARE}|{_DASHED}|mr)\.?$"  # "Blue_Inst"

# What may end a title without brackets or a dash.
MARKER_SUFFIX = rf"(?:(?:{_BARE})\.?|(?:{_BARE}|{_DASHED})\.? {_FORM})"
# … but for these it is the title: "The Instrumental", "My Karaoke Version".
MARKER_TITLE = rf"(?:(?:the|a|an|my|our|your|this|that|another|some|just|no) )*{MARKER_SUFFIX}"
_SUFFIXES = dict.fromkeys(row.means or pattern(row.word) for row in _rows("version", "bare"))
VERSION_SUFFIX = f"(?:{'|'.join(_SUFFIXES)})"

# Credits name people or releases, never a version.
GUESTS = _any_of(_rows("guest", "bracket"))
CREDITS = rf"(?:w/ |f/ ?|w/[a-np-z0-9]|(?:{_either(_rows('credit'))})\b)"

ARTICLES = _either(_rows("article"))

# Guests without a bracket whose word may be the title's own: "play w/ me", but not "w/o you".
SLASHED_GUESTS = r"[wf]/ ?(?:[a-np-z0-9]|o[a-z0-9])"

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

# The same in brackets and after dashes alone, where they are no words of a title.
IN_BRACKETS = tuple(
    (_any_of(rows), name)
    for name in dict.fromkeys(row.means for row in (*_rows("voice"), *_rows("version")))
    if name
    and (rows := [*_rows("voice", "bracket", means=name), *_rows("version", "bracket", means=name)])
)
ALONE = tuple(
    (_either(rows), name)
    for name in dict.fromkeys(row.means for row in (*_rows("voice"), *_rows("version")))
    if name
    and (rows := [*_rows("voice", "alone", means=name), *_rows("version", "alone", means=name)])
)

# "English Version", "versión en español".
LANGUAGE_BEFORE = rf"\b({_either(_rows('language'))})\b\.?[ -]*{_FORM}"
LANGUAGE_AFTER = rf"\b{_FORM}[ -]*(?:in |en |em |auf |na )?\b({_either(_rows('language'))})\b"

# What a track without lead vocals may have or lack beside them.
ASIDES = _any_of(_rows("aside"))

# Recordings of others' songs, as karaoke labels make them.
COVERS = _any_of(_rows("cover"))

# A bracket without any of these is a subtitle: "(Shawty Snappin')".
VERSIONS = words(
    _either(row for row in _rows("version", "bracket", "bare") if not row.means),
    _either(_rows("cover")),
    *dict.fromkeys(row.means for row in (*_rows("version"), *_rows("voice")) if row.means),
)
_PARTS = {
    part for row in WORDS if row.position != "script" for part in re.split(r"[ ()|-]+", row.word)
}
# Single words of the table, and numbers.
KNOWN = rf"^(?:{_either(Word('', part, *[''] * 4) for part in sorted(_PARTS) if part)}|[0-9]+)$"

# Words of a version that tell nothing about its sound beside the voice.
GENERIC = _any_of((*_rows("form"), *_rows("generic")))
