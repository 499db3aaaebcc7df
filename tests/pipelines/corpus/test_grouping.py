"""Groups of songs: they stay together, lists win, and a report says what was joined."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpus import splits
from pipelines.corpus.splits import SplitFacts
from stemlode import cli, runs, tables
from stemlode.ids import digest
from stemlode.runs import BadUsage
from tests.matching.sound.test_fingerprints import RATE, _music

names = st.sampled_from("abcdefgh")
knowns = st.lists(
    st.builds(
        lambda n, song, tracks, split: SplitFacts(
            f"r{n}", song, f"name {song}", tuple(tracks), split
        ),
        st.integers(0, 99),
        names,
        st.lists(st.sampled_from("tuvw"), max_size=2),
        st.sampled_from([None, None, "train", "valid", "test"]),
    ),
    max_size=12,
)


@given(knowns, st.data())
def test_songs_that_share_anything_share_a_group(
    found: list[SplitFacts], data: st.DataObject
) -> None:
    songs = sorted({known.song_id for known in found})
    pairs = st.tuples(st.sampled_from(songs), st.sampled_from(songs)) if songs else st.nothing()
    alike = [
        (a, b, "why") for a, b in data.draw(st.lists(pairs, max_size=3) if songs else st.just([]))
    ]
    held = splits.split_groups(found, alike)
    assert sorted(held) == songs
    assert held == splits.split_groups(found[::-1], alike[::-1])
    for a, b, _ in alike:
        assert (held[a].group, held[a].split) == (held[b].group, held[b].split)
    for one in found:
        for other in found:
            if set(one.track_ids) & set(other.track_ids):
                assert held[one.song_id].group == held[other.song_id].group
        if one.split == "test":
            assert held[one.song_id].split == "test"


def test_what_was_joined_says_to_whom_and_why() -> None:
    found = [
        SplitFacts("1", "a", "Song A", ("t",), None),
        SplitFacts("2", "b", "Song B", ("t",), None),
    ]
    held = splits.split_groups(
        [*found, SplitFacts("3", "c", "Song C", (), None)], [("a", "c", "sounds the same")]
    )
    assert held["a"].joined == ("Song B: both have track t", "Song C: sounds the same")
    assert held["c"].joined == ("Song A: sounds the same",)


@pytest.mark.parametrize(
    "text",
    ["a,b\n", "song,split\nx,dev\n", "song,split\nx\n", "song,split\nx,train\nx,test\n", "\xff"],
)
def test_a_split_list_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadUsage, match=r"--splits .*list\.csv"):
        splits.read_list(str(path))


def _corpus(folder: Path, *argv: str) -> dict[str, dict[str, object]]:
    """A corpus of a folder's stems at a low rate: rows of its table of songs, by name."""
    out = folder / "out"
    small = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "5"]
    command = ["corpus", "--stems", str(folder / "in"), "--output", str(out), *small, *argv]
    assert cli.main(command) == 0
    assert cli.main(["verify", str(out)]) == 0
    return {str(row["name"]): row for row in tables.read(str(out), "songs").to_pylist()}


def _song(folder: Path, name: str, music: np.ndarray, voice: np.ndarray) -> None:
    (folder / name).mkdir(parents=True)
    soundfile.write(folder / name / "accompaniment.wav", music, RATE)
    soundfile.write(folder / name / "vocals.wav", voice, RATE)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Four songs; the third is the first at another level, later, under another name."""
    music = {seed: _music(seed, 25) for seed in range(6)}
    for number, seed in enumerate((0, 1, 2)):
        _song(tmp_path / "in", f"song {number}", music[seed], music[seed + 3] * 0.3)
    late = [np.concatenate([np.zeros(RATE), music[seed] * 0.5])[:-RATE] for seed in (0, 3)]
    _song(tmp_path / "in", "song 0 (Remaster)", late[0], late[1] * 0.3)
    return tmp_path


@pytest.mark.slow
def test_one_recording_under_two_names_is_in_one_split(songs: Path) -> None:
    found = _corpus(songs, "--split", "train=0.5,valid=0.25,test=0.25", "--seed", "3")
    first, again = found["song 0"], found["song 0 (Remaster)"]
    assert (first["split"], first["split_group"]) == (again["split"], again["split_group"])
    (joined,) = again["joined"]  # type: ignore[misc]
    assert joined.startswith("song 0: sounds the same: ") and "shift of +0.99 s" in joined
    assert found["song 1"]["joined"] is None


def test_a_list_wins_and_a_listed_song_is_never_on_two_sides(songs: Path) -> None:
    (songs / "list.csv").write_text(
        "song,split\nsong 0,train\nsong 0 (Remaster),test\nsong 1,valid\nsnog 2,test\n"
    )
    found = _corpus(songs, "--split", "train=1", "--splits", str(songs / "list.csv"))
    assert {name: row["split"] for name, row in found.items()} == {
        "song 0 (Remaster)": "test",
        "song 1": "valid",
        "song 2": "train",
    }
    (lost,) = tables.read(str(songs / "out"), "rejects").to_pylist()
    assert (lost["key"], lost["error"]) == ("song 0", "two_sides")
    assert "sounds the same" in lost["message"]
    counts = runs.record(str(songs / "out"))["counts"]
    assert (counts["split_entries"], counts["split_entries_used"]) == (4, 3)  # one is mistyped


@pytest.mark.slow
def test_a_song_that_is_added_later_is_held_against_those_that_are_there(songs: Path) -> None:
    later = songs / "later"
    later.mkdir()
    (songs / "in" / "song 0 (Remaster)").rename(later / "song 0 (Remaster)")
    shares = ("--split", "train=0,valid=0.5,test=0.5")
    for seed in range(9):  # where, by itself, it would go elsewhere than the song that is there
        ids = [digest("stems", name) for name in ("song 0", "song 0 (Remaster)")]
        ratios = {"valid": 0.5, "test": 0.5}
        if len({splits.split_of(name, ratios, seed) for name in ids}) > 1:
            break
    first = _corpus(songs, *shares, "--seed", str(seed))["song 0"]
    small = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "5"]
    argv = ["corpus", "--append", "--stems", str(later), "--output", str(songs / "out"), *small]
    assert cli.main([*argv, *shares, "--seed", str(seed)]) == 0
    rows = tables.read(str(songs / "out"), "songs").to_pylist()
    (again,) = (row for row in rows if row["name"] == "song 0 (Remaster)")
    assert (again["split"], again["split_group"]) == (first["split"], first["split_group"])
    assert "sounds the same" in again["joined"][0]
    assert cli.main(["verify", str(songs / "out")]) == 0
