"""The synthesised band of the demo: drums, bass, and what plays the chords.

Every function is pure NumPy, draws from the `numpy.random.Generator` it is given, and returns
float32 at `SAMPLE_RATE`. Notes are wavetable voices: the table's harmonics decay at three speeds,
so that a note begins bright and ends dull, as struck and plucked strings do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, signal

SAMPLE_RATE = 44_100
TABLE_FRAMES = 4096  # a power of two
INAUDIBLE = 9  # decay times, −78 dB

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Note:
    """One note: when it starts, how long it is held, MIDI pitch, velocity in 0…1."""

    start_s: float
    duration_s: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Timbre:
    """How a note sounds: loudness of each harmonic, envelope, decay of low/middle/high parts."""

    harmonics: tuple[float, ...]
    attack_s: float
    release_s: float
    decay_s: tuple[float, float, float]
    detune_cents: float = 0.0


def hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch (A4 = 69 = 440 Hz)."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def saw(count: int, tilt: float) -> tuple[float, ...]:
    """Harmonics 1…count that fall with k^-tilt (1 is a sawtooth)."""
    return tuple(k**-tilt for k in range(1, count + 1))


def hollow(count: int, tilt: float) -> tuple[float, ...]:
    """As `saw`, with the even harmonics weak: clarinet-like, or a square wave."""
    return tuple(k**-tilt * (1.0 if k % 2 else 0.15) for k in range(1, count + 1))


ELECTRIC_PIANO = Timbre((1, 0.35, 0.08, 0.22, 0.02, 0.05, 0.1), 0.004, 0.12, (1.6, 0.6, 0.2))
PIANO = Timbre(saw(40, 1.5), 0.003, 0.15, (1.4, 0.7, 0.25))
GUITAR = Timbre(saw(48, 1.25), 0.002, 0.08, (0.9, 0.35, 0.14))
ORGAN = Timbre((1, 0.8, 0.5, 0.45, 0, 0.3, 0, 0.35), 0.012, 0.06, (60, 60, 30))
STRINGS = Timbre(saw(60, 1.25), 0.12, 0.3, (60, 60, 40), 7.0)
BRASS = Timbre(saw(40, 1.1), 0.05, 0.12, (8, 3, 1.2), 5.0)
SQUARE_LEAD = Timbre(hollow(48, 1.15), 0.01, 0.08, (5, 3, 2), 4.0)
FLUTE = Timbre((1, 0.28, 0.12, 0.04), 0.05, 0.1, (30, 20, 20))

CHORD_TIMBRES = (ELECTRIC_PIANO, PIANO, GUITAR, ORGAN, STRINGS, BRASS)
LEAD_TIMBRES = (SQUARE_LEAD, FLUTE, GUITAR, STRINGS)
BASS_TIMBRES = (
    Timbre(saw(30, 1.6), 0.004, 0.05, (1.2, 0.5, 0.15)),
    Timbre((1, 0.25, 0.1, 0.05), 0.006, 0.06, (3, 1, 0.4)),
    Timbre(saw(60, 1.2), 0.004, 0.04, (1.0, 0.22, 0.09)),
    Timbre(hollow(40, 1.3), 0.008, 0.05, (4, 1.5, 0.5)),
)


def table(amplitudes: Frames) -> Frames:
    """One period [TABLE_FRAMES + 1] of the sum of harmonics 1…n, with fixed scattered phases."""
    spectrum = np.zeros(TABLE_FRAMES // 2 + 1, np.complex64)
    order = np.arange(1, len(amplitudes) + 1)
    # Schroeder phases keep the crest factor low, so that many notes add without clipping.
    phases = -np.pi * order * (order - 1) / max(len(amplitudes), 1)
    spectrum[order] = amplitudes * np.exp(1j * phases) * TABLE_FRAMES / 2
    period = fft.irfft(spectrum, TABLE_FRAMES).astype(np.float32)
    return np.append(period, period[0])


def positions(phase: NDArray[np.float64]) -> tuple[NDArray[np.int64], Frames]:
    """Where in a wavetable a phase in cycles (≥ 0) lies: index below it, fraction to the next."""
    scaled = phase * TABLE_FRAMES
    below = scaled.astype(np.int64)
    fraction = (scaled - below).astype(np.float32)
    return below & (TABLE_FRAMES - 1), fraction


def oscillate(period: Frames, below: NDArray[np.int64], fraction: Frames) -> Frames:
    """Read a wavetable at `positions`, interpolating linearly."""
    low: Frames = period[below]
    return low + fraction * (period[below + 1] - low)


def play_note(note: Note, timbre: Timbre) -> Frames:
    """One note as mono [frames], release included, peak about its velocity."""
    frames = int((note.duration_s + timbre.release_s) * SAMPLE_RATE)
    time = np.arange(frames) / SAMPLE_RATE
    f0 = hertz(note.pitch)
    audible = max(1, min(len(timbre.harmonics), int(0.45 * SAMPLE_RATE / f0)))
    amplitudes = np.array(timbre.harmonics[:audible], np.float32)
    amplitudes /= np.sqrt(np.sum(amplitudes**2))
    order = np.arange(1, audible + 1)
    bands = (order <= 2, (order > 2) & (order <= 6), order > 6)
    out = np.zeros(frames, np.float32)
    detunes = (-timbre.detune_cents, timbre.detune_cents) if timbre.detune_cents else (0.0,)
    for cents in detunes:
        phase = time * (f0 * 2.0 ** (cents / 1200.0)) + 0.37 * (cents > 0)
        below, fraction = positions(phase)
        for band, decay_s in zip(bands, timbre.decay_s, strict=True):
            heard = min(frames, int(INAUDIBLE * decay_s * SAMPLE_RATE))
            if band.any():
                period = table(np.where(band, amplitudes, 0))
                fade = np.exp(time[:heard].astype(np.float32) * np.float32(-1 / decay_s))
                out[:heard] += oscillate(period, below[:heard], fraction[:heard]) * fade
    rising = int(timbre.attack_s * SAMPLE_RATE)
    out[:rising] *= np.linspace(0, 1, rising, dtype=np.float32)[:frames]
    held = int(note.duration_s * SAMPLE_RATE)
    out[held:] *= np.linspace(1.0, 0.0, frames - held, dtype=np.float32) ** 2
    return out * np.float32(note.velocity / len(detunes))


def place(track: Frames, sound: Frames, start_s: float, gain: float = 1.0) -> None:
    """Add `sound` to the last axis of `track` from `start_s` on, cut at the end."""
    start = round(start_s * SAMPLE_RATE)
    room = track.shape[-1] - start
    if start >= 0 and room > 0:
        part = sound[..., :room]
        track[..., start : start + part.shape[-1]] += np.float32(gain) * part


def play(notes: list[Note], timbre: Timbre, frames: int) -> Frames:
    """All notes of one instrument as mono [frames]."""
    track = np.zeros(frames, np.float32)
    for note in notes:
        place(track, play_note(note, timbre), note.start_s)
    return track


def pan(mono: Frames, position: float) -> Frames:
    """Mono [frames] → stereo [2, frames], constant power; position −1 (left) … 1 (right)."""
    angle = (position + 1) * np.pi / 4
    return np.stack([mono * np.float32(np.cos(angle)), mono * np.float32(np.sin(angle))])


def widen(mono: Frames, rng: Generator, depth_ms: float = 3.0) -> Frames:
    """Chorus: two slowly wandering delays, one a side. Mono [frames] → stereo [2, frames]."""
    frames = len(mono)
    time = np.arange(frames) / SAMPLE_RATE
    sides = []
    for _ in range(2):
        rate, offset = rng.uniform(0.2, 0.6), rng.uniform(0, 2 * np.pi)
        delay = 0.008 + 0.001 * depth_ms * np.sin(2 * np.pi * rate * time + offset)
        at = np.maximum(np.arange(frames) - delay * SAMPLE_RATE, 0.0)
        below = at.astype(np.int64)
        fraction = (at - below).astype(np.float32)
        above = np.minimum(below + 1, frames - 1)
        sides.append(0.6 * mono + 0.6 * (mono[below] * (1 - fraction) + mono[above] * fraction))
    return np.stack(sides)


def reverberate(mono: Frames, rng: Generator, decay_s: float, predelay_s: float) -> Frames:
    """The wet sound of a room: mono [frames] → stereo [2, frames].

    Two decaying noises, duller as they fade; `decay_s` is the time to −60 dB.
    """
    length = int(decay_s * SAMPLE_RATE)
    time = np.arange(length) / SAMPLE_RATE
    noise = rng.standard_normal((2, length)).astype(np.float32)
    dull = signal.lfilter([0.25], [1, -0.75], noise).astype(np.float32)
    brightness = np.exp(-time / (0.15 * decay_s)).astype(np.float32)
    room = (brightness * noise + (1 - brightness) * 2 * dull) * np.exp(-6.9 * time / decay_s)
    room = np.concatenate([np.zeros((2, int(predelay_s * SAMPLE_RATE))), room], axis=1)
    room = (room / np.sqrt(np.sum(room**2, axis=1, keepdims=True))).astype(np.float32)
    size = fft.next_fast_len(len(mono) + room.shape[1], real=True)
    spectrum = fft.rfft(mono, size)
    wet = [fft.irfft(spectrum * fft.rfft(side, size), size)[: len(mono)] for side in room]
    return np.stack(wet).astype(np.float32)


def kick(rng: Generator) -> Frames:
    time = np.arange(int(0.35 * SAMPLE_RATE)) / SAMPLE_RATE
    low, high = rng.uniform(42, 60), rng.uniform(120, 260)
    sweep, decay = rng.uniform(0.015, 0.045), rng.uniform(0.07, 0.14)
    phase = low * time - high * sweep * (np.exp(-time / sweep) - 1)
    click = np.exp(-time / 0.002) * rng.standard_normal(len(time)) * rng.uniform(0.1, 0.35)
    return (np.sin(2 * np.pi * phase) * np.exp(-time / decay) + click).astype(np.float32)


def snare(rng: Generator) -> Frames:
    time = np.arange(int(0.3 * SAMPLE_RATE)) / SAMPLE_RATE
    low, high = rng.uniform(900, 1800), rng.uniform(7000, 11000)
    band = signal.butter(2, [low, high], "band", fs=SAMPLE_RATE)
    rattle = signal.lfilter(*band, rng.standard_normal(len(time)))
    tone, pitch = rng.uniform(0.25, 0.6), rng.uniform(160, 240)
    shell = np.sin(2 * np.pi * pitch * time * (1 + 0.3 * np.exp(-time / 0.01)))
    sound = rattle * np.exp(-time / rng.uniform(0.05, 0.11)) + tone * shell * np.exp(-time / 0.06)
    return (0.8 * sound).astype(np.float32)


def clap(rng: Generator) -> Frames:
    time = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    band = signal.butter(2, [rng.uniform(700, 1100), 4500], "band", fs=SAMPLE_RATE)
    noise = signal.lfilter(*band, rng.standard_normal(len(time)))
    bursts = sum(np.exp(-np.maximum(time - t, 0) / 0.006) * (time >= t) for t in (0, 0.011, 0.021))
    tail = 0.6 * np.exp(-np.maximum(time - 0.03, 0) / 0.05) * (time >= 0.03)
    return (noise * (bursts + tail)).astype(np.float32)


def hat(rng: Generator, decay_s: float) -> Frames:
    time = np.arange(int(min(4 * decay_s, 0.6) * SAMPLE_RATE)) / SAMPLE_RATE
    partials = rng.uniform(3500, 9000, 6)
    metal = np.sign(np.sin(2 * np.pi * partials[:, None] * time)).mean(axis=0)
    sound = 0.6 * rng.standard_normal(len(time)) + metal
    high = signal.butter(3, rng.uniform(6000, 8500), "high", fs=SAMPLE_RATE)
    return (0.5 * signal.lfilter(*high, sound) * np.exp(-time / decay_s)).astype(np.float32)


def crash(rng: Generator) -> Frames:
    time = np.arange(int(1.6 * SAMPLE_RATE)) / SAMPLE_RATE
    high = signal.butter(2, rng.uniform(2500, 4000), "high", fs=SAMPLE_RATE)
    sound = signal.lfilter(*high, rng.standard_normal(len(time)))
    return (0.4 * sound * np.exp(-time / 0.45)).astype(np.float32)


# Sixteen steps a bar: kick, snare, hat. A digit is a velocity in ninths.
PATTERNS = (
    ("9000000090000000", "0000900000009000", "7040704070407040"),
    ("9000009090000000", "0000900000009002", "7575757575757575"),
    ("9000900090009000", "0000900000009000", "0070007000700070"),
    ("9007000009070000", "0000900200209000", "7070707070707070"),
    ("9000000000900000", "0000000090000000", "7050705070507057"),
    ("9000070090900000", "0000900000009070", "7474747474747474"),
    ("9000000900900090", "0000900000009000", "7770777077707770"),
)


def drums(rng: Generator, bar_starts_s: list[float], bar_s: float, full: list[bool]) -> Frames:
    """The drum stem, stereo [2, frames]: a pattern of its own per song, with fills and crashes.

    `bar_starts_s` has one more entry than bars (the end); `full[b]` says whether bar b has the
    whole kit or hats and kick alone.
    """
    frames = int(bar_starts_s[-1] * SAMPLE_RATE)
    kit = {
        "kick": [kick(rng)],
        "snare": [clap(rng) if rng.random() < 0.3 else snare(rng)],
        "hat": [hat(rng, rng.uniform(0.02, 0.05)) for _ in range(3)],
        "open": [hat(rng, 0.16)],
    }
    tracks = {name: np.zeros(frames, np.float32) for name in kit}
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    step_s, swing = bar_s / 16, rng.choice([0.0, 0.0, 0.12, 0.2])
    level = {"kick": 1.0, "snare": rng.uniform(0.8, 1.3), "hat": rng.uniform(0.2, 0.4)}
    for bar, start_s in enumerate(bar_starts_s[:-1]):
        fill = bar % 4 == 3 and rng.random() < 0.6
        for name, steps in zip(("kick", "snare", "hat"), pattern, strict=True):
            if name == "snare" and not full[bar]:
                continue
            for step, digit in enumerate(steps):
                velocity = int(digit) / 9
                if fill and name == "snare" and step >= 12:
                    velocity = rng.uniform(0.4, 1.0)
                if velocity == 0:
                    continue
                late = swing * step_s * (step % 2) + rng.normal(0, 0.003)
                opened = name == "hat" and step == 14 and rng.random() < 0.4
                into = "open" if opened else name
                sound = kit[into][rng.integers(len(kit[into]))]
                gain = velocity * level[name] * rng.uniform(0.85, 1.0)
                place(tracks[into], sound, max(0.0, start_s + step * step_s + late), gain)
        if full[bar] and (bar == 0 or not full[bar - 1]):
            place(tracks["open"], crash(rng), start_s, 0.6)
    out = pan(tracks["kick"], 0.0) + pan(tracks["snare"], rng.uniform(-0.15, 0.15))
    out += pan(tracks["hat"], rng.uniform(-0.6, 0.6)) + pan(tracks["open"], rng.uniform(-0.6, 0.6))
    room_s, wet = rng.uniform(0.25, 0.6), rng.uniform(0.1, 0.3)
    return out + np.float32(wet) * reverberate(tracks["snare"], rng, room_s, 0.004)
