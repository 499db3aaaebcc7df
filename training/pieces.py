"""Pieces of sources anywhere in a corpus: what mixing on the fly reads."""

import io
import tarfile
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
from torch import Tensor

from pipelines import audio, files

UNREADABLE = (
    OSError,
    ValueError,
    tarfile.TarError,
    soundfile.LibsndfileError,
    pa.ArrowException,
)  # what a damaged shard or sample raises


def names(held: list[str], source: str) -> tuple[str, ...]:
    """What to decode for a source of a sample that holds these; () where it cannot be had.

    Two names stand for their difference: the vocals of a pair are mixture minus accompaniment.
    """
    if source in held:
        return (source,)
    if source == "vocals" and {"mixture", "accompaniment"} <= set(held):
        return ("mixture", "accompaniment")
    return ()


def read(
    folder: str, row: dict[str, Any], source: str, start_s: float, shape: tuple[int, int], rate: int
) -> Tensor:
    """A piece of a source that begins `start_s` seconds after its chunk does: float32 of `shape`,
    [channels, samples], at `rate` and true level; zeros follow where the chunk ends before.

    `row` is the sample's in the index. Raises one of `UNREADABLE` where it cannot be had.
    """
    channels, samples = shape
    from_rate = row["sample_rate"]
    wanted = [f"{name}.flac" for name in names(row["sources"], source)]
    parts = []
    for data in _contents(files.join(folder, row["shard"]), row, wanted):
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            sound.seek(min(sound.frames, round(start_s * from_rate)))
            # One frame more than needed: resampling may leave one too few.
            frames = sound.read(-(-samples * from_rate // rate) + 1, "float32", always_2d=True)
        if channels == 1:
            frames = frames.mean(axis=1, keepdims=True)
        parts.append(np.broadcast_to(frames.T, (channels, len(frames))) * np.float32(row["scale"]))
    difference = parts[0] if len(parts) == 1 else parts[0] - parts[1]
    found = audio.resample(np.ascontiguousarray(difference), from_rate, rate)[:, :samples]
    return torch.nn.functional.pad(torch.from_numpy(found), (0, samples - found.shape[1]))


def _contents(shard: str, row: dict[str, Any], wanted: list[str]) -> list[bytes]:
    """Files of a sample, by name, from its shard."""
    with files.open_input(shard) as file:
        if shard.endswith(".parquet"):
            return _of_parquet(file, row, wanted)
        return _of_tar(file, row, wanted)


def _of_tar(file: IO[bytes], row: dict[str, Any], wanted: list[str]) -> list[bytes]:
    found: dict[str, bytes] = {}
    file.seek(row["offset"])
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while len(found) < len(wanted) and (entry := tar.next()) is not None:
            sample_id, _, name = entry.name.partition(".")
            if sample_id != row["sample_id"]:
                break
            if name in wanted:
                content = tar.extractfile(entry)
                found[name] = content.read() if content else b""
    return _all(found, wanted)


def _of_parquet(file: IO[bytes], row: dict[str, Any], wanted: list[str]) -> list[bytes]:
    table = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
    place = row["offset"]
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if place < rows:
            part = table.read_row_group(group, columns=wanted, use_threads=False)
            return _all(part.slice(place, 1).to_pylist()[0], wanted)
        place -= rows
    return _all({}, wanted)


def _all(found: dict[str, Any], wanted: list[str]) -> list[bytes]:
    missing = [name for name in wanted if not found.get(name)]
    if missing or not wanted:
        raise ValueError(f"its shard lacks {', '.join(missing) or 'the source'}")
    return [found[name] for name in wanted]
