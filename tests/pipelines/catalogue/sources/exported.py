"""Small files as the programs write them that users have catalogues from.

What beets 2.14 and `datasets` 5.2 wrote is shortened, not changed; DuckDB writes its file itself.
Each holds a song and its instrumental, and what such files hold beside good rows.
"""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

Row = dict[str, Any]
TITLES = ("Söng", "Söng (Instrumental)")

BEETS = """\
{"added": "2026-11-25 21:43:02","album": "Alb, \\"um\\"","artist": "Muse","artists": "",\
"genres": "Rock; Pop",\
"id": "1","isrc": "GBAHT0500600","length": "3:21","mb_artistid": "9c9f1380",\
"mb_artistids": "9c9f1380; 7",\
"mb_trackid": "b1a9c0e9","mb_workid": "","path": "/music/Muse/01 Song.flac","title": "Söng",\
"year": "2001"}
{"added": "2026-11-25 21:43:02","album": "","artist": "Muse","artists": "","genres": "",\
"id": "2","isrc": "","length": "3:21","mb_artistid": "","mb_artistids": "",\
"mb_trackid": "","mb_workid": "","path": "/music/Muse/02 Song.flac",\
"title": "Söng (Instrumental)","year": "0000"}
{"added": "2026-11-25 21:43:02","album": "","artist": "Muse","artists": "","genres": "",\
"id": "3","isrc": "","length": "0:00","mb_artistid": "","mb_artistids": "",\
"mb_trackid": "","mb_workid": "","path": "/music/Muse/03 X.flac","title": "X","year": "0000"}
"""

EXPORTIFY = """\
"Track URI","Track Name","Artist URI(s)","Artist Name(s)","Album Name","Album Release Date",\
"Track Duration (ms)","ISRC","Added At"
"spotify:track:1","Söng","spotify:artist:a, spotify:artist:b","Tyler, The Creator, B","Igor",\
"2019-05-17",\
"201400","GB1","2020"
"spotify:track:2","Söng (Instrumental)","spotify:artist:a, spotify:artist:b","Tyler, The Creator,\
 B","Igor",\
"2019","201100","","2020"
"spotify:track:2","Söng (Instrumental)","spotify:artist:a, spotify:artist:b","Tyler, The Creator,\
 B","Igor",\
"2019","201100","","2021"
"spotify:local:A:B:C:200","Local","","A","","","0","","2020"
"","Nameless","","A","","","1000","","2020"
"""

DISCOGS = """\
<?xml version="1.0" encoding="UTF-8"?>
<releases>
<release id="1" status="Accepted"><images><image height="600" type="primary" uri="" width="600"/>\
</images>\
<artists><artist><id>5</id><name>Madonna (2)</name><anv></anv><join></join><role></role></artist>\
</artists>\
<title>Stockholm &amp; Co</title><extraartists><artist><id>239</id><name>X</name></artist>\
</extraartists>\
<genres><genre>Electronic</genre></genres><country>Sweden</country><released>1999-03-00</released>\
<master_id is_main_release="true">54</master_id><tracklist>\
<track><position>A</position><title>Söng</title><duration>4:45</duration></track>\
<track><position>B1</position><title>Söng (Instrumental)</title><duration>4:45</duration></track>\
<track><position></position><title>Side C</title><duration></duration></track>\
<track><position>C</position><title>Suite</title><duration>1:05:16</duration><sub_tracks>\
<track><position>C.a</position><title>Part</title><duration>3:10</duration>\
<artists><artist><id>7</id><name>X</name><anv>XX</anv><join>feat.</join></artist>\
<artist><id>8</id><name>Y (3)</name><join>,</join></artist></artists></track></sub_tracks></track>\
<track><position>C</position><title>Suite again</title><duration>2:00</duration></track>\
</tracklist><videos><video duration="290" src="x"><title>y</title></video></videos></release>
<release id="2" status="Accepted"><artists><artist><id>194</id><name>Various</name></artist>\
</artists>\
<title>Hits</title><released></released><tracklist>\
<track><position>1</position><title>Of nobody</title><duration>3:00</duration></track>\
</tracklist></release>
</releases>
"""

FMA = """\
,album,album,artist,artist,set,track,track,track,track
,date_released,title,id,name,subset,duration,genre_top,license,title
track_id,,,,,,,,,
2,2009-01-05 00:00:00,AWOL,1,AWOL,small,168,Hip-Hop,CC BY,Söng
3,2009-01-05 00:00:00,AWOL,1,AWOL,medium,168,Hip-Hop,CC BY,Söng (Instrumental)
20,,,4,N,large,,,,Lengthless
"""

EXTENDED_HISTORY = {
    "ts": "2020-01-01T00:00:00Z",
    "platform": "ios",
    "ms_played": 201400,
    "master_metadata_track_name": "Söng",
    "master_metadata_album_artist_name": "Muse",
    "master_metadata_album_album_name": "A",
    "spotify_track_uri": "spotify:track:1",
}
HISTORY = {"endTime": "2020-01-01 00:00", "artistName": "Muse", "trackName": "S", "msPlayed": 9}


def listen(number: int, title: str, recording: str | None = None, **info: Any) -> Row:
    """A listen as ListenBrainz exports it."""
    mapped = recording and {"recording_mbid": recording, "artist_mbids": ["a"], "artists": []}
    metadata = {
        "track_name": title,
        "artist_name": "Muse",
        "release_name": "A",
        "recording_msid": f"ms{number}",
        "mbid_mapping": mapped,
        "additional_info": info,
    }
    return {"listened_at": 1_600_000_000 + number, "inserted_at": 1.5, "track_metadata": metadata}


LISTENS = [
    listen(1, TITLES[0], "mb1", duration_ms=201_400),
    listen(2, TITLES[0], "mb1", duration_ms=201_400),
    listen(3, TITLES[1], duration_ms="201100", isrc="GB1"),
    listen(4, "No length", "mb4"),
    listen(5, "In seconds", "mb5", duration=123),
]


def beets(folder: Path) -> Path:
    path = folder / "library.jsonl"
    path.write_text(BEETS)
    return path


def beets_csv(folder: Path) -> Path:
    rows = [json.loads(line) for line in BEETS.splitlines()]
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "library.csv"
    path.write_text(sink.getvalue(), newline="")
    return path


def spotify(folder: Path) -> Path:
    path = folder / "liked_songs.csv"
    path.write_text(EXPORTIFY, encoding="utf-8-sig")
    return path


def discogs(folder: Path) -> Path:
    path = folder / "discogs_20250901_releases.xml.gz"
    path.write_bytes(gzip.compress(DISCOGS.encode()))
    return path


def listenbrainz(folder: Path) -> Path:
    path = folder / "listenbrainz_me_1700000000.zip"
    lines = [json.dumps(entry) + "\n" for entry in LISTENS]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("user.json", '{"user_id": 1, "username": "me"}\n')
        archive.writestr("listens/2020/1.jsonl", "".join(lines[:2]))
        archive.writestr("listens/2020/12.jsonl", "".join(lines[2:]))
        archive.writestr("feedback.jsonl", '{"recording_msid": "ms1", "score": 1}\n')
    return path


def fma(folder: Path) -> Path:
    (folder / "fma_metadata").mkdir()
    (folder / "fma_metadata" / "tracks.csv").write_text(FMA)
    (folder / "fma_metadata" / "raw_tracks.csv").write_text("track_id,title\n1,x\n")
    return folder / "fma_metadata"


def arrow(folder: Path) -> Path:
    """Two splits, in one of which a map left its cache."""
    saved = folder / "saved"
    for split, title in zip(("train", "test"), TITLES, strict=True):
        rows = [{"track_id": split, "title": title, "artist": "Muse", "duration_s": 201.5}]
        rows.append({**rows[0], "track_id": f"{split} 2", "duration_s": None})
        rows.append({**rows[0], "track_id": f"{split} 3", "title": "Other"})
        (saved / split).mkdir(parents=True)
        names = [f"data-0000{n}-of-00002.arrow" for n in range(2)]
        for name, some in zip(
            [*names, "cache-8b6b.arrow"], (rows[:2], rows[2:], rows), strict=True
        ):
            table = pa.Table.from_pylist(some)
            with pa.ipc.new_stream(saved / split / name, table.schema) as sink:
                sink.write_table(table)
        state = {"_data_files": [{"filename": name} for name in names], "_split": split}
        (saved / split / "state.json").write_text(json.dumps(state, indent=2))
        (saved / split / "dataset_info.json").write_text('{\n  "citation": ""\n}')
    (saved / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return saved


TABLE = 'my "tracks"; DROP TABLE other; --'


def database(folder: Path) -> Path:
    path = folder / "music.duckdb"
    with duckdb.connect(str(path)) as connection:
        name = '"' + TABLE.replace('"', '""') + '"'
        connection.execute(
            f"CREATE TABLE {name} (track_id INTEGER, title VARCHAR, artist VARCHAR, "
            "duration_s DOUBLE, label UUID, plays HUGEINT, mood ENUM ('calm', 'wild'), "
            "tags VARCHAR[])"
        )
        for number, title in enumerate(TITLES):
            values = (number, title, "Muse", 201.5 + number / 4, 12345678901234567890 + number)
            connection.execute(
                f"INSERT INTO {name} VALUES (?, ?, ?, ?, uuid(), ?, 'calm', ['x'])", values
            )
        connection.execute(f"INSERT INTO {name} (title) VALUES ('Nothing else')")
        connection.execute("CREATE TABLE other AS SELECT 1 AS x")
        connection.execute("CREATE VIEW passwords AS SELECT * FROM read_csv('/etc/passwd')")
        connection.execute("CREATE SCHEMA more; CREATE TABLE more.other AS SELECT 1 AS x")
    return path


SOURCES: dict[str, Callable[[Path], Path]] = {
    "beets": beets,
    "spotify": spotify,
    "discogs": discogs,
    "listenbrainz": listenbrainz,
    "fma": fma,
    "arrow": arrow,
    f"duckdb:{TABLE}": database,
}
