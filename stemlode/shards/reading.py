"""Samples out of shards of either format, by their rows of the index.

Not built on `webdataset`: it reads a shard from its beginning, and its place and its shuffle buffer
live in running generators that cannot be saved, so to go on in mid-epoch it would read again all
that was used up. The index says where every sample lies; any of them is one read away.
"""

import contextlib
import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stemlode import files, inflation
from stemlode.shards import members
from stemlode.shards.members import BLOCK, MOST
from stemlode.shards.parquet import telling_damage

HELD = 32  # Parquet shards that a process keeps open
# A file, the table in it, and the number of the first row of each row group.
_Table = tuple[IO[bytes], pq.ParquetFile, list[int]]
_TABLES: dict[tuple[int, str], _Table] = {}  # by process: a forked one shares no file position


def contents(folder: str, row: dict[str, Any], wanted: Iterable[str]) -> dict[str, bytes]:
    """Those of a sample's files that are wanted, by their names (`mixture.flac`).

    Args:
        folder: of the corpus.
        row: the sample's row of the index: sample_id, shard, offset, size, and members: then no
            other files are read, as long as these lie where it says.

    Raises OSError where the shard cannot be read (trying again may help), ValueError where the
    sample does not lie there, or outside of the corpus, or lacks a file, pyarrow.ArrowException
    where a page is damaged.
    """
    path, names = _path(folder, row), tuple(wanted)
    if path.endswith(".parquet"):
        return _complete(_of_parquet(path, row, names), names)
    held = members.of_row(row)
    if held.keys() >= set(names):
        with contextlib.suppress(*members.WRONG):  # the whole sample says it as ever
            return members.whole(path, row["sample_id"], {name: held[name] for name in names})
    return _complete(_of_tar(path, row, names), names)


def _complete(found: dict[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    """The files that were found; ValueError where one is missing."""
    for name in names:
        if not found.get(name):
            raise ValueError(f"lacks {name}")
    return found


def part(
    folder: str, row: dict[str, Any], name: str, start: int, count: int
) -> tuple[bytes, int] | None:
    """A part of a FLAC file of a sample: a file that holds `count` of its samples from `start` on,
    and maybe more, and the number of the first one. None where all of it must be read: the index
    has no seek points, or they are wrong.

    `row` as for `contents`, with sample_rate, channels and duration_s. Raises as that does.
    """
    path, member = _path(folder, row), members.of_row(row).get(name)
    if member is None:
        return None
    try:
        data = members.part(path, member, row, start, count)
    except members.WRONG:
        return None
    return data, members.first_of(member, start)


def _path(folder: str, row: dict[str, Any]) -> str:
    """The shard of a sample; ValueError where it has no place in one."""
    is_there = row["offset"] >= 0 and 0 <= row["size"] <= MOST
    if not (is_there and files.is_below(row["shard"])):
        raise ValueError("the index gives it no place in a shard of the corpus")
    return files.join(folder, row["shard"])


def _of_tar(path: str, row: dict[str, Any], names: tuple[str, ...]) -> dict[str, bytes]:
    data = memoryview(files.read_range(path, row["offset"], row["size"]))
    if len(data) < row["size"]:
        raise ValueError("its shard breaks off")
    found, at = {}, 0
    while at < len(data):  # plain USTAR, as our writer leaves it
        header = bytes(data[at : at + BLOCK])
        sample_id, _, name = header[:100].rstrip(b"\0").decode().partition(".")
        size = int(header[124:136].rstrip(b"\0 "), 8)
        if sample_id != row["sample_id"] or size < 0:
            raise ValueError("another sample lies in its place")
        if name in names:
            found[name] = bytes(data[at + BLOCK : at + BLOCK + size])
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return found


def _of_parquet(path: str, row: dict[str, Any], names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        with telling_damage():
            file, table, starts = _table(path)
            group = bisect_right(starts, row["offset"]) - 1
            columns = ["sample_id", *(name for name in names if name in table.schema_arrow.names)]
            inflation.check(file, table, columns, groups=[group], most=MOST)
            rows = table.read_row_group(group, columns=columns, use_threads=False)
        (found,) = rows.slice(row["offset"] - starts[group], 1).to_pylist()
    except (OSError, pa.ArrowException, ValueError, IndexError):
        _TABLES.pop((os.getpid(), path), None)  # a connection may have been lost: open it anew
        raise
    if found.pop("sample_id") != row["sample_id"]:
        raise ValueError("another sample lies in its place")
    return found


def _table(path: str) -> _Table:
    """A Parquet shard, open."""
    key = (os.getpid(), path)
    if key not in _TABLES:
        while len(_TABLES) >= HELD:
            _TABLES.pop(next(iter(_TABLES)))
        file = files.open_input(path, exact=True)
        table = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        sizes = [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)]
        _TABLES[key] = file, table, list(accumulate(sizes[:-1], initial=0))
    return _TABLES[key]
