"""Pieces of sources anywhere in a corpus: what mixing on the fly reads."""

from typing import Any

import pyarrow as pa
import soundfile
import torch
from torch import Tensor

from training import shards
from training.windows import decoded

# What a damaged shard or sample raises.
UNREADABLE = (OSError, ValueError, soundfile.LibsndfileError, pa.ArrowException)


def names(held: list[str], source: str) -> tuple[str, ...]:
    """What to decode for a source of a sample that holds these; () where it cannot be had.

    The vocals of a pair can where they are written: elsewhere mixture − accompaniment holds backing
    as well, and is no source to mix from.
    """
    return (source,) if source in held else ()


def read(
    folder: str, row: dict[str, Any], source: str, start_s: float, shape: tuple[int, int], rate: int
) -> Tensor:
    """A piece of a source that begins `start_s` seconds after its chunk does: float32 of `shape`,
    [channels, samples], at `rate` and true level; zeros follow where the chunk ends before.

    `row` is the sample's in the index. Raises one of `UNREADABLE` where it cannot be had.
    """
    channels, samples = shape
    name = f"{source}.flac"
    data = shards.contents(folder, row, [name])[name]
    found = decoded(data, row["scale"], channels, rate, start_s=start_s, samples=samples)
    return torch.nn.functional.pad(found, (0, samples - found.shape[1]))
