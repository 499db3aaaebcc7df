"""Songs for the demo, synthesised from a seed: drums, bass, chords and a sung line.

They are made for one purpose: separating the voice must be a real task. Voice and chords share
their frequency range and harmonics, the voice has vibrato, glides, consonants, breath and a room,
and tempo, key, harmony, drum pattern, timbres and singer differ from song to song.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pipelines.demo.instruments import (
    BASS_TIMBRES,
    CHORD_TIMBRES,
    LEAD_TIMBRES,
    SAMPLE_RATE,
    Frames,
    Note,
    drums,
    pan,
    play,
    reverberate,
    widen,
)
from pipelines.demo.voice import Syllable, Voice, random_syllable_sounds, random_voice, sing

STEMS = ("drums", "bass", "chords", "vocals")

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
PROGRESSIONS = (
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (0, 5, 3, 4),
    (0, 3, 4, 3),
    (0, 2, 3, 4),
    (1, 4, 0, 5),
    (0, 6, 5, 6),
    (0, 3, 0, 4),
    (3, 4, 2, 5),
    (0, 0, 3, 4),
)


@dataclass(frozen=True)
class Composition:
    """What is written on the sheet: everything but the sound."""

    tempo_bpm: float
    bar_starts_s: list[float]  # one more than bars: the last is the end
    full: list[bool]  # per bar: whole kit and all instruments?
    chords: list[tuple[int, int, int]]  # per bar: pitch classes, the root first
    syllables: list[Syllable]
    voice: Voice

    @property
    def bar_s(self) -> float:
        return 240.0 / self.tempo_bpm


def write_song(seed: int, duration_s: float) -> Composition:
    """Compose a song of exactly `duration_s` (its last bar is cut)."""
    rng = np.random.default_rng([seed, 1])
    tempo_bpm = float(np.round(rng.uniform(78, 142), 1))
    bar_s = 240.0 / tempo_bpm
    bars = max(1, int(np.ceil(duration_s / bar_s)))
    starts = [bar * bar_s for bar in range(bars)] + [duration_s]
    scale = MAJOR if rng.random() < 0.55 else MINOR
    key = int(rng.integers(12))
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    triads = []
    for bar in range(bars):
        degree = progression[bar % 4]
        first, third, fifth = (key + scale[(degree + step) % 7] for step in (0, 2, 4))
        triads.append((first % 12, third % 12, fifth % 12))
    quiet_bars = 1 if bars > 4 else 0
    full = [bar >= quiet_bars + int(rng.integers(0, 2)) for bar in range(bars)]
    high = bool(rng.random() < 0.5)
    syllables = write_melody(rng, starts, bar_s, quiet_bars, key, scale, triads, high)
    return Composition(tempo_bpm, starts, full, triads, syllables, random_voice(rng, high))


RHYTHMS = (  # in eighths; negative is a rest
    (2, 1, 1, 2, 2),
    (1, 1, 1, 1, 2, -2),
    (3, 1, 2, 2),
    (-1, 1, 1, 1, 1, 1, 2),
    (2, 2, 3, -1),
    (1, 2, 1, 2, 1, 1),
    (4, 2, 2),
    (-2, 2, 1, 1, 2),
    (1, 1, 2, 1, 1, 2),
)


def write_melody(
    rng: Generator,
    bar_starts_s: list[float],
    bar_s: float,
    first_bar: int,
    key: int,
    scale: tuple[int, ...],
    triads: list[tuple[int, int, int]],
    high: bool,
) -> list[Syllable]:
    """Phrases of two bars that end in a long note and a rest; now and then one is left out."""
    lowest, highest = (57, 74) if high else (45, 62)
    ladder = [p for p in range(lowest, highest + 1) if (p - key) % 12 in scale]
    step = int(rng.integers(len(ladder) // 3, 2 * len(ladder) // 3))
    motifs = [RHYTHMS[i] for i in rng.choice(len(RHYTHMS), 3, replace=False)]
    eighth_s, end_s = bar_s / 8, bar_starts_s[-1]
    syllables: list[Syllable] = []
    left_out = int(rng.integers(2, 12))  # most songs are shorter
    for phrase, bar in enumerate(range(first_bar, len(triads), 2)):
        if phrase == left_out:
            continue
        last_bar = (2, 1, 2, -3) if rng.random() < 0.5 else (1, 1, 4, -2)
        rhythm = motifs[int(rng.integers(3))] + last_bar
        position, begins, loudness = 0, True, rng.uniform(0.75, 1.0)
        for length in rhythm:
            start_s = bar * bar_s + position * eighth_s
            position += abs(length)
            if length < 0:
                continue
            step = next_step(rng, step, ladder, triads[min(bar + position // 9, len(triads) - 1)])
            sung_s = length * eighth_s * rng.uniform(0.82, 0.97)
            if start_s + min(sung_s, 0.2) > end_s or start_s < 0.05:
                continue
            consonant, vowel = random_syllable_sounds(rng)
            accent = loudness * rng.uniform(0.8, 1.0)
            late = max(0.0, rng.normal(0.008, 0.01))
            syllable = Syllable(
                start_s + late, sung_s - late, ladder[step], consonant, vowel, accent, begins
            )
            syllables.append(syllable)
            begins = False
    return syllables


def next_step(rng: Generator, step: int, ladder: list[int], triad: tuple[int, int, int]) -> int:
    """A small step on the scale's ladder; every other time it settles on the chord."""
    step = int(np.clip(step + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]), 0, len(ladder) - 1))
    if rng.random() < 0.5:
        chordal = [i for i, pitch in enumerate(ladder) if pitch % 12 in triad]
        step = min(chordal, key=lambda i: abs(i - step), default=step)
    return step


def voicing(triad: tuple[int, int, int], around: float) -> list[int]:
    """The triad's pitches nearest to `around`, as a keyboard player's hand would find them."""
    return sorted(int(pc + 12 * np.round((around - pc) / 12)) for pc in triad)


def write_chords(rng: Generator, song: Composition, around: float) -> list[Note]:
    """Held, stabbed, strummed or broken chords."""
    style = rng.choice(["held", "stabs", "strum", "broken"])
    stabs = sorted(rng.choice(8, size=int(rng.integers(3, 6)), replace=False))
    order = rng.permutation([0, 1, 2, 1])
    notes = []
    eighth_s = song.bar_s / 8
    for bar, triad in enumerate(song.chords):
        start_s, pitches = song.bar_starts_s[bar], voicing(triad, around)
        if style == "held":
            notes += [Note(start_s, song.bar_s * 0.98, p, 0.8) for p in pitches]
        elif style == "broken":
            for i in range(8):
                pitch = pitches[order[i % 4]] + 12 * (i % 8 == 4)
                notes.append(Note(start_s + i * eighth_s, eighth_s * 1.5, pitch, 0.9))
        else:
            for hit in stabs:
                spread_s = 0.012 if style == "strum" else 0.0
                for i, pitch in enumerate(pitches):
                    at_s = start_s + hit * eighth_s + i * spread_s + abs(rng.normal(0, 0.003))
                    notes.append(Note(at_s, eighth_s * 1.1, pitch, rng.uniform(0.6, 0.9)))
    return notes


def write_bass(rng: Generator, song: Composition) -> list[Note]:
    """Roots, fifths and octaves on a rhythm of the song's own."""
    rhythm = sorted({0, *rng.choice(8, size=int(rng.integers(1, 6)), replace=False)})
    notes = []
    eighth_s = song.bar_s / 8
    for bar, triad in enumerate(song.chords):
        root = 28 + (triad[0] - 28) % 12
        for at, until in zip(rhythm, [*rhythm[1:], 8], strict=True):
            pitch = root if at == 0 else root + int(rng.choice([0, 0, 7, 12]))
            length_s = (until - at) * eighth_s * rng.uniform(0.7, 0.95)
            notes.append(Note(song.bar_starts_s[bar] + at * eighth_s, length_s, pitch, 0.9))
    return notes


def write_lead(rng: Generator, song: Composition) -> list[Note]:
    """An instrument's answers where the singer rests, in the singer's own range."""
    sung = [(s.start_s - 0.1, s.start_s + s.duration_s + 0.1) for s in song.syllables]
    eighth_s = song.bar_s / 8
    notes = []
    for bar, triad in enumerate(song.chords):
        pitches = voicing(triad, 67)
        for i in range(8):
            start_s = song.bar_starts_s[bar] + i * eighth_s
            busy = any(a < start_s + eighth_s and start_s < b for a, b in sung)
            if not busy and rng.random() < 0.7:
                pitch = pitches[rng.integers(3)] + 12 * int(rng.integers(0, 2))
                notes.append(Note(start_s, eighth_s * 0.95, pitch, 0.7))
    return notes


def render_song(seed: int, duration_s: float, sample_rate: int = SAMPLE_RATE) -> dict[str, Frames]:
    """Render one song: float32 [2, frames] for each of `STEMS`, the same bytes for a seed.

    All samples are multiples of 2⁻¹⁵, so that the stems' sum is exact in float32 and in 16-bit
    files alike, and neither a stem nor their sum reaches full scale. Vocals lie within about
    ±3 dB of the accompaniment. ValueError for a rate other than 44.1 kHz or a song without a frame.
    """
    if sample_rate != SAMPLE_RATE:
        raise ValueError(f"songs are rendered at {SAMPLE_RATE} Hz, not {sample_rate}")
    frames = round(duration_s * SAMPLE_RATE)
    if frames < 1:
        raise ValueError(f"a song of {duration_s} s holds no frame")
    song = write_song(seed, duration_s)
    rng = np.random.default_rng([seed, 2])
    stems = {
        "drums": fit(drums(rng, song.bar_starts_s, song.bar_s, song.full), frames),
        "bass": pan(play(write_bass(rng, song), BASS_TIMBRES[rng.integers(4)], frames), 0.0),
        "chords": render_chords(rng, song, frames),
        "vocals": render_vocals(rng, song, frames),
    }
    return balance(stems, rng)


def render_chords(rng: Generator, song: Composition, frames: int) -> Frames:
    """One or two instruments that play the chords, and in some songs a lead between phrases."""
    out = np.zeros((2, frames), np.float32)
    chosen = rng.choice(len(CHORD_TIMBRES), size=int(rng.integers(1, 3)), replace=False)
    for layer, index in enumerate(chosen):
        mono = play(write_chords(rng, song, rng.uniform(57, 69)), CHORD_TIMBRES[index], frames)
        wide = widen(mono, rng) if rng.random() < 0.6 else pan(mono, rng.uniform(-0.5, 0.5))
        out += wide * np.float32(1.0 if layer == 0 else 0.7)
    if rng.random() < 0.5:
        timbre = LEAD_TIMBRES[rng.integers(len(LEAD_TIMBRES))]
        out += pan(play(write_lead(rng, song), timbre, frames), rng.uniform(-0.4, 0.4))
    wet = rng.uniform(0.1, 0.3)
    return out + np.float32(wet) * reverberate(out.mean(axis=0), rng, rng.uniform(0.6, 1.6), 0.01)


def render_vocals(rng: Generator, song: Composition, frames: int) -> Frames:
    """The singer, in some songs doubled or with a second voice a third above, in a room."""
    dry = sing(song.syllables, song.voice, rng, frames)
    out = pan(dry, 0.0)
    if rng.random() < 0.4:
        up = rng.choice([0.08, 3.0, 4.0])
        second = [
            Syllable(s.start_s + 0.015, s.duration_s, s.pitch + up, "", s.vowel, s.loudness, False)
            for s in song.syllables
        ]
        other = sing(second, song.voice, rng, frames)
        out += np.float32(0.4) * pan(other, rng.choice([-0.6, 0.6]))
        dry = dry + np.float32(0.4) * other
    wet, decay_s = rng.uniform(0.12, 0.35), rng.uniform(0.7, 1.8)
    return out + np.float32(wet) * reverberate(dry, rng, decay_s, rng.uniform(0.01, 0.04))


def fit(samples: Frames, frames: int) -> Frames:
    """Cut or zero-pad the last axis to `frames`."""
    missing = max(0, frames - samples.shape[-1])
    return np.pad(samples[..., :frames], ((0, 0), (0, missing)))


def loudness(samples: Frames) -> float:
    """RMS of the louder parts (blocks of 0.1 s above a tenth of the loudest), so rests do not
    count."""
    block = SAMPLE_RATE // 10
    usable = samples.shape[-1] // block * block
    if usable == 0:
        return float(np.sqrt(np.mean(samples**2)))
    power = np.mean(samples[:, :usable].reshape(2, -1, block) ** 2, axis=(0, 2))
    return float(np.sqrt(np.mean(power[power >= 0.01 * power.max()])))


def balance(stems: dict[str, Frames], rng: Generator) -> dict[str, Frames]:
    """Set the levels of a mix, then one gain for all, so that nothing clips."""
    wanted_db = {
        "drums": rng.uniform(-4, 0),
        "bass": rng.uniform(-9, -4),
        "chords": rng.uniform(-2, 2),
    }
    mixed = {name: stems[name] * relative(stems[name], db) for name, db in wanted_db.items()}
    accompaniment = mixed["drums"] + mixed["bass"] + mixed["chords"]
    vocals_db = rng.uniform(-1.5, 2.5) + 20 * np.log10(max(loudness(accompaniment), 1e-9))
    mixed["vocals"] = stems["vocals"] * relative(stems["vocals"], vocals_db)
    mixture = accompaniment + mixed["vocals"]
    peaks = [np.abs(samples).max() for samples in (mixture, accompaniment, *mixed.values())]
    gain = 10 ** (rng.uniform(-3.0, -0.5) / 20) / max(*peaks, 1e-9)
    step = np.float32(2**-15)
    return {name: np.round(mixed[name] * np.float32(gain) / step) * step for name in STEMS}


def relative(samples: Frames, level_db: float) -> np.float32:
    """The gain that brings `samples` to a loudness of `level_db`."""
    return np.float32(10 ** (level_db / 20) / max(loudness(samples), 1e-9))
