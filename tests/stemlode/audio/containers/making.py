"""Sound as files of every kind, by FFmpeg (through PyAV) and libsndfile; and bytes of such files
cut, patched and joined by hand."""

import io
import struct
from collections.abc import Callable

import av
import numpy as np
import soundfile

RATE, SECONDS = 44_100, 2.0
BARE = {"write_xing": "0", "id3v2_version": "0"}


def sound(
    seconds: float = SECONDS, channels: int = 2, rate: int = RATE, seed: int = 0
) -> np.ndarray:
    """[channels, frames]: a chord in noise, with rests, so that frames differ in size."""
    time = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330))
    noise = np.random.default_rng(seed).uniform(-1, 1, (channels, len(time)))
    return (0.1 * chord + 0.3 * noise * (np.sin(2 * np.pi * time) > 0)).astype(np.float32)


def encoded(samples: np.ndarray, form: str, codec: str, rate: int = RATE, **how: str) -> bytes:
    """By FFmpeg; `how` are options of the format and of the codec, and `quality` of an MP3."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    options = {name: value for name, value in how.items() if name in (*BARE, "movflags", "live")}
    file = io.BytesIO()
    with av.open(file, "w", format=form, options=options) as container:
        own = {"b": how["b"]} if "b" in how else {}
        stream = container.add_stream(codec, rate=rate, layout=layout, options=own)
        if "quality" in how:
            stream.codec_context.flags |= av.codec.context.Flags.qscale
            stream.codec_context.global_quality = 118 * int(how["quality"])
        _add(container, stream, samples, rate, layout)
    return file.getvalue()


def _add(container: av.container.OutputContainer, stream: av.AudioStream, samples: np.ndarray,
         rate: int, layout: str) -> None:  # fmt: skip
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
    frame.rate = rate
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def with_video(form: str, codec: str, picture: str, rate: int = RATE) -> bytes:
    """A film whose pictures go on for half a second when the sound is over."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = 128_000
        film = container.add_stream(picture, rate=10, width=32, height=32, pix_fmt="yuv420p")
        for number in range(round(10 * (SECONDS + 0.5))):
            image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), "rgb24")
            container.mux(film.encode(image))
        container.mux(film.encode(None))
        _add(container, stream, sound(rate=rate), rate, "stereo")
    return file.getvalue()


def written(samples: np.ndarray, form: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    """By libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format=form, subtype=subtype)
    return file.getvalue()


# What taggers put at a file's ends, and joining into its middle.
ID3V1 = b"TAG" + bytes(125)
APE = b"".join(
    (
        b"APETAGEX", struct.pack("<IIII", 2000, 132, 1, 1 << 31), bytes(8), b"x" * 100,
        b"APETAGEX", struct.pack("<IIII", 2000, 132, 1, 0), bytes(8),
    )
)  # fmt: skip
LYRICS = b"LYRICSBEGIN" + b"IND0000210" + b"LYR00030" + b"la la la la la la la la la la " + (
    b"000059LYRICS200"
)  # fmt: skip
TAILS = {
    "id3v1": ID3V1,
    "ape": APE,
    "lyrics3": LYRICS + ID3V1,
    "zeros": bytes(4),
    "many zeros": bytes(9000),
}


def id3v2(size: int) -> bytes:
    """A tag that holds a cover, of as many bytes."""
    cover = np.random.default_rng(1).integers(0, 255, size, np.uint8).tobytes()
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + cover


def frames(stream: bytes, size: Callable[[bytes], int]) -> list[bytes]:
    """The frames of a stream that is nothing else."""
    found, at = [], 0
    while at < len(stream):
        end = at + size(stream[at:])
        found.append(stream[at:end])
        at = end
    return found


def mp3_size(head: bytes) -> int:
    """Bytes of the MPEG-1 layer III frame that begins so."""
    (header,) = struct.unpack_from(">I", head)
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[header >> 12 & 15]
    return 144_000 * kbits // (44_100, 48_000, 32_000)[header >> 10 & 3] + (header >> 9 & 1)


def free_format() -> bytes:
    """48 kHz and 128 kbit/s need no padding: all frames are of one size, which nothing states."""
    stream = encoded(sound(rate=48_000), "mp3", "libmp3lame", 48_000, b="128000", **BARE)
    unstated = [part[:2] + bytes([part[2] & 0x0F]) + part[3:] for part in frames(stream, mp3_size)]
    return b"".join(unstated)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def later(ogg: bytes, by: int) -> bytes:
    """Ogg whose pages count from so much earlier, as what is cut out of a stream does."""
    found, at = b"", 0
    while at < len(ogg):
        lacing = ogg[at + 27 : at + 27 + ogg[at + 26]]
        end = at + 27 + len(lacing) + sum(lacing)
        page = bytearray(ogg[at:end])
        (granule,) = struct.unpack_from("<q", page, 6)
        struct.pack_into("<q", page, 6, granule + by * (granule > 0))
        struct.pack_into("<I", page, 22, checksum(patched(bytes(page), 22, bytes(4))))
        found, at = found + bytes(page), end
    return found


def checksum(page: bytes) -> int:
    """RFC 3533's of a page."""
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ (0x04C11DB7 if found >> 31 else 0)) & 0xFFFFFFFF
    return found


def of_length(flac: bytes, samples: int = 0) -> bytes:
    """The total in STREAMINFO, 36 bits, is another; 0 for unknown."""
    return patched(flac, 21, bytes([flac[21] & 0xF0]) + samples.to_bytes(4, "big"))


def skipping(opus: bytes, samples: int) -> bytes:
    """The first page of an Opus file says that so many come before its sound."""
    page = patched(patched(opus[:47], 38, samples.to_bytes(2, "little")), 22, bytes(4))
    return patched(page, 22, struct.pack("<I", checksum(page))) + opus[47:]
