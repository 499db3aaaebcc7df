"""Level, bass, rests and residual of pairs whose truth is known."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from matching.sound import coherence
from matching.sound.coherence import Aligned, Segments
from matching.sound.drift import Line
from stemlode import audio

RATE = 8192
HERE = Line(0.0)


@cache
def stems(folder: Path) -> dict[str, np.ndarray]:
    paths = sorted(folder.iterdir())
    return {
        path.stem: audio.read(str(path), sample_rate=RATE, mono=True).samples[0] for path in paths
    }


def pair(x: np.ndarray, y: np.ndarray, line: Line = HERE, polarity: int = 1) -> Aligned:
    return Aligned(x, y, line, polarity, RATE)


def level_db(x: np.ndarray, y: np.ndarray) -> float | None:
    found = coherence.segments(pair(x, y))
    every = np.ones(len(found.agreement), bool)
    level = coherence.gain(found, every, 4)
    return None if level is None else float(20 * np.log10(level))


@pytest.mark.parametrize("name", ["so_easy", "mallory"])
@pytest.mark.parametrize("gain_db", [-12.0, 0.0, 12.0])
def test_the_level_is_the_backings_whatever_the_voice_does(
    test_data: Path, name: str, gain_db: float
) -> None:
    """Least squares says 0.2 to 0.4 dB more on these."""
    parts = stems(test_data / "audio/multitrack" / name)
    softer = parts["accompaniment"] * np.float32(10 ** (gain_db / 20))
    assert level_db(parts["mixture"], softer) == pytest.approx(-gain_db, abs=0.05)


def test_unrelated_recordings_have_no_level(test_data: Path) -> None:
    one, other = (stems(test_data / "audio/multitrack" / n) for n in ("so_easy", "mallory"))
    assert level_db(one["mixture"], other["accompaniment"]) is None
    assert level_db(one["mixture"], np.zeros_like(one["mixture"])) is None


def test_phases_agree_where_recordings_share_something(test_data: Path) -> None:
    one, other = (stems(test_data / "audio/multitrack" / n) for n in ("so_easy", "mallory"))
    x, y = one["mixture"], one["accompaniment"]
    assert coherence.segments(pair(x, y)).agreement.min() > 0.4
    assert coherence.segments(pair(x, -y, polarity=-1)).agreement.min() > 0.4
    assert coherence.segments(pair(x, -y)).agreement.max() < -0.4
    assert np.abs(coherence.segments(pair(x, other["mixture"])).agreement).max() < 0.05


def test_the_bass_tells_an_a_cappella(test_data: Path) -> None:
    for name in ("so_easy", "mallory", "song1_planetblupi_sung", "song2_rap_92bpm"):
        parts = stems(test_data / "audio/multitrack" / name)
        backing = parts.get("accompaniment", parts["mixture"] - parts["vocals"])
        for y, low, high in ((backing, 0.9, 1.0), (parts["vocals"], 0.0, 0.1)):
            aligned = pair(parts["mixture"], y)
            found = coherence.segments(aligned)
            every = np.ones(len(found.agreement), bool)
            correlation = coherence.bass_correlation(found, every, aligned.bass())
            assert correlation is not None and low <= correlation <= high, name


def test_a_mixture_without_bass_says_nothing_about_bass() -> None:
    x = np.sin(np.arange(80_000) * 2 * np.pi * 1000 / RATE).astype(np.float32)
    aligned = pair(x, x)
    found = coherence.segments(aligned)
    every = np.ones(len(found.agreement), bool)
    assert coherence.bass_correlation(found, every, aligned.bass()) is None


def test_rests_are_counted_where_the_mixture_sounds() -> None:
    def frames(x: list[float], y: list[float]) -> float:
        nothing = np.zeros((0, 513))
        return coherence.rest_share(
            Segments(nothing, nothing, nothing, np.zeros(0), np.array(x), np.array(y), np.zeros(1))
        )

    assert frames([1] * 10, [1] * 10) == 0
    assert frames([1] * 10, [1] * 7 + [0] * 3) == pytest.approx(0.3)
    assert frames([1] * 8 + [0] * 2, [1] * 6 + [0] * 4) == pytest.approx(0.25)
    assert frames([1] * 10, [1] * 9 + [1e-3]) == 0  # −30 dB is soft, not silent
    assert frames([], []) == 0


def test_one_mix_session_leaves_a_usable_vocal_and_another_master_does_not(
    test_data: Path,
) -> None:
    """The exact sum leaves almost nothing but the voice; −30 dB of noise leaves that noise."""
    parts = stems(test_data / "audio/multitrack/song2_rap_92bpm")
    x, y = parts["mixture"], parts["mixture"] - parts["vocals"]
    noise = np.random.default_rng(0).standard_normal(len(y)).astype(np.float32)
    echo = y + 0.5 * np.concatenate([np.zeros(40, np.float32), y[:-40]])
    residuals = [
        coherence.compare(pair(x, part), 1.0).residual_db
        for part in (y, y + noise * y.std() / 32, echo)
    ]
    assert list(residuals[0]) == sorted(residuals[0])
    assert max(residuals[0].values()) < -40
    assert max(residuals[0].values()) < max(residuals[1].values()) < max(residuals[2].values())
    assert coherence.coherent(residuals[0])
    assert not coherence.coherent(residuals[2])
    assert not coherence.coherent({})


def test_a_tenth_of_a_millisecond_is_not_coherent_and_its_line_makes_it_so(
    test_data: Path,
) -> None:
    parts = stems(test_data / "audio/multitrack/song2_rap_92bpm")
    x, y = parts["mixture"], parts["mixture"] - parts["vocals"]
    late = audio.resample(np.concatenate([np.zeros(5, np.float32), audio.resample(y, 1, 6)]), 6, 1)
    unaligned = coherence.compare(pair(x, late), 1.0).residual_db
    aligned = coherence.compare(pair(x, late, Line(5 / 6)), 1.0).residual_db
    assert not coherence.coherent(unaligned)
    assert coherence.coherent(aligned)


def test_a_voice_comes_and_goes_and_an_equaliser_does_not(test_data: Path) -> None:
    parts = stems(test_data / "audio/multitrack/song1_planetblupi_sung")
    x = parts["mixture"]
    backing = x - parts["vocals"]
    low, high = scipy.signal.butter(1, 300, "high", fs=RATE)
    brighter = x + scipy.signal.lfilter(low, high, x).astype(np.float32)
    sung, equalised = (
        coherence.compare(pair(*both), 1.0).surplus_spread for both in ((x, backing), (brighter, x))
    )
    assert sung is not None and equalised is not None
    assert sung > 0.5
    assert equalised < 0.1
    assert coherence.compare(pair(x[:4000], x[:4000]), 1.0).surplus_spread is None


def test_the_spread_is_of_half_seconds_in_the_band_where_it_is_greatest() -> None:
    sound = np.ones((200, 2))
    over = np.zeros((200, 2))
    over[50:150, 1] = 0.4  # half of the time, one of two bands
    assert coherence.surplus_spread(over, sound, 5) == pytest.approx(0.4)
    assert coherence.surplus_spread(over[:, :1], sound[:, :1], 5) == 0
    assert coherence.surplus_spread(over[:45], sound[:45], 5) is None


def test_what_does_not_overlap_is_left_out() -> None:
    x = np.ones(50_000, np.float32)
    aligned = pair(x, x[:20_000], Line(-10_000.0))
    first, last = aligned.extent()
    assert first * 768 >= 10_000 > (first - 1) * 768
    assert (last - 1) * 768 < 30_000 <= last * 768
    assert pair(x, x, Line(60_000.0)).extent()[0] == pair(x, x, Line(60_000.0)).extent()[1]
    nothing = coherence.segments(pair(x, x, Line(60_000.0)))
    assert len(nothing.agreement) == 0 and nothing.xx.shape == (0, 513)
