"""The thesis' rule for titles (ch. 3.5.2), a string at a time and for whole Arrow arrays.

Two tracks can be versions of one recording when their fuzzy titles are equal (eq. 3.4, 3.5) and
one of them says that it is an instrumental (eq. 3.1). Three deviations from the text:

- The spelled-out numerals and the leading "the" count only as whole words, so that "Theory"
  stays "theory" and "Someone" stays "someone". A whole word is what the regular expression `\\b`
  says in ASCII, so RE2 (BigQuery) agrees.
- An empty fuzzy title never matches anything: "(I Can't Get No) Satisfaction" has one.
- Markers are looked for in the latinised title, so that "İnstrumental" is one too.

Every `…_batch` function equals its scalar twin for any Unicode string, and keeps nulls.
"""

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.latin import latinise, latinise_batch, string_array, string_bytes

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MARKERS = ("instrumental", "karaoke")
WHITESPACE = " \t\n\v\f\r"

_COMMENT = re.compile(r"[(\[]| - ")
_NUMERAL = re.compile(rf"\b(?:{'|'.join(NUMERALS)})\b", re.ASCII)
_DIGITS = {word: str(digit) for digit, word in enumerate(NUMERALS)}
_LEADING_THE = re.compile(r"the\b", re.ASCII)
_NON_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


# One title at a time: eq. 3.5, step by step.


def lowercase(text: str) -> str:
    return text.lower()


def trim(text: str) -> str:
    """Without ASCII whitespace at either end."""
    return text.strip(WHITESPACE)


def strip_comments(text: str) -> str:
    """What stands before the first "(", "[" or " - " (eq. 3.6, 3.7): "Taki Taki (with …)"."""
    return _COMMENT.split(text, maxsplit=1)[0]


def normalise_ampersand(text: str) -> str:
    return text.replace("&", "and")


def normalise_numerals(text: str) -> str:
    """Digits for the words zero … nine."""
    return _NUMERAL.sub(lambda word: _DIGITS[word[0]], text)


def strip_leading_the(text: str) -> str:
    return _LEADING_THE.sub("", text, count=1) if text.startswith("the") else text


def strip_non_alphanumeric(text: str) -> str:
    return _NON_ALPHANUMERIC.sub("", text)


def fuzzy(title: str) -> str:
    """The key under which versions of one song meet (eq. 3.5): "The Zone" and "Zone": `zone`.

    Empty where the title begins with a comment or holds no letter or digit; such a title must
    not be matched with anything.
    """
    text = trim(lowercase(latinise(title)))
    text = normalise_ampersand(strip_comments(text))
    text = strip_leading_the(normalise_numerals(text))
    return strip_non_alphanumeric(text)


def marker(title: str) -> str | None:
    """The word that makes a title an instrumental's, the first one if it has both (eq. 3.1)."""
    text = lowercase(latinise(title))
    found = [(text.index(word), word) for word in MARKERS if word in text]
    return min(found)[1] if found else None


def is_instrumental(title: str) -> bool:
    """Does the lowercased latinised title hold "instrumental" or "karaoke"? (eq. 3.1)"""
    return marker(title) is not None


def artist_key(name: str) -> str:
    """One spelling for an artist's name, from which catalogues without artist ids derive them.

    "The Beatles" and "beatles": `beatles`. A name without any letter or digit ("!!!") stays as it
    is but for whitespace at its ends; an empty name stays empty.
    """
    text = trim(lowercase(latinise(name)))
    return strip_non_alphanumeric(strip_leading_the(normalise_ampersand(text))) or trim(name)


# Whole Arrow arrays: the same steps on the bytes of all rows at once.


class _Rows:
    """Lowercase ASCII rows in one buffer: row i is `data[starts[i]:ends[i]]`, uint8.

    Steps move `starts` and `ends` and overwrite what they delete by spaces, which are dropped in
    the end; so no step copies the text, and word boundaries stay where they are.
    """

    def __init__(self, texts: pa.StringArray) -> None:
        texts = pc.ascii_trim(pc.ascii_lower(latinise_batch(texts)), WHITESPACE)
        # The two steps commute: neither touches the other's characters.
        data, offsets = string_bytes(pc.replace_substring(texts, "&", "and"))
        self.data = data.copy()
        self.starts = offsets[:-1]
        self.ends = offsets[1:].copy()
        self.bounds = offsets

    def strip_comments(self) -> None:
        cuts = np.flatnonzero((self.data == ord("(")) | (self.data == ord("[")))
        self._cut(cuts)
        dashes = np.flatnonzero(self.data[1:-1] == ord("-")) + 1
        # Rows are trimmed: a space beside the dash belongs to the dash's row.
        spaced = (self.data[dashes - 1] == ord(" ")) & (self.data[dashes + 1] == ord(" "))
        self._cut(dashes[spaced] - 1)

    def _cut(self, positions: np.ndarray) -> None:
        """End every row at its first of these (ascending) positions."""
        positions = np.append(positions, self.data.size)
        following = positions[np.searchsorted(positions, self.starts)]
        self.ends = np.minimum(self.ends, following)

    def normalise_numerals(self) -> None:
        starts, lengths = self._words()
        first = self.data[starts]
        for digit, word in enumerate(NUMERALS):
            found = starts[(first == ord(word[0])) & (lengths == len(word))]
            for place, letter in enumerate(word):
                found = found[self.data[found + place] == ord(letter)]
            self._write(found, str(digit).ljust(len(word)))

    def strip_leading_the(self) -> None:
        starts, lengths = self._words()
        ...
