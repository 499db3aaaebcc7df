"""What a step found, read from the device one step late, so that nothing waits for it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training import devices


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
    values, arrived = devices.sent(torch.stack(list(found.values())))
    return Taken(step, sample_ids, tuple(found), values, arrived)
