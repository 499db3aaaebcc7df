"""Runs at the size of a large catalogue, on one machine: time, processor time, memory.

    python -m benchmarks.scale match [--rows 50000000]     # DuckDB, artists of very unequal sizes
    python -m benchmarks.scale plan [--songs 1000000]      # what corpus decides, metadata alone
    python -m benchmarks.scale status [--parts 100000]     # of a run with so many part files
    python -m benchmarks.scale lines [--gigabytes 5]       # match on Beam, by 1 and 2 processes

The catalogue of `match` is a real one (STEMLODE_TEST_DATA) again and again with new ids. A fifth
of its artists are joined into a hundred thousand that are drawn by Zipf's law, so that the largest
hold very many tracks, as "Various Artists" do.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.corpus import splits
from pipelines.corpus.splits import SplitFacts
from pipelines.match import command
from stemlode import runs
from stemlode.ids import digest
from stemlode.progress import state
from stemlode.shards import tar

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
COLUMNS = ["track_id", "artist_id", "title", "duration_s"]
JOINED, LARGE, ZIPF = 0.2, 100_000, 1.3
CHUNKS, CHUNK_BYTES, SHARD_BYTES = 20, 3_000_000, 256 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("match", "plan", "status", "lines"))
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--songs", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--memory", default="4GiB", help="of match's DuckDB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "match":
            match(Path(folder), options.rows, options.memory)
        elif options.what == "plan":
            plan(options.songs)
        elif options.what == "lines":
            lines(Path(folder), options.gigabytes * 1e9)
        else:
            status(Path(folder), options.parts)


def match(folder: Path, rows: int, memory: str) -> None:
    catalogue = skewed(folder / "tracks", rows)
    size = sum(path.stat().st_size for path in catalogue.iterdir())
    words = ["--catalog", str(catalogue), "--output", str(folder / "out"), "--engine", "duckdb"]
    measured(f"match, {rows:,} rows, {size / 1e9:.2f} GB of Parquet", lambda: command.main(
        [*words, "--memory", memory, "--spill", str(folder), "--quiet"]
    ), rows)  # fmt: skip
    record = runs.record(str(folder / "out"))
    print({name: count for name, count in record["counts"].items() if count})
    print("largest keys that are left out:", [k["candidates"] for k in record["large_keys"]][:5])


def skewed(folder: Path, rows: int) -> Path:
    """The real catalogue again and again, with few artists that have very much."""
    folder.mkdir()
    real = pq.ParquetFile(DATA / "catalogs" / "playlists.parquet").read(columns=COLUMNS)
    joint = pa.scalar("", pa.large_string())
    artists = real["artist_id"].combine_chunks().dictionary_encode()
    places, random = artists.indices.to_numpy(), np.random.default_rng(0)
    largest = 0
    for number in range(-(-rows // len(real))):
        suffix = pa.scalar(f"-{number}", pa.large_string())
        own = pc.binary_join_element_wise(artists.dictionary.cast(pa.large_string()), suffix, joint)
        ranks = np.minimum(random.zipf(ZIPF, len(own)), LARGE)
        joined = random.random(len(own)) < JOINED
        names = pa.array([f"large-{rank}" for rank in ranks], pa.large_string())
        ids = pc.if_else(pa.array(joined), names, own).take(pa.array(places))
        copy = real.set_column(1, "artist_id", ids)
        tracks = pc.binary_join_element_wise(
            real["track_id"].cast(pa.large_string()), suffix, joint
        )
        copy = copy.set_column(0, "track_id", tracks).slice(0, rows - number * len(real))
        pq.write_table(copy, folder / f"part-{number:05d}.parquet")
        largest += int((joined & (ranks == 1))[places].sum())
    print(f"the largest artist holds {largest:,} tracks")
    return folder


def lines(folder: Path, size: float) -> None:
    """One file of JSON Lines, which workers read by spans."""
    catalogue = folder / "tracks.jsonl"
    real = pq.ParquetFile(DATA / "catalogs" / "playlists.parquet").read(columns=COLUMNS).to_pylist()
    rows = 0
    with catalogue.open("w") as file:
        while file.tell() < size:
            copy = rows // len(real)
            for row in real:
                own = {name: f"{row[name]}-{copy}" for name in ("track_id", "artist_id")}
                file.write(json.dumps(row | own, ensure_ascii=False) + "\n")
                rows += 1
                if rows % 10_000 == 0 and file.tell() >= size:
                    break
    print(f"{rows:,} rows, {catalogue.stat().st_size / 1e9:.2f} GB of JSON Lines", flush=True)
    found = []
    for workers in (1, 2):
        output = folder / f"out-{workers}"
        words = ["--catalog", catalogue, "--output", output, "--engine", "beam", "--quiet"]
        words += ["--direct_num_workers", workers] if workers > 1 else []
        words += ["--direct_running_mode", "multi_processing"] if workers > 1 else []
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "stemlode", "match", *map(str, words)], check=True)
        took_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append(runs.record(str(output))["outputs"])
        print(
            f"{workers} process{'es' * (workers > 1)}: {took_s:,.0f} s, {cpu_s:,.0f} s of "
            f"processor time; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print(f"the same bytes: {found[0] == found[1]}")


def plan(songs: int) -> None:
    """Groups, splits and shards of so many songs, of which one in fifty is there twice."""
    ids = [digest(str(number)) for number in range(songs)]
    facts = [
        SplitFacts(one, ids[n - 1] if n % 50 == 49 else one, one, (one, digest(one)), None, None)
        for n, one in enumerate(ids)
    ]
    groups = measured("groups", lambda: splits.split_groups(facts, []), songs)
    print(f"  {len({one.group for one in groups.values()}):,} groups")
    sizes = np.random.default_rng(0).normal(CHUNK_BYTES, CHUNK_BYTES / 5, songs * CHUNKS)
    whole = sizes.astype(int).tolist()
    shards = measured("shards", lambda: tar.plan_shards(whole, SHARD_BYTES, 0), len(whole))
    print(f"  {len(whole):,} samples in {1 + max(shards):,} shards, {sum(whole) / 1e12:.1f} TB")


def status(folder: Path, parts: int) -> None:
    """A run folder that is half done."""
    (folder / runs.PARTS).mkdir()
    (folder / runs.PLAN).write_bytes(runs.to_json({"verb": "corpus", "options": {}, "inputs": {}}))
    for number in range(parts):
        (folder / runs.PARTS / f"{number:032x}.part").write_bytes(b"0")
        (folder / runs.PARTS / f"{number:032x}.part.facts").write_bytes(b"{}")
    found = measured("status", lambda: state.of(str(folder)), parts)
    print(f"  {found.parts:,} parts")


def measured(what: str, work: Callable[[], Any], number: int) -> Any:
    """What comes of it; prints what it took."""
    start, cpu_s = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = work()
    took_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_s
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{what}: {took_s:,.1f} s, {cpu_s:,.1f} s of processor time, {number / cpu_s:,.0f} a core "
        f"second, {memory:.2f} GB at most",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
