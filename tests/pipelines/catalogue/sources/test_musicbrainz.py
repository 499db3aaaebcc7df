"""A MusicBrainz dump of recordings is a catalogue as it is; others are named for what they are."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.catalogue import tracks
from pipelines.catalogue.reading import Catalogue
from pipelines.catalogue.sources import musicbrainz
from stemlode.runs import BadUsage, Failed


def recording(number: int, **facts: Any) -> dict[str, Any]:
    """An object as MusicBrainz writes it, shortened."""
    artist = {"id": "artist-1", "name": "The Supremes", "sort-name": "Supremes, The", "aliases": []}
    return {
        "id": f"recording-{number}",
        "title": "Baby Love",
        "length": 158_040,
        "video": False,
        "disambiguation": "",
        "artist-credit": [{"name": "The Supremes", "joinphrase": "", "artist": artist}],
        "isrcs": ["USMO16482374", "USMO19500342"],
        "first-release-date": "1964-09-17",
        "relations": [],
        "rating": {"votes-count": 3, "value": 4.35},
    } | facts


def performance(work: str, *attributes: str) -> dict[str, Any]:
    return {"type": "performance", "work": {"id": work}, "attributes": list(attributes)}


RECORDINGS = [
    recording(0, relations=[performance("work-1"), {"type": "producer", "artist": {"id": "x"}}]),
    recording(1, disambiguation="instrumental", length=158_000, isrcs=[]),
    recording(2, relations=[performance("work-1", "karaoke"), performance("work-2")]),
    recording(3, length=None),
    recording(
        4,
        **{
            "artist-credit": [
                {"name": "Diana Ross", "joinphrase": " & ", "artist": {"id": "artist-2"}},
                {"name": "The Supremes", "joinphrase": "", "artist": {"id": "artist-1"}},
            ],
            "first-release-date": "1969",
        },
    ),
]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def archive(path: Path, name: str, data: bytes) -> Path:
    """As MusicBrainz packs a dump: notes first, then one file."""
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as packed:
        for member, content in (("TIMESTAMP", b"2026"), ("README", b"x"), (name, data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    given = Catalogue(str(path))
    rows, rejects = [], []
    for part in given.parts():
        for batch in given.batches(part):
            checked = tracks.check(batch)
            rows += tracks.table(batch, checked, checked.good).to_pylist()
            rejects += tracks.rejects(batch, checked)
            assert len(batch.column("title")) == len(batch)
            assert batch.texts("artist_ids", pa.array(range(len(batch))), ";").to_pylist()[0] == [
                "artist-1"
            ]
    return rows, rejects


@pytest.mark.parametrize(
    "name", ["recording.tar.xz", "recording.tar", "recording", "dump.jsonl", "dump.json.zst"]
)
def test_recordings_are_tracks(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if ".tar" in name:
        archive(path, "mbdump/recording", lines(RECORDINGS))
    else:
        data = lines(RECORDINGS)
        path.write_bytes(pa.compress(data, "zstd", asbytes=True) if ".zst" in name else data)
    for given in (path, tmp_path):  # a folder that holds it, too
        rows, (reject,) = read(given)
        assert (reject["key"], reject["error"]) == ("recording-3", "bad_duration")
    assert [row["title"] for row in rows] == [
        "Baby Love",
        "Baby Love (instrumental)",
        "Baby Love (karaoke)",
        "Baby Love",
    ]
    first, second, third, fourth = rows
    assert first["track_id"] == first["recording_id"] == "recording-0"
    assert (first["artist"], first["artist_id"]) == ("The Supremes", "artist-1")
    assert (first["duration_s"], second["duration_s"]) == (158.04, 158.0)
    assert (first["isrc"], second["isrc"]) == ("USMO16482374", None)
    assert [row["work_id"] for row in rows] == ["work-1", None, None, None]
    assert [row["release_year"] for row in rows] == [1964, 1964, 1964, 1969]
    assert fourth["artist"] == "Diana Ross & The Supremes" and fourth["artist_id"] == "artist-2"
    assert json.loads(second["extra"])["disambiguation"] == "instrumental"
    assert third["title"] == "Baby Love (karaoke)"  # what the relation to the work says


@pytest.mark.parametrize(
    ("member", "row", "words"),
    [
        ("mbdump/work", {"id": "w", "title": "x", "iswcs": []}, "dump of works"),
        ("mbdump/artist", {"id": "a", "name": "x", "sort-name": "x"}, "dump of artists"),
        ("mbdump/release", {"id": "r", "artist-credit": [], "barcode": None}, "dump of releases"),
        ("elsewhere", {"id": "r"}, "not a MusicBrainz dump"),
    ],
)
def test_other_dumps_are_named(member: str, row: dict, words: str, tmp_path: Path) -> None:
    packed = archive(tmp_path / "packed.tar.xz", member, lines([row]))
    with pytest.raises(BadUsage, match=rf"packed\.tar\.xz: .*{words}"):
        Catalogue(str(packed)).parts()
    if words.startswith("dump"):
        (tmp_path / "unpacked.json").write_bytes(lines([row]))
        with pytest.raises(BadUsage, match=rf"unpacked\.json: .*{words}.*recording"):
            Catalogue(str(tmp_path / "unpacked.json")).parts()


@pytest.mark.parametrize("cut", [0.5, 0.95])
def test_half_a_dump_is_named(cut: float, tmp_path: Path) -> None:
    noise = [recording(n, annotation=np.random.default_rng(n).bytes(99).hex()) for n in range(999)]
    path = archive(tmp_path / "recording.tar.xz", "mbdump/recording", lines(noise))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(Failed, match=r"recording\.tar\.xz: cannot be read"):
        read(path)


@pytest.mark.parametrize("value", [None, 3, "x", [], [3], {}, [{"artist": 3, "name": 3}]])
def test_values_of_other_types_harm_nobody(value: Any) -> None:
    for name in ("title", "disambiguation", "artist-credit", "isrcs", "relations"):
        row = musicbrainz.track(recording(0, **{name: value}))
        assert row["track_id"] == "recording-0"


def test_videos_and_artists_that_nobody_knows() -> None:
    assert musicbrainz.track(recording(0))["is_video"] is None
    assert musicbrainz.track(recording(0, video=True))["is_video"] is True
    unknown = {"name": "[unknown]", "joinphrase": "", "artist": {"id": musicbrainz.UNKNOWN}}
    row = musicbrainz.track(recording(0, **{"artist-credit": [unknown]}))
    assert (row["artist"], row["artist_id"], row["artist_ids"]) == (None, None, [])
    known = recording(0)["artist-credit"][0]
    row = musicbrainz.track(recording(0, **{"artist-credit": [unknown, known]}))
    assert (row["artist"], row["artist_id"]) == ("[unknown]The Supremes", "artist-1")
