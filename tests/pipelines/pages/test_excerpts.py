"""Excerpts of instrumentals lie where a mended pair's mixture has them."""

from pathlib import Path

import numpy as np
import pytest

from matching.sound.repairs import varispeed
from pipelines.pages import excerpts, media
from stemlode import audio
from stemlode.audio import AudioError

RATE = 16_000


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    """Half a minute below 4 kHz."""
    noise = np.fft.rfft(np.random.default_rng(3).standard_normal(30 * RATE))
    noise[len(noise) // 2 :] = 0
    return (np.fft.irfft(noise) * 0.1).astype(np.float32)


def _left_db(music: np.ndarray, other: np.ndarray, begin_s: float, end_s: float) -> float:
    at = slice(round(begin_s * RATE), round(end_s * RATE))
    rest = music[at] - other[at]
    return float(10 * np.log10(np.mean(rest**2) / np.mean(music[at] ** 2) + 1e-12))


def test_another_speed_is_undone(tmp_path: Path, music: np.ndarray) -> None:
    path, slope = str(tmp_path / "faster.wav"), 1 / 1.01
    places = np.arange(29 * RATE) / slope + 100.0
    faster = varispeed.interpolated(np.pad(music, 200)[None], places + 200)
    audio.write(path, faster, RATE, "FLOAT")
    late_s = -100 * slope / RATE
    clock = [[0.0, 29.0, late_s, late_s + 29.0 * slope]]
    found = excerpts.on_clock(path, excerpts.parts(clock), 12.3, 12.0, RATE, mono=True)[0]
    start = round(12.3 * RATE)
    assert _left_db(music[start : start + len(found)], found, 0, 12) < -40
    plain = excerpts.excerpt(path, 12.3 + late_s, 12.0, RATE, mono=True)[0]
    assert _left_db(music[start : start + len(plain)], plain, 0, 12) > -3


def test_parts_lie_each_at_its_own_offset_and_players_begin_in_one(
    tmp_path: Path, music: np.ndarray
) -> None:
    path, mixture = str(tmp_path / "cut.wav"), str(tmp_path / "mix.wav")
    cut = np.concatenate([music[: 8 * RATE], music[12 * RATE :]])
    audio.write(path, cut[None], RATE, "FLOAT")
    audio.write(mixture, music[None], RATE, "FLOAT")
    clock = excerpts.parts([[0.0, 8.0, 0.0, 8.0], [12.0, 30.0, 8.0, 26.0]])
    found = excerpts.on_clock(path, clock, 2.0, 20.0, RATE, mono=True)[0]
    heard = music[2 * RATE : 22 * RATE]
    assert _left_db(heard, found, 0, 6) < -60 and _left_db(heard, found, 10, 20) < -60
    assert not found[6 * RATE : 10 * RATE].any()
    facts = {"offset_s": 0.0, "gain_db": 0.0, "polarity": 1, "duration_s": 30.0}
    clips = media.triple(mixture, path, **facts, clock=clock)  # type: ignore[arg-type]
    assert clips[0].start_s == pytest.approx(15.0)


@pytest.mark.parametrize("clock", [None, [], [[0.0, 1.0]], [[0.0, np.nan, 0, 1]], [[0, 1, 5, 4]]])
def test_no_clock_and_a_damaged_one_are_none(clock: list[list[float]] | None) -> None:
    assert excerpts.parts(clock) == ()


def test_nothing_there_is_an_audio_error(tmp_path: Path, music: np.ndarray) -> None:
    path = str(tmp_path / "short.wav")
    audio.write(path, music[None, :RATE], RATE, "FLOAT")
    with pytest.raises(AudioError, match="past the end"):
        excerpts.on_clock(path, excerpts.parts([[0.0, 30.0, 0.0, 30.0]]), 5.0, 2.0, RATE)
