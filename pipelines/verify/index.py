"""What can be said of a corpus by its tables alone. Free of Beam."""

import hashlib
import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matching.artists import may_stand
from stemlode import files, inflation, runs, schemas, tables
from stemlode.schemas import maps
from stemlode.shards import tar

HOURS_MISS = 1e-5  # of a sum of durations, each rounded to µs
SHOWN_IDS = 5


def read(
    folder: str, record: dict[str, Any], wanted: pa.Schema = schemas.INDEX
) -> tuple[pa.Table, list[str]]:
    """The whole index, the table of a schema, and what is wrong with any of the run's Parquet
    tables."""
    index, wrong = [], []
    rejected = 0
    for name in sorted(record["outputs"]):
        if "/" in name or not name.endswith(".parquet"):
            continue
        table, line = _table(folder, name, record["outputs"][name])
        wrong += [line] if line else []
        schema = schemas.schema_of(name)
        if table is None:
            continue
        if schema is not None and (why := _unlike(table.schema, schema)):
            wrong.append(f"{name}: its columns are not those of this version: {why}")
        elif schema is wanted:
            index.append(tables.fitted(table, schema))
        elif schema is schemas.REJECT:
            rejected += table.num_rows
    if rejected != record["counts"].get("rejected", rejected):
        counted = record["counts"]["rejected"]
        wrong.append(f"rejects: {rejected} rows, {counted} in {runs.RECORD}")
    return pa.concat_tables(index) if index else wanted.empty_table(), wrong


def _unlike(found: pa.Schema, wanted: pa.Schema) -> str:
    """What is missing or of another type in a table, beside a schema; empty where nothing is."""
    if missing := schemas.lacking(wanted, found.names):
        return f"no column {missing[0]}"
    for field in wanted:
        if field.name not in found.names:
            continue
        if found.field(field.name) not in (field, maps.stored_field(field)):
            return f"{field.name} is {found.field(field.name).type}, not {field.type}"
    return ""


def _table(folder: str, name: str, sha256: str) -> tuple[pa.Table | None, str]:
    try:
        data = files.read_bytes(files.join(folder, name))
        opened = pq.ParquetFile(source := io.BytesIO(data))
        inflation.check(source, opened)
        table = opened.read(use_threads=False)
        table.validate(full=True)  # a flipped bit may leave text that is none
    except (OSError, ValueError, pa.ArrowException) as error:
        return None, f"{name}: unreadable table: {runs.reason(error)}"
    found = hashlib.sha256(data).hexdigest()
    return table, "" if found == sha256 else f"{name}: its SHA-256 is not that in {runs.RECORD}"


def by_shard(index: pa.Table) -> dict[str, pa.Table]:
    """The index rows of each shard, in the order in which they lie there."""
    ordered = index.sort_by([("shard", "ascending"), ("offset", "ascending")])
    names = ordered["shard"].to_numpy(zero_copy_only=False)
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)] if len(names) else []
    return {names[start]: ordered.slice(start, stop - start) for start, stop in pairwise(edges)}


def twice(index: pa.Table) -> Iterator[str]:
    """Ids that come twice."""
    ids = pc.value_counts(index["sample_id"])
    found = ids.filter(pc.greater(ids.field("counts"), 1)).field("values")
    for sample_id in found.to_pylist()[:SHOWN_IDS]:
        yield f"index: sample {sample_id} comes more than once"


def hygiene(index: pa.Table) -> Iterator[str]:
    """Ids that come twice; songs, groups and tracks in two splits."""
    yield from twice(index)
    for name in sorted(set(index["split"].unique().to_pylist()) - {"train", "valid", "test"}):
        yield f"index: {name} is no split"
    tracks = index["track_ids"].combine_chunks()
    together = {
        "song_id": index.select(["song_id", "split"]),
        "split_group": index.select(["split_group", "split"]),
        "track": pa.table(
            {
                "track": pc.list_flatten(tracks),
                "split": index["split"].take(pc.list_parent_indices(tracks)),
            }
        ),
    }
    for column, table in together.items():
        found = table.group_by([column, "split"]).aggregate([])
        counts = pc.value_counts(found[column])
        for entry in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist():
            where = found.filter(pc.equal(found[column], entry["values"]))["split"].to_pylist()
            yield f"index: {column} {entry['values']} is in {' and in '.join(sorted(where))}"


def artists(songs: pa.Table) -> Iterator[str]:
    """Artists whose songs are in two splits, where no list says so. Songs that share an artist,
    directly or through others, or a split group, count as one's."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    rows = songs.select(["song_id", "split_group", "split", "artists", "listed"]).to_pylist()
    for row in rows:
        for key in (f"group {row['split_group']}", *(row["artists"] or ())):
            first, second = sorted((root(key), root(f"song {row['song_id']}")), key=_shown_first)
            parent[second] = first
    splits: dict[str, tuple[set[str], set[str]]] = {}
    for row in rows:
        drawn, listed = splits.setdefault(root(f"song {row['song_id']}"), (set(), set()))
        (listed if row["listed"] else drawn).add(row["split"])
    for artist, (drawn, listed) in sorted(splits.items()):
        if not may_stand(drawn, listed):
            yield f"songs: artist {artist} is in {' and in '.join(sorted(drawn | listed))}"


def _shown_first(node: str) -> tuple[bool, bool, str]:
    return not node.startswith("name:"), not node.startswith("id:"), node


def known(rows_of: dict[str, pa.Table], names: list[str]) -> Iterator[str]:
    """Shards that are empty or unknown."""
    for name in sorted({*names} - {*rows_of}):
        yield f"{name}: no sample of the index lies in it"
    for name in sorted({*rows_of} - {*names}):
        yield f"{name}: samples of the index lie in it, and {runs.RECORD} does not know it"


def numbering(names: list[str]) -> Iterator[str]:
    """Gaps between the numbers of shards."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        if match := tar.SHARD.fullmatch(name):
            numbers.setdefault(match[1], []).append(int(match[2]))
    for split, found in sorted(numbers.items()):
        missing = sorted(set(range(max(found) + 1)) - set(found))
        if missing:
            yield f"{split}: no shard has the number {missing[0]}, and {max(found)} is there"


def counted(index: pa.Table, shard_count: int, record: dict[str, Any]) -> Iterator[str]:
    """Where the record's counts are not those of the index."""
    found: dict[str, float] = {
        "samples": index.num_rows,
        "shards": shard_count,
        "songs": pc.count_distinct(index["song_id"]).as_py(),
        "bytes": pc.sum(index["size"]).as_py() or 0,
        "hours": (pc.sum(index["duration_s"]).as_py() or 0.0) / 3600,
    }
    found |= {f"samples_{name}": n for name, n in tables.count_by(index, "split").items()}
    yield from told(found, record)


def told(found: dict[str, float], record: dict[str, Any]) -> Iterator[str]:
    """Where the record's counts are not those that were found in the index."""
    for name, number in found.items():
        said = record["counts"].get(name)
        if said is None and not number:
            continue
        if not isinstance(said, int | float) or abs(said - number) > (
            HOURS_MISS if name == "hours" else 0
        ):
            yield f"{runs.RECORD}: {name} is {said}, and {number:g} in the index"
