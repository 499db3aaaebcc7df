"""Several processes that train one net together, as `torchrun` starts them; else this one alone."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stemlode import runs
from stemlode.runs import BadUsage

PATIENCE = timedelta(hours=24)  # torchrun ends everyone when one dies, so nobody waits in vain


@dataclass(frozen=True)
class World:
    """This process' number among `size` ones. The first one alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """Everyone's value, in the order of ranks. All must call it."""
        found = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(found, value)
        return found

    def shared(self, value: Any) -> Any:
        """The first one's value. All must call it."""
        return self.gathered(value)[0]

    def mean(self, number: Tensor) -> Tensor:
        """The mean of everyone's number, on its device. All must call it."""
        if self.size > 1:
            number = number / self.size
            distributed.all_reduce(number)
        return number

    def around(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module, with gradients that are averaged over all ranks after each backward."""
        if self.size == 1:
            return module
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids, gradient_as_bucket_view=True)

    def close(self) -> None:
        """Leave the others."""
        if self.size > 1:
            distributed.destroy_process_group()


ALONE = World()


def apart(module: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """Where `wanted`, a backward in which gradients stay with their rank."""
    if wanted and isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return nullcontext()


def join() -> World:
    """The processes that torchrun started together, by gloo for values and NCCL for GPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    return World(distributed.get_rank(), size)


def pick_device(name: str | None, world: World = ALONE) -> torch.device:
    """A device by its name, else the GPU where there is one; BadUsage for what is not there.

    Of several processes on a machine each gets a GPU of its own.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda" and device.index is None and world.size > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        torch.zeros(1, device=device).item()
        # fp32 is fp32: TF32, cuDNN's default, would leave the filter banks' noise at −60 dB.
        torch.backends.cudnn.allow_tf32 = False
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = runs.reason(error).partition(". ")[0][:200]
        raise BadUsage(f"--device {name}: {cause}; name cpu, or a GPU that is there") from error
    return device
