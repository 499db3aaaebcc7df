"""`match` by DuckDB beside its bare SQL statement, and how its time grows with the catalogue.

    python -m benchmarks.engines [--rows 1000000 4000000] [--rule extended] [--plot FILE.svg]

The catalogues are the real ones (from STEMLODE_TEST_DATA, default ../shared/data beside the
project), repeated with fresh ids until they have so many rows. The bare statement is sql/match.sql
on the same Parquet file, its result written to Parquet by DuckDB; the verb has some relations made
by Arrow instead, and adds reading the schema, Tracks and Rejects, sorting, hashing and the run's
record, but not Python's imports. Each runs in a process of its own, in turn. Of --repeats the least
processor time counts, which neighbours on the machine change least.
"""

import argparse
import contextlib
import io
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.plot import growth_plot
from matching.rules import RULES, THESIS
from pipelines.catalogue import tracks
from pipelines.match import command
from pipelines.match import options as match_options
from sql import match as statements
from sql import on_duckdb
from stemlode import runs

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
COLUMNS = ["track_id", "artist_id", "artist", "title", "duration_s", "album", "source"]
Measured = tuple[float, float, int, int]  # seconds, processor seconds, result, peak bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="1GiB", help="what DuckDB may hold before it spills")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rule", choices=sorted(RULES), default=THESIS.name)
    parser.add_argument("--verb-alone", action="store_true", help="leave the bare statement out")
    parser.add_argument("--plot", metavar="FILE", help="an SVG of how processor time grows")
    options = parser.parse_args()
    limits = {"threads": options.threads, "memory": options.memory, "rule": options.rule}
    spent = []
    print(f"DuckDB, {options.threads} threads, {options.memory}, rule {options.rule}")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = enlarged(f"{folder}/tracks.parquet", rows)
            bare, verb = [], []
            for _ in range(options.repeats):
                if not options.verb_alone:
                    bare.append(alone(bare_statement, path, limits))
                verb.append(alone(whole_verb, path, limits))
        verb_s, verb_cpu_s, pairs, peak = min(verb, key=lambda run: run[1])
        spent.append(verb_cpu_s)
        beside = ""
        if bare:
            beside = f" ({verb_cpu_s / min(run[1] for run in bare):.2f} of the bare statement's)"
        print(
            f"  {rows:>12,} tracks {pairs:>8,} candidates: {verb_cpu_s:6.2f} s of processor"
            f"{beside}, {verb_s:6.2f} s, peak {peak / 2**30:.2f} GiB",
            flush=True,
        )
    if len(spent) > 1:
        growth = math.log(spent[-1] / spent[0]) / math.log(options.rows[-1] / options.rows[0])
        print(f"  the verb's processor time grows as n^{growth:.2f}")
        if options.plot:
            Path(options.plot).write_text(growth_plot(options.rows, spent, growth))


def enlarged(path: str, rows: int) -> str:
    """A Parquet file of so many tracks: the real catalogues over and over, with fresh ids."""
    names = ("playlists", "discographies")
    real = [pq.read_table(DATA / "catalogs" / f"{name}.parquet", columns=COLUMNS) for name in names]
    number = 0
    with pq.ParquetWriter(path, real[0].schema) as writer:
        while rows > 0:
            copy = real[number % len(real)].slice(0, rows).combine_chunks()
            for name in ("track_id", "artist_id"):
                words = (pa.scalar(word, pa.large_string()) for word in (f"{number:x}", "-"))
                fresh = pc.binary_join_element_wise(copy[name], *words)
                copy = copy.set_column(copy.schema.get_field_index(name), name, fresh)
            writer.write_table(copy)
            rows -= copy.num_rows
            number += 1
    return path


def alone(function: Callable[..., int], path: str, limits: dict[str, Any]) -> Measured:
    """What a function costs in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (function, path, limits))


def measured(function: Callable[..., int], path: str, limits: dict[str, Any]) -> Measured:
    start, cpu_start = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = function(path, folder, limits)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return seconds, cpu_s, result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bare_statement(path: str, folder: str, limits: dict[str, Any]) -> int:
    rule = RULES[limits["rule"]]
    columns = (*tracks.needed(rule), "album", "release_year")
    with on_duckdb.connect(
        threads=limits["threads"], memory=limits["memory"], spill=f"{folder}/spill"
    ) as connection:
        has = set(pq.read_schema(path).names)
        source = on_duckdb.source(connection, [path], {c: c for c in columns if c in has})
        values = statements.parameters(rule, match_options.MOST_PER_KEY)
        relation = on_duckdb.relation(connection, statements.statement(source, rule), values)
        relation.write_parquet(f"{folder}/result.parquet")
    return pq.read_metadata(f"{folder}/result.parquet").num_rows


def whole_verb(path: str, folder: str, limits: dict[str, Any]) -> int:
    flags = (f"--{name}={value}" for name, value in limits.items())
    with contextlib.redirect_stdout(io.StringIO()):
        command.main([f"--catalog={path}", f"--output={folder}/out", "--engine=duckdb", *flags])
    return runs.record(f"{folder}/out")["counts"]["candidates"]


if __name__ == "__main__":
    main()
