"""Float WAV files of any length, written from front to back, with the same bytes every time.

libsndfile writes the time of day into float WAV files and seeks back to the header at the end,
which remote stores do not allow.
"""

import struct

import numpy as np

LARGEST = 2**32 - 1  # bytes that a plain RIFF header can state
FLOAT, EXTENSIBLE = 3, 0xFFFE
FLOAT_GUID = struct.pack("<H", FLOAT) + bytes.fromhex("000000001000800000aa00389b71")


def header(frames: int, channels: int, sample_rate: int, further: bytes = b"") -> bytes:
    """What stands before the samples; an RF64 header where 32-bit sizes do not suffice.

    Samples follow as `samples` gives them, `frames` frames in all. `further` are chunks of an even
    length.
    """
    frame_bytes = 4 * channels
    data_bytes = frames * frame_bytes
    facts = struct.pack("<HIIHH", channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 32)
    if channels <= 2:
        form = struct.pack("<H", FLOAT) + facts + struct.pack("<H", 0)
    else:  # no channel mask, as the speakers are not known
        form = struct.pack("<H", EXTENSIBLE) + facts + struct.pack("<HHI", 22, 32, 0) + FLOAT_GUID
    fmt = b"fmt " + struct.pack("<I", len(form)) + form
    fact = b"fact" + struct.pack("<II", 4, min(frames, LARGEST))
    fact += further
    riff_bytes = 4 + len(fmt) + len(fact) + 8 + data_bytes
    if riff_bytes <= LARGEST:
        start = b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVE"
        return start + fmt + fact + b"data" + struct.pack("<I", data_bytes)
    # EBU Tech 3306: true sizes in a ds64 chunk, all ones in the 32-bit fields
    sizes = struct.pack("<QQQI", riff_bytes + 36, data_bytes, frames, 0)
    start = b"RF64" + struct.pack("<I", LARGEST) + b"WAVE"
    ds64 = b"ds64" + struct.pack("<I", len(sizes)) + sizes
    return start + ds64 + fmt + fact + b"data" + struct.pack("<I", LARGEST)


def samples(block: np.ndarray) -> bytes:
    """[channels, frames] as a WAV file holds them: frame by frame, 32-bit float."""
    return np.ascontiguousarray(block.T, "<f4").tobytes()
