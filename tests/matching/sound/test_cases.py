"""Real songs in every disguise: no case is silently wrong, and nearly all are decided rightly.

The fast ones take one song without encoders; `benchmarks/sound.py` takes all of them.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from benchmarks import sound, sound_cases
from benchmarks.sound import Outcome
from benchmarks.sound_cases import Case

full = cache(sound_cases.full)
named = cache(sound_cases.song)


def heard(cases: Iterable[Case]) -> list[Outcome]:
    """All outcomes; none of them may be wrong and sure, and every sure offset is right."""
    outcomes = list(sound.heard(cases))
    assert outcomes
    for outcome in outcomes:
        assert not outcome.wrong_and_sure, (outcome.case.name, outcome.case.song, outcome.scores)
    return outcomes


def wrong(outcomes: Iterable[Outcome]) -> Counter[tuple[str, str, str]]:
    return Counter(
        (outcome.case.name, outcome.case.song, outcome.decision)
        for outcome in outcomes
        if not outcome.right
    )


def test_one_song_in_every_disguise(test_data: Path) -> None:
    song = named(test_data, "so_easy")
    found = heard(sound_cases.true_pairs(song, named(test_data, "mallory").mixture))
    assert wrong(found) == {}
    for outcome in found:
        if outcome.case.drift_ppm is not None:
            assert outcome.scores.repaired == "speed"
            assert outcome.drift_error < 1e-4  # type: ignore[operator]
        if outcome.case.gain_db is not None:
            assert outcome.scores.gain_db == pytest.approx(outcome.case.gain_db, abs=0.1)


def test_a_soft_voice_is_kept_and_what_an_encoder_adds_is_not(test_data: Path) -> None:
    song = named(test_data, "so_easy")
    assert wrong(heard(sound_cases.soft_voices(song))) == {}
    assert wrong(heard(sound_cases.soft_copies(song, (-12,), (64,), ("m4a", "opus")))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", sound_cases.SOFT)
def test_soft_voices_of_all_songs_through_all_encoders(test_data: Path, name: str) -> None:
    song = named(test_data, name)
    assert wrong(heard(sound_cases.soft_voices(song))) == {}
    assert wrong(heard(sound_cases.soft_copies(song, (-12,)))) == {}  # the benchmark: every level


@pytest.mark.slow
def test_pairs_that_must_not_be_kept(test_data: Path) -> None:
    song, another = named(test_data, "so_easy"), named(test_data, "mallory")
    assert wrong(heard(sound_cases.wrong_pairs(song, another, another.mixture))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mallory", "playlist", "song2_rap_92bpm"])
def test_other_songs_in_every_disguise(test_data: Path, name: str) -> None:
    song, another = named(test_data, name), named(test_data, "so_easy")
    found = heard(sound_cases.true_pairs(song, another.mixture))
    found += heard(sound_cases.wrong_pairs(song, another, another.mixture))
    assert sum(wrong(found).values()) <= 2, wrong(found)


@pytest.mark.slow
def test_encoders_neither_hide_a_pair_nor_make_one(test_data: Path) -> None:
    song = named(test_data, "so_easy")
    found = heard(sound_cases.through_codecs(song))
    found += heard(sound_cases.copies(song.name, song.mixture, song.rate, (64, 128)))
    assert wrong(found) == {}


@pytest.mark.slow
def test_unrelated_recordings_are_too_different(test_data: Path) -> None:
    sounds = {
        name: sound_cases.low(samples, 44_100) for name, samples in full(test_data, 20.0).items()
    }
    found = heard(sound_cases.unrelated(sounds))
    assert len(found) == 72
    assert wrong(found) == {}
    assert max(outcome.scores.alignment_confidence or 0.0 for outcome in found) < 0.15
