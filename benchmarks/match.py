"""Tracks a second of the whole verb `match`, beside reading the same rows and beside plain Beam.

    python -m benchmarks.match [--rows 1000000] [--processes 1]

The catalogue is a real one (from STEMLODE_TEST_DATA, default ../shared/data beside the project),
repeated with fresh track and artist ids until it has so many rows. Beside it, in the same run:
reading its rows once, and a Beam pipeline that reads them and groups one (key, small tuple) each.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.catalogue.formats.rows import CataloguePart
from pipelines.catalogue.reading import Catalogue
from pipelines.match import command
from pipelines.remote.runners import LOCAL_RUNNER
from stemlode import runs

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    workers = [f"--direct_num_workers={options.processes}"]
    if options.processes > 1:
        workers.append("--direct_running_mode=multi_processing")
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue(str(enlarged(Path(folder, "tracks"), options.rows)))
        rows = sum(pq.read_metadata(path).num_rows for path in catalogue.files())
        read_s = seconds(lambda: read(catalogue))
        group_s = seconds(lambda: group(catalogue, workers))
        output = f"{folder}/out"
        arguments = [f"--catalog={catalogue.path}", f"--output={output}", "--engine=beam", *workers]
        match_s = seconds(lambda: command.main(arguments))
        counts = runs.record(output)["counts"]
    print(f"{rows:,} tracks, {counts['candidates']:,} candidates, {options.processes} process(es)")
    for name, spent in (
        ("reading the rows once", read_s),
        ("plain Beam: reading + GroupByKey of small tuples", group_s),
        ("stemlode match", match_s),
    ):
        print(f"  {name:<50}{spent:>8.2f} s{rows / spent:>14,.0f} tracks/s")
    print(f"  match / plain Beam {match_s / group_s:.2f}, match / reading {match_s / read_s:.1f}")


def enlarged(folder: Path, rows: int) -> Path:
    """The real catalogue again and again, each time with ids of its own, a file a time."""
    folder.mkdir()
    real = pq.read_table(DATA / "catalogs" / "playlists.parquet")
    joint = pa.scalar("-", pa.large_string())
    for number in range(-(-rows // len(real))):
        copy, suffix = real.slice(0, rows - number * len(real)), pa.scalar(f"{number}", joint.type)
        for name in ("track_id", "artist_id"):
            ids = pc.binary_join_element_wise(copy[name], suffix, joint)
            copy = copy.set_column(copy.schema.get_field_index(name), name, ids)
        pq.write_table(copy, folder / f"part-{number:05d}.parquet")
    return folder


def read(catalogue: Catalogue) -> int:
    """Every row with all its columns, as Arrow."""
    return sum(len(b) for part in catalogue.parts() for b in catalogue.batches(part))


def group(catalogue: Catalogue, workers: list[str]) -> None:
    """What a pipeline that ships one small tuple a track costs at the least."""

    def keyed(part: CataloguePart) -> Iterator[tuple[str, tuple[str, float]]]:
        for batch in catalogue.batches(part):
            names = ("artist_id", "track_id", "duration_s")
            columns = [batch.column(name).to_pylist() for name in names]
            for artist, track, duration in zip(*columns, strict=True):
                yield artist, (track, duration)

    options = PipelineOptions([f"--runner={LOCAL_RUNNER}", *workers])
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(catalogue.parts())
            | beam.Reshuffle()
            | beam.FlatMap(keyed)
            | beam.GroupByKey()
            | beam.Map(lambda group: sum(1 for _ in group[1]))
            | beam.CombineGlobally(sum)
        )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
