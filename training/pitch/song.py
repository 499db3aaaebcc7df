"""A song's file → its salience, f0, voices and notes, and the files that hold them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stemlode import audio, files
from stemlode.shards import salience
from stemlode.shards.salience import LEVELS, SAMPLE_RATE
from training.pitch import annotations, listening, notes, picture
from training.pitch.hcqt import Signal
from training.pitch.spool import Spool
from training.pitch.targets import F0, f0_of, times, voices_of
from training.pitch.teachers import PitchTeacher

FILES = ("f0.csv", "f0.jams", "notes.mid", "salience.png", "listen.flac")
RAGGED = "f0s.tsv"  # besides, with --voices many
BLOCK_FRAMES = 8192  # of a song's salience that are looked at together
MOST_VOICES = 8  # that are heard and drawn at once; f0s.tsv has all


@dataclass(frozen=True)
class Heard:
    """What was heard in a song, in short."""

    duration_s: float
    voiced_share: float  # of its frames
    notes: int
    likeliest: float | None = None  # how likely its likeliest pitch is; runs of before do not say


def write(
    source: str,
    folder: str,
    name: str,
    teacher: PitchTeacher,
    *,
    many: bool = False,
    done: Callable[[float], object] = lambda seconds: None,
) -> Heard:
    """Hear a file and write FILES, and with `many` RAGGED, into a folder.

    The song is heard whole, on one grid; memory grows by 31 kB a second of it. `done` is called
    with the seconds of audio that were read. Raises AudioError where the file cannot be used.
    """
    at_grid, signal = _read(source, teacher.sample_rate, done)
    frames = salience.frame_count(len(at_grid))
    found = teacher.salience(signal, frames, "multi" if many else _own(teacher))
    f0 = joined(f0_of(block, first=first) for first, block in _blocks(found))
    sung = notes.notes_of(f0)
    duration_s = len(at_grid) / SAMPLE_RATE
    contents = {
        "f0.csv": annotations.csv(f0),
        "f0.jams": annotations.jams(name, duration_s, teacher.name, teacher.sha256, f0, sung),
        "notes.mid": notes.midi(sung),
        "salience.png": picture.png(found, f0),
    }
    voices = np.where(f0.voiced, f0.f0_hz, 0.0)[None]
    if many:
        ragged, voices = _voices(found)
        contents[RAGGED] = ragged
    for file, data in contents.items():
        files.write_bytes(files.join(folder, file), data)
    target = files.join(folder, "listen.flac")
    with listening.flac(at_grid, voices) as sound, files.atomic_write(target) as sink:
        while data := sound.read(1 << 20):
            sink.write(data)
    likeliest = round(float(f0.confidence.max(initial=0.0)), 3)
    return Heard(duration_s, f0.voiced_share, len(sung), likeliest)


def joined(parts: Iterator[F0]) -> F0:
    """Consecutive parts of a series as one."""
    held = list(parts)
    if not held:
        return F0(np.zeros(0), np.zeros(0), np.zeros(0))
    return F0(
        np.concatenate([part.time_s for part in held]),
        np.concatenate([part.f0_hz for part in held]),
        np.concatenate([part.confidence for part in held]),
    )


def _own(teacher: PitchTeacher) -> str:
    """All that a teacher hears: the likeliest row is the same, and the picture shows more."""
    return "multi" if teacher.polyphonic else "single"


def _read(source: str, rate: int, done: Callable[[float], object]) -> tuple[Signal, Signal]:
    """A file, mono, at 22,050 Hz and at another rate."""
    grid, other = Spool(SAMPLE_RATE, SAMPLE_RATE), Spool(SAMPLE_RATE, rate)
    for block in audio.blocks(source, sample_rate=SAMPLE_RATE, mono=True):
        grid.add(block.samples[0])
        if rate != SAMPLE_RATE:
            other.add(block.samples[0])
        done(block.duration_s)
    signal = grid.signal()
    return signal, (signal if rate == SAMPLE_RATE else other.signal())


def _blocks(found: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Its frames in blocks of likelihoods, each with the number of its first frame."""
    for first in range(0, found.shape[1], BLOCK_FRAMES):
        yield first, found[:, first : first + BLOCK_FRAMES] / np.float32(LEVELS)


def _voices(found: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The voices of every frame as RAGGED and, the lowest first, float [voices, frames] in Hz."""
    frequencies, when = salience.frequencies(), times(found.shape[1])
    sounding: list[np.ndarray] = []
    for _, block in _blocks(found):
        peaks = voices_of(block)
        sounding += [frequencies[column] for column in peaks.T]
    most = min(MOST_VOICES, max(map(len, sounding), default=1))
    voices = np.zeros((max(1, most), len(sounding)))
    for frame, hertz in enumerate(sounding):
        voices[: min(most, len(hertz)), frame] = hertz[:most]
    return annotations.ragged(zip(when.tolist(), sounding, strict=True)), voices
