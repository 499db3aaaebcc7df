"""Splits: no song, and nothing that shares a recording with it, is ever in two splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpus import splits
from stemlode.runs import BadUsage

SONGS = st.lists(
    st.tuples(st.integers(0, 15).map("song {}".format), st.sets(st.sampled_from("abcdefghij"))),
    max_size=25,
)


def _spread(songs: list[tuple[str, set[str]]], start: str) -> tuple[set[str], set[str]]:
    """Songs and tracks that are reached from a song, by going on until nothing new comes."""
    reached, tracks = {start}, set[str]()
    while True:
        more = tracks.union(*(held for song, held in songs if song in reached))
        found = {song for song, held in songs if song in reached or held & more}
        if (found, more) == (reached, tracks):
            return reached, tracks
        reached, tracks = found, more


@given(SONGS)
def test_groups_are_the_connected_songs_and_their_smallest_track(
    songs: list[tuple[str, set[str]]],
) -> None:
    found = splits.groups(songs)
    assert found == splits.groups(songs[::-1])
    assert set(found) == {song for song, _ in songs}
    for song, group in found.items():
        others, tracks = _spread(songs, song)
        assert group == (min(tracks) if tracks else song)
        assert {other for other, held in found.items() if held == group} == others


def test_splits_follow_their_ratios_and_the_seed() -> None:
    ratios = splits.parse_ratios("train=0.9,valid=0.05,test=0.05")
    drawn = [splits.split_of(f"group {n}", ratios, 0) for n in range(20_000)]
    for name, ratio in ratios.items():
        assert abs(drawn.count(name) / 20_000 - ratio) < 0.005
    assert drawn == [splits.split_of(f"group {n}", ratios, 0) for n in range(20_000)]
    again = [splits.split_of(f"group {n}", ratios, 1) for n in range(1000)]
    assert again != drawn[:1000]


@given(st.text(), st.integers())
def test_a_share_of_nothing_gets_nothing(group: str, seed: int) -> None:
    assert splits.split_of(group, splits.parse_ratios("train=1,valid=0"), seed) == "train"
    assert splits.split_of(group, splits.parse_ratios("valid=0,test=1"), seed) == "test"


@pytest.mark.parametrize(
    "text", ["train=0.9", "train", "train=1,train=0", "dev=1", "train=2,valid=-1", "train=nan", ""]
)
def test_bad_ratios_are_named(text: str) -> None:
    with pytest.raises(BadUsage, match="--split"):
        splits.parse_ratios(text)


def test_a_split_that_stays_empty_is_said() -> None:
    ratios = splits.parse_ratios("train=0.9,valid=0.1")
    assert not splits.notes(ratios, {"samples_train": 9, "samples_valid": 1})
    (note,) = splits.notes(ratios, {"samples_train": 9})
    assert "no song fell to valid" in note and "--splits" in note
    (note,) = splits.notes(ratios, {"samples_test": 9})
    assert "no song fell to train and valid" in note
    assert not splits.notes(splits.parse_ratios("train=1"), {"samples_train": 9})
    assert not splits.notes(ratios, {})  # a corpus of nothing has words of its own


def test_lines_of_a_list_that_name_nothing_are_said() -> None:
    counts = {"split_entries": 3, "split_entries_used": 1}
    (note,) = splits.notes({"train": 1.0}, counts)
    assert "2 of 3 lines of --splits" in note
    assert not splits.notes({"train": 1.0}, {**counts, "split_entries_used": 3})


def test_a_list_may_name_a_file_without_its_extension() -> None:
    fact = splits.SplitFacts("1", "2", "x/Mr. Big - 1.flac", (), None)
    assert splits.listed(fact, {"x/Mr. Big - 1": "test"}) == "test"
    folder = splits.SplitFacts("1", "2", "Mr. Big", (), None)
    assert splits.listed(folder, {"Mr": "test"}) is None
