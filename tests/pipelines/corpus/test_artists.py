"""`--split-by artist`: no artist on two sides, whatever comes when, but where lists say so."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.artists import Artist, of
from pipelines.corpus import artists, splits
from pipelines.corpus.append import Held, HeldSong
from pipelines.corpus.command import VERB
from pipelines.corpus.splits import SplitFacts
from pipelines.verify import command, index
from stemlode import cli, schemas, tables
from stemlode.runs import BadUsage
from tests.pipelines.corpus.test_append import _noise

RATIOS = splits.parse_ratios("train=0.5,valid=0.25,test=0.25")
OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
OPTIONS += ["--window-seconds", "0", "--fingerprints", "off", "--split-by", "artist"]
OPTIONS += ["--split", "train=0.5,valid=0.25,test=0.25"]

_VERIFIED = ("song_id", "split_group", "split", "artists", "listed")


def _facts(song: int, tracks: Iterable[str], keys: Iterable[str], listed: str | None) -> SplitFacts:
    held = tuple(sorted(keys))
    artist = Artist(held[0], held) if held else None
    return SplitFacts(f"r{song}", f"song {song}", f"{song}", tuple(sorted(tracks)), listed, artist)


SONGS = st.builds(
    _facts,
    st.integers(0, 30),
    st.sets(st.sampled_from("uvwxyz"), max_size=1),
    st.sets(st.sampled_from(["name:a", "name:b", "name:c", "id:d", "id:e"]), max_size=2),
    st.sampled_from([None, None, None, "train", "valid", "test"]),
)
BATCHES = st.lists(st.lists(SONGS, max_size=8, unique_by=lambda f: f.song_id), max_size=4)


def _grown(held: Held, batch: Sequence[SplitFacts]) -> Held:
    """What a corpus holds when songs were added, as `corpus` adds them."""
    there = {song.song_id for song in held.songs}
    facts = [*(fact for fact in batch if fact.song_id not in there), *held.known()]
    grouped, _ = artists.together(held.frozen(splits.split_groups(facts, [])), facts, held)
    new = []
    for fact in facts:
        group = grouped[fact.song_id]
        if fact.song_id in there or not group.group:
            continue
        split = group.split or splits.split_of(group.group, RATIOS, 0)
        if fact.split in (None, split):
            keys = fact.artist.keys if fact.artist else ()
            song = HeldSong(fact.song_id, fact.track_ids, group.group, split, keys, fact.split)
            new.append(song)
    return Held("append", "-append1", (*held.songs, *sorted(new)))


def _wrong(held: Held) -> list[str]:
    """What `stemlode verify` says of them."""
    rows = [
        {
            "song_id": song.song_id,
            "split_group": song.group,
            "split": song.split,
            "artists": list(song.artists),
            "listed": song.listed,
        }
        for song in held.songs
    ]
    columns = pa.schema([field for field in schemas.SONG if field.name in _VERIFIED])
    return [*index.artists(pa.Table.from_pylist(rows, columns))]


@given(BATCHES, st.randoms(use_true_random=False))
def test_no_artist_is_on_two_sides_however_a_corpus_grows(
    batches: list[list[SplitFacts]], order: random.Random
) -> None:
    held = Held()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(artists, "MOST", 1.0)
        for batch in batches:
            shuffled = order.sample(batch, len(batch))
            grown = _grown(held, shuffled)
            assert grown == _grown(held, batch)
            assert grown.songs[: len(held.songs)] == held.songs
            held = grown
            assert not _wrong(held)
            groups = {(song.group, song.split) for song in held.songs}
            assert len(groups) == len({group for group, _ in groups})
            listed = {song.song_id: song for song in held.songs if song.listed}
            assert all(song.split == song.listed for song in listed.values())


@given(st.lists(SONGS, unique_by=lambda f: f.song_id, max_size=12))
def test_without_lists_all_come_in_and_an_artist_shares_a_group(songs: list[SplitFacts]) -> None:
    plain = [_facts(int(f.name), (), f.artist.keys if f.artist else (), None) for f in songs]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(artists, "MOST", 1.0)
        held = _grown(Held(), plain)
    assert {song.song_id for song in held.songs} == {fact.song_id for fact in plain}
    for one in held.songs:
        for other in held.songs:
            if {*one.artists} & {*other.artists}:
                assert one.group == other.group
        if not one.artists:
            assert one.group == one.song_id  # nobody's songs are split song by song


def test_verify_finds_what_a_draw_would_not_do() -> None:
    song = HeldSong("song 1", (), "g1", "train", ("name:muse",))
    assert _wrong(
        Held(songs=(song, song._replace(song_id="song 2", group="g2", split="test")))
    ) == ["songs: artist name:muse is in test and in train"]
    other = HeldSong("song 2", (), "g1", "train", ("id:7",))  # of one group: they share a track
    third = HeldSong("song 3", (), "g3", "valid", ("id:7",))
    assert len(_wrong(Held(songs=(song, other, third)))) == 1
    by_list = [one._replace(listed=one.split) for one in (song, third)]
    assert not _wrong(Held(songs=(*by_list, other)))


def test_what_lists_disagree_on_stays_and_the_rest_is_held_out() -> None:
    songs = [_facts(n, (), ["name:muse"], s) for n, s in enumerate(("train", "test", None))]
    songs += [_facts(n, (), (), None) for n in range(3, 9)]
    grouped, counts = artists.together(splits.split_groups(songs, []), songs, Held())
    assert [grouped[f"song {n}"].split for n in range(4)] == ["train", "test", "test", None]
    assert counts == {splits.TWO_SIDES: 1, splits.NOBODYS: 6}


@pytest.mark.parametrize(("songs", "share"), [(6, None), (7, "54% of the songs (7 of 13)")])
def test_an_artist_of_more_than_half_is_refused_by_name(songs: int, share: str | None) -> None:
    found = [_facts(n, (), ["name:muse", "id:4711"], None) for n in range(songs)]
    found += [_facts(n, (), [f"name:{n}"], None) for n in range(songs, 13 if share else 12)]
    grouped = splits.split_groups(found, [])
    if share is None:
        artists.together(grouped, found, Held())
        return
    with pytest.raises(BadUsage, match=r"id:4711, .*--splits") as error:
        artists.together(grouped, found, Held())
    assert share in str(error.value)
    listed = [found[0].__class__(*[*vars(found[0]).values()][:4], "train", found[0].artist)]
    listed += found[1:]
    its, _ = artists.together(splits.split_groups(listed, []), listed, Held())
    assert {its[f"song {n}"].split for n in range(songs)} == {"train"}  # a list is the way out


def test_thousands_of_artists_are_no_matter() -> None:
    found = [_facts(n, (), [f"name:{n % 5000}", f"id:{n % 5000}"], None) for n in range(10_000)]
    grouped, _ = artists.together(splits.split_groups(found, []), found, Held())
    assert len({group.group for group in grouped.values()}) == 5000


def _stems(folder: Path, names: Iterable[str]) -> Path:
    for number, name in enumerate(names):
        for seed, stem in enumerate(("vocals", "drums")):
            _noise(folder / name / f"{stem}.wav", 100 * number + seed)
    return folder


def _run(output: Path, *argv: object) -> int:
    return cli.main(["corpus", "--output", str(output), *OPTIONS, *map(str, argv)])


def test_a_corpus_by_artist_as_a_user_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{artist} - {n}" for artist in ("Muse", "muse", "Abba", "Doe & Poe") for n in "ab"]
    stems = _stems(tmp_path / "stems", [*names, "Unknown Artist - x", "Various Artists - y", "z"])
    assert _run(tmp_path / "out", "--stems", stems, "--seed", "3") == 0
    said = capsys.readouterr().out
    assert "note: 3 songs have no artist that is known, and are split song by song" in said
    rows = {row["name"]: row for row in tables.read(str(tmp_path / "out"), "songs").to_pylist()}
    muse = {(rows[n]["split"], rows[n]["split_group"]) for n in names if n.lower()[:4] == "muse"}
    assert len(muse) == 1 and rows["Abba - a"]["artists"] == ["name:abba"]
    assert rows["Doe & Poe - a"]["artists"] == ["name:doe"] and rows["z"]["artists"] is None
    assert command.check(str(tmp_path / "out"))[0] == []

    more = _stems(tmp_path / "more", ["Muse - c", "Doe feat. Muse - c", "Kim - d"])
    held_in = rows["Muse - a"]["split"]
    away = next(split for split in splits.SPLITS if split != held_in)
    (tmp_path / "list.csv").write_text(f"song,split\nKim - d,test\nMuse - c,{away}\n")
    argv = ["--append", "--stems", more, "--splits", tmp_path / "list.csv", "--seed", "3"]
    assert _run(tmp_path / "out", *argv) == 0
    after = {row["name"]: row for row in tables.read(str(tmp_path / "out"), "songs").to_pylist()}
    assert after["Doe feat. Muse - c"]["split"] == rows["Doe & Poe - a"]["split"]
    assert (after["Kim - d"]["split"], after["Kim - d"]["listed"]) == ("test", "test")
    (lost,) = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    assert (lost["key"], lost["error"]) == ("Muse - c", "two_sides")
    assert "holds songs of" in lost["message"] and held_in in lost["message"]
    assert command.check(str(tmp_path / "out"))[0] == []


def test_an_artist_of_most_songs_is_exit_2_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = _stems(tmp_path / "stems", ["Muse - a", "Muse - b", "Muse - c", "Abba - d"])
    assert _run(tmp_path / "out", "--stems", stems) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "75% of the songs (3 of 4) are by Muse" in line and "--split-by song" in line
    assert not (tmp_path / "out").exists()


def test_a_plan_from_before_means_song_by_song() -> None:
    assert VERB.added["split_by"] == "song"


def test_artists_of_a_real_catalogue_are_split_whole(test_data: Path) -> None:
    """Credits as services print them, beside the ids that they give the first of them."""
    table = pq.read_table(test_data / "catalogs" / "playlists.parquet")
    rows = table.take([*range(0, table.num_rows, 15)]).to_pylist()
    facts = []
    for row in rows:
        credit = row["artists"].replace("; ", ", ")
        artist = of(row["artist_id"], credit)
        facts.append(SplitFacts("", row["track_id"], "", (row["track_id"],), None, artist))
    grouped, _ = artists.together(splits.split_groups(facts, []), facts, Held())
    found: dict[str, set[str]] = {}
    for row, fact in zip(rows, facts, strict=True):
        if fact.artist:
            group = grouped[row["track_id"]].group
            found.setdefault(row["artist_id"], set()).add(splits.split_of(group, RATIOS, 0))
    assert all(len(sides) == 1 for sides in found.values())
    drawn = [side for sides in found.values() for side in sides]
    assert abs(drawn.count("train") / len(drawn) - 0.5) < 0.05
    nobodys = {row["artist"] for row, fact in zip(rows, facts, strict=True) if not fact.artist}
    assert nobodys <= {"Anonymous", "Traditional", "Various Artists", "Unknown", ""}
