"""Text in any script to plain ASCII: the thesis' latinise() (ch. 3.5.2), by unidecode's table."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from unidecode import unidecode

from matching.text_rows import ragged, rewrite_rows, string_array, string_bytes

CODE_POINTS = 0x110000


def replacement(code_point: int) -> str:
    """What unidecode writes for a code point: ASCII, and nothing where it has no entry.

    Private-use code points have none. Nor have surrogates, but for them unidecode also warns.
    """
    if 0xD800 <= code_point <= 0xDFFF:
        return ""
    return unidecode(chr(code_point))


class _Replacements(dict[int, str]):
    """A table for `str.translate` that asks unidecode once for each code point it meets."""

    def __missing__(self, code_point: int) -> str:
        self[code_point] = text = replacement(code_point)
        return text


_REPLACEMENTS = _Replacements()


def latinise(text: str) -> str:
    """Replace every character by its ASCII equivalent: "Våffeljärnet" to "Vaffeljarnet".

    Equal to `unidecode`, but never warns or raises: what it has no letters for vanishes.
    """
    return text if text.isascii() else text.translate(_REPLACEMENTS)


class _ReplacementBytes:
    """The same table as arrays: `letters[start:start + length]` replaces a code point."""

    def __init__(self) -> None:
        self.letters = np.empty(0, np.uint8)
        self.start = np.zeros(CODE_POINTS, np.int64)
        self.length = np.zeros(CODE_POINTS, np.int64)
        self.known = np.zeros(CODE_POINTS, bool)
        self.lock = threading.Lock()  # Beam's local runner may call from several threads

    def learn(self, code_points: np.ndarray) -> None:
        """Add the code points that were not met before."""
        if self.known[code_points].all():
            return
        with self.lock:
            new = np.unique(code_points[~self.known[code_points]])
            texts = [_REPLACEMENTS[int(code_point)].encode("ascii") for code_point in new]
            lengths = np.array([len(text) for text in texts], np.int64)
            self.start[new] = self.letters.size + np.cumsum(lengths) - lengths
            self.length[new] = lengths
            letters = np.frombuffer(b"".join(texts), np.uint8)
            self.letters = np.concatenate([self.letters, letters])
            self.known[new] = True


_REPLACEMENT_BYTES = _ReplacementBytes()


def latinise_batch(texts: pa.Array) -> pa.Array:
    """`latinise` for a whole Arrow array of string or large_string; nulls stay null.

    Raises UnicodeDecodeError where the array breaks Arrow's promise to hold valid UTF-8.
    """
    return rewrite_rows(texts, lambda data: data >= 0x80, _latinise_rows)


def latinise_ampersands_batch(texts: pa.Array) -> pa.Array:
    """`latinise_batch`, and "and" for every "&" there is then."""
    return rewrite_rows(
        texts,
        lambda data: (data >= 0x80) | (data == ord("&")),
        lambda rows: pc.replace_substring(_latinise_rows(rows), "&", "and"),
    )


def _latinise_rows(texts: pa.Array) -> pa.StringArray:
    data, offsets = string_bytes(texts)
    foreign = data >= 0x80
    # The bytes that are not ASCII are whole UTF-8 characters, so they decode by themselves.
    characters = data[foreign].tobytes().decode("utf-8")
    code_points = np.frombuffer(characters.encode("utf-32-le"), np.uint32)
    _REPLACEMENT_BYTES.learn(code_points)
    lengths = _REPLACEMENT_BYTES.length[code_points]

    # Room for each byte: an ASCII byte keeps its own, a character's first byte gets the whole
    # replacement's, its other bytes get none.
    room = np.where(foreign, 0, 1)
    first = np.flatnonzero(data >= 0xC0)
    room[first] = lengths
    ends = np.cumsum(room)
    latin = np.repeat(data, room)
    latin[ragged(ends[first] - lengths, lengths)] = _REPLACEMENT_BYTES.letters[
        ragged(_REPLACEMENT_BYTES.start[code_points], lengths)
    ]
    return string_array(latin, np.concatenate([[0], ends])[offsets], texts)
