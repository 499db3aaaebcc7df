"""Augmented copies of multitrack songs (thesis, section 6.2): seeded effects on stems. No Beam.

Stems are changed one by one (volume, equalisation, chorus, phaser, flanger, tremolo), then all of
them alike (time stretch, pitch shift, resampling), and the mixture is what they sum to, so that the
sources of a copy still sum exactly. The thesis names the effects and leaves their ranges open;
RANGES are ours, narrow enough that a copy still is music:

    volume      always   −6…6 dB
    equalizer   1 in 2   low shelf 80–250 Hz, peak 300–4000 Hz, high shelf 4–10 kHz, −6…6 dB each
    chorus      1 in 5   0.3–1.5 Hz, delay 6–12 ms, mixed in by 0.2–0.5
    phaser      1 in 5   0.2–1 Hz around 500–2000 Hz, mixed in by 0.2–0.5
    flanger     1 in 8   0.1–0.5 Hz, delay 1–3 ms, feedback 0.3–0.6, mixed in by 0.2–0.5
    tremolo     1 in 8   3–7 Hz, 0.2–0.6 deep
    stretch     always   0.9–1.1 times as fast and, apart from that, −2…2 semitones higher
    resampling  always   0.97–1.03 times as fast, pitch and all

Equalizer, chorus, phaser and stretch are pedalboard's (JUCE, Rubber Band). Its chorus with
a short delay and feedback is a flanger; a tremolo is a product; resampling is soxr's.
"""

import dataclasses
import math
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pedalboard
import soxr

Parameters = dict[str, float]
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "volume": {"gain_db": (-6.0, 6.0)},
    "equalizer": {
        "low_hz": (80.0, 250.0),
        "low_db": (-6.0, 6.0),
        "peak_hz": (300.0, 4000.0),
        "peak_db": (-6.0, 6.0),
        "peak_q": (0.5, 1.5),
        "high_hz": (4000.0, 10_000.0),
        "high_db": (-6.0, 6.0),
    },
    "chorus": {
        "rate_hz": (0.3, 1.5),
        "depth": (0.1, 0.3),
        "delay_ms": (6.0, 12.0),
        "mix": (0.2, 0.5),
    },
    "phaser": {
        "rate_hz": (0.2, 1.0),
        "depth": (0.3, 0.7),
        "centre_hz": (500.0, 2000.0),
        "mix": (0.2, 0.5),
    },
    "flanger": {
        "rate_hz": (0.1, 0.5),
        "depth": (0.05, 0.2),
        "delay_ms": (1.0, 3.0),
        "feedback": (0.3, 0.6),
        "mix": (0.2, 0.5),
    },
    "tremolo": {"rate_hz": (3.0, 7.0), "depth": (0.2, 0.6)},
    "stretch": {"speed": (0.9, 1.1), "semitones": (-2.0, 2.0)},
    "resampling": {"speed": (0.97, 1.03)},
}
CHANCES = {  # of the effects on single stems, in the order in which they are applied
    "volume": 1.0,
    "equalizer": 1 / 2,
    "chorus": 1 / 5,
    "phaser": 1 / 5,
    "flanger": 1 / 8,
    "tremolo": 1 / 8,
}
TRACK = ("stretch", "resampling")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a copy: the effects on each stem, and those on all of them."""

    copy: int
    stems: dict[str, dict[str, Parameters]]  # stem → effect → parameters
    track: dict[str, Parameters]  # effect → parameters

    def of(self, stem: str) -> dict[str, Any]:
        """The effects on one stem, in order."""
        return self.stems[stem] | self.track


def draw(stems: Iterable[str], copy: int, seed: str) -> Augmentation:
    """The augmentation of a song's copy: seed, number and names of stems decide it alone."""
    chosen = {}
    for stem in sorted(stems):
        rng = random.Random(f"{seed} {copy} {stem}")
        rolls = {name: rng.random() for name in CHANCES}
        drawn = {name: _parameters(name, rng) for name in CHANCES}
        chosen[stem] = {name: drawn[name] for name in CHANCES if rolls[name] < CHANCES[name]}
    rng = random.Random(f"{seed} {copy}")
    return Augmentation(copy, chosen, {name: _parameters(name, rng) for name in TRACK})


def apply(samples: np.ndarray, sample_rate: int, effects: dict[str, Parameters]) -> np.ndarray:
    """Effects by name, in their order, on samples [1 or 2 channels, frames]; float32.

    Stretch and resampling change the number of frames.
    """
    found = np.ascontiguousarray(samples, np.float32)
    for name, parameters in effects.items():
        if found.shape[1]:
            found = _EFFECTS[name](found, sample_rate, parameters)
    return found


def _parameters(effect: str, rng: random.Random) -> Parameters:
    return {name: round(rng.uniform(*ends), 4) for name, ends in RANGES[effect].items()}


def _volume(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    return x * np.float32(10 ** (p["gain_db"] / 20))


def _equalizer(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    highest = 0.45 * rate  # a filter lies below the Nyquist frequency
    return _board(
        x,
        rate,
        pedalboard.LowShelfFilter(min(p["low_hz"], highest), p["low_db"]),
        pedalboard.PeakFilter(min(p["peak_hz"], highest), p["peak_db"], p["peak_q"]),
        pedalboard.HighShelfFilter(min(p["high_hz"], highest), p["high_db"]),
    )


def _chorus(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    return _board(
        x,
        rate,
        pedalboard.Chorus(
            p["rate_hz"], p["depth"], p["delay_ms"], p.get("feedback", 0.0), p["mix"]
        ),
    )


def _phaser(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    centre = min(p["centre_hz"], 0.2 * rate)
    return _board(x, rate, pedalboard.Phaser(p["rate_hz"], p["depth"], centre, 0.0, p["mix"]))


def _tremolo(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    phase = 2 * math.pi * p["rate_hz"] / rate * np.arange(x.shape[1])
    return x * (1 - p["depth"] / 2 * (1 - np.cos(phase))).astype(np.float32)


def _stretch(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    """By Rubber Band's finer engine; the faster one is out of tune by 0.6 %."""
    return pedalboard.time_stretch(
        x,
        rate,
        stretch_factor=p["speed"],
        pitch_shift_in_semitones=p["semitones"],
        high_quality=True,
    )


def _resampling(x: np.ndarray, rate: int, p: Parameters) -> np.ndarray:
    return np.ascontiguousarray(soxr.resample(x.T, rate * p["speed"], rate, quality="HQ").T)


def _board(x: np.ndarray, rate: int, *plugins: pedalboard.Plugin) -> np.ndarray:
    return pedalboard.Pedalboard(list(plugins)).process(x, rate, reset=True)


_EFFECTS = {
    "volume": _volume,
    "equalizer": _equalizer,
    "chorus": _chorus,
    "phaser": _phaser,
    "flanger": _chorus,
    "tremolo": _tremolo,
    "stretch": _stretch,
    "resampling": _resampling,
}
