"""What beets, Exportify and FMA call our columns, and a streaming history."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage
from tests.pipelines.catalogue.sources import exported
from tests.pipelines.catalogue.sources.test_named import read


def test_beets_library(tmp_path: Path) -> None:
    for path in (exported.beets(tmp_path), exported.beets_csv(tmp_path)):
        (song, other), _ = read(path, "beets")
        assert (song["track_id"], song["recording_id"]) == ("1", "b1a9c0e9")
        assert (song["audio_uri"], song["duration_s"]) == ("/music/Muse/01 Song.flac", 201)
        assert (song["genre"], song["isrc"], song["release_year"]) == (
            "Rock; Pop",
            "GBAHT0500600",
            2001,
        )
        assert other["release_year"] is None and other["recording_id"] is None


def test_beets_tags_have_no_id_and_no_path(tmp_path: Path) -> None:
    tags = {"artist": "Muse", "genre": "Rock", "genres": ["Rock"], "length": 201.37, "title": "S"}
    tags |= {"mb_trackid": "b1", "mb_artistids": ["9c"], "year": 2001, "mb_workid": None}
    (tmp_path / "tags.json").write_text(json.dumps([tags, {**tags, "mb_trackid": None}], indent=4))
    (song,), rejected = read(tmp_path / "tags.json", "beets")
    assert (song["track_id"], song["duration_s"], song["genre"]) == ("b1", 201.37, "Rock")
    assert song["audio_uri"] is None and rejected == {"no_track_id": 1}


def test_exportify_with_and_without_uris_of_artists(tmp_path: Path) -> None:
    path = exported.spotify(tmp_path)
    rows, _ = read(path, "spotify")
    assert rows[0]["artist_id"] == "spotify:artist:a"
    assert rows[0]["artist"] == "Tyler, The Creator, B"
    assert (rows[0]["duration_s"], rows[0]["isrc"], rows[0]["release_year"]) == (201.4, "GB1", 2019)
    lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    kept = [[value for place, value in enumerate(line) if place != 2] for line in lines]
    kept[0] = [name.removeprefix("Track ") if "Dur" in name else name for name in kept[0]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    again, _ = read(path, "spotify")
    assert again[0]["artist_id"] == again[1]["artist_id"] != "spotify:artist:a"
    assert again[0]["duration_s"] == 201.4


def test_fma_names_the_files_of_whole_songs(tmp_path: Path) -> None:
    folder = exported.fma(tmp_path)
    (song, _), _ = read(folder, "fma")
    assert song["audio_uri"] == f"{folder}/000/000002.mp3"
    assert (song["licence"], song["genre"], song["artist_id"]) == ("CC BY", "Hip-Hop", "1")
    assert (song["album"], song["release_year"], song["duration_s"]) == ("AWOL", 2009, 168)


@pytest.mark.parametrize("play", [exported.EXTENDED_HISTORY, exported.HISTORY])
def test_a_streaming_history_has_no_durations(play: dict, tmp_path: Path) -> None:
    (tmp_path / "Streaming_History_Audio_2019-2020_0.json").write_text(json.dumps([play]))
    with pytest.raises(BadUsage, match=r"2020_0\.json: a streaming history has no lengths"):
        read(tmp_path, "spotify")


def test_an_extended_history_with_durations_is_a_catalogue(tmp_path: Path) -> None:
    play = {**exported.EXTENDED_HISTORY, "ms_played": 1, "duration_ms": 201_400}
    (tmp_path / "Streaming_History_Audio_2020.json").write_text(json.dumps([play, play]))
    (song, _), rejected = read(tmp_path, "spotify")
    assert (song["track_id"], song["duration_s"]) == ("spotify:track:1", 201.4)
    assert not rejected
    dialect = Dialect(catalog_format="spotify")
    del play["duration_ms"]
    (tmp_path / "Streaming_History_Audio_2020.json").write_text(json.dumps([{**play, "length": 9}]))
    (batch,) = Catalogue(str(tmp_path), "duration_s=length", dialect).batches(
        Catalogue(str(tmp_path), "duration_s=length", dialect).parts()[0]
    )
    assert batch.column("duration_s").to_pylist() == ["9"]
