"""Audio in and out: every format heard whole, or named as damaged. Free of Beam.

Which library decodes a file follows from its format and codec (see `decoders`); docs/audio.md says
for each format what states its length and what is held to that.

Files are read in blocks, and mixed down and resampled block by block, so that a mono read at a low
rate never holds the full-rate signal, whatever a header claims. Content decides the format, not
the file's name. A local path is opened as it stands; anything with a scheme goes through fsspec.

What is read has one or two channels; more are mixed down (see `mixdown`). Where the rate or the
channels change on the way, as in files that were joined, the first ones are kept.

What a damaged file does:

* A file that holds less than its own header states, or whose middle does not decode, is an
  AudioError that says how much decodes.
* A length that is but an estimate ends no reading and rejects no file: what is there is read.
* Tags, zeros and garbage before, behind or (tags) between what decodes are skipped.
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
from stemlode.audio import decoders, mixdown
from stemlode.audio.containers import opening
from stemlode.audio.containers.info import AudioError, AudioInfo

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


def probe(uri: str, *, stream: int = 0, count: bool = False) -> AudioInfo:
    """What a file's headers say; nothing is decoded. AudioError where there is no audio.

    `count`: where no header states the length, count the frames, for which all of the file is read.
    """
    with decoders.opened(uri, stream) as source:
        return decoders.counted(source) if count else source.info


def streams(uri: str) -> list[AudioInfo]:
    """The audio streams of a file, in order: one for most, five for a stems .mp4."""
    with decoders.opened(uri) as source:
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
        yield from blocks_of(source, sample_rate, 1 if mono else None, block_frames)


def blocks_of(
    source: decoders.Source,
    sample_rate: int | None = None,
    channels: int | None = None,
    block_frames: int = BLOCK_FRAMES,
) -> Iterator[Audio]:
    """The blocks of a file that is open, as `blocks`; at its own rate and with its own channels,
    one or two, where None is given."""
    to_rate = sample_rate or source.info.sample_rate
    channels = channels or min(2, source.info.channels)
    resampler: _Resampler | None = None
    empty = True
    for block in source.blocks(block_frames):
        _check(block.samples)
        heard = mixdown.as_heard(block.samples, block.channels)
        heard = mixdown.with_channels(heard, channels)
        if resampler is None or resampler.from_rate != block.sample_rate:
            tail = resampler.end() if resampler else heard[:, :0]
            resampler = _Resampler(block.sample_rate, to_rate, channels)
            heard = np.concatenate([tail, resampler.next(heard)], axis=1)
        else:
            heard = resampler.next(heard)
        if heard.shape[1]:
            empty = False
            yield Audio(heard, to_rate)
    if resampler is not None and (heard := resampler.end()).shape[1]:
        empty = False
        yield Audio(heard, to_rate)
    if empty:
        raise AudioError("no samples", "empty")


class _Resampler:
    """soxr over blocks [channels, frames]; nothing but a copy where the rates are equal.

    A stream a channel: soxr takes longer over two that are interleaved than over each by itself.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.from_rate, self.channels = from_rate, channels
        self._streams: list[soxr.ResampleStream] = []
        if from_rate != to_rate:
            self._streams = [
                soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=QUALITY)
                for _ in range(channels)
            ]

    def next(self, block: np.ndarray) -> np.ndarray:
        """What a block gives."""
        return self._chunk(block) if self._streams else block.copy()

    def end(self) -> np.ndarray:
        """What is left after the last block."""
        nothing = np.zeros((self.channels, 0), np.float32)
        return self._chunk(nothing, last=True) if self._streams else nothing

    def _chunk(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        sides = zip(self._streams, block, strict=True)
        return np.stack(
            [stream.resample_chunk(np.ascontiguousarray(side), last=last) for stream, side in sides]
        )


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
    if opening.is_local(path):
        final = opening.local_path(path)
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
    guarded = opening.Guarded(file)
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
    """The sum of squares bounds every sample, and NaN spreads through it."""
    flat = block.ravel(order="K")
    if float(np.dot(flat, flat)) <= LOUDEST**2:
        return
    peak = float(np.abs(flat).max(initial=0.0))
    if not peak <= LOUDEST:
        if math.isfinite(peak):
            raise AudioError(f"damaged: samples of {peak:,.0f} times full scale", "damaged")
        raise AudioError("samples that are not finite", "damaged")
