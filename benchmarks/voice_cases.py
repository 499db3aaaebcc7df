"""Pairs whose voice is known, with all that a release may do to channels and sound; for
`voices.py`.

A case is made of an accompaniment and a voice, both real. What is done is done to the instrumental
(`instrumental`) or to the mixture (`mixture`), and in the latter case to the voice in it as well:
then the true voice is what that leaves of it, at the gain over time that a limiter or a compressor
gives the mixture. What noise and clipping add is no voice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.signal
import soxr

from benchmarks import sound_cases
from stemlode import audio

RATE = 44_100
SIDES = ("instrumental", "mixture")
Change = Callable[[np.ndarray], np.ndarray]  # of float32 [2, frames]


@dataclass(frozen=True)
class Passage:
    """Accompaniment and voice, float32 [2, frames] at RATE."""

    song: str
    accompaniment: np.ndarray
    vocals: np.ndarray


@dataclass(frozen=True)
class Case:
    """A pair, and the voice in its mixture."""

    change: str
    side: str
    song: str
    mixture: np.ndarray
    instrumental: np.ndarray
    voice: np.ndarray


def passage(data: Path, name: str, seconds: float, voice_db: float = 0.0) -> Passage:
    """The part of a song in which its voice is loudest."""
    song = sound_cases.song(data, name)
    parts = (
        audio.resample(np.ascontiguousarray(part), song.rate, RATE)
        for part in (song.accompaniment, song.vocals)
    )
    accompaniment, vocals = (np.repeat(part, 3 - len(part), axis=0) for part in parts)
    frames = min(accompaniment.shape[1], vocals.shape[1])
    length = min(frames, round(seconds * RATE))
    power = np.concatenate([[0], np.cumsum((vocals[:, :frames] ** 2).sum(axis=0, dtype=float))])
    starts = np.arange(0, frames - length + 1, RATE // 10)
    start = int(starts[np.argmax(power[starts + length] - power[starts])])
    part = slice(start, start + length)
    voice = vocals[:, part] * np.float32(10 ** (voice_db / 20))
    level = np.float32(0.7 / np.abs(accompaniment[:, part] + voice).max())
    return Passage(name, accompaniment[:, part] * level, voice * level)


def case(given: Passage, change: str, side: str) -> Case:
    """One of CHANGES to one side of a pair."""
    a, v, done = given.accompaniment, given.vocals, CHANGES[change]
    mixture, instrumental = (a + v, done(a)) if side == "instrumental" else (done(a + v), a)
    voice = v
    if side == "mixture" and change in LEVELLED:
        gain = (mixture * (a + v)).sum(axis=0) / np.maximum(((a + v) ** 2).sum(axis=0), 1e-12)
        voice = v * gain
    elif side == "mixture" and change not in ADDED:
        voice = done(v)
    return Case(change, side, given.song, mixture, instrumental, voice)


def cases(given: Passage, changes: tuple[str, ...] = ()) -> Iterator[Case]:
    """All CHANGES, or some, to either side."""
    for change in changes or CHANGES:
        for side in SIDES[:1] if change == "nothing" else SIDES:
            yield case(given, change, side)


def _gains(left: float, right: float) -> Change:
    return lambda x: x * np.array([[left], [right]], np.float32)


def _turned(*rows: tuple[float, float]) -> Change:
    return lambda x: np.array(rows, np.float32) @ x


def _width(of_side: float) -> Change:
    near, far = (1 + of_side) / 2, (1 - of_side) / 2
    return _turned((near, far), (far, near))


def _of_db(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def _late(frames: int) -> Change:
    """The right channel alone."""

    def change(x: np.ndarray) -> np.ndarray:
        return np.stack([x[0], np.concatenate([np.zeros(frames, np.float32), x[1, :-frames]])])

    return change


def _shelf(hz: float, gain: float) -> Change:
    b, a = scipy.signal.butter(1, hz, "high", fs=RATE)
    return lambda x: (x + gain * scipy.signal.lfilter(b, a, x)).astype(np.float32)


def _allpass(x: np.ndarray) -> np.ndarray:
    c = (np.tan(np.pi * 800 / RATE) - 1) / (np.tan(np.pi * 800 / RATE) + 1)
    return scipy.signal.lfilter([c, 1], [1, c], x).astype(np.float32)


def _clipped(over: float) -> Change:
    def change(x: np.ndarray) -> np.ndarray:
        peak = np.abs(x).max()
        return (np.clip(x * over, -peak, peak) / over).astype(np.float32)

    return change


def _softly_clipped(x: np.ndarray) -> np.ndarray:
    """So that the loudest loses 2.4 dB."""
    peak = np.abs(x).max()
    return (np.tanh(x / peak) * peak).astype(np.float32)


def _limited(over_db: float) -> Change:
    """Looking 5 ms ahead, so that no peak passes the loudest of the signal `over_db` lower."""

    def change(x: np.ndarray) -> np.ndarray:
        most = np.abs(x).max() / _of_db(over_db)
        need = np.minimum(1, most / np.maximum(np.abs(x).max(axis=0), 1e-9))
        width = 2 * round(0.005 * RATE) + 1
        least = scipy.ndimage.minimum_filter1d(need, width)
        return (x * scipy.ndimage.uniform_filter1d(least, width)).astype(np.float32)

    return change


def _compressed(exponent: float, seconds: float) -> Change:
    def change(x: np.ndarray) -> np.ndarray:
        keep = np.exp(-1 / (seconds * RATE))
        power = scipy.signal.lfilter([1 - keep], [1, -keep], (x**2).mean(axis=0))
        gain = (power + 1e-6) ** (-exponent / 2)
        return (x * (gain / np.median(gain))).astype(np.float32)

    return change


def _faster(ppm: float) -> Change:
    def change(x: np.ndarray) -> np.ndarray:
        y = soxr.resample(x.T, RATE * (1 + ppm * 1e-6), RATE, "VHQ").T.astype(np.float32)
        return np.pad(y, ((0, 0), (0, max(0, x.shape[1] - y.shape[1]))))[:, : x.shape[1]]

    return change


def _noisy(level_db: float) -> Change:
    def change(x: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
        return x + noise * np.float32(x.std() * _of_db(level_db))

    return change


def _panned(depth: float) -> Change:
    def change(x: np.ndarray) -> np.ndarray:
        swing = depth * np.sin(2 * np.pi * 0.3 * np.arange(x.shape[1]) / RATE)
        return (x * np.stack([1 + swing, 1 - swing])).astype(np.float32)

    return change


def _faded(level_db: float) -> Change:
    return lambda x: x * np.linspace(1, _of_db(level_db), x.shape[1], dtype=np.float32)


def _echoing(level_db: float) -> Change:
    frames = round(0.3 * RATE)
    tail = np.random.default_rng(1).standard_normal((2, frames))
    tail *= np.exp(-6 * np.arange(frames) / frames)
    tail *= _of_db(level_db) / np.sqrt((tail**2).sum(axis=1, keepdims=True))

    def change(x: np.ndarray) -> np.ndarray:
        wet = scipy.signal.oaconvolve(x, tail, axes=1)[:, : x.shape[1]]
        return (x + wet).astype(np.float32)

    return change


# What can be mended: channels in other places and at other gains.
MENDED: dict[str, Change] = {
    "nothing": lambda x: x,
    "swapped": lambda x: x[::-1],
    "left inverted": _gains(-1, 1),
    "right inverted": _gains(1, -1),
    "both inverted": _gains(-1, -1),
    "mono": _width(0),
    "mono, right inverted": _turned((0.5, 0.5), (-0.5, -0.5)),
    "left alone": _gains(1, 0),
    "right alone": _gains(0, 1),
    "left on both": _turned((1, 0), (1, 0)),
    "narrowed to 0.9": _width(0.9),
    "narrowed to 0.5": _width(0.5),
    "narrowed to 0.1": _width(0.1),
    "widened to 1.5": _width(1.5),
    "left 4 dB down": _gains(_of_db(-4), 1),
    "right 1 dB down": _gains(1, _of_db(-1)),
    "right 12 dB down": _gains(1, _of_db(-12)),
    "swapped, left 4 dB down": _turned((0, _of_db(-4)), (1, 0)),
    "swapped, right inverted": _turned((0, 1), (-1, 0)),
    "balance moved": _gains(1.2, 0.7),
    "turned by 20°": _turned((0.94, -0.342), (0.342, 0.94)),
}
# What cannot: only where so little of it is left that the voice is heard as it was, it is written.
SPOILT: dict[str, Change] = {
    "right 1 frame late": _late(1),
    "right 3 frames late": _late(3),
    "right 20 frames late": _late(20),
    "right 400 frames late": _late(400),
    "above 3 kHz +1 dB": _shelf(3000, 0.1),
    "above 3 kHz +4 dB": _shelf(3000, 0.5),
    "above 200 Hz +2 dB": _shelf(200, 0.2),
    "an all-pass at 800 Hz": _allpass,
    "clipped by 4 dB": _clipped(1.5),
    "clipped by 10 dB": _clipped(3),
    "softly clipped": _softly_clipped,
    "limited by 3 dB": _limited(3),
    "limited by 6 dB": _limited(6),
    "compressed 1.05:1": _compressed(0.05, 0.1),
    "compressed 1.2:1": _compressed(0.2, 0.1),
    "compressed 1.2:1, slowly": _compressed(0.2, 2.0),
    "1 ppm faster": _faster(1),
    "4 ppm faster": _faster(4),
    "noise at -50 dB": _noisy(-50),
    "noise at -35 dB": _noisy(-35),
    "noise at -25 dB": _noisy(-25),
    "panned to and fro by 5 %": _panned(0.05),
    "panned to and fro by 30 %": _panned(0.3),
    "faded by 0.2 dB": _faded(-0.2),
    "faded by 1 dB": _faded(-1),
    "reverberation at -30 dB": _echoing(-30),
    "reverberation at -20 dB": _echoing(-20),
}
CHANGES = MENDED | SPOILT
LEVELLED = tuple(name for name in SPOILT if name.startswith(("limited", "compressed")))
ADDED = tuple(name for name in SPOILT if name.startswith(("clipped", "softly", "noise")))
