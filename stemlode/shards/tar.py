"""The shard writer: encoded samples → part files → a plan → WebDataset tars. Free of Beam.

Audio never goes through a shuffle. Each song's samples are encoded once into a part file, as tar
entries ready to be copied; what travels is a `Sample`: its index row and where its bytes lie. The
shards are planned from sorted sample ids and sizes alone, and a shard is written by copying byte
ranges, and read back and checked before it gets its final name.
"""

import dataclasses
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import IO, Any

from stemlode import files
from stemlode.runs import BadUsage, Failed
from stemlode.shards import members, space
from stemlode.shards.members import BLOCK, Member

END = bytes(2 * BLOCK)  # two empty blocks end a tar file
COPY_BYTES = 1 << 18
SHARD = re.compile(r"(train|valid|test)/\1-(\d{5,})\.(tar|parquet)")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
crc32 = zlib.crc32


@dataclasses.dataclass(frozen=True)
class Sample:
    """A sample's index row (without shard, offset and members) and its tar entries in a part file.

    The members' offsets are those in the tar entries; there are none in a part of an earlier
    Stemlode.
    """

    row: dict[str, Any]
    part: str  # path of the part file
    offset: int  # bytes into the part file
    size: int  # bytes, padding included
    crc32: int
    members: dict[str, Member] = dataclasses.field(default_factory=dict)


def parse_bytes(text: str) -> int:
    """`256MiB`, `1GB` or `4096` in bytes; BadUsage for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", text.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
    if size < 1:
        raise BadUsage(f"--shard-bytes {text}: write a size such as 256MiB")
    return size


def pieces(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """One file as a tar entry: USTAR header, content, padding to whole blocks.

    Nothing but name and content decides the bytes: time and owner are 0, the mode is 0644.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 0
    return info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % BLOCK)


def entries(sample_id: str, contents: Mapping[str, bytes]) -> bytes:
    """A sample's files (by extension, `mixture.flac`) as consecutive tar entries, names sorted."""
    found = (pieces(f"{sample_id}.{name}", contents[name]) for name in sorted(contents))
    return b"".join(piece for entry in found for piece in entry)


def contents(data: bytes) -> dict[str, bytes]:
    """The inverse of `entries`: a sample's files by extension; tarfile.TarError for other bytes."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            begin = member.offset_data
            found[member.name.partition(".")[2]] = data[begin : begin + member.size]
    return found


def places(contents: Mapping[str, bytes], begin: int) -> dict[str, int]:
    """Where each of a sample's files begins in a shard in which its entries begin at `begin`."""
    found, at = {}, begin
    for name in sorted(contents):
        found[name] = at + BLOCK
        at += BLOCK + -(-len(contents[name]) // BLOCK) * BLOCK
    return found


def hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each of a sample's files."""
    return {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}


def write_part(
    path: str, samples: Iterable[tuple[dict[str, Any], Mapping[str, bytes]]]
) -> list[Sample]:
    """Write the samples of one song (index row, files by extension) to a part file.

    A list of them beside it (`….json`), written last, says that the part is whole.
    """
    held = []
    files.remove(f"{path}{space.FREED}")
    with files.atomic_write(path) as file:
        offset = 0
        for row, contents in samples:
            size = checksum = 0
            places = {}
            for name in sorted(contents):
                places[name] = members.of_file(contents[name], size + BLOCK)
                for piece in pieces(f"{row['sample_id']}.{name}", contents[name]):
                    file.write(piece)
                    checksum = zlib.crc32(piece, checksum)
                    size += len(piece)
            held.append(Sample(row, path, offset, size, checksum, places))
            offset += size
    described = [dataclasses.asdict(sample) | {"part": None} for sample in held]
    files.write_bytes(_list_of(path), json.dumps({"bytes": offset, "samples": described}).encode())
    return held


def read_part(path: str) -> list[Sample] | None:
    """The samples of a part file that was written whole; None where there is none such."""
    try:
        listed = json.loads(files.read_bytes(_list_of(path)))
        if files.size(path) != listed["bytes"]:
            return None
    except (FileNotFoundError, ValueError):
        return None
    return [Sample(**{**sample, "part": path}) for sample in listed["samples"]]


def plan_shards(sizes: Sequence[int], limit: int, before: int = 0) -> list[int]:
    """Which shard each sample goes to, by the sizes of all samples before it.

    A sample belongs to shard n where n·limit ≤ bytes before it < (n + 1)·limit, so a shard exceeds
    the limit by less than its last sample, none is empty, and each is decided from a sum alone:
    the plan can be made in pieces (`before`: bytes ahead of this piece). A sample larger than the
    limit leaves unused numbers behind; `renumber` closes those gaps.
    """
    starts = accumulate(sizes[:-1], initial=before) if sizes else ()
    return [start // limit for start in starts]


def renumber(numbers: Iterable[int]) -> dict[int, int]:
    """Shard numbers that are in use → 0, 1, 2, … without gaps, in order."""
    return {number: rank for rank, number in enumerate(sorted(set(numbers)))}


def shard_name(split: str, number: int) -> str:
    """A shard's path below the corpus folder."""
    return f"{split}/{split}-{number:05d}.tar"


def offsets(samples: Sequence[Sample]) -> list[int]:
    """Where each sample begins in a shard that holds these, in this order."""
    return list(accumulate((sample.size for sample in samples[:-1]), initial=0)) if samples else []


def rows(samples: Sequence[Sample], shard: str) -> Iterator[dict[str, Any]]:
    """The samples' rows of the index, where `shard` holds these, in this order."""
    for sample, offset in zip(samples, offsets(samples), strict=True):
        places = {name: offset + member["offset"] for name, member in sample.members.items()}
        yield {
            **sample.row,
            "shard": shard,
            "offset": offset,
            "size": sample.size,
            "members": members.moved(sample.members, places),
        }


def write_shard(path: str, samples: Sequence[Sample]) -> str:
    """Write a shard of these samples, in this order, unless it is there already; its SHA-256.

    Raises Failed where a part file is missing or damaged (it is made anew by the next run) or the
    written bytes read back differently.
    """
    if (found := finished_shard(path, samples)) is not None:
        return found
    sha256 = ""

    def check(temporary: str) -> None:
        nonlocal sha256
        sha256 = finished_shard(temporary, samples) or ""
        if not sha256:
            for sample in samples:
                read_sample(sample)  # Failed where it is the part file that is damaged
            raise Failed(f"{path}: reads back differently from what was written; check the disk")

    with files.atomic_write(path, check) as file:
        for data in _copied(samples):
            file.write(data)
        file.write(END)
    return sha256


def finished_shard(path: str, samples: Sequence[Sample]) -> str | None:
    """SHA-256 of a shard that exists and holds exactly these samples; None for any other."""
    expected = sum(sample.size for sample in samples) + len(END)
    if not files.exists(path) or files.size(path) != expected:
        return None
    hasher = hashlib.sha256()
    with files.open_input(path) as file:
        for sample in samples:
            checksum = 0
            for data in _blocks(file, sample.size):
                checksum = zlib.crc32(data, checksum)
                hasher.update(data)
            if checksum != sample.crc32:
                return None
        if file.read() != END:
            return None
    hasher.update(END)
    return hasher.hexdigest()


def release(samples: Iterable[Sample]) -> None:
    """Give back the disk that samples take in part files, for a shard holds them now."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for sample in samples:
        ranges.setdefault(sample.part, []).append((sample.offset, sample.size))
    for part, some in ranges.items():
        space.free(part, some)


def read_sample(sample: Sample) -> bytes:
    """A sample's tar entries out of its part file; Failed where that is damaged."""
    data = b"".join(map(bytes, _copied([sample])))
    if (len(data), zlib.crc32(data)) != (sample.size, sample.crc32):
        raise _damaged(sample.part)
    return data


def _copied(samples: Sequence[Sample]) -> Iterator[memoryview]:
    """The samples' bytes out of their part files, unchecked; as `_blocks`."""
    for sample in samples:
        try:
            with files.open_input(sample.part) as file:
                file.seek(sample.offset)
                yield from _blocks(file, sample.size)
        except FileNotFoundError as error:
            raise _damaged(sample.part) from error


def _damaged(part: str) -> Failed:
    """What to say of a part file that is not what its list says, and is none from now on.

    One that was given back is wanted again where the shards have become others, since a file could
    be read that could not be before: then all such files are made anew, and not one a run.
    """
    freed = space.freed_beside(part)
    for path in {part, *(freed if part in freed else [])}:
        files.remove(_list_of(path))
    return Failed(f"{part}: damaged; run again to make it anew")


def _blocks(file: IO[bytes], size: int) -> Iterator[memoryview]:
    """The next bytes of a file, fewer where it ends before; each block is valid until the next."""
    buffer = memoryview(bytearray(min(size, COPY_BYTES)))
    while size > 0 and (count := file.readinto(buffer[: min(size, COPY_BYTES)])):  # type: ignore[attr-defined]
        size -= count
        yield buffer[:count]


def _list_of(part: str) -> str:
    return f"{part}.json"
