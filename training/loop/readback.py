"""What a step found, read from the device one step late, so that nothing waits for it."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Taken:
    """A step that is taken; its values, [names], are on their way from the device."""

    step: int
    sample_ids: list[str]
    names: tuple[str, ...]
    values: Tensor
    arrived: torch.cuda.Event | None

    def read(self) -> dict[str, float]:
        """The values by name; waits until they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return dict(zip(self.names, self.values.tolist(), strict=True))


def sent(step: int, sample_ids: list[str], found: dict[str, Tensor]) -> Taken:
    """Send scalars of a step from the device; on a GPU nothing here waits for them."""
    values, arrived = torch.stack(list(found.values())), None
    if values.is_cuda:
        pinned = torch.empty_like(values, device="cpu", pin_memory=True)
        values = pinned.copy_(values, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream())
    return Taken(step, sample_ids, tuple(found), values, arrived)
