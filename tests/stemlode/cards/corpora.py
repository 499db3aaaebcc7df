"""Small corpora without a pipeline: shards, tables, card and record, as one would leave them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from pipelines.corpus import cards
from stemlode import files, runs, schemas, tables
from stemlode.ids import digest
from stemlode.shards import parquet, tar

RATE, FRAMES = 8000, 800
OPTIONS = {"format": "webdataset", "chunk_seconds": 0.1, "shard_bytes": "256MiB"}


def rows(*some: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of samples; what is not said of one is as of most."""
    return [
        {
            "sample_id": digest("sample", str(number)),
            "song_id": digest("song", str(number)),
            "split_group": digest("song", str(number)),
            "split": "train",
            "kind": "stems",
            "sources": ["mixture", "vocals"],
            "salient": {"vocals": [0.0]},
            "start_s": 0.0,
            "duration_s": FRAMES / RATE,
            "sample_rate": RATE,
            "channels": 2,
            "scale": 2.0 if number % 2 else 1.0,
            "energies_db": {"vocals": -12.0},
            **one,
        }
        for number, one in enumerate(some)
    ]


def write(folder: Path, some: Sequence[dict[str, Any]], kind: str = "tar") -> runs.Run:
    """A finished corpus of these samples, of noise."""
    run = runs.start("corpus", str(folder), OPTIONS, {})
    assert run is not None
    rng, index, outputs = np.random.default_rng(1), [], {}
    for split in sorted({row["split"] for row in some}):
        held = sorted((r for r in some if r["split"] == split), key=lambda r: r["sample_id"])
        part = run.path(runs.PARTS, f"{split}.part")
        samples = tar.write_part(part, [_sample(row, rng) for row in held])
        if kind == "tar":
            name = tar.shard_name(split, 0)
            outputs[name] = tar.write_shard(run.path(name), samples)
            index += tar.rows(samples, name)
        else:
            name, note = parquet.shard_name(split, 0), run.path(runs.PARTS, "note.json")
            outputs[name] = parquet.write_shard(run.path(name), samples, note)
            index += parquet.rows(run.path(name), samples, name)
    songs = [
        {
            "recording_id": row["song_id"],
            "name": f"<b>{row['song_id'][:4]}</b>",
            "chunks": 1,
            "left_out": 0,
            **{k: row[k] for k in ("song_id", "kind", "split", "split_group", "duration_s")},
        }
        for row in index
    ]
    tables_of = {"index": (index, schemas.INDEX), "songs": (songs, schemas.SONG)}
    for name, (found, schema) in (tables_of | {"rejects": ([], schemas.REJECT)}).items():
        file = tables.file_name(name, 0, 1)
        outputs[file] = tables.write(run, file, pa.Table.from_pylist(found, schema))["sha256"]
    outputs |= cards.write(run, outputs)
    files.remove(run.path(runs.PARTS))
    counts = {
        "samples": len(index),
        "songs": len({row["song_id"] for row in index}),
        "shards": len({row["shard"] for row in index}),
        "bytes": sum(row["size"] for row in index),
        "hours": sum(row["duration_s"] for row in index) / 3600,
    }
    for split in {row["split"] for row in index}:
        counts[f"samples_{split}"] = sum(row["split"] == split for row in index)
    run.finish(counts, outputs)
    return run


def _sample(
    row: dict[str, Any], rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, bytes]]:
    contents = {"json": json.dumps(row, sort_keys=True, ensure_ascii=False).encode()}
    for source in row["sources"]:
        sink, noise = io.BytesIO(), rng.normal(0, 0.1, (FRAMES, row["channels"]))
        soundfile.write(sink, noise, row["sample_rate"], format="FLAC")
        contents[f"{source}.flac"] = sink.getvalue()
    return row | {"sha256": tar.hashes(contents)}, contents
