"""How many bytes of sound a WAV and its relations state; whether a file is MP4. Free of Beam."""

import io
import struct

from stemlode.audio.containers.info import AudioError
from stemlode.audio.containers.opening import Bytes

_UNKNOWN_BYTES = 0x7FFF_0000  # sizes of 32 bits from here on are what streaming writers put
_MOST_CHUNKS = 1000
_WRAPS, _LARGEST_TAIL = 1 << 32, 1 << 20  # what a size of 32 bits loses; tags behind the sound


def is_mp4(file: Bytes) -> bool:
    """Whether a file begins as MP4 and its relations do."""
    file.seek(0)
    return file.read(8)[4:] == b"ftyp"


def times_held(file: Bytes) -> float:
    """How many times the bytes of sound that are there a WAV, RF64, W64, AIFF, AU, CAF or AVI
    states: 1 for a whole file, for one whose size is left open, and for all other formats.
    AudioError for a WAV whose size was too large for its header."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(32)
    found = _au(head) if head[:4] in (b".snd", b"dns.") else _sound_chunk(file, head, size)
    if found is None:
        return 1.0
    start, stated = found
    held = size - start
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and held - stated > _WRAPS - _LARGEST_TAIL:
        why = f"its header states {stated:,} bytes of sound, and {held:,} are there: a WAV cannot "
        raise AudioError(f"damaged: {why}hold over 4 GiB; write RF64, W64 or FLAC", "damaged")
    return stated / held if 0 < held < stated else 1.0


def _au(head: bytes) -> tuple[int, int] | None:
    if len(head) < 12:
        return None
    start, stated = struct.unpack_from(">II" if head[:4] == b".snd" else "<II", head, 4)
    return (start, stated) if stated < _UNKNOWN_BYTES else None


def _sound_chunk(file: Bytes, head: bytes, size: int) -> tuple[int, int] | None:
    """Where the chunk of sound begins and how many bytes it states; None where there is none, or
    where its size is left open."""
    kind = head[:4]
    wide = kind == b"riff"  # W64: names of 16 bytes, sizes of 64 bits that count their own header
    if wide:
        at, order, step = 40, "<16sQ", 24
    elif kind == b"caff":
        at, order, step = 8, ">4sq", 12
    elif kind in (b"RIFF", b"RF64", b"BW64"):
        at, order, step = 12, "<4sI", 8
    elif kind in (b"RIFX", b"FORM"):
        at, order, step = 12, ">4sI", 8
    else:
        return None
    film, of_64_bits = head[8:12] == b"AVI ", 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        data = file.read(step + 16)
        if len(data) < step:
            return None
        name, stated = struct.unpack_from(order, data)
        name, at = name[:4], at + step
        stated -= step if wide else 0
        if name == b"ds64":
            of_64_bits = int.from_bytes(data[step + 8 : step + 16], "little")
        elif name == b"data" and stated == 0xFFFFFFFF and of_64_bits and kind != b"RIFF":
            return at, of_64_bits
        if name in (b"data", b"SSND") or (name == b"LIST" and film and data[step:][:4] == b"movi"):
            is_open = stated <= 0 or (step == 8 and stated >= _UNKNOWN_BYTES)
            return None if is_open else (at, stated)
        if not 0 <= stated < size:
            return None
        at += stated + (-stated % 8 if wide else stated % 2 if step == 8 else 0)
    return None
