"""Arrow string arrays as the NumPy bytes they are: many titles handled at the speed of one."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyz0123456789"
_OTHERS = bytes(set(range(256)) - set(_ALPHANUMERIC))
WORD_LENGTHS = (3, 4, 5)  # of the words that are looked for


def string_bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all rows, uint8 [bytes], and the rows' offsets into them, int64 [n + 1].

    Row i is `data[offsets[i]:offsets[i + 1]]`. `texts` is a string or large_string array; its
    bytes are not copied.
    """
    _, offset_buffer, data_buffer = texts.buffers()
    if len(texts) == 0 or offset_buffer is None:
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    offsets = np.frombuffer(offset_buffer, width)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return data, offsets.astype(np.int64) - int(offsets[0])


def string_array(data: np.ndarray, offsets: np.ndarray, like: pa.Array) -> pa.StringArray:
    """The inverse of `string_bytes`; a row is null where `like` is null."""
    if offsets[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowCapacityError("over 2 GiB of text in one array: use smaller batches")
    valid = None
    if like.null_count:
        valid = pa.py_buffer(np.packbits(np.asarray(like.is_valid()), bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(like), buffers)


def rewrite_rows(
    texts: pa.Array,
    concerned: Callable[[np.ndarray], np.ndarray],
    rewrite: Callable[[pa.Array], pa.Array],
) -> pa.Array:
    """Replace the rows that hold a byte concerned; the others, mostly nearly all, stay as is."""
    data, offsets = string_bytes(texts)
    places = np.flatnonzero(concerned(data))
    if places.size == 0:
        return texts
    rows = np.zeros(len(texts), bool)
    rows[np.searchsorted(offsets, places, side="right") - 1] = True
    rewritten = rewrite(texts.filter(pa.array(rows)))
    return pc.replace_with_mask(texts, pa.array(rows), rewritten.cast(texts.type))


def ragged(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The indices start, start + 1, … start + length - 1 of each range, one range after another."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def occurrences(word: str, text: bytes, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a word in ASCII stands within a row: the positions in the rows' text, and the rows."""
    sought, found = word.encode("ascii"), []
    position = text.find(sought)
    while position >= 0:
        found.append(position)
        position = text.find(sought, position + 1)
    places = np.array(found, np.int64)
    rows = np.searchsorted(offsets, places, side="right") - 1
    within = places + len(sought) <= offsets[rows + 1]
    return places[within], rows[within]


class TextRows:
    """Lowercase, trimmed ASCII strings in one buffer, to be shortened in place.

    Row i is `data[starts[i]:ends[i]]`. What a step deletes inside a row it overwrites by spaces,
    so nothing moves until `alphanumeric` drops them: positions and whole words stay valid.
    """

    def __init__(self, texts: pa.Array) -> None:
        data, self.offsets = string_bytes(texts)
        self.data = data.copy()
        self.starts = self.offsets[:-1]
        self.ends = self.offsets[1:]
        words, lengths = self._find_words()
        self.words = {length: words[lengths == length] for length in WORD_LENGTHS}

    def _find_words(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the runs of letters, digits and "_" within each row begin, and their lengths."""
        is_word = _is_alphanumeric(self.data) | (self.data == ord("_"))
        begins, ends = is_word.copy(), is_word.copy()
        begins[1:] &= ~is_word[:-1]
        ends[:-1] &= ~is_word[1:]
        filled = self.starts < self.ends
        first, last = self.starts[filled], self.ends[filled] - 1
        begins[first] = is_word[first]
        ends[last] = is_word[last]
        words = np.flatnonzero(begins)
        return words, np.flatnonzero(ends) + 1 - words

    def cut_at(self, stops: str) -> None:
        """End every row before its first character of these."""
        self._cut(np.flatnonzero(np.any([self.data == ord(stop) for stop in stops], axis=0)))

    def cut_at_spaced(self, stop: str) -> None:
        """End every row before its first such character that has a space on either side."""
        stops = np.flatnonzero(self.data[1:-1] == ord(stop)) + 1
        # A row neither begins nor ends with a space, so the spaces are in the stop's own row.
        spaced = (self.data[stops - 1] == ord(" ")) & (self.data[stops + 1] == ord(" "))
        self._cut(stops[spaced] - 1)

    def _cut(self, stops: np.ndarray) -> None:
        """End every row before its first stop; stops ascend."""
        stops = np.append(stops, self.data.size)
        self.ends = np.minimum(self.ends, stops[np.searchsorted(stops, self.starts)])

    def replace_words(self, replacements: Mapping[str, str]) -> None:
        """Replace whole words by others that are no longer."""
        for word, replacement in replacements.items():
            self._overwrite(self._places(word), replacement.ljust(len(word)))

    def drop_leading_word(self, word: str) -> None:
        """Delete this whole word where a row begins with it."""
        places = self._places(word)
        first_row_after = np.searchsorted(self.starts, places)
        leading = np.append(self.starts, self.data.size)[first_row_after] == places
        self._overwrite(places[leading], " " * len(word))

    def _places(self, word: str) -> np.ndarray:
        """Where this stands as a whole word; its length is one of WORD_LENGTHS."""
        places = self.words[len(word)]
        for shift, letter in enumerate(word):
            places = places[self.data[places + shift] == ord(letter)]
        return places

    def _overwrite(self, places: np.ndarray, text: str) -> None:
        for shift, letter in enumerate(text):
            self.data[places + shift] = ord(letter)

    def alphanumeric(self, like: pa.Array) -> pa.StringArray:
        """What is left, letters and digits alone; a row is null where `like` is null."""
        self.data[ragged(self.ends, self.offsets[1:] - self.ends)] = ord(" ")
        kept = np.zeros(self.data.size + 1, np.int32)
        np.cumsum(_is_alphanumeric(self.data), out=kept[1:])
        letters = np.frombuffer(self.data.tobytes().translate(None, delete=_OTHERS), np.uint8)
        return string_array(letters, kept[self.offsets], like)


def _is_alphanumeric(data: np.ndarray) -> np.ndarray:
    return _is_between(data, "a", "z") | _is_between(data, "0", "9")


def _is_between(data: np.ndarray, first: str, last: str) -> np.ndarray:
    return (data >= ord(first)) & (data <= ord(last))
