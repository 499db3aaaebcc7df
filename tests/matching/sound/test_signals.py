"""Signals read in blocks are the signals; spectra between samples are spectra between samples."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from matching.sound.scores import Settings, TrimmedSignal, score
from matching.sound.signals import SignalSlice, Stereo, magnitudes, read, stereo, stft


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(frames).astype(np.float32)


class Counted:
    """A signal that lies elsewhere, and remembers the longest piece that was asked for."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.longest = samples, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        assert isinstance(part, slice) and part.step in (None, 1)
        found = self.samples[part].copy()
        self.longest = max(self.longest, len(found))
        return found


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 4, [1, 2, 3, 4]), (-2, 2, [0, 0, 1, 2]), (3, 6, [4, 0, 0]), (9, 11, [0, 0]), (2, 2, [])],
)
def test_beyond_the_ends_are_zeros(start: int, stop: int, expected: list[float]) -> None:
    found = read(np.array([1, 2, 3, 4], np.float32), start, stop)
    assert found.tolist() == expected and found.dtype == np.float32


def test_a_part_of_a_signal_is_a_signal() -> None:
    part = SignalSlice(np.arange(10.0), 3, 8)
    assert len(part) == 5
    assert part[1:3].tolist() == [4, 5]
    assert part[-2:99].tolist() == [6, 7]
    assert part[4:2].tolist() == []


@pytest.mark.parametrize(("first", "count"), [(0, 3), (5, 20), (60, 9)])
def test_spectra_equal_librosas(first: int, count: int) -> None:
    samples = noise(50_000)
    whole = librosa.stft(samples, n_fft=1024, hop_length=768, pad_mode="constant").T
    found = stft(samples, first, count, 1024, 768)
    expected = np.zeros_like(found)
    part = whole[first : first + count]
    expected[: len(part)] = part
    np.testing.assert_allclose(found[: len(part)], expected[: len(part)], atol=2e-4)
    np.testing.assert_allclose(magnitudes(found), np.abs(found), rtol=1e-5)


def test_a_shift_moves_the_grid_also_by_parts_of_a_sample() -> None:
    samples = np.cos(np.arange(40_000) * 0.3).astype(np.float32)
    later = np.cos((np.arange(40_000) + 17.3) * 0.3).astype(np.float32)
    found = stft(samples, 5, 20, 1024, 768, 17.3)
    expected = stft(later, 5, 20, 1024, 768)
    # the cosine's own bin and those about it, to −50 dB
    np.testing.assert_allclose(found[:, 40:60], expected[:, 40:60], atol=0.4)
    assert np.abs(expected[:, 40:60]).max() > 100


def test_recordings_of_any_length_are_read_in_pieces_with_the_same_result(test_data: Path) -> None:
    rng = np.random.default_rng(0)
    beat = rng.standard_normal(8192 * 300).astype(np.float32)
    beat *= np.repeat(rng.uniform(0, 1, 300 * 8) ** 2, 1024).astype(np.float32)
    voice = 0.3 * noise(len(beat), 1)
    whole = score(TrimmedSignal(beat + voice, Settings()), TrimmedSignal(beat[5000:], Settings()))
    x, y = Counted(beat + voice), Counted(beat[5000:])
    assert score(TrimmedSignal(x, Settings()), TrimmedSignal(y, Settings())) == whole
    assert whole.offset_s == pytest.approx(-5000 / 8192, abs=1e-5)
    assert max(x.longest, y.longest) < len(beat)


def test_channels_are_taken_together_and_what_has_no_part_is_not_read() -> None:
    left, right = noise(100), noise(100, 1)
    both = stereo(left, right)
    assert len(both) == len(both.mixed((1, 0))) == 100
    for gains in ((1, 0), (0, 1), (0.5, 0.5), (0.5, -0.5), (-0.3, 0.8)):
        want = gains[0] * left + gains[1] * right
        np.testing.assert_allclose(both.mixed(gains)[3:90], want[3:90], atol=1e-6)
    mid, side = Counted(noise(100)), Counted(noise(100, 1))
    lying = Stereo(mid, side)
    assert np.array_equal(lying.mixed((0.5, 0.5))[:60], mid.samples[:60]) and not side.longest
    mid.longest = 0
    assert np.array_equal(lying.mixed((0.5, -0.5))[:50], side.samples[:50]) and not mid.longest
    np.testing.assert_allclose(Stereo(left).mixed((0.25, 0.5))[:], 0.75 * left, atol=1e-6)
