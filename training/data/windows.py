"""Samples of a corpus, and pieces of their sources, at the rate and channels of a recipe."""

import contextlib
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
    key = error.key if isinstance(error, FollowingFault) else sample_id
    return Bad(key, _why(error))


def _why(error: Exception) -> str:
    """One of UNREADABLE in words; libsndfile's own would name an object in memory."""
    if isinstance(error, soundfile.LibsndfileError):
        return f"does not decode: {error.error_string}"
    return runs.reason(error)


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
    except KeyError as error:
        return Bad(row["sample_id"], f"lacks {error.args[0]}")
    except (ValueError, soundfile.LibsndfileError) as error:
        return Bad(row["sample_id"], _why(error))
    residual = names[1] != recipe.target
    return Window(row["sample_id"], song_of(row), mixture, reference, residual)


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
    first: int | None = None,
) -> tuple[np.ndarray, int]:
    """As `decoded`, for a shape of channels and rate, but not resampled: [frames, channels], and
    their own rate. They are enough for `samples` at the rate, if there are as many.

    The data may be those of a part that begins with frame `first` (`reading.part`)."""
    channels, rate = shape
    with (soundfile.SoundFile if first is None else _Part)(io.BytesIO(data)) as sound:
        start, held = round(start_s * sound.samplerate), sound.channels
        left, from_rate = max(0, sound.frames - start), sound.samplerate
        if samples is not None:  # one frame more than needed: resampling may leave one too few
            left = min(left, -(-samples * from_rate // rate) + 1)
        if not sound.frames:
            raise ValueError("a source is empty")
        ahead = 0 if first is None else start - first  # frames of a part to pass over
        if first is None:
            sound.seek(min(start, sound.frames))
        plain = held == channels and from_rate == rate and not ahead
        out = (room if plain else fresh)((ahead + left, held))
        frames = sound.read(ahead + left, "float32", True, out=out)[ahead:]
        if first is not None and len(frames) < left:
            raise ValueError("a part of a source breaks off")
    if scale != 1:
        frames *= np.float32(scale)
    if channels == 1 and held > 1:
        frames = mixdown.mean_of(frames)[:, None]
    elif held == 1 and channels > 1:
        frames = np.repeat(frames, channels, axis=1)
    elif held != channels:
        raise ValueError(f"a source has {held} channels")
    return frames, from_rate


class _Part(soundfile.SoundFile):
    """A file whose frames are numbered from another one's begin, so that libFLAC finds none by its
    number: it is read in order."""

    def seekable(self) -> bool:
        """soundfile seeks behind what it has read in what is seekable."""
        return False


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
            frames, from_rate = _some(
                home(folder, held), held, name, (channels, rate), begin_s, samples
            )
        except UNREADABLE as error:
            if held is following:
                raise FollowingFault(held["sample_id"], _why(error)) from error
            raise
        wanted = -(-samples * from_rate // rate) + 1
        parts.append(frames[: wanted - before])
        if before + len(frames) >= wanted:
            break
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    found = torch.from_numpy(audio.resample(whole.T, from_rate, rate)[:, :samples])
    return F.pad(found, (0, samples - found.shape[1]))


def patch(folder: str, row: dict[str, Any], recipe: Recipe, rng: random.Random) -> Window | None:
    """What `cut` takes of a decoded sample, of which no more is read than that. None where all of
    it must be read: to be resampled, or as the index does not say where frames lie, or wrongly.

    Raises OSError where it cannot be reached.
    """
    names, rate = needs(row["sources"], recipe.target), recipe.sample_rate
    spare = round(row["duration_s"] * row["sample_rate"]) - recipe.patch_samples
    if row["sample_rate"] != rate or spare <= 0 or not row.get("members"):
        return None
    shape, begin = (recipe.audio_channels, rate), rng.randint(0, spare) / rate
    found = []
    for name in names:
        part = _part(folder, row, f"{name}.flac", shape, begin, recipe.patch_samples)
        if part is None:
            return None
        found.append(torch.from_numpy(part[0].T[:, : recipe.patch_samples]))
    mixture, reference = found
    residual = names[1] != recipe.target
    return Window(row["sample_id"], song_of(row), mixture, reference, residual)


def song_of(row: Mapping[str, Any]) -> str:
    """What a sample's song is called among levels: a song of several recordings is several."""
    return " ".join([row["song_id"], *(row["track_ids"] or [])])


def _part(
    folder: str,
    row: dict[str, Any],
    name: str,
    shape: tuple[int, int],
    start_s: float,
    samples: int,
) -> tuple[np.ndarray, int] | None:
    """As `_frames`, of a file of which no more is read than is wanted; None where that fails."""
    begin, rate = round(start_s * row["sample_rate"]), row["sample_rate"]
    count = -(-samples * rate // shape[1]) + 1  # as in `_frames`
    if part := reading.part(folder, row, name, begin, count):
        data, first = part
        with contextlib.suppress(ValueError, soundfile.LibsndfileError):
            return _frames(data, row["scale"], shape, start_s=start_s, samples=samples, first=first)
    return None


def _some(
    folder: str,
    row: dict[str, Any],
    name: str,
    shape: tuple[int, int],
    start_s: float,
    samples: int,
) -> tuple[np.ndarray, int]:
    """As `_frames`, of a sample's file; raises one of `UNREADABLE`."""
    if part := _part(folder, row, name, shape, start_s, samples):
        return part
    data = reading.contents(folder, row, [name])[name]
    return _frames(data, row["scale"], shape, start_s=start_s, samples=samples)
