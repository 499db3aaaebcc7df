"""Pieces of sources anywhere in a corpus: what mixing on the fly reads."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
import torch
from torch import Tensor

from pipelines import audio
from training import shards

# What a damaged shard or sample raises.
UNREADABLE = (OSError, ValueError, soundfile.LibsndfileError, pa.ArrowException)


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
    encoded = shards.contents(folder, row, wanted)
    parts = []
    for name in wanted:
        with soundfile.SoundFile(io.BytesIO(encoded[name])) as sound:
            sound.seek(min(sound.frames, round(start_s * from_rate)))
            # One frame more than needed: resampling may leave one too few.
            frames = sound.read(-(-samples * from_rate // rate) + 1, "float32", always_2d=True)
        if channels == 1:
            frames = frames.mean(axis=1, keepdims=True)
        parts.append(np.broadcast_to(frames.T, (channels, len(frames))) * np.float32(row["scale"]))
    difference = parts[0] if len(parts) == 1 else parts[0] - parts[1]
    found = audio.resample(np.ascontiguousarray(difference), from_rate, rate)[:, :samples]
    return torch.nn.functional.pad(torch.from_numpy(found), (0, samples - found.shape[1]))
