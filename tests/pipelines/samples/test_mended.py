"""Voices of pairs that run faster, drift or were edited: written of real songs, they are true.

`benchmarks/repair.py` takes all songs, changes and codecs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import repair, voice_cases, voices
from benchmarks.voices import Workbench

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with Workbench() as found:
        yield found


@pytest.mark.parametrize(
    ("change", "least_db"),
    [
        ("-30 ppm", 50.0),
        ("+10000 ppm", 50.0),
        ("wow of 0.02 % in 30 s", 20.0),
        ("another intro", 50.0),
        ("5 s cut out", 50.0),
    ],
)
def test_a_mended_pair_gives_true_voices(
    test_data: Path, bench: Workbench, change: str, least_db: float
) -> None:
    passage = voice_cases.passage(test_data, "song1_planetblupi_sung", 36.0)
    outcome = bench.outcome(repair.case_of(passage, change))
    assert outcome.used and outcome.written and outcome.is_true, voices.line(outcome)
    assert outcome.sdr_db is not None and outcome.sdr_db > least_db


def test_through_a_codec_it_is_as_true_as_the_codec_lets_it_be(
    test_data: Path, bench: Workbench
) -> None:
    passage = voice_cases.passage(test_data, "song2_rap_92bpm", 24.0)
    coding = ("mp3", 320)
    case = repair.case_of(passage, "+1000 ppm")
    outcome = bench.outcome(case, coding, voices.best_of(passage, coding))
    assert outcome.used
    assert outcome.is_true, voices.line(outcome)
