"""Notes from f0, by a plain rule, and as a Standard MIDI File.

1. The pitch of a voiced frame is the median over the nine frames around it (0.1 s) that are voiced.
2. A note begins with a voiced frame. It goes on as long as frames are voiced and within 0.8 of a
   semitone of the median of its last 2 s; up to five frames in a row (0.06 s) may be neither.
3. Its pitch is the median of its frames, rounded to the semitone; its velocity is their mean
   confidence.
4. Notes shorter than 0.1 s are left out.
"""

import io
from dataclasses import dataclass

import mido
import numpy as np

from training.pitch.targets import F0

SMOOTHED = 9  # frames
WITHIN = 0.8  # semitones
REMEMBERED = 172  # frames of a note: 2 s
MISSED = 5  # frames in a row that may be unvoiced or elsewhere
SHORTEST_S = 0.1
TICKS = 1000  # a beat; a beat lasts a second, so a tick is a millisecond
TEMPO = 1_000_000  # µs a beat


@dataclass(frozen=True)
class Note:
    """A note: when it sounds, its MIDI number and the frequency that was sung, its confidence."""

    start_s: float
    duration_s: float
    midi: int
    f0_hz: float
    confidence: float


def notes_of(f0: F0) -> list[Note]:
    """The notes of a voice, in time; see the module for the rule."""
    voiced = f0.voiced
    semitones = np.full(len(voiced), np.nan)
    semitones[voiced] = 69 + 12 * np.log2(f0.f0_hz[voiced] / 440)
    pitch = _smoothed(semitones)
    step = float(np.median(np.diff(f0.time_s))) if len(voiced) > 1 else 0.0
    found: list[Note] = []
    held: list[int] = []  # the frames of the note that goes on
    missed: list[int] = []  # the voiced ones among those that it may yet pass over
    gap = 0
    for frame in range(len(voiced)):
        if not held:
            held = [frame] if voiced[frame] else []
        elif voiced[frame] and abs(pitch[frame] - np.median(pitch[held[-REMEMBERED:]])) <= WITHIN:
            held.append(frame)
            missed, gap = [], 0
        else:
            gap += 1
            missed += [frame] if voiced[frame] else []
            if gap > MISSED:
                found.append(_note(f0, pitch, held, step))
                held, missed, gap = missed, [], 0
    if held:
        found.append(_note(f0, pitch, held, step))
    return [note for note in found if note.duration_s >= SHORTEST_S]


def midi(notes: list[Note]) -> bytes:
    """A Standard MIDI File of one track; times to the millisecond."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=TEMPO, time=0)])
    events = []
    for note in notes:
        start, end = round(note.start_s * TICKS), round((note.start_s + note.duration_s) * TICKS)
        velocity = min(127, max(1, round(127 * note.confidence)))
        number = min(127, max(0, note.midi))
        events += [(start, 1, number, velocity), (max(end, start + 1), 0, number, 0)]
    at = 0
    for tick, is_on, number, velocity in sorted(events):
        kind = "note_on" if is_on else "note_off"
        track.append(mido.Message(kind, note=number, velocity=velocity, time=tick - at))
        at = tick
    buffer = io.BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=TICKS, tracks=[track]).save(file=buffer)
    return buffer.getvalue()


def _smoothed(semitones: np.ndarray) -> np.ndarray:
    """The median of what is voiced around each voiced frame; NaN elsewhere."""
    if not len(semitones):
        return semitones
    padded = np.pad(semitones, SMOOTHED // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED)
    found = np.full(len(semitones), np.nan)
    voiced = ~np.isnan(semitones)
    found[voiced] = np.nanmedian(windows[voiced], axis=1)
    return found


def _note(f0: F0, pitch: np.ndarray, held: list[int], step: float) -> Note:
    median = float(np.median(pitch[held]))
    return Note(
        start_s=float(f0.time_s[held[0]]),
        duration_s=(held[-1] - held[0] + 1) * step,
        midi=round(median),
        f0_hz=440 * 2 ** ((median - 69) / 12),
        confidence=float(f0.confidence[held].mean()),
    )
