"""Voices of pairs whose true voice is known: what is written is true, and what can be mended is.

The fast ones take a short passage of one song; `benchmarks/voices.py` takes all songs and changes.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks import voice_cases, voices
from benchmarks.voice_cases import MENDED, SIDES, SPOILT
from benchmarks.voices import Outcome, Workbench

passage = cache(voice_cases.passage)


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with Workbench() as found:
        yield found


def untrue(outcomes: list[Outcome]) -> list[str]:
    """What must not be."""
    return [voices.line(outcome) for outcome in outcomes if not outcome.is_true]


@pytest.mark.parametrize(
    "change",
    [
        "swapped",
        "right inverted",
        "mono",
        "mono, right inverted",
        "left alone",
        "narrowed to 0.5",
        "left 4 dB down",
        "swapped, right inverted",
    ],
)
@pytest.mark.parametrize("side", SIDES)
def test_channels_are_mended(test_data: Path, bench: Workbench, change: str, side: str) -> None:
    case = voice_cases.case(passage(test_data, "so_easy", 6.0), change, side)
    outcome = bench.outcome(case)
    assert outcome.decision == "kept"
    assert outcome.written == outcome.chunks == 1
    assert outcome.sdr_db is not None and outcome.sdr_db > 50
    assert outcome.leftover_db is not None and outcome.leftover_db < -20


@pytest.mark.parametrize("change", ["right 3 frames late", "above 3 kHz +4 dB", "limited by 6 dB"])
@pytest.mark.parametrize("side", SIDES)
def test_what_cannot_be_mended_is_not_written(
    test_data: Path, bench: Workbench, change: str, side: str
) -> None:
    outcome = bench.outcome(voice_cases.case(passage(test_data, "so_easy", 6.0), change, side))
    assert (outcome.written, outcome.chunks) == (0, 1)
    assert outcome.leftover_db is None


@pytest.mark.slow
def test_levels_apart_are_mended_of_lossless_files_alone(test_data: Path, bench: Workbench) -> None:
    """To raise a channel raises what a codec has hidden under it."""
    given = passage(test_data, "so_easy", 12.0)
    coding = ("mp3", 128)
    even, uneven = (
        bench.outcome(voice_cases.case(given, change, "instrumental"), coding)
        for change in ("swapped", "right 12 dB down")
    )
    assert (even.written, uneven.written) == (2, 0)
    assert even.sdr_db is not None and even.sdr_db > 16


@pytest.mark.slow
def test_what_a_codec_does_not_leave_is_not_written(test_data: Path, bench: Workbench) -> None:
    """Such noise and such a compressor leave a voice at 20 dB, of lossless files; here it would be
    14 dB below what the codec leaves alone, and a clipped mixture 3 to 4 dB."""
    changes = ("nothing", "noise at -25 dB", "compressed 1.2:1", "clipped by 4 dB")
    given = passage(test_data, "so_easy", 24.0)
    outcomes = list(bench.coded(given, changes, [("mp3", 320)]))
    assert untrue(outcomes) == []
    written = [o.case.change for o in outcomes if o.written]
    assert written == ["nothing"]
    assert all(o.written == o.chunks for o in outcomes if o.written)


@pytest.mark.slow
def test_a_mixture_that_was_bent_is_not_written_though_its_codec_leaves_more(
    test_data: Path, bench: Workbench
) -> None:
    """Through MP3 at 128 kbit/s, 1.1 dB below the undisturbed pair."""
    given = passage(test_data, "so_easy", 36.0)
    best = voices.best_of(given, coding := ("mp3", 128))
    plain, bent = (
        bench.outcome(voice_cases.case(given, change, side), coding, best)
        for change, side in (("nothing", "instrumental"), ("softly clipped", "mixture"))
    )
    assert plain.written == plain.chunks and untrue([plain]) == []
    assert bent.written == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["so_easy"])
def test_a_voice_of_lossless_files_is_true_or_not_written(
    test_data: Path, bench: Workbench, name: str
) -> None:
    outcomes = list(bench.lossless(passage(test_data, name, 24.0)))
    assert untrue(outcomes) == []
    for outcome in outcomes:
        if outcome.case.change in MENDED:
            assert outcome.written >= outcome.chunks - 1, voices.line(outcome)  # of 6 s, half of 12
    assert len(outcomes) == 2 * (len(MENDED) + len(SPOILT)) - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("so_easy", ("mp3", 128)),
        ("so_easy", ("m4a", 128)),
        ("song1_planetblupi_sung", ("opus", 128)),
    ],
)
def test_a_voice_through_a_codec_is_as_true_as_the_codec_or_not_written(
    test_data: Path, bench: Workbench, name: str, coding: tuple[str, int]
) -> None:
    outcomes = list(bench.coded(passage(test_data, name, 24.0), codecs=[coding]))
    assert untrue(outcomes) == []
    if coding[0] != "m4a":  # whose encoder leaves as much as it takes of a voice
        written = {o.case.change for o in outcomes if o.written == o.chunks}
        assert {"nothing", "swapped", "right inverted", "mono"} <= written
