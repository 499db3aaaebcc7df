"""Decoded samples on their way from a worker process, in shared memory that is used again.

Fresh shared memory costs a worker a third of the time that decoding does, for its pages have to be
found and cleared. So each worker has a few buffers and fills them in turn, and whoever receives a
window copies it out before asking for the next one.
"""

import dataclasses

import torch
from torch import Tensor

from training.windows import Bad, Window

MARGIN = 1.25  # room for longer samples to come


@dataclasses.dataclass(frozen=True)
class Shelved:
    """A window whose signals lie in a buffer, one behind the other."""

    window: Window  # without its signals
    shapes: tuple[torch.Size, torch.Size]
    interleaved: bool  # whether channels alternate in memory
    buffer: Tensor

    def taken(self) -> Window:
        """The window in memory of its own."""
        first = self.shapes[0].numel()
        parts = self.buffer[:first], self.buffer[first : first + self.shapes[1].numel()]
        mixture, reference = (
            _laid_out(part, shape, self.interleaved).clone()
            for part, shape in zip(parts, self.shapes, strict=True)
        )
        return dataclasses.replace(self.window, mixture=mixture, reference=reference)


class Shelf:
    """A worker's buffers.

    `ahead` is how many items a worker may be asked for before the first of them has been received.
    """

    def __init__(self, ahead: int) -> None:
        self.buffers: list[Tensor] = [torch.empty(0)] * (ahead + 2)
        self.turn = 0

    def put(self, item: Window | Bad) -> Shelved | Bad:
        """An item, ready to be sent."""
        if isinstance(item, Bad):
            return item
        parts = item.mixture, item.reference
        needed = sum(part.numel() for part in parts)
        self.turn = (self.turn + 1) % len(self.buffers)
        if self.buffers[self.turn].numel() < needed:
            self.buffers[self.turn] = torch.empty(round(MARGIN * needed)).share_memory_()
        buffer, start = self.buffers[self.turn], 0
        interleaved = parts[0].t().is_contiguous()
        for part in parts:
            place = buffer[start : start + part.numel()]
            _laid_out(place, part.shape, interleaved).copy_(part)
            start += part.numel()
        bare = dataclasses.replace(item, mixture=torch.empty(0), reference=torch.empty(0))
        return Shelved(bare, (parts[0].shape, parts[1].shape), interleaved, buffer)


def taken(item: Shelved | Bad) -> Window | Bad:
    """What a worker sent, in memory of its own."""
    return item.taken() if isinstance(item, Shelved) else item


def _laid_out(flat: Tensor, shape: torch.Size, interleaved: bool) -> Tensor:
    return flat.view(shape[1], shape[0]).t() if interleaved else flat.view(shape)
