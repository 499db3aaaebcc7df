"""Augmented copies: each effect does what it says, and the same seed gives the same copy."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.samples import augmentation

RATE = 44_100


def _tone(hz: float, seconds: float = 2.0, level: float = 0.25) -> np.ndarray:
    """A stereo sine [2, frames]."""
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def _noise(seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * RATE))).astype(np.float32)


def _applied(samples: np.ndarray, name: str, **parameters: float) -> np.ndarray:
    middle = {key: sum(ends) / 2 for key, ends in augmentation.RANGES[name].items()}
    return augmentation.apply(samples, RATE, {name: middle | parameters})


def _level_db(samples: np.ndarray) -> float:
    inner = samples[:, samples.shape[1] // 4 : -samples.shape[1] // 4]
    return 10 * np.log10(np.mean(inner.astype(float) ** 2))


def _peak_hz(samples: np.ndarray) -> float:
    inner = samples[0, samples.shape[1] // 4 : -samples.shape[1] // 4] * 1.0
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 8 * len(inner)))
    return float(spectrum.argmax() * RATE / (8 * len(inner)))


@pytest.mark.parametrize("gain_db", [-6.0, 0.0, 6.0])
def test_volume_changes_the_level_by_as_much(gain_db: float) -> None:
    tone = _tone(440)
    found = _applied(tone, "volume", gain_db=gain_db)
    assert _level_db(found) - _level_db(tone) == pytest.approx(gain_db, abs=1e-3)


@pytest.mark.parametrize(
    ("hz", "bands"),
    [(40, {"low_db": 6.0}), (1000, {"peak_db": -6.0}), (15_000, {"high_db": 6.0})],
)
def test_an_equalizer_changes_its_band_alone(hz: float, bands: dict[str, float]) -> None:
    flat = {"low_db": 0.0, "peak_db": 0.0, "high_db": 0.0, "peak_hz": 1000.0, "low_hz": 200.0}
    (change,) = bands.values()
    for tone_hz in (40, 1000, 15_000):
        tone = _tone(tone_hz)
        found = _level_db(_applied(tone, "equalizer", **(flat | bands)))
        expected = change if tone_hz == hz else 0.0
        assert found - _level_db(tone) == pytest.approx(expected, abs=0.7)


def _modulation_hz(samples: np.ndarray, lowest: float, highest: float) -> float:
    """The frequency at which a signal's level goes up and down most."""
    hop = RATE // 200
    frames = samples[0, : samples.shape[1] // hop * hop].reshape(-1, hop)
    level = np.sqrt(np.mean(frames.astype(float) ** 2, axis=1))
    spectrum = np.abs(np.fft.rfft(level - level.mean(), 16 * len(level)))
    frequencies = np.arange(len(spectrum)) * 200 / (16 * len(level))
    inside = (frequencies > lowest) & (frequencies < highest)
    return float(frequencies[inside][spectrum[inside].argmax()])


def test_a_tremolo_beats_at_its_rate_and_depth() -> None:
    found = _applied(_tone(1000, 4), "tremolo", rate_hz=5.0, depth=0.5)
    assert _modulation_hz(found, 1, 20) == pytest.approx(5.0, abs=0.1)
    hop = RATE // 100
    frames = found[0, : found.shape[1] // hop * hop].reshape(-1, hop)
    peaks = np.abs(frames).max(axis=1)
    assert peaks.min() / peaks.max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("name", "rate_hz"), [("chorus", 1.0), ("phaser", 0.8), ("flanger", 0.5)])
def test_a_swept_effect_moves_at_its_rate(name: str, rate_hz: float) -> None:
    swept = _applied(_tone(800, 8), name, rate_hz=rate_hz, mix=0.5)[0]
    period = round(RATE / rate_hz)

    def change_db(shift: int) -> float:
        """How far the sound is another `shift` frames later; 800 Hz repeats itself by then."""
        early, late = swept[RATE : 3 * RATE], swept[RATE + shift : 3 * RATE + shift]
        return float(10 * np.log10(np.mean((early - late) ** 2) / np.mean(early**2) + 1e-12))

    assert change_db(period) < -25
    assert change_db(period // 4 // 441 * 441) > change_db(period) + 10


@pytest.mark.parametrize("name", ["chorus", "phaser", "flanger"])
def test_a_swept_effect_keeps_what_is_dry_in_its_place(name: str) -> None:
    click = np.zeros((2, RATE), np.float32)
    click[:, 1000] = 0.5
    for mix in (0.2, 0.5):
        found = _applied(click, name, mix=mix)
        assert found.shape == click.shape
        assert np.abs(found[0]).argmax() == 1000
        assert not found[:, :1000].any()
    assert np.allclose(_applied(click, name, mix=0.0), click, atol=1e-6)


def test_a_flanger_repeats_sooner_than_a_chorus() -> None:
    click = np.zeros((2, RATE), np.float32)
    click[:, 1000] = 0.5
    first = {}
    for name in ("flanger", "chorus"):
        later = np.abs(_applied(click, name, mix=0.5)[0, 1001:])
        first[name] = (later > 0.05 * later.max()).argmax() / RATE
    assert first["flanger"] < 0.005 <= first["chorus"] < 0.02


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_stretch_changes_the_length_and_keeps_the_pitch(speed: float) -> None:
    tone = _tone(440, 4)
    found = _applied(tone, "stretch", speed=speed, semitones=0.0)
    assert found.shape[1] == pytest.approx(tone.shape[1] / speed, rel=0.01)
    assert _peak_hz(found) == pytest.approx(440, rel=0.002)


@pytest.mark.parametrize("semitones", [-2.0, 2.0])
def test_a_pitch_shift_keeps_the_length(semitones: float) -> None:
    tone = _tone(440, 4)
    found = _applied(tone, "stretch", speed=1.0, semitones=semitones)
    assert found.shape[1] == pytest.approx(tone.shape[1], rel=0.005)
    assert _peak_hz(found) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.002)


@pytest.mark.parametrize("speed", [0.97, 1.03])
def test_resampling_changes_both(speed: float) -> None:
    tone = _tone(440, 4)
    found = _applied(tone, "resampling", speed=speed)
    assert found.shape[1] == pytest.approx(tone.shape[1] / speed, rel=1e-4)
    assert _peak_hz(found) == pytest.approx(440 * speed, rel=0.001)


def test_stems_stay_together_through_the_effects_on_the_track() -> None:
    clicks = np.zeros((2, 4 * RATE), np.float32)
    clicks[:, RATE::RATE] = 0.5
    drawn = augmentation.draw(["a", "b"], 1, "seed")
    found = [
        augmentation.apply(clicks + _noise(4) * level, RATE, drawn.track)
        for level in (0.0001, 0.001)
    ]
    assert found[0].shape == found[1].shape
    places = [np.abs(x[0, : round(1.5 * RATE)]).argmax() for x in found]
    assert abs(places[0] - places[1]) <= RATE // 1000


@given(st.integers(0, 9), st.text(max_size=8), st.sets(st.sampled_from("abcd"), min_size=1))
def test_what_is_drawn_lies_in_its_range_and_depends_on_the_seed_alone(
    copy: int, seed: str, stems: set[str]
) -> None:
    drawn = augmentation.draw(stems, copy, seed)
    assert drawn == augmentation.draw(sorted(stems), copy, seed)
    assert set(drawn.stems) == stems and list(drawn.track) == list(augmentation.TRACK)
    for chosen in [*drawn.stems.values(), drawn.track]:
        for name, parameters in chosen.items():
            for key, value in parameters.items():
                low, high = augmentation.RANGES[name][key]
                assert low <= value <= high
    assert json.loads(json.dumps(drawn.of(min(stems)))) == drawn.of(min(stems))


def test_every_effect_is_drawn_about_as_often_as_is_said() -> None:
    drawn = [augmentation.draw(["x"], copy, "s").stems["x"] for copy in range(600)]
    for name, chance in augmentation.CHANCES.items():
        share = sum(name in chosen for chosen in drawn) / len(drawn)
        assert share == pytest.approx(chance, abs=0.06)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 2))
def test_any_copy_is_finite_and_the_same_again(seed: int, channels: int) -> None:
    drawn = augmentation.draw(["x"], 1, str(seed)).of("x")
    given_samples = _noise(0.7)[:channels]
    found = augmentation.apply(given_samples, RATE, drawn)
    assert found.dtype == np.float32 and found.shape[0] == channels and np.isfinite(found).all()
    assert (found == augmentation.apply(given_samples, RATE, drawn)).all()
    assert augmentation.apply(np.zeros((channels, 0)), RATE, drawn).shape == (channels, 0)
