"""What of a backing seems to be left in a voice, by kind, against what was left there."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import voice_cases
from benchmarks.voice_cases import RATE, SPOILT
from pipelines.samples import leftover
from pipelines.samples.encoders import NONE
from pipelines.samples.leftover import Leftover

passage = cache(voice_cases.passage)


def found_db(part: float, whole: Leftover) -> float:
    return 10 * math.log10(max(part, 1e-12 * whole.voice) / whole.voice)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("right 3 frames late", "coloured"),
        ("above 200 Hz +2 dB", "coloured"),
        ("panned to and fro by 30 %", "moving"),
        ("limited by 6 dB", "bent"),
        ("noise at -25 dB", "noise"),
    ],
)
def test_each_kind_of_leftover_is_told(test_data: Path, change: str, kind: str) -> None:
    given = passage(test_data, "so_easy", 12.0)
    a, v = given.accompaniment, given.vocals
    spoilt = SPOILT[change](a)
    true = leftover.measure(a + v, a, RATE)
    found = leftover.measure(a + v, spoilt, RATE)
    assert found_db(getattr(true, kind), true) < -35
    assert found_db(getattr(found, kind), found) > -25
    really_db = 10 * math.log10(np.mean((a - spoilt) ** 2) / np.mean((a + v - spoilt) ** 2))
    assert really_db - 3 < found_db(found.left, found) < really_db + 8
    assert found_db(true.left, true) < -28


@pytest.mark.parametrize(("over_db", "hard"), [(2, True), (4, True), (4, False)])
def test_what_the_peaks_of_a_mixture_lack_is_told(
    test_data: Path, over_db: float, hard: bool
) -> None:
    given = passage(test_data, "so_easy", 12.0)
    a, v = given.accompaniment, given.vocals
    most = np.abs(a + v).max() / np.float32(10 ** (over_db / 20))
    spoilt = np.clip(a + v, -most, most) if hard else most * np.tanh((a + v) / most)
    found = leftover.measure(spoilt, a, RATE, (NONE, NONE))
    lost = np.mean((spoilt - (a + v)) ** 2) / np.mean((spoilt - a) ** 2)
    told_db = found_db(found.clipped, found) - 10 * math.log10(lost)
    assert (-10 if hard else -14) < told_db < 2  # a tanh bends what is no peak, too
    if not hard:
        assert -3 < found_db(found.bent_in_all, found) - 10 * math.log10(lost) < 5


def test_peaks_that_are_whole_lack_nothing(test_data: Path) -> None:
    given = passage(test_data, "so_easy", 12.0)
    a, v = given.accompaniment, given.vocals
    for backing in (a, np.clip(a, -0.3, 0.3)):  # a backing that was clipped before it was sung to
        found = leftover.measure(backing + v, backing, RATE, (NONE, NONE))
        assert found_db(found.clipped, found) < -60
    silent = np.zeros_like(a)
    assert leftover.measure(silent, silent, RATE, (NONE, NONE)).clipped == 0


def test_what_is_too_short_or_silent_leaves_nothing() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32)
    assert leftover.measure(noise[:, :3000], noise[:, :3000], RATE) == Leftover()
    alone = leftover.measure(noise, 0 * noise, RATE)
    assert alone.voice > 0 and alone.backing == 0 and alone.explained == 0


def test_leftovers_add_up() -> None:
    found = Leftover(4.0, 3.0, 2.0, 1.0, 0.5, 0.25, 8).plus(Leftover(1, 1, 1, 1, 1, 1, 4), 0.5)
    assert found == Leftover(4.5, 3.5, 2.5, 1.5, 1.0, 0.75, 10.0)
