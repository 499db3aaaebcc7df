"""More than two channels: one matrix, the same from every format, that loses no voice."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.audio import AudioError, mixdown
from tests.stemlode.audio.containers.making import RATE, encoded, sound, written

HALF = 0.5**0.5


def test_the_weights_are_those_of_bs_775() -> None:
    left, right = mixdown.matrix(6, ("FL", "FR", "FC", "LFE", "BL", "BR"))
    np.testing.assert_allclose(left, [1, 0, HALF, 0, HALF, 0], atol=1e-7)
    np.testing.assert_allclose(right, [0, 1, HALF, 0, 0, HALF], atol=1e-7)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8])
def test_left_and_right_are_treated_alike_and_the_front_stays(count: int) -> None:
    left, right = mixdown.matrix(count)
    assert sorted(left) == sorted(right)
    assert (left[0], right[1]) == (1, 1) and (left[1], right[0]) == (0, 0)


def test_two_channels_stay_as_they_are_and_one_is_their_mean() -> None:
    samples = sound(0.1)
    assert mixdown.as_heard(samples) is samples
    np.testing.assert_allclose(
        mixdown.with_channels(samples, 1)[0], samples.mean(axis=0), atol=1e-7
    )
    assert np.array_equal(mixdown.with_channels(samples[:1], 2), samples[[0, 0]])


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("WAV", "FL FR FC LFE BL BR"),
        ("FLAC", "FL FR FC LFE SL SR"),
        ("AIFF", "FL FR FC LFE BL BR"),
    ],
)
def test_every_format_is_mixed_down_alike(form: str, names: str, tmp_path: Path) -> None:
    samples = np.concatenate([sound(0.5, 1, seed=seed) for seed in range(6)])
    path = str(tmp_path / "surround")
    (tmp_path / "surround").write_bytes(written(samples, form, "PCM_24"))
    expected = mixdown.as_heard(samples, tuple(names.split()))
    np.testing.assert_allclose(audio.read(path).samples, expected, atol=1e-6)
    mono = audio.read(path, mono=True).samples
    np.testing.assert_allclose(mono[0], expected.mean(axis=0), atol=1e-6)


def test_a_voice_in_the_centre_of_an_m4a_is_on_both_sides(tmp_path: Path) -> None:
    samples = np.zeros((6, RATE), np.float32)
    samples[2] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    path = str(tmp_path / "centre.m4a")
    (tmp_path / "centre.m4a").write_bytes(encoded(samples, "ipod", "aac"))
    left, right = audio.read(path).samples[:, RATE // 4 : RATE // 2]
    assert np.abs(left).max() == pytest.approx(0.5 * HALF, rel=0.05)
    np.testing.assert_allclose(left, right, atol=1e-3)


def test_channels_that_nobody_named_are_an_error() -> None:
    with pytest.raises(AudioError, match="9 channels that nobody named") as caught:
        mixdown.as_heard(np.zeros((9, 10), np.float32), ("NONE",) * 9)
    assert caught.value.error == "channels"


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("frames", [0, 1, 1001])
def test_the_mean_of_frames_is_numpy_s_to_the_bit(channels: int, frames: int) -> None:
    samples = np.random.default_rng(channels).standard_normal((frames, channels))
    samples = samples.astype(np.float32)
    found = mixdown.mean_of(samples)
    assert found.dtype == np.float32 and found.tobytes() == samples.mean(axis=1).tobytes()


def test_whoever_opens_a_file_is_told_that_nobody_named_its_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "ten.wav", np.zeros((100, 10)), RATE)
    with pytest.raises(AudioError, match="10 channels that nobody named"):
        audio.probe(str(tmp_path / "ten.wav"))
