"""What is read between samples is what a finer recording would have held there."""

import numpy as np
import pytest

from matching.sound.repairs import varispeed


def _tone(hz: float, rate: int, times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * hz * times)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_100, 44_100), (48_000, 44_100)])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_speed_and_rate_change_in_one_pass_to_100_db(
    from_rate: int, to_rate: int, share: float
) -> None:
    hz, speed = share * min(from_rate, to_rate) / 2, 1.003
    tone = _tone(hz, from_rate, np.arange(from_rate) / from_rate).astype(np.float32)

    def places(first: int, count: int) -> np.ndarray:
        return np.arange(first, first + count) / to_rate * speed * from_rate

    blocks = [tone[None, at : at + 7777] for at in range(0, len(tone), 7777)]
    cutoff = min(1.0, to_rate / from_rate)
    (found,) = np.concatenate([*varispeed.resampled(blocks, places, cutoff)], axis=1)
    assert len(found) == pytest.approx(to_rate / speed, abs=1.5)
    want = _tone(hz, to_rate, np.arange(len(found)) / to_rate * speed)
    error = (found - want)[500:-500]
    assert 10 * np.log10(np.mean(error**2) / np.mean(want**2)) < -100


def test_blocks_of_any_size_give_the_same_bytes() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 30_000)).astype(np.float32)

    def places(first: int, count: int) -> np.ndarray:
        return np.arange(first, first + count) * 0.9991 + 123.4

    def read(size: int) -> np.ndarray:
        blocks = [samples[:, at : at + size] for at in range(0, samples.shape[1], size)]
        return np.concatenate([*varispeed.resampled(blocks, places)], axis=1)

    whole = read(30_000)
    np.testing.assert_array_equal(read(1000), whole)
    np.testing.assert_array_equal(read(4097), whole)


def test_before_the_beginning_there_is_silence() -> None:
    samples = np.ones((1, 5000), np.float32)
    found = np.concatenate(
        [
            *varispeed.resampled(
                [samples], lambda first, count: np.arange(first, first + count) - 200.0
            )
        ],
        axis=1,
    )
    assert np.abs(found[0, :150]).max() < 1e-6 and found[0, 300] == pytest.approx(1, abs=1e-4)
    assert found.shape[1] == 5200
