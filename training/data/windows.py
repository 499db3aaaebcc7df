"""Samples of a corpus, and pieces of their sources, at the rate and channels of a recipe."""

import dataclasses
import io
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from stemlode import audio, runs
from stemlode.audio import mixdown
from stemlode.shards import reading
from training.recipes.base import Recipe

# What a damaged shard or sample raises.
UNREADABLE = (OSError, ValueError, soundfile.LibsndfileError, pa.ArrowException)


class FollowingFault(ValueError):
    """A piece cannot be read because of the sample in which it goes on, `key`."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclasses.dataclass(frozen=True)
class Window:
    """A decoded sample at the recipe's rate, with as many channels as it trains on.

    `reference` is the target; or, where `residual` is true, the accompaniment, and the target is
    the mixture without it.
    """

    sample_id: str
    song: str
    mixture: Tensor  # float32 [channels, samples]
    reference: Tensor  # float32 [channels, samples]
    residual: bool
    whole: bool = False  # to be kept for the epochs to come
    # uint8 [rows, frames], of the target: column t is centred on sample t * hop of the window.
    salience: Tensor | None = None
    hop: int = 1  # samples; pieces begin at multiples of it

    @property
    def nbytes(self) -> int:
        """Size of both signals, and of the salience."""
        more = 0 if self.salience is None else self.salience.nbytes
        return self.mixture.nbytes + self.reference.nbytes + more

    def piece(self, start: int, samples: int) -> "Window":
        """Some samples of it, from `start` or, if that is no multiple of the hop, from the last one
        before it; fewer where it ends before."""
        start -= start % self.hop
        stop, salience = start + samples, self.salience
        if salience is not None:
            salience = salience[:, start // self.hop : -(-stop // self.hop)]
        return dataclasses.replace(
            self,
            mixture=self.mixture[:, start:stop],
            reference=self.reference[:, start:stop],
            salience=salience,
            whole=False,
        )


@dataclasses.dataclass(frozen=True)
class Bad:
    """A sample that could not be used, and why."""

    key: str
    reason: str


def needs(sources: Iterable[str], target: str) -> tuple[str, ...]:
    """The sources to decode of a sample; empty where it cannot teach the target."""
    held = set(sources)
    if "mixture" in held and target in held:
        return ("mixture", target)
    if target == "vocals" and {"mixture", "accompaniment"} <= held:
        return ("mixture", "accompaniment")
    return ()


def fault(sample_id: str, error: Exception) -> Bad:
    """What could not be used, for one of UNREADABLE that came up where a sample was read."""
    return Bad(error.key if isinstance(error, FollowingFault) else sample_id, runs.reason(error))


HOME = "home"  # column of an index of several corpora: the folder of each, null for the first's
Room = Callable[[tuple[int, int]], np.ndarray]


def fresh(shape: tuple[int, int]) -> np.ndarray:
    """New memory, float32 [frames, channels]."""
    return np.empty(shape, np.float32)


def decode(
    row: dict[str, Any], contents: Mapping[str, bytes], recipe: Recipe, room: Room = fresh
) -> Window | Bad:
    """Decode what a recipe needs of an encoded sample: its channels and rate, true level.

    Args:
        row: of the index.
        contents: the sample's files by name (`mixture.flac`).
        room: gives the memory to decode into.
    """
    shape = recipe.audio_channels, recipe.sample_rate
    try:
        names = needs(row["sources"], recipe.target)
        mixture, reference = (
            decoded(contents[f"{name}.flac"], row["scale"], *shape, room=room) for name in names
        )
        if mixture.shape != reference.shape:
            raise ValueError("its sources differ in length")
    except soundfile.LibsndfileError as error:
        return Bad(row["sample_id"], f"does not decode: {error.error_string}")
    except KeyError as error:
        return Bad(row["sample_id"], f"lacks {error.args[0]}")
    except ValueError as error:
        return Bad(row["sample_id"], runs.reason(error))
    song = " ".join([row["song_id"], *(row["track_ids"] or [])])
    return Window(row["sample_id"], song, mixture, reference, residual=names[1] != recipe.target)


def decoded(
    data: bytes,
    scale: float,
    channels: int,
    rate: int,
    *,
    start_s: float = 0.0,
    samples: int | None = None,
    room: Room = fresh,
) -> Tensor:
    """A FLAC file, or `samples` of it from `start_s` on: float32 [channels, samples] at `rate` and
    true level; fewer if the file ends before.

    The channels may be interleaved in memory, as they are decoded; the device separates them
    faster. Raises soundfile.LibsndfileError or ValueError if this is no such file.
    """
    shape = channels, rate
    frames, from_rate = _frames(data, scale, shape, start_s=start_s, samples=samples, room=room)
    return torch.from_numpy(audio.resample(frames.T, from_rate, rate)[:, :samples])


def _frames(
    data: bytes,
    scale: float,
    shape: tuple[int, int],
    *,
    start_s: float,
    samples: int | None,
    room: Room = fresh,
) -> tuple[np.ndarray, int]:
    """As `decoded`, for a shape of channels and rate, but not resampled: [frames, channels], and
    their own rate. They are enough for `samples` at the rate, if there are as many."""
    channels, rate = shape
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        start, held = round(start_s * sound.samplerate), sound.channels
        left, from_rate = max(0, sound.frames - start), sound.samplerate
        if samples is not None:  # one frame more than needed: resampling may leave one too few
            left = min(left, -(-samples * from_rate // rate) + 1)
        if not sound.frames:
            raise ValueError("a source is empty")
        sound.seek(min(start, sound.frames))
        plain = held == channels and from_rate == rate
        frames = sound.read(left, "float32", True, out=(room if plain else fresh)((left, held)))
    if scale != 1:
        frames *= np.float32(scale)
    if channels == 1 and held > 1:
        frames = mixdown.mean_of(frames)[:, None]
    elif held == 1 and channels > 1:
        frames = np.repeat(frames, channels, axis=1)
    elif held != channels:
        raise ValueError(f"a source has {held} channels")
    return frames, from_rate


def cut(window: Window, samples: int, rng: random.Random) -> Window:
    """A piece of `samples` at a random place, or the whole with zeros after it."""
    spare = window.mixture.shape[-1] - samples
    if spare >= 0:
        return window.piece(rng.randint(0, spare), samples)
    parts = [F.pad(part, (0, -spare)) for part in (window.mixture, window.reference)]
    return dataclasses.replace(window, mixture=parts[0], reference=parts[1], whole=False)


def pieces(window: Window, samples: int) -> list[Window]:
    """A window in pieces of `samples`, side by side; the last one is moved back, not padded. The
    window itself if it is shorter."""
    total = window.mixture.shape[-1]
    if total <= samples:
        return [window]
    starts = [*range(0, total - samples, samples), total - samples]
    return [window.piece(start, samples) for start in starts]


def home(folder: str, row: Mapping[str, Any]) -> str:
    """The folder of the corpus that a row is of: `folder`, unless several are read as one."""
    return row.get(HOME) or folder


def read(
    folder: str,
    row: dict[str, Any],
    source: str,
    start_s: float,
    shape: tuple[int, int],
    rate: int,
    following: dict[str, Any] | None = None,
) -> Tensor:
    """A piece of a source from `start_s` of its chunk on: float32 of `shape`, [channels, samples],
    at `rate` and true level, filled up with zeros if the chunk ends before.

    `row` is the sample's row of the index; `following` that of the chunk in which the recording
    goes on, from which the piece is completed before it is resampled. Raises one of `UNREADABLE`
    if it cannot be read.
    """
    channels, samples = shape
    rows = [row, following] if following else [row]
    parts: list[np.ndarray] = []
    for held in rows:
        name = f"{source}.flac"
        before = sum(map(len, parts))  # frames
        begin_s = 0.0 if parts else start_s
        try:
            data = reading.contents(home(folder, held), held, [name])[name]
            frames, from_rate = _frames(
                data, held["scale"], (channels, rate), start_s=begin_s, samples=samples
            )
        except UNREADABLE as error:
            if held is following:
                raise FollowingFault(held["sample_id"], runs.reason(error)) from error
            raise
        wanted = -(-samples * from_rate // rate) + 1
        parts.append(frames[: wanted - before])
        if before + len(frames) >= wanted:
            break
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    found = torch.from_numpy(audio.resample(whole.T, from_rate, rate)[:, :samples])
    return F.pad(found, (0, samples - found.shape[1]))
