"""What can be said of a shard by reading all of it, beside its rows of the index. Free of Beam."""

import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import soundfile

from stemlode import files, runs
from stemlode.shards import members, parquet, tar
from stemlode.tables import Row

ROWS = 64  # of the index that are Python objects at a time
# What is wrong with a sample's files, beside its row of the index.
Judge = Callable[[Row, Mapping[str, bytes]], Iterator[str]]


def check(
    folder: str, name: str, sha256: str, rows: pa.Table, limit: int | None, judge: Judge
) -> list[str]:
    """What is wrong with one shard, a line each.

    Args:
        name, sha256: as in the run record's outputs.
        rows: the shard's rows of the index, by offset.
        limit: bytes at which a shard was full; None where there is no such bound.
        judge: of what a sample holds.
    """
    path = files.join(folder, name)
    sizes = rows["size"].to_pylist()
    wrong = []
    if limit is not None and sum(sizes[:-1]) >= limit:
        wrong.append(f"{name}: exceeds {limit} bytes by more than its last sample")
    try:
        if name.endswith(".parquet"):
            wrong += _parquet(path, name, sha256, rows, judge)
        else:
            wrong += _tar(path, name, sha256, rows, judge)
    except (OSError, pa.ArrowException) as error:
        wrong.append(f"{name}: cannot be read: {runs.reason(error)}")
    return wrong


def _tar(path: str, name: str, sha256: str, rows: pa.Table, judge: Judge) -> Iterator[str]:
    hasher, at, whole = hashlib.sha256(), 0, files.size(path)
    with files.open_input(path) as file:
        for row in _dicts(rows):
            if row["offset"] != at:
                yield f"{name}: sample {row['sample_id']} begins at byte {row['offset']}, not {at}"
            data = file.read(max(0, min(row["size"], whole)))  # whatever a damaged index says
            hasher.update(data)
            begin, at = at, at + row["size"]
            try:
                found = tar.contents(data)
                if tar.entries(row["sample_id"], found) != data:
                    yield f"{name}: sample {row['sample_id']} has other tar headers than we write"
            except (tarfile.TarError, ValueError) as error:
                yield f"{name}: sample {row['sample_id']} is no tar entry: {runs.reason(error)}"
                continue
            yield from _sample(name, row, found, judge)
            yield from _places(name, row, found, tar.places(found, begin))
        yield from _end(name, file, hasher)
    if hasher.hexdigest() != sha256:
        yield f"{name}: its SHA-256 is not that in {runs.RECORD}"


def _end(name: str, file: IO[bytes], hasher: Any) -> Iterator[str]:
    """What follows the last sample: two empty blocks."""
    rest = file.read(len(tar.END))
    hasher.update(rest)
    excess = 0
    while data := file.read(tar.COPY_BYTES):
        hasher.update(data)
        excess += len(data)
    if rest != tar.END or excess:
        yield f"{name}: does not end after the last sample of the index"


def _parquet(path: str, name: str, sha256: str, rows: pa.Table, judge: Judge) -> Iterator[str]:
    if files.sha256(path) != sha256:
        yield f"{name}: its SHA-256 is not that in {runs.RECORD}"
    read = parquet.read(path)
    says_where = rows["members"].null_count < len(rows)
    places = parquet.offsets(path) if says_where else itertools.repeat(dict[str, int]())
    for number, row in enumerate(_dicts(rows)):
        found = next(read, None)
        sample_id = found.pop(parquet.ROW, b"").decode() if found else "nothing"
        if row["offset"] != number or sample_id != row["sample_id"] or found is None:
            yield f"{name}: row {number} is {sample_id}, not sample {row['sample_id']}"
            return
        yield from _sample(name, row, found, judge)
        yield from _places(name, row, found, next(places, {}))
    if next(read, None) is not None:
        yield f"{name}: does not end after the last sample of the index"


def _sample(name: str, row: Row, found: Mapping[str, bytes], judge: Judge) -> Iterator[str]:
    """What is wrong with a sample's files beside its row of the index."""
    where = f"{name}: sample {row['sample_id']}"
    hashes = tar.hashes(found)
    for file in sorted({*hashes, *row["sha256"]}):
        if hashes.get(file) != row["sha256"].get(file):
            yield f"{where}: {file} " + (
                "is missing" if file not in hashes else "is not what was written: its SHA-256"
            )
    for fault in judge(row, found):
        yield f"{where}: {fault}"


def _places(
    name: str, row: Row, found: Mapping[str, bytes], offsets: Mapping[str, int]
) -> Iterator[str]:
    """Where the index says that a sample's files lie elsewhere than they do; it need not say it."""
    said = members.of_row(row)
    if not said:
        return
    where = f"{name}: sample {row['sample_id']}"
    for file in sorted({*said, *found}):
        if file not in said or file not in found:
            yield f"{where}: the index says {'not ' if file in found else ''}where {file} lies"
            continue
        is_there = members.of_file(found[file], offsets.get(file, -1))
        for fact, value in is_there.items():
            told = said[file].get(fact)
            if told != value:
                both = "" if isinstance(value, list) else f": {told}, and it is {value}"
                yield f"{where}: the index gives {file} another {fact}{both}"


def recording(row: Row, found: Mapping[str, bytes]) -> Iterator[str]:
    """What is wrong with a sample of a corpus; see `Judge`."""
    for source in row["sources"]:
        if f"{source}.flac" in found and (fault := _sound(found[f"{source}.flac"], row)):
            yield f"{source}.flac {fault}"
    try:
        told = json.loads(found.get("json", b"{}"))
        differing = [key for key in told if key in row and told[key] != row[key]]
    except (ValueError, TypeError, RecursionError) as error:
        yield f"json is none: {runs.reason(error)}"
    else:
        for key in differing:
            yield f"{key} differs between its json and the index"


def _sound(data: bytes, row: Row) -> str:
    """Why a FLAC file is not as the index says; empty where it is."""
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int32", always_2d=True)
    except soundfile.LibsndfileError as error:
        return f"does not decode: {error.error_string}"
    expected = (round(row["duration_s"] * row["sample_rate"]), row["channels"])
    if rate != row["sample_rate"] or samples.shape != expected:
        return (
            f"is {samples.shape} at {rate} Hz, and {expected} at {row['sample_rate']} in the index"
        )
    return ""


def _dicts(rows: pa.Table) -> Iterator[Row]:
    for batch in rows.to_batches(max_chunksize=ROWS):
        yield from batch.to_pylist(maps_as_pydicts="strict")
