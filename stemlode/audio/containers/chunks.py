"""How many bytes of sound a WAV and its relations state; whether a file is MP4. Free of Beam."""

import io
import struct

from stemlode.audio.containers.info import AudioError
from stemlode.audio.containers.opening import Bytes

_UNKNOWN_BYTES = 0x7FFF_0000  # sizes of 32 bits from here on are what streaming writers put
_MOST_CHUNKS = 1000
# By how a file begins: where its first chunk does, how a name and a size are laid out, their bytes.
_LAID_OUT = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), (12, "<4sI", 8)),
    **dict.fromkeys((b"RIFX", b"FORM"), (12, ">4sI", 8)),
    b"riff": (40, "<16sQ", 24),  # W64, with names of 16 bytes
    b"caff": (8, ">4sq", 12),
    b"DSD ": (28, "<4sQ", 12),  # DSF
    b"FRM8": (16, ">4sQ", 12),  # DSDIFF
}
_SOUND = (b"data", b"SSND", b"BODY", b"DSD ", b"DST ")  # what the chunk of sound is called
_WRAPS, _LARGEST_TAIL = 1 << 32, 1 << 20  # what a size of 32 bits loses; tags behind the sound


def is_mp4(file: Bytes) -> bool:
    """Whether a file begins as MP4 and its relations do."""
    file.seek(0)
    return file.read(8)[4:] == b"ftyp"


def times_held(file: Bytes) -> float:
    """How many times the bytes of sound that are there a WAV, RF64, W64, AIFF, AU, CAF, AVI, DSF,
    DSDIFF, VOC or 8SVX states: 1 for a whole file, for one whose size is left open, and for all
    other formats. AudioError for a WAV whose size was too large for its header."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(32)
    if head[:4] in (b".snd", b"dns."):
        found = _au(head)
    elif head.startswith(b"Creative Voice File"):
        found = _voc(file, head)
    else:
        found = _sound_chunk(file, head, size)
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


def _voc(file: Bytes, head: bytes) -> tuple[int, int] | None:
    """Of its first block, which is all of most files."""
    start = int.from_bytes(head[20:22], "little")
    file.seek(start)
    block = file.read(4)
    sound = block[:1] in (b"\1", b"\x09")
    return (start + 4, int.from_bytes(block[1:4], "little")) if sound else None


def _sound_chunk(file: Bytes, head: bytes, size: int) -> tuple[int, int] | None:
    """Where the chunk of sound begins and how many bytes it states; None where there is none, or
    where its size is left open."""
    kind = head[:4]
    if kind not in _LAID_OUT:
        return None
    at, order, step = _LAID_OUT[kind]
    wide = kind == b"riff"
    own = step if wide or kind == b"DSD " else 0  # what a size counts of its own header
    film, of_64_bits = head[8:12] == b"AVI ", 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        data = file.read(step + 16)
        if len(data) < step:
            return None
        name, stated = struct.unpack_from(order, data)
        name, at = name[:4], at + step
        stated -= own
        if name == b"ds64":
            of_64_bits = int.from_bytes(data[step + 8 : step + 16], "little")
        elif name == b"data" and stated == 0xFFFFFFFF and of_64_bits and kind != b"RIFF":
            return at, of_64_bits
        if name in _SOUND or (name == b"LIST" and film and data[step:][:4] == b"movi"):
            is_open = stated <= 0 or (step == 8 and stated >= _UNKNOWN_BYTES)
            return None if is_open else (at, stated)
        if not 0 <= stated < size:
            return None
        at += stated + (-stated % 8 if wide else stated % 2 if step == 8 or kind == b"FRM8" else 0)
    return None
