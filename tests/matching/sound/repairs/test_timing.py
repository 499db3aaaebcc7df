"""Delays of windows: to a microsecond or so, wherever what tells them is loud."""

import numpy as np
import pytest

from matching.sound.repairs import timing, track, varispeed
from matching.sound.repairs.clock import Part
from matching.sound.repairs.timing import Heard

RATE = 8192


@pytest.fixture(scope="module")
def backing() -> np.ndarray:
    """Half a minute of beats and of noise that swells: what tells a delay is loud now and then."""
    random = np.random.default_rng(1)
    samples = random.standard_normal(32 * RATE).astype(np.float32)
    beats = np.exp(-((np.arange(len(samples)) / RATE * 2.1) % 1) * 6)
    return (samples * (0.05 + beats)).astype(np.float32)


def _read(signal: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    padded = np.pad(signal, 100)[None]
    return varispeed.interpolated(padded, seconds * RATE + 100)[0]


def _under_a_voice(backing: np.ndarray) -> np.ndarray:
    times = np.arange(len(backing)) / RATE
    voice = np.sin(2 * np.pi * 220 * times + 3 * np.sin(2 * np.pi * 5 * times))
    return (backing + 0.3 * voice * (np.sin(times) > 0)).astype(np.float32)


@pytest.mark.parametrize("ppm", [5, -300, 10_000])
def test_a_speed_is_found_to_a_twentieth_of_a_millionth(backing: np.ndarray, ppm: float) -> None:
    times = np.arange(30 * RATE) / RATE
    slope = 1 / (1 + ppm * 1e-6)
    heard = Heard(_under_a_voice(_read(backing, times * slope)), backing, RATE)
    part = Part((0.0, 30.0), (0.0003, 0.0003 + 30.0 * slope * (1 + 4e-6)))
    for _ in range(2):
        at_0, growth, spread = timing.line(timing.delays(heard, part))
        part = timing.straight(part, at_0, growth)
    assert spread < 3e-6
    assert part.drift_ppm == pytest.approx(ppm, abs=0.05)
    assert part.others[0] == pytest.approx(0.0, abs=2e-6)


def _wow(times: np.ndarray, depth: float, period: float) -> np.ndarray:
    return times + depth * period / (2 * np.pi) * (1 - np.cos(2 * np.pi * times / period))


@pytest.mark.parametrize(("depth", "period"), [(5e-5, 20.0), (1e-3, 20.0), (1e-3, 10.0)])
def test_a_slow_wow_is_followed_and_foretells_what_was_held_out(
    backing: np.ndarray, depth: float, period: float
) -> None:
    times = np.arange(29 * RATE) / RATE
    heard = Heard(_under_a_voice(_read(backing, _wow(times, depth, period))), backing, RATE)
    seed = Part((14.0, 15.0), tuple(map(float, _wow(np.array([14.0, 15.0]), depth, period))))
    followed = track.follow(heard, seed)
    assert followed is not None and followed.end_s - followed.begin_s > 26
    part, miss = timing.followed(heard, heard.shared(followed.between(*heard.extent_s)))
    assert miss < 5e-5
    inner = np.linspace(1, 28, 200)
    assert np.abs(part.at(inner) - _wow(inner, depth, period)).max() < 2e-5


def test_recordings_with_nothing_in_common_are_not_followed(backing: np.ndarray) -> None:
    other = np.random.default_rng(2).standard_normal(len(backing)).astype(np.float32)
    heard = Heard(other, backing, RATE)
    assert track.follow(heard, Part((14.0, 15.0), (14.0, 15.0))) is None
