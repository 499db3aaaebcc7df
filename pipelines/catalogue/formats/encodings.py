"""Text as strict UTF-8, and what to say of text that is none. Free of Beam.

An encoding is never applied by guess: two workers could guess differently.
"""

import codecs
import io
import itertools
import re
from collections.abc import Iterator
from typing import IO

import charset_normalizer

UTF_8 = "utf-8"
OPTION = "--encoding"
CHUNK = 1 << 20
SAMPLE = 1 << 16  # bytes that a guess looks at
SHOWN = 40  # characters of a line
BOM = codecs.BOM_UTF8
_USUAL = ["cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r"]
_USUAL += ["cp866", "cp850", "mac_roman", "cp932", "euc_jp", "gb18030", "big5", "cp949"]
_LATIN = {"cp1252", "cp1250", "cp1254", "cp1257", "cp850", "mac_roman"}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class NotText(ValueError):
    """Bytes that are no text in the encoding.

    fault: the file, the row, the line and the byte.
    likely: the encoding that they may have, if one fits.
    reading: what the line reads in that one.
    """

    def __init__(self, fault: str, likely: str | None, reading: str) -> None:
        super().__init__(fault)
        self.fault, self.likely, self.reading = fault, likely, reading

    def mended(self) -> str:
        """The fault, and what to type."""
        if self.likely is None:
            return f"{self.fault}; say which encoding it has with {OPTION} NAME"
        looks = f"it looks like {self.likely}, in which the line reads {self.reading!r}"
        return f"{self.fault}; {looks}: {OPTION} {self.likely}"


class BadByte(ValueError):
    """A byte that is none of the encoding's, and its place in the stream."""

    def __init__(self, place: int, byte: int) -> None:
        super().__init__(f"byte 0x{byte:02x}")
        self.place = place


def is_encoding(name: str) -> bool:
    """Whether it is an encoding of text that Python knows."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


class Utf8(io.RawIOBase):
    """A stream of text in any encoding as one of UTF-8, without a byte order mark.

    Raises BadByte at the first byte that the encoding does not have.
    """

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._is_utf8 = codecs.lookup(encoding).name == UTF_8
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._read, self._ready, self._begun, self._ended = 0, b"", False, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._ready = self._next()
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _next(self) -> bytes:
        chunk = self._file.read(CHUNK)
        self._ended = not chunk
        before = self._read - len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise BadByte(before + error.start, error.object[error.start]) from error
        self._read += len(chunk)
        data = chunk if self._is_utf8 else text.encode(errors="surrogatepass")
        if not self._begun and data:
            self._begun, data = True, data.removeprefix(BOM)
        return data


def line_at(file: IO[bytes], place: int, encoding: str) -> tuple[int, bytes]:
    """The number of the line that a byte lies in, and a sample of text from its beginning on."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    feeds = returns = 0
    left, begin = place, b""
    while left and (chunk := file.read(min(CHUNK, left))):
        left -= len(chunk)
        text = decoder.decode(chunk)
        feeds, returns = feeds + text.count("\n"), returns + text.count("\r")
        begin = (begin + chunk)[-SAMPLE:]
    if b"\0" not in begin:  # the lines of UTF-16 do not end in bytes
        begin = begin[max(begin.rfind(b"\n"), begin.rfind(b"\r")) + 1 :]
    return 1 + (feeds or returns), begin + file.read(CHUNK)


def likely(sample: bytes) -> str | None:
    """The encoding that some text has most probably; None where nothing fits."""
    for mark, name in _MARKS.items():
        if sample.startswith(mark):
            return name
    if sample.count(b"\0") > len(sample) / 8:
        return "utf-16-le" if sample[1::2].count(b"\0") > sample[::2].count(b"\0") else "utf-16-be"
    telling = b"".join(itertools.islice(_telling(sample), SAMPLE // 80))[:SAMPLE]
    telling = telling.replace(b"\t", b", ")  # a guess takes tabs for a sign of no text
    if western := _western(telling):
        return western
    best = charset_normalizer.from_bytes(telling, cp_isolation=_others(telling)).best()
    return best.encoding if best else None


def reading(sample: bytes, encoding: str | None) -> str:
    """How the first line of some text reads in an encoding."""
    text = sample.decode(encoding or UTF_8, errors="replace")
    return (text.lstrip("\ufeff").splitlines() or [""])[0][:SHOWN]


def _telling(sample: bytes) -> Iterator[bytes]:
    return (line for line in sample.splitlines(keepends=True) if not line.isascii())


def _others(telling: bytes) -> list[str]:
    """The encodings to choose from: of Latin letters, or of all other scripts."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", telling)]
    foreign = sum(size for size in runs if size > 2) > sum(runs) / 2
    return [name for name in _USUAL if not (foreign and name in _LATIN)]


def _western(telling: bytes) -> str | None:
    """The one of the encodings of Latin letters that differ little, where it is one of these.

    Read as cp1252, the letters of each stand alone or in twos among others, and hardly any sign
    stands in a word. The letters S and Z with a caron are of the languages that cp1250 is for, and
    where Turkish has letters of its own, cp1252 has Icelandic ones.
    """
    try:
        text = telling.decode("cp1252")
    except UnicodeDecodeError:
        return None
    runs = [len(run) for run in re.findall(r"[^\x00-\x7f]+", text)]
    letters = max(1, sum(runs))

    def share(pattern: str) -> float:
        return len(re.findall(pattern, text, re.IGNORECASE)) / letters

    lonely = sum(size for size in runs if size < 3) / letters
    odd = r"[a-z][^\x00-\x7f\w’´–—…·°½&]+[a-z]|[a-z][¹²³ºª¾¼½]+[a-z]"
    if lonely < 0.5 or share(odd) > 0.03:
        return None
    if share("[šž]") > 0.05:
        return "cp1250"
    return "cp1254" if share("[þðý]") > 0.2 and share("[áíóúæ]") < 0.1 else "cp1252"
