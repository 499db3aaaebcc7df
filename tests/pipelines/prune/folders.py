"""Folders as `stemlode match` writes them, for pairs of given audio files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from stemlode import runs, schemas, tables
from stemlode.ids import digest


def track(name: str, uri: str | None) -> dict[str, Any]:
    """A track whose id says what it is called."""
    return {
        "track_id": f"track {name}",
        "artist_id": digest("artist"),
        "artist": "Artist",
        "title": name,
        "duration_s": 30.0,
        "audio_uri": uri,
        **dict.fromkeys(schemas.TRACK.names[6:]),
    }


def candidate(song: str, mix: dict[str, Any], instrumental: dict[str, Any]) -> dict[str, Any]:
    """A row of schemas.CANDIDATE."""
    return {
        "pair_id": digest(mix["track_id"], instrumental["track_id"]),
        "song_id": digest(song),
        "mix_track_id": mix["track_id"],
        "instrumental_track_id": instrumental["track_id"],
        "artist_id": mix["artist_id"],
        "fuzzy_title": song,
        "duration_difference_s": 0.0,
        "marker": "instrumental",
        "rule": "thesis",
        "mix_audio_uri": mix["audio_uri"],
        "instrumental_audio_uri": instrumental["audio_uri"],
        "mix": mix,
        "instrumental": instrumental,
    }


def pair(song: str, mix: Path | str, instrumental: Path | str) -> dict[str, Any]:
    """A candidate of two files, whose track ids are `track` and the file's path."""
    return candidate(song, *(track(str(path), str(path)) for path in (mix, instrumental)))


def write(folder: Path, rows: Iterable[dict[str, Any]]) -> str:
    """A finished run of match with these candidates, in several files where there are many."""
    run = runs.start("match", str(folder), {}, {})
    assert run is not None
    rows = list(rows)
    pieces = [rows[start : start + 7] for start in range(0, len(rows), 7)] or [[]]
    outputs = {}
    for number, piece in enumerate(pieces):
        name = f"candidates-{number:05d}-of-{len(pieces):05d}.parquet"
        table = pa.Table.from_pylist(piece, schemas.CANDIDATE)
        outputs[name] = tables.write(run, name, table)["sha256"]
    run.finish({"candidates": len(rows)}, outputs)
    return str(folder)
