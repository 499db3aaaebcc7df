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

from matching.latin import latinise, latinise_ampersands_batch, latinise_batch
from matching.text_rows import TextRows, occurrences, string_bytes

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MARKERS = ("instrumental", "karaoke")
WHITESPACE = " \t\n\v\f\r"
BLOCK_ROWS = 1 << 13

_COMMENT = re.compile(r"[(\[]| - ")
_NUMERAL = re.compile(rf"\b(?:{'|'.join(NUMERALS)})\b", re.ASCII)
DIGITS = {word: str(digit) for digit, word in enumerate(NUMERALS)}
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
    return _NUMERAL.sub(lambda word: DIGITS[word[0]], text)


def strip_leading_the(text: str) -> str:
    return text.removeprefix("the") if _LEADING_THE.match(text) else text


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


def fuzzy_batch(titles: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """`fuzzy` for every title of an Arrow array of strings; nulls stay null."""
    return _in_blocks(_fuzzy_block, titles, pa.string())


def _fuzzy_block(titles: pa.Array) -> pa.StringArray:
    rows = _clean_rows(titles)
    rows.cut_at("([")
    rows.cut_at_spaced("-")
    rows.replace_words(DIGITS)
    rows.drop_leading_word("the")
    return rows.alphanumeric(like=titles)


def artist_key_batch(names: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """`artist_key` for every name of an Arrow array of strings; nulls stay null."""
    return _in_blocks(_artist_key_block, names, pa.string())


def _artist_key_block(names: pa.Array) -> pa.StringArray:
    rows = _clean_rows(names)
    rows.drop_leading_word("the")
    keys = rows.alphanumeric(like=names)
    as_they_stand = pc.ascii_trim(names, WHITESPACE).cast(pa.string())
    return pc.if_else(pc.equal(keys, ""), as_they_stand, keys)


def _clean_rows(texts: pa.Array) -> TextRows:
    """Latinised, in lowercase and trimmed, and with "and" for "&", which no other step looks at."""
    latin = latinise_ampersands_batch(texts)
    return TextRows(pc.ascii_trim(pc.ascii_lower(latin), WHITESPACE))


def marker_batch(titles: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """`marker` for every title of an Arrow array of strings: null where there is none."""
    return _in_blocks(_marker_block, titles, pa.string())


def _marker_block(titles: pa.Array) -> pa.StringArray:
    data, offsets = string_bytes(pc.ascii_lower(latinise_batch(titles)))
    text = data.tobytes()
    first = np.full((len(MARKERS), len(titles)), len(text))
    for word, positions in zip(MARKERS, first, strict=True):
        found, rows = occurrences(word, text, offsets)
        np.minimum.at(positions, rows, found)
    choice = pa.array(first.argmin(axis=0), mask=first.min(axis=0) == len(text))
    return pa.array(MARKERS).take(choice)


def _in_blocks(
    function: Callable[[pa.Array], pa.Array], texts: pa.Array | pa.ChunkedArray, kind: pa.DataType
) -> pa.Array:
    """Apply a function to blocks of rows whose bytes stay in the processor's cache."""
    blocks = [
        function(chunk.slice(start, BLOCK_ROWS))
        for chunk in _strings(texts).chunks
        for start in range(0, len(chunk), BLOCK_ROWS)
    ]
    return pa.concat_arrays(blocks) if blocks else pa.array([], kind)


def _strings(texts: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    chunked = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])
    plain = pa.types.is_string(chunked.type) or pa.types.is_large_string(chunked.type)
    return chunked if plain else chunked.cast(pa.string())
