"""Two recordings as a whole: silence counted, doubt handled, nothing kept that is not needed."""

from pathlib import Path

import numpy as np
import pytest

from matching.sound.decisions import D_MIN, Thresholds, decide
from matching.sound.difference import difference_sum, magnitude
from matching.sound.scores import Settings, TrimmedSignal, score
from matching.sound.signals import stereo
from stemlode import audio

RATE = Settings().sample_rate


def read(test_data: Path, name: str) -> np.ndarray:
    path = test_data / "audio/multitrack" / name
    return audio.read(str(path), sample_rate=RATE, mono=True).samples[0]


def recording(samples: np.ndarray) -> TrimmedSignal:
    return TrimmedSignal(samples.astype(np.float32), Settings())


def test_offsets_count_from_the_files_beginning_not_from_the_sound(test_data: Path) -> None:
    mixture = read(test_data, "so_easy/mixture.mp3")
    accompaniment = read(test_data, "so_easy/accompaniment.mp3")
    for before_mix_s, before_s in ((0.0, 3.0), (2.0, 0.0), (45.0, 44.0)):
        x = np.concatenate([np.zeros(round(before_mix_s * RATE)), mixture])
        y = np.concatenate([np.zeros(round(before_s * RATE)), accompaniment])
        found = score(recording(x), recording(y))
        assert found.offset_s == pytest.approx(before_s - before_mix_s, abs=1e-5)
        assert found.difference == pytest.approx(0.35, abs=0.01)
        assert found.alignment_confidence is not None and found.alignment_confidence > 0.8
        assert found.matched_spans is not None
        ((start, end),) = found.matched_spans
        assert start == pytest.approx(before_mix_s, abs=0.1)
        assert end == pytest.approx(before_mix_s + 30, abs=0.2)


def test_stereo_out_of_phase_is_heard_and_how_its_channels_lie_is_recorded(
    test_data: Path,
) -> None:
    x, y = (
        audio.read(str(test_data / f"audio/multitrack/so_easy/{name}.mp3"), sample_rate=RATE)
        for name in ("mixture", "accompaniment")
    )
    (xl, xr), (yl, yr) = x.samples, y.samples
    mono, plain = yl + yr, TrimmedSignal(stereo(xl, xr), Settings())
    for left, right, gains in (
        (yl, yr, [1, 0, 0, 1]),
        (yr, yl, [0, 1, 1, 0]),
        (yl, -yr, [1, 0, 0, -1]),
        (yl, yr / 2, [0.5, 0, 0, 1]),
    ):
        other = TrimmedSignal(stereo(left, right), Settings())
        found = score(plain, other)
        assert found.channel_gains == pytest.approx(gains, abs=0.01)
        assert found.mono_gains is None
        assert found.coherent and decide(found, Thresholds())[0] == "kept"
        assert found.difference == pytest.approx(0.35, abs=0.01)
    outside = TrimmedSignal(stereo(mono, -mono), Settings())
    assert not outside.is_silent and TrimmedSignal(mono - mono, Settings()).is_silent
    found = score(plain, outside)
    assert found.channel_gains == pytest.approx([0.5, -0.5], abs=0.01)
    assert found.mono_gains == pytest.approx([0.5, 0.5])
    assert found.coherent and found.matched_share and found.matched_share > 0.9


def test_eq_3_8_is_measured_without_alignment_or_gain(test_data: Path) -> None:
    mixture = read(test_data, "so_easy/mixture.mp3")
    itself = score(recording(mixture), recording(mixture))
    softer = score(recording(mixture), recording(mixture * 0.5))
    total = magnitude(recording(mixture).samples).sum(dtype=np.float64)
    assert itself.difference_sum == 0
    assert softer.difference_sum == pytest.approx(0.5 * total, rel=1e-5)
    assert softer.difference == pytest.approx(0, abs=1e-3)
    assert softer.gain_db == pytest.approx(6.02, abs=0.01)


def test_the_thesis_compares_from_where_sound_begins_at_the_level_it_has(test_data: Path) -> None:
    mixture = read(test_data, "so_easy/mixture.mp3")
    settings = Settings(align=False)
    x = TrimmedSignal(mixture, settings)
    y = TrimmedSignal(np.concatenate([np.zeros(5000, np.float32), 0.5 * mixture]), settings)
    X, Y = magnitude(x.samples), magnitude(y.samples)
    found = score(x, y)
    assert found.difference_sum == pytest.approx(difference_sum(X, Y), rel=1e-6)
    assert found.difference == pytest.approx(difference_sum(X, Y) / X.sum(), rel=1e-5)
    assert found.alignment_confidence is None and found.gain_db == 0
    assert decide(found, Thresholds(0.1, 0.9))[0] == "kept"


def test_an_alignment_along_which_nothing_matches_is_none(test_data: Path) -> None:
    """Two songs that share a drum sample meet in its hits, and in nothing between them."""
    one, other = (
        read(test_data, f"{name}/mixture.flac")
        for name in ("song2_rap_92bpm", "song1_planetblupi_sung")
    )
    found = score(recording(one), recording(other))
    assert found.alignment_confidence == 0
    assert found.matched_spans is None and found.drift_ppm is None
    assert decide(found, Thresholds())[0] == "too_different"


def test_unrelated_songs_differ_wherever_they_are_put(test_data: Path) -> None:
    one, other = (read(test_data, f"{name}/mixture.mp3") for name in ("so_easy", "mallory"))
    found = score(recording(one), recording(other))
    assert found.difference > 0.85
    assert decide(found, Thresholds())[0] == "too_different"


def test_a_quarter_and_a_whole_of_a_song_are_compared_over_what_they_share(test_data: Path) -> None:
    mixture = read(test_data, "so_easy/mixture.mp3")
    part = read(test_data, "so_easy/accompaniment.mp3")[10 * RATE : 20 * RATE]
    found = score(recording(mixture), recording(part))
    assert found.offset_s == pytest.approx(-10, abs=1e-3)
    assert D_MIN < found.difference < 0.5


def test_silence_is_recognised() -> None:
    assert recording(np.zeros(9000)).is_silent
    assert recording(np.zeros(0)).is_silent
    assert not recording(np.concatenate([np.zeros(9000), np.ones(1)])).is_silent


@pytest.mark.parametrize("frames", [1, 100, 600])
def test_the_shortest_sounds_have_scores(frames: int) -> None:
    draw = np.random.default_rng(0).standard_normal((2, frames))
    found = score(recording(draw[0]), recording(draw[1]))
    assert np.isfinite(found.difference) and np.isfinite(found.offset_s)
    assert decide(found, Thresholds())[0] in ("too_similar", "too_different", "misaligned")


@pytest.mark.parametrize("frames", [700, 1500, 4096, 9000])
def test_short_excerpts_of_a_true_pair_have_scores(test_data: Path, frames: int) -> None:
    """Fewer frames than a cell or a segment holds: measures may be missing, nothing breaks."""
    parts = [
        read(test_data, f"so_easy/{name}.mp3")[50_000 : 50_000 + frames]
        for name in ("mixture", "accompaniment")
    ]
    for x, y in (parts, parts[:1] * 2):
        found = score(recording(x), recording(y))
        assert np.isfinite(found.difference) and abs(found.offset_s) <= frames / RATE
        assert decide(found, Thresholds())[1]
