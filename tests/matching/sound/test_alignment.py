"""Offsets, polarity and confidence on real multitracks, cut and shifted as real releases are."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from matching.sound import coarse, probes
from matching.sound.alignment import align
from stemlode import audio

RATE = 44_100
LOW = 8192
SONGS = ("so_easy", "mallory", "song2_rap_92bpm")
SHIFTS_S = (-20.0, -3.7, -0.1523, -0.0005, 0.0, 0.0005, 0.011, 1.0, 7.77, 20.0)


@cache
def song(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mixture and accompaniment, mono at 44.1 kHz; the accompaniment summed where there is none."""
    mixture = audio.read(str(next(folder.glob("mixture.*"))), mono=True).samples[0]
    vocals = audio.read(str(next(folder.glob("vocals.*"))), mono=True).samples[0]
    given = next(folder.glob("accompaniment.*"), None)
    if given is not None:
        return mixture, audio.read(str(given), mono=True).samples[0]
    return mixture, mixture - vocals


def low(samples: np.ndarray) -> np.ndarray:
    return audio.resample(samples, RATE, LOW)


def foreign(seconds: float) -> np.ndarray:
    """An intro that the other release lacks: something, but not the song."""
    return np.random.default_rng(7).normal(0, 0.05, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("name", SONGS)
@pytest.mark.parametrize("shift_s", SHIFTS_S)
def test_a_shift_is_found_to_a_millisecond(test_data: Path, name: str, shift_s: float) -> None:
    mixture, accompaniment = song(test_data / "audio/multitrack" / name)
    frames = round(abs(shift_s) * RATE)
    intro = foreign(abs(shift_s)) if frames else mixture[:0]
    later = np.concatenate([intro, accompaniment if shift_s > 0 else mixture])
    x, y = (mixture, later) if shift_s > 0 else (later, accompaniment)
    found = align(low(x), low(y), LOW)
    assert found.offset_s == pytest.approx(np.sign(shift_s) * frames / RATE, abs=1e-4)
    assert found.polarity == 1
    assert found.confidence > 0.5


@pytest.mark.parametrize("shift_s", [0.1170, 0.1210, 0.4940, -0.3711])
def test_a_beat_on_a_steady_low_tone_is_not_taken_for_another(
    test_data: Path, shift_s: float
) -> None:
    """Frames that begin elsewhere in the tone's period once gave an offset wrong by a beat."""
    path = str(test_data / "audio/instrumental/Awakening.ogg")
    x = audio.read(path, sample_rate=LOW, mono=True).samples[0][round(7.3 * LOW) :][: 40 * LOW]
    frames = round(abs(shift_s) * LOW)
    later = np.concatenate([np.zeros(frames, np.float32), x])
    found = align(x, later, LOW) if shift_s > 0 else align(later, x, LOW)
    assert found.offset_s == pytest.approx(np.sign(shift_s) * frames / LOW, abs=1e-4)
    assert found.confidence > 0.5


def test_lines_that_pass_for_one_are_within_reach_of_a_probe() -> None:
    assert coarse._APART_S < probes._REACH_S


@pytest.mark.parametrize("name", SONGS)
def test_what_was_cut_off_at_the_start_is_found_too(test_data: Path, name: str) -> None:
    mixture, accompaniment = song(test_data / "audio/multitrack" / name)
    cut = 10 * RATE
    assert align(low(mixture), low(accompaniment[cut:]), LOW).offset_s == pytest.approx(
        -10, abs=1e-3
    )
    assert align(low(mixture[cut:]), low(accompaniment), LOW).offset_s == pytest.approx(
        10, abs=1e-3
    )


@pytest.mark.parametrize("name", SONGS)
@pytest.mark.parametrize("gain_db", [-12.0, 12.0])
def test_level_and_polarity(test_data: Path, name: str, gain_db: float) -> None:
    mixture, accompaniment = song(test_data / "audio/multitrack" / name)
    gain = np.float32(10 ** (gain_db / 20))
    x, y = low(mixture), low(np.concatenate([np.zeros(6706, np.float32), accompaniment]))
    upright, inverted = align(x, y * gain, LOW), align(x, -y * gain, LOW)
    assert (upright.polarity, inverted.polarity) == (1, -1)
    for found in (upright, inverted):
        assert found.offset_s == pytest.approx(6706 / RATE, abs=1e-4)
        assert found.confidence > 0.5


def test_the_two_may_change_places(test_data: Path) -> None:
    mixture, accompaniment = map(low, song(test_data / "audio/multitrack/mallory"))
    there = align(mixture, accompaniment[5000:], LOW)
    back = align(accompaniment[5000:], mixture, LOW)
    assert there.offset_s == pytest.approx(-back.offset_s, abs=1e-5)
    assert there.confidence == pytest.approx(back.confidence, abs=0.1)  # not all else is tried


def test_unrelated_songs_are_never_sure(test_data: Path) -> None:
    songs = [song(test_data / "audio/multitrack" / name) for name in SONGS]
    for i, (mixture, _) in enumerate(songs):
        for k, (_, accompaniment) in enumerate(songs):
            if i != k:
                assert align(low(mixture), low(accompaniment), LOW).confidence < 0.25


def test_beyond_the_limit_nothing_is_claimed(test_data: Path) -> None:
    mixture, accompaniment = map(low, song(test_data / "audio/multitrack/so_easy"))
    found = align(mixture, np.concatenate([np.zeros(5 * LOW, np.float32), accompaniment]), LOW, 2.0)
    assert abs(found.offset_s) <= 2.0001
    assert found.confidence < 0.3


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 100), (1, 1), (5, 8000), (100, 100)])
def test_short_and_silent_signals_have_an_answer(x: int, y: int) -> None:
    for signal in (np.zeros, np.ones):
        found = align(signal(x, np.float32), signal(y, np.float32), LOW)
        assert found.polarity in (1, -1)
        assert 0 <= found.confidence <= 1
        assert abs(found.offset_s) <= max(x, y) / LOW
