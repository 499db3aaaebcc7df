"""The same samples as Parquet: one row a sample, one `large_binary` column a file. Free of Beam.

A column is named as the file is in a tar (`mixture.flac`), so that a reader asks for the sources it
needs and fetches no others; `sample_id` and `json` are text. Audio is stored plain (FLAC does not
compress further), and pages carry checksums. Which samples a shard holds is planned as for tars.
"""

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stemlode import files, inflation
from stemlode.runs import Failed, reason
from stemlode.shards import members, tar
from stemlode.shards.tar import Sample

# A row group is full here. It is what a reader has to read for any one of its samples, and samples
# of the usual 12 s are larger, so that each has its own.
GROUP_BYTES = 1 << 20
ROW = "sample_id"
LENGTH_BYTES = 4  # of the length that stands before a value


def shard_name(split: str, number: int) -> str:
    """A shard's path below the corpus folder."""
    return f"{split}/{split}-{number:05d}.parquet"


def rows(path: str, samples: Sequence[Sample], shard: str) -> Iterator[dict[str, Any]]:
    """The samples' rows of the index, where `shard`, which lies at `path`, holds these, in this
    order."""
    for number, (sample, places) in enumerate(zip(samples, offsets(path), strict=True)):
        yield {
            **sample.row,
            "shard": shard,
            "offset": number,
            "size": sample.size,
            "members": members.moved(sample.members, places),
        }


def offsets(path: str) -> Iterator[dict[str, int]]:
    """Where the files of each sample of a shard begin, in bytes, as far as they lie there plain.

    No library says where a value lies in its page, so it is looked for in the bytes of its column.
    Raises as `read`.
    """
    with files.open_input(path) as file:
        with telling_damage():
            table = pq.ParquetFile(file, pre_buffer=False)
        for number in range(table.num_row_groups):
            facts = table.metadata.row_group(number)
            with telling_damage():
                inflation.check(file, table, groups=[number])
                group = table.read_row_group(number, use_threads=False)
            found: list[dict[str, int]] = [{} for _ in range(group.num_rows)]
            for column in range(facts.num_columns):
                chunk = facts.column(column)
                if chunk.path_in_schema != ROW and chunk.compression == "UNCOMPRESSED":
                    file.seek(chunk.data_page_offset)
                    data = file.read(chunk.total_compressed_size)
                    _find(data, chunk, group, found)
            yield from found


def _find(
    data: bytes, chunk: pq.ColumnChunkMetaData, group: pa.Table, found: list[dict[str, int]]
) -> None:
    """Add where a column's values lie, each behind its length, to the places of each row."""
    name, at = chunk.path_in_schema, 0
    for value, places in zip(group[name], found, strict=True):
        if not value.is_valid:
            continue
        content = value.as_py()
        content = content.encode() if isinstance(content, str) else content
        at = data.find(struct.pack("<I", len(content)) + content, at)
        if at < 0:
            return
        at += LENGTH_BYTES
        places[name] = chunk.data_page_offset + at
        at += len(content)


def write_shard(path: str, samples: Sequence[Sample], note: str) -> str:
    """Write a shard of these samples, in this order, unless it is there already; its SHA-256.

    `note` is a path for a small file that says what the finished shard's SHA-256 is: Parquet's own
    framing is not covered by the samples' checksums. Raises Failed where a part file is damaged
    (it is made anew by the next run) or the written bytes read back differently.
    """
    if (found := _noted(note, samples)) and files.exists(path) and files.sha256(path) == found:
        return found
    sha256 = ""

    def check(temporary: str) -> None:
        nonlocal sha256
        if not _holds(temporary, samples):
            raise Failed(f"{path}: reads back differently from what was written; check the disk")
        sha256 = files.sha256(temporary)
        facts = {"samples": _digest(samples), "sha256": sha256}
        files.write_bytes(note, json.dumps(facts).encode())

    names = sorted({name for sample in samples for name in sample.row["sha256"]})
    schema = _schema(names)
    with (
        files.atomic_write(path, check) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="none",
            use_dictionary=False,
            write_statistics=[ROW],
            write_page_checksum=True,
        ) as writer,
    ):
        for group in _groups(samples):
            columns = [
                pa.array([row.get(field.name) for row in group], field.type) for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return sha256


def read(path: str) -> Iterator[dict[str, bytes]]:
    """The samples of a shard in their order: contents by file name, with `sample_id` as bytes.

    Raises OSError where it cannot be read, pyarrow.ArrowException where it is damaged.
    """
    with files.open_input(path) as file:
        with telling_damage():
            table = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        for number in range(table.num_row_groups):
            with telling_damage():
                inflation.check(file, table, groups=[number])
                group = table.read_row_group(number, use_threads=False)
            for row in group.to_pylist():
                yield {
                    name: value.encode() if isinstance(value, str) else value
                    for name, value in row.items()
                    if value is not None
                }


@contextlib.contextmanager
def telling_damage() -> Iterator[None]:
    """Arrow raises a bare OSError where a page is not what its checksum says, and a
    UnicodeDecodeError where a column's name is no text: pyarrow.ArrowInvalid instead, because
    trying again does not help."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid("damaged: a column's name is no text") from error
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            raise pa.ArrowInvalid(reason(error)) from error
        raise


def _schema(names: Sequence[str]) -> pa.Schema:
    fields = [pa.field(ROW, pa.string(), False)]
    fields += [
        pa.field(name, pa.string() if name == "json" else pa.large_binary()) for name in names
    ]
    return pa.schema(fields)


def _groups(samples: Sequence[Sample]) -> Iterator[list[Mapping[str, bytes | str]]]:
    """The samples' contents in row groups, each over the bound by less than its last sample."""
    group: list[Mapping[str, bytes | str]] = []
    held = 0
    for sample in samples:
        if held >= GROUP_BYTES:
            yield group
            group, held = [], 0
        contents = tar.contents(tar.read_sample(sample))
        group.append({ROW: sample.row[ROW], **contents})
        held += sample.size
    if group:
        yield group


def _holds(path: str, samples: Sequence[Sample]) -> bool:
    """Whether a shard reads back as exactly these samples: as tar entries they have their CRC."""
    try:
        found = 0
        for sample, row in zip(samples, read(path), strict=True):
            sample_id = row.pop(ROW).decode()
            if tar.crc32(tar.entries(sample_id, row)) != sample.crc32:
                return False
            found += 1
    except (pa.ArrowException, ValueError):
        return False
    return found == len(samples)


def _noted(note: str, samples: Sequence[Sample]) -> str | None:
    """The SHA-256 of a shard of these samples that an earlier attempt finished, if it did."""
    try:
        facts = json.loads(files.read_bytes(note))
        return facts["sha256"] if facts["samples"] == _digest(samples) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(samples: Sequence[Sample]) -> str:
    facts = [(sample.row[ROW], sample.size, sample.crc32) for sample in samples]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
