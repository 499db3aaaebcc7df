"""f0 → salience → f0: what comes back is what went in, to ten cents."""

from collections.abc import Iterator
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import audio
from stemlode.shards import salience
from stemlode.shards.salience import LEVELS, ROWS
from tests.pipelines.salience.sung import voice
from training.pitch import swift, targets, teachers
from training.pitch.targets import F0
from training.pitch.teachers import PitchTeacher

LEVELS_DB = (0, -20, -50, -100)  # of full scale
PITCH = st.one_of(st.just(0.0), st.floats(33.0, 2050.0))


def f0(pitch: list[float], confidence: list[float], step: float = 256 / 22_050) -> F0:
    time = np.arange(len(pitch)) * step
    return F0(time, np.array(pitch, float), np.array(confidence, float))


@settings(max_examples=60)
@given(st.lists(st.tuples(PITCH, st.floats(0, 1)), min_size=1, max_size=40))
def test_a_ridge_gives_its_pitch_and_confidence_back(frames: list[tuple[float, float]]) -> None:
    given_ = f0(*map(list, zip(*frames, strict=True)))  # type: ignore[arg-type]
    stored = salience.quantised(targets.ridges(given_)) / LEVELS
    found = targets.f0_of(stored)
    for pitch, confidence, back, said in zip(
        given_.f0_hz, given_.confidence, found.f0_hz, found.confidence, strict=True
    ):
        if pitch == 0 or confidence < 0.5 / LEVELS:
            assert back == 0
            continue
        assert abs(said - confidence) <= 0.5 / LEVELS + 1e-6
        assert (back > 0) == (said >= 0.4)
        if confidence > 0.2:  # fainter, neighbouring rows are told apart no longer
            assert abs(1200 * np.log2(abs(back) / pitch)) <= 20.01


def test_pitches_off_the_grid_leave_no_ridge() -> None:
    assert targets.ridges(f0([20.0, 3000.0, 440.0], [1.0, 1.0, 1.0])).max(0).tolist() == [0, 0, 1]


def test_interpolation_glides_but_does_not_cross_a_jump() -> None:
    series = f0([200, 205, 400, -400, 0], [1, 1, 1, 0.1, 0.0], step=0.016)
    found = targets.on_grid(series, 12)
    pitch = np.abs(found.f0_hz)
    assert np.allclose(pitch[pitch > 211], 400.0)
    assert pitch[1] == pytest.approx(200 * (205 / 200) ** (0.01161 / 0.016), rel=1e-3)
    assert (found.f0_hz[found.confidence < 0.4] <= 0).all()
    assert (found.f0_hz[8:] == 0).all() and (found.confidence[8:] == 0).all()
    assert targets.on_grid(f0([], []), 3).f0_hz.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="do not rise"):
        targets.on_grid(F0(np.array([1.0, 0.5]), np.ones(2), np.ones(2)), 3)


def test_an_unvoiced_frame_keeps_its_pitch_as_a_negative_value() -> None:
    found = np.zeros((ROWS, 3))
    found[100, 0], found[100, 1] = 0.4, 0.39
    pitch = salience.frequencies()[100]
    assert targets.f0_of(found).f0_hz.tolist() == [pitch, -pitch, 0.0]
    assert targets.f0_of(found, 0.5, first=7).f0_hz.tolist() == [-pitch, -pitch, 0.0]
    assert targets.f0_of(found, first=7).time_s[0] == 7 * 256 / 22_050


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.8]), min_size=8, max_size=8), max_size=4)
)
def test_voices_are_the_maxima_that_reach_the_threshold(columns: list[list[float]]) -> None:
    given_ = np.zeros((ROWS, len(columns)))
    for number, column in enumerate(columns):
        given_[50:58, number] = column
    found = targets.voices_of(given_)
    for number in range(len(columns)):
        levels = given_[:, number]
        expected, row = [], 0
        while row < ROWS:
            end = row
            while end + 1 < ROWS and levels[end + 1] == levels[row]:
                end += 1
            below = row == 0 or levels[row - 1] < levels[row]
            above = end == ROWS - 1 or levels[end + 1] < levels[row]
            if below and above and levels[row] >= 0.4:
                expected.append(row)
            row = end + 1
        assert np.flatnonzero(found[:, number]).tolist() == expected


def test_one_ridge_is_kept_of_several_and_several_are_noticed() -> None:
    low, high = (
        targets.ridges(f0([220] * 10, [0.9] * 10)),
        targets.ridges(f0([330] * 10, [0.7] * 10)),
    )
    both = np.maximum(low, high)
    both[:, 5:] = low[:, 5:]
    assert targets.voices_share(both) == 0.5 and targets.voices_share(low) == 0
    assert targets.voices_share(np.zeros((ROWS, 4))) == 0
    kept = targets.single(both)
    assert targets.voices_share(kept) == 0
    assert np.array_equal(targets.f0_of(kept).f0_hz, targets.f0_of(both).f0_hz)


def test_a_voice_is_heard_at_any_level_but_not_what_leaks() -> None:
    """swift-f0 by itself hears nothing 40 dB below full scale."""
    time = np.arange(2 * swift.SAMPLE_RATE) / swift.SAMPLE_RATE
    sung = voice(np.where(time < 1.5, 220.0, 0.0), swift.SAMPLE_RATE)
    sung /= np.abs(sung).max()
    detector, _ = swift.load()
    loud, usual, soft, leak = (swift.f0_of(detector, sung * 10 ** (db / 20)) for db in LEVELS_DB)
    assert usual.voiced_share > 0.7
    assert (soft.voiced == usual.voiced).mean() > 0.98 < (loud.voiced == usual.voiced).mean()
    both = soft.voiced & usual.voiced
    assert np.abs(1200 * np.log2(soft.f0_hz[both] / usual.f0_hz[both])).max() < 5
    assert leak.voiced_share == 0


def test_the_target_loses_little_of_the_teacher_s_score(test_data: Path) -> None:
    """A real voice: at most 0.005 of overall accuracy and raw pitch accuracy."""
    known = np.loadtxt(test_data / "audio" / "voice" / "vocadito_1_f0.csv", delimiter=",")
    samples, rate = soundfile.read(
        test_data / "audio" / "voice" / "vocadito_1.wav", dtype="float32"
    )
    frames = salience.frame_count(round(len(samples) * salience.SAMPLE_RATE / rate))
    heard = audio.resample(samples, rate, swift.SAMPLE_RATE)
    own = swift.f0_of(swift.load()[0], heard)
    stored = teachers.load(teachers.SWIFT).salience(heard, frames)
    target = targets.f0_of(stored / LEVELS)
    scores = [
        mir_eval.melody.evaluate(known[:, 0], known[:, 1], one.time_s, one.f0_hz)
        for one in (own, target)
    ]
    assert scores[0]["Overall Accuracy"] > 0.95
    for name in ("Overall Accuracy", "Raw Pitch Accuracy"):
        assert scores[1][name] > scores[0][name] - 0.005


def test_several_targets_are_of_one_hearing() -> None:
    blocks, asked = np.random.default_rng(0).random((3, ROWS, 50)), []

    def likelihoods(_: np.ndarray, frames: int) -> Iterator[np.ndarray]:
        asked.append(frames)
        yield from blocks

    teacher = PitchTeacher("any", "", 22_050, True, likelihoods)
    both = teacher.saliences(np.zeros(9), 130, ("single", "multi"))
    assert asked == [130]
    for kind in ("single", "multi"):
        assert np.array_equal(both[kind], teacher.salience(np.zeros(9), 130, kind))
    assert (both["single"] > 0).sum() < (both["multi"] > 0).sum()
