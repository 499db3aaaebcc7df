"""The filter through which a backing lies in a mixture: found, proven, or none."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal

from benchmarks import repair as cases
from matching.sound.repairs import equaliser
from pipelines.samples import delays

RATE = 44_100
SECONDS = 13
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A backing of noise that comes and goes, and a voice of another that rests in between."""
    rng = np.random.default_rng(0)
    shaped = [
        scipy.signal.lfilter([1], [1, -0.95], rng.normal(0, 0.02, (1, SECONDS * RATE)))
        for _ in range(2)
    ]
    sings = scipy.signal.square(2 * np.pi * 0.7 * np.arange(SECONDS * RATE) / RATE) > 0
    return shaped[0].astype(np.float32), (shaped[1] * sings).astype(np.float32)


def _sdr_db(true: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(true**2) / np.sum((true - got) ** 2)))


@pytest.mark.parametrize("side", ["instrumental", "mixture"])
def test_a_filter_is_found_as_it_was_applied(
    pair: tuple[np.ndarray, np.ndarray], side: str
) -> None:
    backing, voice = pair
    change = cases.EQUALISED["another master"]
    mixture, instrumental, true = backing + voice, change(backing), voice
    if side == "mixture":
        mixture, instrumental, true = change(mixture), backing, change(voice)
    taps = equaliser.fitted(mixture, instrumental, RATE)
    assert taps is not None and _sdr_db(true, mixture - instrumental) < 12
    blocks = np.array_split(instrumental, 7, axis=1)
    filtered = np.concatenate([*delays.filtered(blocks, taps)], axis=1)
    assert filtered.shape == instrumental.shape and _sdr_db(true, mixture - filtered) > 40
    low, *_, high = equaliser.octaves_db(taps, RATE)
    turn = 1 if side == "mixture" else -1
    assert low == pytest.approx(1.5 * turn, abs=0.3) and high == pytest.approx(3 * turn, abs=0.3)


@pytest.mark.parametrize(
    "change",
    [
        lambda backing, voice: backing,  # it lies there as it is
        lambda backing, voice: backing[:, ::-1],
        lambda backing, voice: voice,
        lambda backing, voice: 0 * backing,
        lambda backing, voice: cases.shelf(5000, -20, "high")(backing),  # more than one may
    ],
)
def test_what_is_no_filter_is_not_taken_for_one(
    pair: tuple[np.ndarray, np.ndarray], change: Callable
) -> None:
    backing, voice = pair
    assert equaliser.fitted(backing + voice, change(backing, voice), RATE) is None


def test_a_few_seconds_prove_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    backing, voice = (part[:, : 6 * RATE] for part in pair)
    louder = cases.EQUALISED["tilted by 6 dB"](backing)
    assert equaliser.fitted(backing + voice, louder, RATE) is None
    assert equaliser.fitted(backing[:, :100], louder[:, :100], RATE) is None
