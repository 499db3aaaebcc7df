"""Where one file ends and another begins that was joined to it, as `cat a.flac b.flac` does.

Players and decoders stop at the end that the first one states, or take the second one's header for
sound. MP3, ADTS and Ogg are not looked at here: their decoders go on by themselves. Free of Beam.
"""

import io
import struct
from collections.abc import Callable

from stemlode.audio.containers import flac, tags
from stemlode.audio.containers.opening import Bytes

_HEAD_BYTES = 32
_OPEN_32, _OPEN_64 = 0x7FFF_0000, 1 << 62  # sizes from here on are what streaming writers put
_MOST_CHUNKS = 100_000
_FIRST_OF_CHANNELS = 0x800  # a flag of WavPack's blocks
_MOST_ZEROS, _TAG_BYTES = 1 << 16, 1 << 10  # between two files
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_EBML = b"\x1a\x45\xdf\xa3"
_Step = Callable[[bytes], int]  # of a chunk's first bytes: how long it is in all; 0 where unknown


def files_in(file: Bytes) -> list[tuple[int, int]]:
    """Where each file begins and ends, of those that were joined; one for almost all."""
    size = file.seek(0, io.SEEK_END)
    start = tags.after_tags(file)
    starts = [start]
    while (found := _next(file, starts[-1], size)) is not None:
        starts.append(found)
    return [*zip([0, *starts[1:]], [*starts[1:], size], strict=True)]


def _next(file: Bytes, start: int, size: int) -> int | None:
    """Where the file begins that follows the one that begins here."""
    head = _at(file, start)
    if head[:4] == b"fLaC":
        return flac.following(file, start)
    if head[:4] == b"wvpk":
        return _wavpack(file, start, size)
    end = _end(file, head, start, size)
    if end is None or not start < end < size:
        return None
    if _begins(_at(file, end)):
        return end
    zeros = _at(file, end, _MOST_ZEROS)  # a chunk may be padded, and so may a file
    end += len(zeros) - len(zeros.lstrip(b"\0"))
    while (tag := tags.tag_bytes(_at(file, end, _TAG_BYTES))) and end + tag < size:
        end += tag
    places = (end, end - 3)  # MP4 begins with a size of 32 bits, of which three bytes are zeros
    return next((place for place in places if _begins(_at(file, place))), None)


def _at(file: Bytes, place: int, size: int = _HEAD_BYTES) -> bytes:
    """So many bytes or, at a file's end, fewer; but zeros up to _HEAD_BYTES."""
    file.seek(place)
    return file.read(size).ljust(_HEAD_BYTES, b"\0")


def _begins(head: bytes) -> bool:
    """Whether a file of sound begins so."""
    kind, form = head[:4], head[8:12]
    return (
        (kind in (b"RIFF", b"RF64", b"BW64", b"RIFX") and form in (b"WAVE", b"AVI "))
        or (kind == b"FORM" and form in (b"AIFF", b"AIFC"))
        or (head[4:8] == b"ftyp" and 8 <= int.from_bytes(kind, "big") < 1 << 10)
        or kind in (b"fLaC", b"wvpk", b"TTA1", b".snd", _EBML)
        or head[:6] == b"caff\0\1"
        or head[:5] == b"OggS\0"
        or head.startswith((_W64, _ASF))
    )


def _end(file: Bytes, head: bytes, start: int, size: int) -> int | None:
    """Where a file ends by what it states; None where it leaves that open."""
    kind = head[:4]
    if kind in (b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM"):
        return _riff(file, head, start)
    if kind == b".snd":
        begin, stated = struct.unpack_from(">II", head, 4)
        return start + begin + stated if stated < _OPEN_32 else None
    if kind == b"TTA1":
        return _tta(file, head, start)
    if head.startswith(_W64):
        stated = int.from_bytes(head[16:24], "little")
        return start + stated if stated < _OPEN_64 else None
    for begins, first, step in _CHUNKED:
        if begins(head):
            return _walked(file, start + first, size, step)
    return None


def _riff(file: Bytes, head: bytes, start: int) -> int | None:
    stated = int.from_bytes(head[4:8], "big" if head[:4] in (b"RIFX", b"FORM") else "little")
    if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64":
        stated = int.from_bytes(head[20:28], "little")
    elif stated >= _OPEN_32:
        return None
    end = start + 8 + stated
    for _ in range(_MOST_CHUNKS):
        further = _at(file, end)
        if further[:4] != b"RIFF" or further[8:12] != b"AVIX":
            break
        end += 8 + int.from_bytes(further[4:8], "little")  # a film of over 1 GiB
    return end


def _tta(file: Bytes, head: bytes, start: int) -> int:
    """TTA lists the sizes of its frames, each 256/245 s long."""
    rate, samples = struct.unpack_from("<II", head, 10)
    frames = -(-samples // max(1, 256 * rate // 245))
    if not 0 < frames < _MOST_CHUNKS:
        return start
    sizes = struct.unpack(
        f"<{frames}I", _at(file, start + 22, 4 * frames).ljust(4 * frames, b"\0")[: 4 * frames]
    )
    return start + 22 + 4 * frames + 4 + sum(sizes)


def _wavpack(file: Bytes, start: int, size: int) -> int | None:
    """Where the blocks begin to count anew."""
    at, counted = start, False
    for _ in range(_MOST_CHUNKS):
        head = _at(file, at)
        if head[:4] != b"wvpk":  # tags, perhaps
            found = _at(file, at, _MOST_ZEROS).find(b"wvpk")
            if found < 0:
                return None
            at += found
            head = _at(file, at)
        size_of, index, samples, flags = (
            int.from_bytes(head[n : n + 4], "little") for n in (4, 16, 20, 24)
        )
        if counted and not index and flags & _FIRST_OF_CHANNELS:
            return at
        counted = counted or (index > 0 and samples > 0)
        at += 8 + size_of
        if at >= size:
            return None
    return None


def _walked(file: Bytes, at: int, size: int, step: _Step) -> int:
    """Where chunks that follow each other end, or one leaves that open."""
    for number in range(_MOST_CHUNKS):
        head = _at(file, at)
        stated = 0 if at >= size or (number and _begins(head)) else step(head)
        if stated <= 0:
            break
        at += stated
    return at


def _caf(head: bytes) -> int:
    stated = int.from_bytes(head[4:12], "big", signed=True)
    return 12 + stated if head[:4].isascii() and stated >= 0 else 0


def _mp4(head: bytes) -> int:
    stated = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if stated == 1 else stated if stated >= 8 else 0


def _asf(head: bytes) -> int:
    stated = int.from_bytes(head[16:24], "little")
    return stated if 24 <= stated < _OPEN_64 else 0


def _matroska(head: bytes) -> int:
    """An element: its name of 1 to 4 bytes and its size of 1 to 8, all ones where it is open."""
    name = 9 - head[0].bit_length()
    first = head[name] if name <= 4 else 0
    width = 9 - first.bit_length()
    if width > 8:
        return 0
    stated = int.from_bytes(head[name : name + width], "big") & (1 << 7 * width) - 1
    return name + width + stated if stated < (1 << 7 * width) - 1 else 0


# Formats that are chunks alone: how they begin, where the first chunk does, how long each is.
_CHUNKED: tuple[tuple[Callable[[bytes], bool], int, _Step], ...] = (
    (lambda head: head[:4] == b"caff", 8, _caf),
    (lambda head: head[4:8] == b"ftyp", 0, _mp4),
    (lambda head: head.startswith(_ASF), 0, _asf),
    (lambda head: head.startswith(_EBML), 0, _matroska),
)
