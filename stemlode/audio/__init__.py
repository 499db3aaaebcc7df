"""Sound in and out: reading, decoding, what is audio and when it is active. `audio.read(…)` etc."""

from stemlode.audio.reading import (
    QUALITY,
    Audio,
    AudioError,
    AudioInfo,
    blocks,
    probe,
    read,
    resample,
    streams,
    write,
)

__all__ = [
    "QUALITY",
    "Audio",
    "AudioError",
    "AudioInfo",
    "blocks",
    "probe",
    "read",
    "resample",
    "streams",
    "write",
]
