"""What of a backing seems to be left in a voice, by kind, against what was left there."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import voice_cases
from benchmarks.voice_cases import RATE, SPOILT
from pipelines.samples import leftover
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


def test_what_is_too_short_or_silent_leaves_nothing() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32)
    assert leftover.measure(noise[:, :3000], noise[:, :3000], RATE) == Leftover()
    alone = leftover.measure(noise, 0 * noise, RATE)
    assert alone.voice > 0 and alone.backing == 0 and alone.explained == 0


def test_leftovers_add_up() -> None:
    found = Leftover(4.0, 3.0, 2.0, 1.0, 0.5, 0.25, 8).plus(Leftover(1, 1, 1, 1, 1, 1, 4), 0.5)
    assert found == Leftover(4.5, 3.5, 2.5, 1.5, 1.0, 0.75, 10.0)
