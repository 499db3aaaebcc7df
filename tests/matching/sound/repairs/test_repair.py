"""Pairs that are true but not perfect are mended and measured again; wrong ones stay wrong."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import repair as cases
from benchmarks import sound_cases
from matching.sound import scores
from matching.sound.decisions import Thresholds, decide
from matching.sound.repairs import repair
from matching.sound.repairs.clock import parts_of
from matching.sound.scores import Scores, Settings, TrimmedSignal
from matching.sound.signals import Stereo

LOW = sound_cases.LOW
song = cache(sound_cases.song)
Change = Callable[[np.ndarray], np.ndarray]


def _heard(x: np.ndarray, y: np.ndarray, mend: bool = True) -> Scores:
    settings = Settings(repair=mend)
    return repair.score(TrimmedSignal(x, settings), TrimmedSignal(y, settings))


def _pair(test_data: Path, name: str, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Mixture and instrumental as prune hears them, what is done being done at the full rate."""
    found = song(test_data, name)
    return sound_cases.low(found.mixture, found.rate), sound_cases.low(
        change(found.accompaniment), found.rate
    )


@pytest.mark.parametrize("ppm", [-5, 100, 10_000])
def test_another_speed_is_mended_and_the_pair_is_as_any_other(test_data: Path, ppm: float) -> None:
    change = cases.faster(ppm)
    x, y = _pair(test_data, "song2_rap_92bpm", change)
    found = _heard(x, y)
    plain = _heard(x, sound_cases.low(song(test_data, "song2_rap_92bpm").accompaniment, 44_100))
    assert decide(found, Thresholds())[0] == "kept"
    assert found.repaired == "speed" and found.coherent and plain.repaired is None
    assert found.drift_ppm == pytest.approx(ppm, abs=0.05)
    assert found.offset_s == pytest.approx(0.0, abs=5e-6)
    assert found.difference == pytest.approx(plain.difference, abs=0.01)
    assert found.gain_db == pytest.approx(plain.gain_db, abs=0.1)
    (part,) = parts_of(found.clock or [])
    assert part.others[-1] == pytest.approx(part.times[-1] / (1 + ppm * 1e-6), abs=5e-6)
    if abs(ppm) > 30:
        without, why = decide(found, Thresholds(repair=False))
        assert without == "misaligned" and "speed was repaired" in why
        as_it_is = _heard(x, y, mend=False)
        assert decide(as_it_is, Thresholds())[0] == "misaligned" and as_it_is.clock is None


def test_a_slow_wow_is_mended_where_the_residual_proves_it(test_data: Path) -> None:
    x, y = _pair(test_data, "song2_rap_92bpm", cases.wow(1e-3, 20.0))
    before = scores.score(TrimmedSignal(x, Settings()), TrimmedSignal(y, Settings()))
    found = _heard(x, y)
    assert not before.coherent
    assert decide(found, Thresholds())[0] == "kept" and found.repaired == "wow" and found.coherent


def test_a_wow_too_small_to_show_on_the_whole_is_mended_too(test_data: Path) -> None:
    """Its 10 µs either way leave the pair coherent."""
    x, y = _pair(test_data, "so_easy", cases.wow(3e-6, 20.0))
    before, found = _heard(x, y, mend=False), _heard(x, y)
    assert before.coherent and found.coherent and found.repaired == "wow"
    left_db = [max((one.residual_db or {}).values()) for one in (before, found)]
    assert left_db[1] < left_db[0]
    drift = np.array([first - begin for begin, _, first, _ in found.clock or []])
    assert np.ptp(drift) == pytest.approx(1.9e-5, abs=3e-6)


def test_parts_of_wide_recordings_are_held_against_each_other_and_not_their_sides(
    test_data: Path,
) -> None:
    """What two parts share with one offset is half; the other channels share less with any."""
    found = song(test_data, "song1_planetblupi_sung")

    def stereo(samples: np.ndarray) -> Stereo:
        left, right = (sound_cases.low(samples[k : k + 1], found.rate) for k in (0, 1))
        return Stereo((left + right) / 2, (left - right) / 2)

    sides = [found.mixture, cases.shortened(found.accompaniment)]
    sounds = [TrimmedSignal(stereo(samples), Settings()) for samples in sides]
    assert all(sound.width.wide for sound in sounds)
    scored = repair.score(*sounds)
    assert scored.repaired == "parts" and all(p.is_even for p in parts_of(scored.clock or []))
    assert scored.channel_gains == [1.0, 0.0, 0.0, 1.0]


def test_matched_parts_are_aligned_each_by_itself(test_data: Path) -> None:
    x, y = _pair(test_data, "song1_planetblupi_sung", cases.shortened)
    found = _heard(x, y)
    decision, why = decide(found, Thresholds())
    assert decision == "partly" and "each aligned by itself" in why
    assert found.repaired == "parts" and found.coherent
    first, second = parts_of(found.clock or [])
    assert first.is_even and second.is_even
    assert first.others[0] - first.times[0] == pytest.approx(0.0, abs=5e-6)
    assert second.others[0] - second.times[0] == pytest.approx(-cases.CUT_S, abs=5e-6)
    middle = len(x) / LOW / 2
    assert first.end_s <= middle - cases.CUT_S / 2 <= middle + cases.CUT_S / 2 <= second.begin_s
    assert min(part.end_s - part.begin_s for part in (first, second)) >= 12
    assert found.matched_spans == [[part.begin_s, part.end_s] for part in (first, second)]


@pytest.mark.parametrize("side", ["instrumental", "mixture"])
def test_a_level_that_changes_is_followed(test_data: Path, side: str) -> None:
    """A hand on the level and a fade that take all sense from one gain."""
    found = song(test_data, "so_easy")
    t = np.arange(found.mixture.shape[1]) / found.rate
    gain = (10 ** ((6 * np.sin(t / 3) - np.maximum(0, t - 20)) / 20)).astype(np.float32)
    x, y = found.mixture, found.accompaniment
    x, y = (x * gain, y) if side == "mixture" else (x, y / gain)
    x, y = (sound_cases.low(part, found.rate) for part in (x, y))
    assert decide(_heard(x, y, mend=False), Thresholds())[0] not in ("kept", "partly")
    levelled, plain = _heard(x, y), _heard(*_pair(test_data, "so_easy", lambda x: x))
    assert decide(levelled, Thresholds())[0] == "kept" and plain.repaired is None
    assert levelled.repaired == "level" and levelled.coherent and levelled.clock is None
    assert levelled.difference == pytest.approx(plain.difference, abs=0.08)
    assert levelled.offset_s == pytest.approx(plain.offset_s, abs=2e-5)
    without, why = decide(levelled, Thresholds(repair=False))
    assert without == "misaligned" and "level was repaired" in why


@pytest.mark.slow
def test_level_and_speed_are_mended_together(test_data: Path) -> None:
    def change(x: np.ndarray) -> np.ndarray:
        t = np.arange(x.shape[1]) / 44_100
        faster = cases.faster(1000)(x * 10 ** ((6 * np.sin(t / 3)) / 20))
        return faster.astype(np.float32)

    found = _heard(*_pair(test_data, "so_easy", change))
    assert found.repaired == "speed+level" and decide(found, Thresholds())[0] == "kept"


def test_what_must_not_be_kept_is_not_kept_once_it_is_mended(test_data: Path) -> None:
    mixture = song(test_data, "so_easy").mixture
    heard = sound_cases.low(mixture, 44_100)
    for change in (cases.faster(1000), cases.wow(2e-4, 20.0)):
        copy = sound_cases.low(change(mixture), 44_100)
        assert decide(_heard(heard, copy), Thresholds())[0] == "too_similar"
    fading = np.linspace(2, 0.2, len(heard), dtype=np.float32)
    assert decide(_heard(heard, heard * fading), Thresholds())[0] == "too_similar"
    other = sound_cases.low(song(test_data, "mallory").accompaniment, 44_100)
    assert decide(_heard(heard, other), Thresholds())[0] == "too_different"
    assert _heard(heard, other).repaired is None
    backing = sound_cases.low(song(test_data, "so_easy").accompaniment, 44_100)
    voiced = sound_cases.low(cases.faster(1000)(mixture), 44_100)
    assert decide(_heard(backing, voiced), Thresholds())[0] == "swapped"
    assert decide(_heard(backing * fading[: len(backing)], heard), Thresholds())[0] == "swapped"
