"""Every source that users name: its rows, what is no row, and files of something else."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines.catalogue import options, tracks
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.reading import Catalogue
from pipelines.match import command
from stemlode import schemas
from stemlode.runs import BadUsage, Failed
from tests.pipelines.catalogue.sources import exported
from tests.pipelines.catalogue.sources.exported import SOURCES, TITLES, Row

REJECTS = {
    "beets": {"bad_duration": 1},
    "spotify": {"bad_duration": 1, "no_track_id": 1},
    "discogs": {"bad_duration": 1, "no_artist": 1},
    "listenbrainz": {"bad_duration": 1},
    "fma": {"bad_duration": 1},
    "arrow": {"bad_duration": 2},
    f"duckdb:{exported.TABLE}": {"no_track_id": 1},
}


def read(path: Path, source: str | None, **facts: str) -> tuple[list[Row], Counter[str]]:
    """The tracks of a catalogue, and how many rows are rejected for each reason."""
    columns = facts.pop("columns", None)
    catalogue = Catalogue(str(path), columns, Dialect(catalog_format=source, **facts))
    found: list[Row] = []
    rejected: Counter[str] = Counter()
    rows = 0
    for part in catalogue.parts():
        for batch in catalogue.batches(part):
            checked = tracks.check(batch)
            found += tracks.table(batch, checked, checked.good).to_pylist()
            rejected.update(row["error"] for row in tracks.rejects(batch, checked))
            rows += len(batch) + len(batch.rows.broken)
            assert [len(batch.column("title")), len(batch)] == [len(batch)] * 2
        some = list(catalogue.batches(part, ("track_id", "artist_id", "duration_s")))
        for whole, few in zip(catalogue.batches(part), some, strict=True):
            assert whole.column("artist_id").equals(few.column("artist_id"))
    assert rows == len(found) + rejected.total()
    return found, rejected


@pytest.mark.parametrize("source", SOURCES)
def test_songs_and_what_is_none(source: str, tmp_path: Path) -> None:
    found, rejected = read(SOURCES[source](tmp_path), source)
    assert rejected == REJECTS[source]
    assert {row["title"] for row in found} >= {*TITLES}
    song, other = (next(row for row in found if row["title"] == title) for title in TITLES)
    assert song["track_id"] != other["track_id"] and song["artist_id"] == other["artist_id"]
    assert abs(song["duration_s"] - other["duration_s"]) < 1
    assert all(row.keys() == {*schemas.TRACK.names} for row in found)


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_of_another_source_is_bad_usage(source: str, tmp_path: Path) -> None:
    for other, write in SOURCES.items():
        if other == source:
            continue
        folder = tmp_path / other.partition(":")[0]
        folder.mkdir()
        path = write(folder)
        with pytest.raises(BadUsage) as caught:
            read(path, source)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_an_export_looks_like_without_its_name(tmp_path: Path) -> None:
    for source in ("beets", "spotify", "listenbrainz"):
        folder = tmp_path / source
        folder.mkdir()
        path = SOURCES[source](folder)
        if source == "listenbrainz":
            path = folder / "listens.jsonl"
            path.write_text(json.dumps(exported.LISTENS[0]))
        with pytest.raises(BadUsage, match=f"looks like .* --catalog-format {source}"):
            read(path, None)


def test_columns_and_constants_have_the_last_word(tmp_path: Path) -> None:
    path = exported.beets(tmp_path)
    found, _ = read(path, "beets", columns="track_id=path,artist_id=mb_artistid")
    assert [row["track_id"] for row in found] == [
        "/music/Muse/01 Song.flac",
        "/music/Muse/02 Song.flac",
    ]
    assert found[0]["artist_id"] == "9c9f1380"
    dialect = Dialect(catalog_format="spotify", constant=["album=Mine"])
    with pytest.raises(BadUsage, match="column album is in the file, and so is --constant album"):
        Catalogue(str(exported.spotify(tmp_path)), None, dialect).parts()


@pytest.mark.parametrize("name", ["beats", "duckdb", "duckdb:", "", "BEETS"])
def test_a_name_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="is none of beets, spotify"):
        command.main([f"--catalog={tmp_path}", f"--format={name}", f"--output={tmp_path / 'o'}"])


def test_the_page_has_a_command_for_each() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "catalogues.md").read_text()
    for source in SOURCES:
        assert f"--format {source.partition(':')[0]}" in page
    assert options.ADDED["catalog_format"] is None


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("share", [0, 0.6])
def test_a_file_that_breaks_off_is_one_line_or_a_reject(
    source: str, share: float, tmp_path: Path
) -> None:
    path = SOURCES[source](tmp_path)
    whole, _ = read(path, source)
    if source == "arrow":
        cut = path / "train" / "data-00000-of-00002.arrow"
    else:
        cut = path / "tracks.csv" if path.is_dir() else path
    data = cut.read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    try:
        found, rejected = read(path, source)
    except (BadUsage, Failed) as error:
        assert cut.name in str(error) and "\n" not in str(error)
    else:
        assert share == 0 or rejected["bad_row"] == 1
        assert all(row in whole for row in found)


def test_rows_keep_what_is_none_of_ours(tmp_path: Path) -> None:
    found, _ = read(exported.discogs(tmp_path), "discogs")
    assert json.loads(found[0]["extra"]) == {
        "artist_ids": ["5"],
        "master_id": "54",
        "position": "A",
        "release_id": "1",
    }
    assert np.isfinite([row["duration_s"] for row in found]).all()
