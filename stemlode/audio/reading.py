"""Audio in and out: libsndfile first, FFmpeg (PyAV) for what it does not read. Free of Beam.

Vorbis goes to FFmpeg too, which decodes it twice as fast to the same samples.

Files are read in blocks, and mixed down and resampled block by block, so that a mono read at a low
rate never holds the full-rate signal, whatever a header claims. Content decides the format, not
the file's name. A local path is opened as it stands; anything with a scheme goes through fsspec.

What a damaged file does:

* A file that holds less than its own header states (FLAC, WAV, AIFF, MP3 with a LAME header, MP4,
  Matroska, …), or whose middle does not decode, is an AudioError that says how much decodes.
* A header that leaves the length open, as streaming writers do (a WAV of 4 GiB, a FLAC of unknown
  length), and formats that state none (MP3 without such a header, Ogg): what is there is read.
* Garbage before the first or after the last decodable packet (tags, cut frames) is skipped.
* NaN or infinite samples, or samples more than 60 dB above full scale, are an AudioError.
* A file without a single sample is an AudioError; digital silence is audio.

A missing file, and a local one that may not be read, is an AudioError. What goes wrong on the way
to a remote file is an OSError instead, because trying again may help.
"""

import math
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
import soxr

from stemlode import files
from stemlode.audio import decoders
from stemlode.audio.decoders import AudioError, AudioInfo

__all__ = [
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

BLOCK_FRAMES = 65_536
LOUDEST = 1000.0  # full scale is 1; a damaged MP3 can decode to 38,000
QUALITY = "HQ"
FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".opus": "OGG", ".mp3": "MP3"}
SUBTYPES = {".opus": "OPUS"}


@dataclass(frozen=True)
class Audio:
    """A signal. `samples` is float32 [channels, frames], full scale ±1; `sample_rate` in Hz."""

    samples: np.ndarray
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate


def probe(uri: str, *, stream: int = 0) -> AudioInfo:
    """What a file's header says; nothing is decoded. AudioError where there is no audio."""
    with decoders.opened(uri, stream) as source:
        return source.info


def streams(uri: str) -> list[AudioInfo]:
    """The audio streams of a file, in order: one for most, five for a stems .mp4."""
    with decoders.opened(uri, 0) as source:
        count = source.streams
    return [probe(uri, stream=stream) for stream in range(count)]


def read(uri: str, *, sample_rate: int | None = None, mono: bool = False, stream: int = 0) -> Audio:
    """A whole audio stream.

    Args:
        uri: a local path, file:// or anything that fsspec opens.
        sample_rate: resample to this (soxr, HQ); None keeps the file's rate.
        mono: mean of the channels.
        stream: which audio stream of a file that holds several.

    Raises AudioError where the file cannot be decoded whole or holds no samples.
    """
    parts = list(blocks(uri, sample_rate=sample_rate, mono=mono, stream=stream))
    return Audio(np.concatenate([part.samples for part in parts], axis=1), parts[0].sample_rate)


def blocks(
    uri: str,
    *,
    sample_rate: int | None = None,
    mono: bool = False,
    stream: int = 0,
    block_frames: int = BLOCK_FRAMES,
) -> Iterator[Audio]:
    """An audio stream in consecutive blocks of about `block_frames` frames of the file's rate.

    Parameters and errors as for `read`. Blocks may differ in length, none is empty, and there is
    at least one. A file may prove damaged only after blocks of it were handed out.
    """
    with decoders.opened(uri, stream) as source:
        from_rate = source.info.sample_rate
        to_rate = sample_rate or from_rate
        channels = 1 if mono else source.info.channels
        mixdown = np.full((source.info.channels, 1), 1 / source.info.channels, np.float32)
        resampler = (
            soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality=QUALITY)
            if to_rate != from_rate
            else None
        )
        empty = True
        for decoded in source.blocks(block_frames):  # [frames, channels]
            _check(decoded)
            block = decoded @ mixdown if mono and source.info.channels > 1 else decoded
            if resampler is not None:
                block = resampler.resample_chunk(block)
            if len(block):
                empty = False
                yield Audio(block.T.copy(), to_rate)
        if resampler is not None:
            block = resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)
            if len(block):
                empty = False
                yield Audio(block.T.copy(), to_rate)
        if empty:
            raise AudioError("no samples", "empty")


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Samples [frames] or [channels, frames] at another rate, by soxr; float32, same layout."""
    samples = np.asarray(samples, np.float32)
    if from_rate == to_rate:
        return samples
    return np.ascontiguousarray(soxr.resample(samples.T, from_rate, to_rate, quality=QUALITY).T)


def write(path: str, samples: np.ndarray, sample_rate: int, subtype: str | None = None) -> None:
    """Write [frames] or [channels, frames] to .wav, .flac, .ogg, .opus or .mp3, atomically.

    `subtype` is libsndfile's (`PCM_16`, `FLOAT`, …); None takes its default for the format, 16 bit
    for WAV and FLAC. Integer subtypes clip what exceeds full scale. Raises AudioError for a format
    or combination that libsndfile cannot write, OSError where the disk does not take it.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise AudioError(f"cannot write {suffix or 'without extension'}: use {', '.join(FORMATS)}")
    frames = np.atleast_2d(np.asarray(samples)).T  # [frames, channels]
    facts: dict[str, Any] = {
        "samplerate": sample_rate,
        "channels": frames.shape[1],
        "format": FORMATS[suffix],
        "subtype": subtype or SUBTYPES.get(suffix),
    }
    if decoders.is_local(path):
        final = decoders.local_path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f"{uuid.uuid4().hex}{files.TEMPORARY}")
        try:
            with temporary.open("wb") as file:
                _encode(file, frames, facts)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
    else:  # a remote file cannot seek back to its header
        with tempfile.TemporaryFile() as file:
            _encode(file, frames, facts)
            file.seek(0)
            with files.atomic_write(path) as remote:
                while data := file.read(1 << 20):
                    remote.write(data)


def _encode(file: IO[bytes], frames: np.ndarray, facts: dict[str, Any]) -> None:
    guarded = decoders.Guarded(file)
    try:
        with soundfile.SoundFile(guarded, "w", **facts) as sink:
            # libsndfile crashes on a long Vorbis or MP3 signal in one call
            for start in range(0, len(frames), BLOCK_FRAMES):
                sink.write(frames[start : start + BLOCK_FRAMES])
        guarded.raise_error()
    except (ValueError, TypeError) as error:
        raise AudioError(f"cannot be written: {error}") from error
    except (soundfile.LibsndfileError, AssertionError) as error:
        guarded.raise_error()
        raise AudioError(f"cannot be written: {error}") from error


def _check(block: np.ndarray) -> None:
    """NaN spreads through min and max, so one comparison finds it as well."""
    peak = max(float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
    if not peak <= LOUDEST:
        if math.isfinite(peak):
            raise AudioError(f"damaged: samples of {peak:,.0f} times full scale", "damaged")
        raise AudioError("samples that are not finite", "damaged")
