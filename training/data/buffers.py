"""Buffers in shared memory, through which worker processes send decoded samples.

New shared memory costs a worker a third of the time that decoding does, as its pages have to be
found and cleared, and a copy on either side costs as much again. So workers decode into buffers
that are reused: the receiver of a window sees the same memory, and a buffer is free again when
nothing refers to that memory any more.
"""

import dataclasses
import weakref

import numpy as np
import torch
from torch import Tensor

from training.data.windows import Bad, Window

MARGIN = 1.25  # room for longer samples to come
_HEAD = 16  # floats before the first signal; the first of them is 1 while the buffer is in use


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a signal lies in a buffer of floats."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in floats


@dataclasses.dataclass(frozen=True)
class Sent:
    """A window whose signals lie in a buffer; the buffer itself is sent the first time only."""

    window: Window  # without its signals
    places: tuple[Place, Place]
    number: tuple[int, int]  # of the worker, and of its buffer
    buffer: Tensor | None


class Buffers:
    """A worker's buffers: as many as are in use at once."""

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.known: set[int] = set()  # which of them were sent
        self.turn, self.filled = 0, 0

    def begin(self) -> None:
        """Choose a buffer for the next item: a free one, or a new one."""
        free = (n for n, buffer in enumerate(self.buffers) if not buffer[0])
        self.turn, self.filled = next(free, len(self.buffers)), _HEAD
        if self.turn == len(self.buffers):
            self.buffers.append(torch.zeros(_HEAD))

    def room(self, shape: tuple[int, int]) -> np.ndarray:
        """An array to decode into, in the buffer if that is long enough."""
        start, size = self.filled, shape[0] * shape[1]
        buffer = self.buffers[self.turn]
        if start + size > buffer.numel():
            return np.empty(shape, np.float32)
        self.filled += size
        return buffer.numpy()[start : start + size].reshape(shape)

    def put(self, item: Window | Bad) -> Sent | Bad:
        """An item as it is sent."""
        if isinstance(item, Bad):
            return item
        parts = item.mixture, item.reference
        if not all(map(self._holds, parts)):
            parts = self._moved(parts)
        begin, worker = self.buffers[self.turn].data_ptr(), torch.utils.data.get_worker_info()
        buffer = None if self.turn in self.known else self.buffers[self.turn]
        self.known.add(self.turn)
        self.buffers[self.turn][0] = 1
        bare = dataclasses.replace(item, mixture=torch.empty(0), reference=torch.empty(0))
        first, second = (
            Place((part.data_ptr() - begin) // 4, tuple(part.shape), part.stride())
            for part in parts
        )
        return Sent(bare, (first, second), (worker.id if worker else 0, self.turn), buffer)

    def _holds(self, part: Tensor) -> bool:
        buffer = self.buffers[self.turn]
        return 0 <= part.data_ptr() - buffer.data_ptr() < 4 * buffer.numel()

    def _moved(self, parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Copies of signals in the buffer, or in a larger one, interleaved as they were."""
        needed = _HEAD + sum(part.numel() for part in parts)
        if self.buffers[self.turn].numel() < needed:
            self.buffers[self.turn] = torch.zeros(round(MARGIN * needed)).share_memory_()
            self.known.discard(self.turn)
        moved, start = [], _HEAD
        sources = [part.clone() if self._holds(part) else part for part in parts]
        for part in sources:
            flat = self.buffers[self.turn][start : start + part.numel()]
            interleaved = part.t().is_contiguous()
            place = flat.view(part.shape[::-1]).t() if interleaved else flat.view(part.shape)
            moved.append(place.copy_(part))
            start += part.numel()
        return moved[0], moved[1]


class Receiver:
    """Receives the items of workers, and keeps their buffers mapped."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[int, int], Tensor] = {}

    def take(self, item: Sent | Bad) -> Window | Bad:
        """The item that a worker sent; a window that is to be cached is copied."""
        if isinstance(item, Bad):
            return item
        if item.buffer is not None:
            self.buffers[item.number] = item.buffer
        lent = _Loan(self.buffers[item.number])
        mixture, reference = (lent.seen(place) for place in item.places)
        if item.window.whole:
            mixture, reference = mixture.clone(), reference.clone()
        return dataclasses.replace(item.window, mixture=mixture, reference=reference)


class _Loan:
    """A buffer that is marked free when the last of its signals is gone."""

    def __init__(self, buffer: Tensor) -> None:
        self.buffer, self.count = buffer, 0

    def seen(self, place: Place) -> Tensor:
        """A signal in the buffer. Every tensor that shares its memory holds `array`."""
        array = np.lib.stride_tricks.as_strided(
            self.buffer.numpy()[place.offset :], place.shape, [4 * step for step in place.strides]
        )
        self.count += 1
        weakref.finalize(array, self._back).atexit = False
        return torch.from_numpy(array)

    def _back(self) -> None:
        self.count -= 1
        if not self.count:
            self.buffer[0] = 0
