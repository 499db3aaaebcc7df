"""Silence is stripped as librosa does, only faster."""

from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.sound.silence import strip_silence
from stemlode import audio


def tone(frames: int) -> np.ndarray:
    return np.cos(np.arange(frames) * 0.3).astype(np.float32)


@given(
    before=st.integers(0, 20_000),
    sound=st.integers(2048, 20_000),
    after=st.integers(0, 20_000),
    level=st.floats(-20, 20),
    trim_db=st.sampled_from([20.0, 40.0, 60.0]),
)
@settings(max_examples=40, deadline=None)
def test_equals_librosa(before: int, sound: int, after: int, level: float, trim_db: float) -> None:
    samples = np.concatenate([np.zeros(before), tone(sound), np.zeros(after)])
    samples = (samples * 10 ** (level / 20)).astype(np.float32)
    expected = librosa.effects.trim(samples, top_db=trim_db)[1]
    found = strip_silence(samples, trim_db)
    assert abs(found[0] - expected[0]) <= 512 and abs(found[1] - expected[1]) <= 512


def test_equals_librosa_on_real_music(test_data: Path) -> None:
    for name in ("mallory/vocals.mp3", "so_easy/mixture.mp3", "song2_rap_92bpm/vocals.flac"):
        path = test_data / "audio/multitrack" / name
        samples = audio.read(str(path), sample_rate=8192, mono=True).samples[0]
        for trim_db in (20, 40, 60):
            expected = librosa.effects.trim(samples, top_db=trim_db)[1]
            assert strip_silence(samples, trim_db) == tuple(expected)


@pytest.mark.parametrize("frames", [0, 1, 511, 512, 2048, 5000])
def test_digital_silence_has_neither_begin_nor_end(frames: int) -> None:
    assert strip_silence(np.zeros(frames, np.float32)) == (0, 0)


def test_all_that_sounds_stays() -> None:
    for frames in (1, 100, 512, 4096, 5001):
        assert strip_silence(tone(frames) + 0.5) == (0, frames)


def test_what_is_60_db_down_is_silence_and_what_is_50_db_down_is_not() -> None:
    for level, expected in ((-62, False), (-50, True)):
        samples = np.concatenate([tone(20_480) * 10 ** (level / 20), tone(20_480)])
        start, end = strip_silence(samples.astype(np.float32))
        assert (start == 0) is expected
        assert end == len(samples)


def test_level_does_not_matter() -> None:
    samples = np.concatenate([np.zeros(9000), tone(9000), np.zeros(9000)]).astype(np.float32)
    assert len({strip_silence(samples * np.float32(gain)) for gain in (1e-3, 1, 100)}) == 1


def test_frames_must_be_whole_hops() -> None:
    with pytest.raises(ValueError, match="frame_length"):
        strip_silence(tone(5000), frame_length=2048, hop_length=500)
