"""The plan bounds each part, loses nothing and knows no order; where sound lies is no matter."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune import command, scoring
from stemlode.ids import digest
from tests.pipelines.prune import folders


def _rows(song: int, pairs: int) -> list[dict[str, Any]]:
    return [
        {
            "song_id": digest(str(song)),
            "pair_id": digest(str(song), str(n)),
            "mix_track_id": f"{n % 7}",
            "instrumental_track_id": f"{n // 7}",
        }
        for n in range(pairs)
    ]


@given(sizes=st.lists(st.integers(1, 90), max_size=30), most=st.integers(1, 40), data=st.data())
def test_each_pair_is_in_one_part_and_none_is_too_large(
    sizes: list[int], most: int, data: st.DataObject
) -> None:
    songs = {rows[0]["song_id"]: rows for rows in (_rows(n, k) for n, k in enumerate(sizes))}
    counted = [(song_id, len(rows)) for song_id, rows in songs.items()]
    planned = scoring.plan(counted, most)
    assert planned == scoring.plan(data.draw(st.permutations(counted)), most)
    parts: dict[int, list[str]] = {}
    songs_of: dict[int, set[str]] = {}
    for song_id, rows in songs.items():
        mixed = data.draw(st.permutations(rows))
        placed = [*command.place((song_id, mixed), planned, most)]
        again = [*command.place((song_id, rows), planned, most)]
        key = lambda item: (item[0], item[1]["pair_id"])  # noqa: E731
        assert sorted(placed, key=key) == sorted(again, key=key)
        for part, row in placed:
            parts.setdefault(part, []).append(row["pair_id"])
            songs_of.setdefault(part, set()).add(song_id)
    assert sorted(i for ids in parts.values() for i in ids) == sorted(
        row["pair_id"] for rows in songs.values() for row in rows
    )
    assert all(len(ids) <= most for ids in parts.values())
    assert sorted(parts) == list(range(len(parts)))
    for song_id, rows in songs.items():  # no song is split that need not be
        if len(rows) <= most:
            assert sum(song_id in found for found in songs_of.values()) == 1


def test_a_group_shares_its_mixtures() -> None:
    """64 pairs of 8 × 8 tracks: halves that share all instrumentals need 12 tracks each."""
    rows = [
        {"pair_id": digest(f"{a}{b}"), "mix_track_id": f"{a}", "instrumental_track_id": f"{b}"}
        for a in range(8)
        for b in range(8)
    ]
    halves = scoring.groups(rows, 32)
    assert [len(half) for half in halves] == [32, 32]
    assert [len({row["mix_track_id"] for row in half}) for half in halves] == [4, 4]


def test_small_songs_share_parts() -> None:
    planned = scoring.plan([(f"{n:03d}", 1) for n in range(100)], 32)
    assert Counter(planned.values()) == {0: 32, 1: 32, 2: 32, 3: 4}
    assert scoring.plan([], 32) == {}


@pytest.mark.parametrize("room", [0, 2_000_000])
def test_tracks_in_memory_measure_what_tracks_in_files_do(
    test_data: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Of 30 s in two channels, each 2 MB: none has room, or the first."""
    song = test_data / "audio/multitrack/mallory"
    row = folders.pair("song", song / "mixture.mp3", song / "accompaniment.mp3")
    found = []
    for size in (scoring.IN_MEMORY_BYTES, room):
        monkeypatch.setattr(scoring, "IN_MEMORY_BYTES", size)
        listener = scoring.Listener(Settings(), Thresholds())
        found.append(listener.hear([row]).measures)
        listener.close()
    assert found[0] == found[1]
    assert [measures["decision"] for measures in found[0].values()] == ["kept"]
