"""Estimates for signals of any length, from overlapping chunks that are cross-faded.

Chunks of T seconds begin every P seconds (BSRNN IV-C: T = 3, P = 0.5), the first T − P before the
signal, so that every sample lies in T / P chunks. The printed padding of L − P can only be T − P.

Nets that normalise over time would take the silence around a signal for a part of it. For them the
first chunk begins with the signal, and the last one is moved back to end with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from training.models.spectrogram import Waveform

Estimator = Callable[[Tensor], Tensor]  # [batch, channels, samples] → [batch, …, samples]


SECONDS = 3.0  # T
BATCH = 4
FADE_FLOOR = 1e-3  # of a chunk's weights
LEAST_HOP = 0.01  # seconds


class Room:
    """What the memory has room for; it may turn out while chunks are computed."""

    most: int | None = None  # chunks at once, once more did not fit


@dataclass(frozen=True)
class Chunking:
    """How a signal is cut."""

    seconds: float | None = None  # of a chunk; None: as the recipe has it
    hop_seconds: float = 0.5  # from one start to the next
    batch: int = BATCH  # chunks computed at once
    whole: bool = False  # no chunks: the whole signal at once
    overlap: float | None = None  # of neighbours, in chunks; it then says `hop_seconds` (`spread`)
    shifts: int = 1  # passes, each a little later, whose estimates are averaged
    padded: bool = True  # whether chunks reach beyond the signal, where it counts as 0
    room: Room = field(default_factory=Room, compare=False, repr=False)

    @property
    def length(self) -> float:
        """Seconds of a chunk."""
        return SECONDS if self.seconds is None else self.seconds

    def spread(self) -> "Chunking":
        """The same, with the `hop_seconds` that follow from `overlap`."""
        if self.overlap is None:
            return self
        hop = max(LEAST_HOP, self.length * (1 - self.overlap))
        return replace(self, hop_seconds=hop, overlap=None)

    @property
    def at_once(self) -> int:
        """Chunks that are computed at once, as far as the memory has room."""
        return self.batch if self.room.most is None else min(self.batch, self.room.most)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation failed because its device has too little memory."""
    kinds = torch.OutOfMemoryError | MemoryError
    return isinstance(error, kinds) or "t allocate memory" in str(error)


def overlap_add(
    signal: Waveform, sample_rate: int, estimate: Estimator, chunking: Chunking
) -> Iterator[Tensor]:
    """A signal [channels, samples] through `estimate`: blocks [sources, channels, samples] in turn.

    Chunks are weighted by a Hann window and divided by the sum of the weights, so nothing clicks at
    their edges. They are added up where they were computed, and where the memory does not have room
    for a batch, it is halved from then on. Memory does not grow with the signal.
    """
    total = signal.shape[-1]
    starts, length = grid(total, sample_rate, chunking)
    window = fade(length)
    sums: Tensor | None = None  # [sources, channels, length]: what later chunks still reach
    weights = torch.zeros(length)
    first = 0
    while first < len(starts):
        group = starts[first : first + chunking.at_once]
        batch = torch.stack([_piece(signal, start, length) for start in group])
        estimates = _where_there_is_room(estimate, batch)
        if estimates is None:
            chunking.room.most = len(group) // 2
            continue
        first += len(group)
        following = [*starts[first - len(group) + 1 : first + 1], starts[-1] + length]
        window, weights = window.to(estimates.device), weights.to(estimates.device)
        for start, after, found in zip(group, following[: len(group)], estimates, strict=True):
            sums = torch.zeros_like(found) if sums is None else sums
            sums += found * window
            weights += window
            ready = after - start  # samples that no later chunk reaches
            done = sums[..., :ready] / weights[:ready]
            yield done[..., max(0, -start) : max(0, total - start)].cpu()
            sums = torch.cat((sums[..., ready:], torch.zeros_like(sums[..., :ready])), dim=-1)
            weights = torch.cat((weights[ready:], weights.new_zeros(ready)))


def of_songs(songs: Tensor, sample_rate: int, estimate: Estimator, chunking: Chunking) -> Tensor:
    """`overlap_add` of short songs of one length, [batch, channels, samples], side by side: a chunk
    of each song at a time. [batch, sources, channels, samples], where `estimate` leaves them."""
    total = songs.shape[-1]
    starts, length = grid(total, sample_rate, chunking)
    before, after = max(0, -starts[0]), max(0, starts[-1] + length - total)
    padded = torch.nn.functional.pad(songs, (before, after))
    window = fade(length)
    sums: Tensor | None = None
    weights = torch.zeros(padded.shape[-1])
    for start in starts:
        place = slice(before + start, before + start + length)
        found = estimate(padded[..., place]).float()
        if sums is None:
            sums = found.new_zeros(*found.shape[:-1], padded.shape[-1])
            window, weights = window.to(found.device), weights.to(found.device)
        sums[..., place] += found * window
        weights[place] += window
    assert sums is not None
    return (sums / weights)[..., before : before + total]


def _where_there_is_room(estimate: Estimator, batch: Tensor) -> Tensor | None:
    """The estimates, float32; None where the memory does not have room for several chunks."""
    try:
        return estimate(batch).float()
    except (RuntimeError, MemoryError) as error:
        if len(batch) == 1 or not is_out_of_memory(error):
            raise
    forget_failed()
    return None


def forget_failed() -> None:
    """Give back to a GPU what a computation took that failed, once nothing holds it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def grid(total: int, sample_rate: int, chunking: Chunking) -> tuple[Sequence[int], int]:
    """Where the chunks of a signal of `total` samples begin, and how many samples one has."""
    length = max(2, round(chunking.length * sample_rate))
    hop = min(length, max(1, round(chunking.hop_seconds * sample_rate)))
    if chunking.padded:
        return range(hop - length, total, hop), length
    length = min(length, max(1, total))
    return [*range(0, total - length, hop), total - length], length


def fade(length: int) -> Tensor:
    """The weights of a chunk's samples, [length]: nowhere 0, so that the edges count also if chunks
    do not overlap."""
    return torch.hann_window(length + 2, periodic=False)[1:-1] + FADE_FLOOR


def _piece(signal: Waveform, start: int, length: int) -> Tensor:
    """[channels, length] from `start`, with zeros before the signal and after its end."""
    total = signal.shape[-1]
    part = signal[:, max(0, start) : max(0, min(total, start + length))]
    before = max(0, -start)
    return torch.nn.functional.pad(part, (before, length - before - part.shape[-1]))
