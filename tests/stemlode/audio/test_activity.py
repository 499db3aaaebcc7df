"""Source activity: the numbers of the BSRNN paper's section IV-A-1."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stemlode import audio
from stemlode.audio import activity

RATE = 1000
CHUNK = 600  # frames of L / 10 at RATE
PAPERS = activity.GAMMA

energies = arrays.arrays(
    np.float64, st.integers(0, 60), elements=st.floats(0, 4, allow_subnormal=False)
)


def _track(levels: list[float]) -> np.ndarray:
    """A track whose chunk n has mean power levels[n]: ±√level, in two channels."""
    signs = np.tile([1.0, -1.0], CHUNK // 2)
    mono = np.concatenate([np.sqrt(level) * signs for level in levels])
    return np.stack([mono, -mono])


def _plainly(levels: np.ndarray) -> list[int]:
    """The paper's sentences one by one, in plain Python."""
    segments = [list(levels[first : first + 10]) for first in range(0, len(levels) - 9, 5)]
    held = [[energy if energy > 1e-5 else 1e-5 for energy in segment] for segment in segments]
    if not held:
        return []
    limit = max(np.quantile([energy for segment in held for energy in segment], 0.15), 1e-3)
    return [n for n, segment in enumerate(held) if sum(e > limit for e in segment) > 5]


def test_constants_are_the_papers() -> None:
    assert (activity.WINDOW_S, activity.OVERLAP, activity.CHUNKS) == (6.0, 0.5, 10)
    assert (activity.QUANTILE, activity.SHARE) == (0.15, 0.5)
    assert (activity.EPSILON, activity.GAMMA) == (1e-5, "-30")


@given(energies)
def test_salient_windows_are_those_of_the_papers_sentences(levels: np.ndarray) -> None:
    assert activity.salient(levels, PAPERS).tolist() == _plainly(levels)


def test_five_of_ten_chunks_are_not_more_than_half() -> None:
    loud, quiet = 0.5, 0.0
    assert activity.salient(np.array([loud] * 5 + [quiet] * 5)).tolist() == []
    assert activity.salient(np.array([loud] * 6 + [quiet] * 4)).tolist() == [0]


def test_a_chunk_at_gamma_is_not_above_it() -> None:
    at, above = np.full(10, 1e-3), np.full(10, np.nextafter(1e-3, 1))
    quiet = np.zeros(30)  # holds the quantile down
    assert activity.salient(np.concatenate([at, quiet]), PAPERS).tolist() == []
    assert activity.salient(np.concatenate([above, quiet]), PAPERS).tolist() == [0]


def test_the_quantile_belongs_to_the_track_not_to_the_window() -> None:
    # The soft beginning is dropped, though by itself it would be kept.
    levels = np.concatenate([np.full(10, 0.01), np.full(90, 0.5)])
    levels += np.linspace(0, 1e-6, 100)  # no two alike
    found = activity.salient(levels).tolist()
    assert 0 not in found
    assert 0 in activity.salient(np.concatenate([levels[:10], np.zeros(10)])).tolist()
    assert found[-1] == 18


def test_a_constant_track_has_no_chunk_above_its_own_quantile() -> None:
    assert activity.salient(np.full(40, 0.25)).tolist() == []


@given(energies, st.floats(1e-9, 1e-5))
def test_the_energy_of_silence_never_decides(levels: np.ndarray, hiss: float) -> None:
    loud = np.where(levels < 1e-3, 0, levels)
    hissing = np.where(levels < 1e-3, hiss, levels)
    found = (activity.salient(one, PAPERS).tolist() for one in (loud, hissing))
    assert next(found) == next(found)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12), st.integers(1, 2))
def test_blocks_of_any_length_measure_the_same(lengths: list[int], channels: int) -> None:
    rng = np.random.default_rng(len(lengths))
    samples = rng.uniform(-1, 1, (channels, sum(lengths))).astype(np.float32)
    blocks = np.split(samples, np.cumsum(lengths)[:-1], axis=1)
    whole = activity.measure([samples], RATE)
    assert np.allclose(activity.measure(blocks, RATE), whole, rtol=1e-12)
    chunks = samples[:, : samples.shape[1] // CHUNK * CHUNK].reshape(channels, -1, CHUNK)
    means = (chunks.astype(np.float64) ** 2).mean(axis=(0, 2))
    if len(means) >= 10:
        assert np.allclose(whole, means, rtol=1e-12)
    else:
        assert len(whole) == 10


def test_starts_lie_half_a_window_apart() -> None:
    levels = [0.0] * 10 + [0.4, 0.41, 0.42, 0.43, 0.44] * 4 + [0.0] * 10
    assert activity.salient_starts(_track(levels), RATE) == [6.0, 9.0, 12.0]


def test_a_track_shorter_than_a_window_is_a_window_of_its_own_length() -> None:
    assert activity.salient_starts(_track([0.3, 0.31, 0.32, 0.33, 0.34]), RATE) == [0.0]
    assert activity.salient_starts(_track([0.3, 0.31, 0, 0, 0]), RATE) == []
    assert activity.salient_starts(np.ones((1, 7)) * 0.5 * np.arange(7), RATE) == [0.0]
    assert activity.salient_starts(np.zeros((2, 0)), RATE) == []


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_a_window_is_six_seconds_at_usual_rates(rate: int) -> None:
    assert activity.Meter(rate).frames * 10 == 6 * rate


@given(energies, st.integers(-20, 20))
def test_a_songs_level_changes_nothing_where_the_floor_follows_it(
    levels: np.ndarray, doublings: int
) -> None:
    audible = np.where(levels < 1e-3, 0, levels)  # what the quietest floor does not reach
    once, again = (activity.salient(audible * gain).tolist() for gain in (1.0, 2.0**doublings))
    if doublings > -10 or not once:
        assert once == again


def test_a_quiet_solo_voice_sounds_and_a_hissing_stem_does_not() -> None:
    voice = np.concatenate([np.full(30, 1e-6) + np.arange(30) * 1e-9, np.zeros(30)])  # −60 dBFS
    assert activity.salient(voice).tolist() == [0, 1, 2, 3, 4, 5][: len(activity.salient(voice))]
    assert 2 in activity.salient(voice)
    assert activity.salient(voice, PAPERS).tolist() == []
    hiss = 1e-8 * np.random.default_rng(0).uniform(0.5, 1, 60)  # −80 dBFS
    assert activity.salient(hiss).tolist() == []
    assert activity.salient(hiss, "-90").tolist() != []


def test_what_lies_thirty_decibels_below_its_song_is_silent() -> None:
    levels = np.concatenate([np.full(40, 0.1), np.full(20, 0.9e-4 / 3), np.zeros(20)])
    levels[:40] += np.arange(40) * 1e-6
    found = activity.salient(levels).tolist()
    assert 8 in activity.salient(levels, "-60").tolist()
    assert found == [0, 1, 2, 3, 4, 5, 6, 7][: len(found)]


@pytest.mark.parametrize(
    ("text", "read"),
    [("relative", "relative"), (" Relative", "relative"), ("-30.0", "-30"), ("-6e1", "-60"),
     ("-0", "0"), ("0", "0")],
)  # fmt: skip
def test_a_threshold_has_one_spelling(text: str, read: str) -> None:
    assert activity.read_threshold(text) == read


@pytest.mark.parametrize("text", ["", "loud", "nan", "1", "-121", "-inf", "−30"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="relative, or a level"):
        activity.read_threshold(text)


def test_drums_that_pause_are_not_salient_there(test_data: Path) -> None:
    song = test_data / "audio/multitrack/trackswitch"
    found = {}
    for name in ("drums", "violins"):
        track = audio.read(str(song / f"{name}.mp3"))
        found[name] = activity.salient_starts(track.samples, track.sample_rate)
        floor = activity.floor(activity.measure([track.samples], track.sample_rate))
        level = [
            float(np.mean(track.samples[:, round(s * track.sample_rate) :][:, :264_600] ** 2))
            for s in found[name]
        ]
        assert all(power > floor / 2 for power in level)
    assert found["drums"]
    assert len(found["violins"]) < track.duration_s / 3
