"""Titles a second: the batch functions against their per-title twins, on one core, in one run.

    python benchmarks/titles.py [--repeats 5]

Real catalogues are read from STEMLODE_TEST_DATA (default: ../shared/data beside the project).
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from matching import titles

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
TWINS = [
    ("title", titles.fuzzy, titles.fuzzy_batch),
    ("title", titles.marker, titles.marker_batch),
    ("artist", titles.artist_key, titles.artist_key_batch),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of these counts")
    repeats = parser.parse_args().repeats
    print(f"{'catalogue':<16}{'function':<12}{'single/s':>12}{'batch/s':>12}{'ratio':>8}")
    for path in sorted((DATA / "catalogs").glob("*.parquet")):
        for column, scalar, batch in TWINS:
            texts = pq.read_table(path, columns=[column])[column].drop_null()
            report(path.stem, texts, scalar, batch, repeats)


def report(
    name: str, texts: pa.ChunkedArray, scalar: Callable, batch: Callable, repeats: int
) -> None:
    """Time both alternately, so that a slow moment of the machine meets both."""
    strings = texts.to_pylist()
    single_s = batch_s = float("inf")
    for _ in range(repeats):
        single_s = min(single_s, seconds(lambda: [scalar(text) for text in strings]))
        batch_s = min(batch_s, seconds(lambda: batch(texts)))
    count = len(strings)
    print(
        f"{name:<16}{scalar.__name__:<12}{count / single_s:>12,.0f}{count / batch_s:>12,.0f}"
        f"{single_s / batch_s:>8.1f}"
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
