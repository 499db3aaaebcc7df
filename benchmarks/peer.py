"""`match` by DuckDB beside splink on DuckDB, blocked exactly: the same catalogue, the same pairs.

    python -m benchmarks.peer [--rows 1000000] [--threads 2] [--repeats 3]

splink is what a data engineer would pick. It does not clean titles, so it gets what its users write
before it: the thesis' rule in a few of DuckDB's string functions, without transliteration; or the
very keys that `match` makes, transliterated, by our batch functions; or these keys ready-made in a
file, which shows what linking alone costs. Its link is exact on artist and title, with one
comparison, whether the durations differ by less than a second. All read one Parquet file and write
one, each in a process of its own, in turn; the least processor time of --repeats counts, which
neighbours on the machine change least.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import splink.comparison_level_library as levels
import splink.comparison_library as comparisons
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.engines import Measured, alone, enlarged
from matching.titles import fuzzy_batch, marker_batch
from pipelines.match import command
from stemlode import tables

READY = ".keys"  # ends the name of the file with ready-made keys
CLEANED = r"""
    CREATE TABLE tracks AS
    SELECT
      track_id AS unique_id, artist_id, duration_s,
      regexp_matches(lower(title), 'instrumental|karaoke') AS is_instrumental,
      regexp_replace(
        regexp_replace(
          replace(regexp_replace(lower(title), '[(\[].*| - .*', ''), '&', 'and'), '^the\b', ''
        ),
        '[^a-z0-9]+', '', 'g'
      ) AS fuzzy_title
    FROM read_parquet($path)
"""
MIXTURES = """
    CREATE TABLE mixtures AS
    SELECT * FROM tracks WHERE NOT is_instrumental AND fuzzy_title != ''
"""
INSTRUMENTALS = """
    CREATE TABLE instrumentals AS
    SELECT * FROM tracks WHERE is_instrumental AND fuzzy_title != ''
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    limits = {"threads": options.threads, "memory": "1GiB"}
    contenders = {
        "stemlode match": by_match,
        "splink": by_splink,
        "splink, our keys": by_splink_with_our_keys,
        "splink, ready keys": by_splink_with_ready_keys,
    }
    measured: dict[str, list[Measured]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        path = enlarged(f"{folder}/tracks.parquet", options.rows)
        pq.write_table(keyed(path), path + READY)
        for _ in range(options.repeats):
            for name, function in contenders.items():
                measured[name].append(alone(function, path, limits))
    print(f"{options.rows:,} tracks, {options.threads} threads, least of {options.repeats}")
    least = {name: min(runs, key=lambda run: run[1]) for name, runs in measured.items()}
    for name, (seconds, cpu_s, pairs, peak) in least.items():
        print(
            f"  {name:<21}{seconds:7.2f} s {cpu_s:7.2f} s of processor {pairs:>9,} pairs "
            f"{peak / 2**30:6.2f} GiB"
        )
    _, ours_cpu_s, _, ours_peak = least.pop("stemlode match")
    for name, (_, cpu_s, _, peak) in least.items():
        print(
            f"  match / {name}: {ours_cpu_s / cpu_s:.2f} in processor time, "
            f"{ours_peak / peak:.2f} in memory"
        )


def by_match(path: str, folder: str, limits: dict[str, Any]) -> int:
    flags = (f"--{name}={value}" for name, value in limits.items())
    with contextlib.redirect_stdout(io.StringIO()):
        command.main([f"--catalog={path}", f"--output={folder}/out", "--engine=duckdb", *flags])
    return tables.read(f"{folder}/out", "candidates").num_rows


def by_splink(path: str, folder: str, limits: dict[str, Any]) -> int:
    connection = duckdb.connect(
        config={"threads": limits["threads"], "temp_directory": f"{folder}/spill"}
    )
    connection.execute(CLEANED, {"path": path})
    return linked(connection, folder)


def by_splink_with_our_keys(path: str, folder: str, limits: dict[str, Any]) -> int:
    connection = duckdb.connect(
        config={"threads": limits["threads"], "temp_directory": f"{folder}/spill"}
    )
    connection.register("said", keyed(path))
    connection.execute("CREATE TABLE tracks AS SELECT * FROM said")
    connection.unregister("said")
    return linked(connection, folder)


def by_splink_with_ready_keys(path: str, folder: str, limits: dict[str, Any]) -> int:
    connection = duckdb.connect(
        config={"threads": limits["threads"], "temp_directory": f"{folder}/spill"}
    )
    connection.execute("CREATE TABLE tracks AS FROM read_parquet($path)", {"path": path + READY})
    return linked(connection, folder)


def keyed(path: str) -> pa.Table:
    """What splink needs of the tracks, with the keys that `match` makes."""
    rows = pq.read_table(path, columns=["track_id", "artist_id", "duration_s", "title"])
    return pa.table(
        {
            "unique_id": rows["track_id"],
            "artist_id": rows["artist_id"],
            "duration_s": rows["duration_s"],
            "is_instrumental": marker_batch(rows["title"]).is_valid(),
            "fuzzy_title": fuzzy_batch(rows["title"]),
        }
    )


def linked(connection: duckdb.DuckDBPyConnection, folder: str) -> int:
    """splink's pairs of the table `tracks`, written; how many."""
    connection.execute(MIXTURES)
    connection.execute(INSTRUMENTALS)
    close = levels.CustomLevel("abs(duration_s_l - duration_s_r) < 1.0", "close")
    others = levels.ElseLevel()
    settings = SettingsCreator(
        link_type="link_only",
        comparisons=[
            comparisons.CustomComparison(
                [
                    close.configure(m_probability=0.999, u_probability=0.001),
                    others.configure(m_probability=0.001, u_probability=0.999),
                ],
                "duration_s",
            )
        ],
        blocking_rules_to_generate_predictions=[block_on("artist_id", "fuzzy_title")],
        probability_two_random_records_match=0.5,
        retain_matching_columns=False,
    )
    api = DuckDBAPI(connection)
    linker = Linker([api.register("mixtures"), api.register("instrumentals")], settings)
    found = linker.inference.predict(threshold_match_probability=0.5)
    result = Path(folder) / "pairs.parquet"
    found.to_parquet(str(result))
    return pq.read_metadata(result).num_rows


if __name__ == "__main__":
    main()
