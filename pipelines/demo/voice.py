"""The synthesised singer of the demo: glottal source, moving formants, consonants, breath.

A source-filter model (Fant): a harmonic source with glides, vibrato and jitter, and noise for
breath and consonants, both shaped by formants that move from vowel to vowel. The shaping happens
in the STFT, one gain per frame and bin, so that a whole song costs a few matrix operations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, signal

from pipelines.demo.instruments import SAMPLE_RATE, Frames, oscillate, positions, table

HOP = 256
N_FFT = 1024
BLOCK = 64  # frames

# Mean formants of men's vowels in Hz (Peterson and Barney 1952), rounded.
VOWELS = {
    "a": (730.0, 1090.0, 2440.0),
    "e": (530.0, 1840.0, 2480.0),
    "i": (270.0, 2290.0, 3010.0),
    "o": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
    "er": (490.0, 1350.0, 1690.0),
    "ae": (660.0, 1720.0, 2410.0),
}
# Voiced consonants are vowels of another colour: formants in Hz, gain.
VOICED = {"m": (250.0, 1000.0, 2200.0, 0.35), "n": (250.0, 1450.0, 2500.0, 0.35)}
VOICED |= {"l": (360.0, 1100.0, 2700.0, 0.5), "w": (300.0, 650.0, 2200.0, 0.45)}
# Unvoiced consonants are noise: centre and width in Hz, length in s, gain.
UNVOICED = {
    "s": (7200.0, 2600.0, 0.10, 0.5),
    "sh": (3900.0, 1900.0, 0.11, 0.5),
    "f": (6000.0, 6000.0, 0.08, 0.2),
    "t": (4800.0, 3000.0, 0.035, 0.7),
    "k": (2300.0, 1500.0, 0.04, 0.7),
    "h": (1800.0, 2500.0, 0.07, 0.25),
}


@dataclass(frozen=True)
class Syllable:
    """One sung syllable: onset and length of its vowel, MIDI pitch, sounds, loudness 0…1."""

    start_s: float
    duration_s: float
    pitch: float
    consonant: str
    vowel: str
    loudness: float
    begins_phrase: bool


@dataclass(frozen=True)
class Voice:
    """One singer."""

    formant_scale: float  # 1 is a man's vocal tract, 1.17 a woman's
    tilt: float  # harmonics of the source fall with k^-tilt
    vibrato_hz: float
    vibrato_cents: float
    glide_s: float
    breath: float
    consonants: float


def random_voice(rng: Generator, high: bool) -> Voice:
    return Voice(
        formant_scale=rng.uniform(1.08, 1.22) if high else rng.uniform(0.94, 1.06),
        tilt=rng.uniform(0.75, 1.15),
        vibrato_hz=rng.uniform(4.8, 6.4),
        vibrato_cents=rng.uniform(15, 60),
        glide_s=rng.uniform(0.018, 0.05),
        breath=rng.uniform(0.02, 0.08),
        consonants=rng.uniform(0.6, 1.3),
    )


def random_syllable_sounds(rng: Generator) -> tuple[str, str]:
    """A consonant ("" for none) and a vowel."""
    choices = ["", *UNVOICED, *VOICED]
    return choices[rng.integers(len(choices))], [*VOWELS][rng.integers(len(VOWELS))]


def smooth(values: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Two one-pole low-passes in a row at the frame rate: an S-shaped glide, no overshoot."""
    pole = np.exp(-HOP / SAMPLE_RATE / seconds)
    b, a = [1 - pole], [1, -pole]
    for _ in range(2):
        start = values[0] * signal.lfilter_zi(b, a)
        values, _ = signal.lfilter(b, a, values, zi=start)
    return values


def pitch_contour(
    syllables: list[Syllable], voice: Voice, rng: Generator, count: int
) -> NDArray[np.float64]:
    """MIDI pitch of each frame [count]: glides, scoops into phrases, vibrato, jitter."""
    target = np.full(count, float(syllables[0].pitch))
    depth = np.zeros(count)
    rate = SAMPLE_RATE / HOP
    for syllable in syllables:
        first = max(0, int((syllable.start_s - 0.04) * rate))
        last = int((syllable.start_s + syllable.duration_s) * rate)
        target[first:] = syllable.pitch
        if syllable.begins_phrase:
            target[first : first + int(0.06 * rate)] -= rng.uniform(0.5, 2.0)
        if syllable.duration_s > 0.35:
            vibrato_from = first + int(rng.uniform(0.15, 0.3) * rate)
            depth[vibrato_from:last] = voice.vibrato_cents / 100 * rng.uniform(0.7, 1.2)
    time = np.arange(count) / rate
    wander = smooth(rng.standard_normal(count), 0.15)
    jitter = smooth(rng.standard_normal(count), 0.01)
    swing = np.sin(2 * np.pi * voice.vibrato_hz * time + 2.0 * smooth(wander, 0.3))
    contour = smooth(target, voice.glide_s) + smooth(depth, 0.06) * swing
    return contour + 0.5 * wander + 0.12 * jitter


def envelopes(
    syllables: list[Syllable], voice: Voice, rng: Generator, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per frame: loudness of the voiced sound [count], formants [count, 3] in Hz, and the gain
    of each unvoiced consonant [count, len(UNVOICED)]."""
    rate = SAMPLE_RATE / HOP
    loud = np.zeros(count)
    formants = np.tile(np.array(VOWELS["a"]), (count, 1))
    noise = np.zeros((count, len(UNVOICED)))
    names = [*UNVOICED]
    for syllable in syllables:
        onset = int(syllable.start_s * rate)
        end = min(count, onset + max(2, int(syllable.duration_s * rate)))
        loud[onset:end] = syllable.loudness * np.linspace(1, rng.uniform(0.6, 0.95), end - onset)
        formants[onset:] = VOWELS[syllable.vowel]
        if syllable.consonant in VOICED:
            *colour, gain = VOICED[syllable.consonant]
            until = min(end, onset + int(rng.uniform(0.05, 0.09) * rate))
            formants[onset:until] = colour
            loud[onset:until] *= gain
        elif syllable.consonant:
            _, _, length_s, gain = UNVOICED[syllable.consonant]
            frames = max(3, int(length_s * rng.uniform(0.8, 1.3) * rate))
            first = max(0, onset - frames)
            burst = np.hanning(frames + 2)[1:-1]
            if syllable.consonant in ("t", "k"):
                burst = np.exp(-np.arange(frames) / 2.0)
            part = burst[: max(0, min(count, onset) - first)]
            noise[first : first + len(part), names.index(syllable.consonant)] += (
                voice.consonants * gain * syllable.loudness * part
            )
            loud[first:onset] *= 0.15  # the vocal folds stop for an unvoiced sound
        if syllable.begins_phrase:  # breathe in
            first, last = max(0, onset - int(0.35 * rate)), max(0, onset - int(0.12 * rate))
            noise[first:last, names.index("h")] += 0.12 * np.hanning(last - first)
    formants = np.stack([smooth(formants[:, i], 0.02) for i in range(3)], axis=1)
    return smooth(loud, 0.008), formants * voice.formant_scale, noise


def formant_gains(formants: NDArray[np.float64], scale: float) -> Frames:
    """Gain of the vocal tract [count, bins]: a cascade of resonances with unit gain at 0 Hz."""
    bins = fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE).astype(np.float32)
    bandwidths = (80.0, 100.0, 140.0)
    gains = np.ones((len(formants), len(bins)), np.float32)
    for centres, bandwidth in zip(formants.T.astype(np.float32), bandwidths, strict=True):
        ratio = (bins / centres[:, None]) ** 2
        gains *= (1 - ratio) ** 2 + ratio * (bandwidth / centres[:, None]) ** 2
    for centre, bandwidth in ((3400.0, 200.0), (4400.0, 250.0), (6200.0, 1500.0)):
        ratio = (bins / np.float32(centre * scale)) ** 2
        gains *= (1 - ratio) ** 2 + ratio * np.float32(bandwidth / centre) ** 2
    # The floor stands for the higher resonances, which keep a voice bright above 6 kHz.
    tract = 1 / np.sqrt(gains) + np.float32(0.01)
    return tract / np.sqrt(np.mean(tract[:, : N_FFT // 8] ** 2, axis=1, keepdims=True))


def consonant_shapes() -> Frames:
    """Spectrum of each unvoiced consonant [len(UNVOICED), bins]."""
    bins = fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    shapes = [
        np.exp(-(((bins - centre) / width) ** 2)) for centre, width, _, _ in UNVOICED.values()
    ]
    return np.array(shapes, np.float32)


def sing(syllables: list[Syllable], voice: Voice, rng: Generator, frames: int) -> Frames:
    """Sing syllables (sorted by time, none overlapping): mono [frames], dry, RMS near 0.1."""
    if not syllables:
        return np.zeros(frames, np.float32)
    count = frames // HOP + 1
    pitch = pitch_contour(syllables, voice, rng, count)
    loud, formants, consonants = envelopes(syllables, voice, rng, count)

    at = np.arange(frames) / HOP
    f0 = 440.0 * 2.0 ** ((np.interp(at, np.arange(count), pitch) - 69.0) / 12.0)
    phase = np.cumsum(f0) / SAMPLE_RATE
    harmonics = min(100, int(0.45 * SAMPLE_RATE / f0.max()))
    period = table(np.arange(1, harmonics + 1, dtype=np.float32) ** -voice.tilt)
    source = oscillate(period, *positions(phase))
    source /= np.sqrt(np.mean(source**2))
    # Breath comes in puffs, while the folds are open.
    puffs = (0.6 + 0.4 * np.cos(2 * np.pi * phase)).astype(np.float32)
    breath = rng.standard_normal(frames, np.float32) * puffs
    level = np.interp(at, np.arange(count), loud).astype(np.float32)

    voiced = (source + np.float32(voice.breath) * breath) * level
    hiss = rng.standard_normal(frames, np.float32)
    return np.float32(0.3) * shape(voiced, hiss, formants, consonants, voice.formant_scale)


def shape(
    voiced: Frames,
    hiss: Frames,
    formants: NDArray[np.float64],
    consonants: NDArray[np.float64],
    scale: float,
) -> Frames:
    """Filter voiced sound by formants and hiss by consonants, frame by frame: [frames].

    Analysis and synthesis are an STFT with square-root Hann windows a quarter of their length
    apart, in blocks that stay in the processor's cache.
    """
    window = np.sqrt(signal.get_window("hann", N_FFT)).astype(np.float32)
    windows = [
        np.lib.stride_tricks.sliding_window_view(np.pad(samples, N_FFT // 2), N_FFT)[::HOP]
        for samples in (voiced, hiss)
    ]
    count, shapes = len(windows[0]), consonant_shapes()
    out = np.zeros((count + N_FFT // HOP, HOP), np.float32)
    for first in range(0, count, BLOCK):
        block = slice(first, min(first + BLOCK, count))
        sung, noise = (fft.rfft(view[block] * window, axis=1) for view in windows)
        sung *= formant_gains(formants[block], scale)
        noise *= consonants[block].astype(np.float32) @ shapes
        pieces = fft.irfft(sung + noise, N_FFT, axis=1) * window
        for part in range(N_FFT // HOP):
            out[first + part : block.stop + part] += pieces[:, part * HOP : (part + 1) * HOP]
    # Squared Hann windows at a quarter of their length sum to 2.
    return out.reshape(-1)[N_FFT // 2 : N_FFT // 2 + len(voiced)] * np.float32(0.5)
