"""f0 as data sets annotate it: iKala's labels, and tables of seconds and Hz as most others have.

iKala: `PitchLabel/*.pv`, one MIDI number for each 32 ms, frame i at (i + ½) · 32 ms, 0 where nobody
sings. Tables: `time,f0` lines of MedleyDB's melody and pitch files, Vocadito and others; 0 or a
negative f0, or none at all, where the voice is silent.
"""

import csv
import io
import posixpath
from dataclasses import dataclass

import numpy as np

from stemlode import files, runs
from stemlode.audio import AudioError
from stemlode.runs import BadUsage

IKALA_HOP_S = 0.032
MIDI_A4, A4_HZ = 69, 440.0
SUFFIXES = (".pv", ".csv", ".txt", ".f0")
SLACK_S = 0.5  # that an annotation may go on after the sound has ended
GAP = 2.5  # steps without a line, from which on the voice is silent between two lines
HIGHEST_HZ = 20_000.0


@dataclass(frozen=True)
class Melody:
    """True f0; float64 arrays of one length. `f0_hz` is 0 where the voice is silent."""

    time_s: np.ndarray
    f0_hz: np.ndarray


def beside(folder: str, songs: list[str]) -> dict[str, str]:
    """Song → the file that annotates it: one that is called like it, or like it with `_f0`,
    `_MELODY2`, `_vocals` or the like behind. BadUsage where no song has one, or one has several."""
    try:
        held = [path for path in files.list_files(folder) if path.lower().endswith(SUFFIXES)]
    except OSError as error:
        raise BadUsage(f"--f0 {folder}: {runs.reason(error)}") from error
    found: dict[str, str] = {}
    for song in songs:
        name = posixpath.basename(song).casefold()
        stems = {path: posixpath.splitext(posixpath.basename(path))[0].casefold() for path in held}
        same = [path for path, stem in stems.items() if stem == name]
        like = same or [path for path, stem in stems.items() if stem.startswith(f"{name}_")]
        if len(like) > 1:
            several = " and ".join(posixpath.basename(path) for path in sorted(like)[:2])
            raise BadUsage(f"--f0 {folder}: {song} has {several}; leave one of them there")
        if like:
            found[song] = like[0]
    if not found:
        raise BadUsage(
            f"--f0 {folder}: no file ({', '.join(SUFFIXES)}) in it is called like one of "
            f"{len(songs)} songs, such as {songs[0] if songs else 'none'}"
        )
    return found


def read(path: str, duration_s: float) -> Melody:
    """An annotation of a song of that length.

    Raises AudioError where it cannot be read, is unsorted, or goes on after the song.
    """
    name = posixpath.basename(path)
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
        found = _ikala(text) if name.lower().endswith(".pv") else _table(text)
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: {runs.reason(error)}") from error
    if not len(found.time_s):
        raise AudioError(f"{name}: holds no frame")
    if found.time_s[-1] > duration_s + SLACK_S:
        raise AudioError(
            f"{name}: goes on to {found.time_s[-1]:.2f} s, and the song ends at {duration_s:.2f} s"
        )
    return found


def _ikala(text: str) -> Melody:
    midi = []
    for number, line in enumerate(text.split(), 1):
        value = float(line)
        if not 0 <= value <= 127:
            raise ValueError(f"line {number} is {line}, no MIDI number")
        midi.append(value)
    numbers = np.array(midi)
    f0_hz = np.where(numbers > 0, A4_HZ * 2 ** ((numbers - MIDI_A4) / 12), 0.0)
    return Melody((np.arange(len(numbers)) + 0.5) * IKALA_HOP_S, f0_hz)


def _table(text: str) -> Melody:
    times: list[float] = []
    pitches: list[float] = []
    dialect = "\t" if "\t" in text else ","
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=dialect), 1):
        cells = row if len(row) != 1 else row[0].split()
        if not cells or (number == 1 and not _is_number(cells[0])):
            continue  # an empty line, or a header
        try:
            time, pitch = float(cells[0]), float(cells[1]) if len(cells) > 1 and cells[1] else 0.0
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not (np.isfinite(time) and time >= 0 and np.isfinite(pitch) and pitch < HIGHEST_HZ):
            raise ValueError(f"line {number} holds {time} s and {pitch} Hz")
        if times and time <= times[-1]:
            raise ValueError(f"line {number} is at {time} s, after {times[-1]} s: it is not sorted")
        times.append(time)
        pitches.append(max(0.0, pitch))
    return filled(Melody(np.array(times), np.array(pitches)))


def filled(found: Melody) -> Melody:
    """Where lines are left out, as in MedleyDB's pitch files, the voice is silent: a silent frame
    is put after each line that no other follows soon, and before the next one."""
    time_s = found.time_s
    if len(time_s) < 2:
        return found
    steps = np.diff(time_s)
    step = float(np.median(steps))
    ends = np.flatnonzero(steps > GAP * step)
    added = np.concatenate((time_s[ends] + step, time_s[ends + 1] - step))
    order = np.argsort(np.concatenate((time_s, added)), kind="stable")
    both = np.concatenate((found.f0_hz, np.zeros(len(added))))
    return Melody(np.concatenate((time_s, added))[order], both[order])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
