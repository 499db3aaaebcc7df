"""The device to compute on, and the processes that train a net together (`torchrun`)."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
    """This process' rank among `size` processes. Only the first one writes files."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """Each process' value, by rank. All processes must call this."""
        found = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(found, value)
        return found

    def shared(self, value: Any) -> Any:
        """The first process' value. All processes must call this."""
        return self.gathered(value)[0]

    def mean(self, number: Tensor) -> Tensor:
        """The mean of all processes' numbers, on the device. All processes must call this."""
        if self.size > 1:
            number = number / self.size
            distributed.all_reduce(number)
        return number

    def even_out(self, *nets: nn.Module) -> None:
        """Give every process the mean of all processes' running statistics, which each gathers
        from its own part of the batches. All processes must call this."""
        if self.size == 1:
            return
        for net in nets:
            for held in running_statistics(net).values():
                held.copy_(self.mean(held))

    def around(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module, with gradients that are averaged over all ranks after each backward."""
        if self.size == 1:
            return module
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=ids, gradient_as_bucket_view=True, broadcast_buffers=False
        )

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            distributed.destroy_process_group()


ALONE = World()


def running_statistics(net: nn.Module) -> dict[str, Tensor]:
    """The means and variances that a net's batch normalisations gather while it learns, by name."""
    return {
        f"{name}.{kind}": getattr(module, kind)
        for name, module in net.named_modules()
        for kind in ("running_mean", "running_var")
        if getattr(module, kind, None) is not None
    }


def apart(module: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """If `wanted`, a context in which backward does not exchange gradients between processes."""
    if wanted and isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return nullcontext()


def join() -> World:
    """Join the processes that torchrun started: gloo for values, NCCL for GPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    return World(distributed.get_rank(), size)


def sent(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A tensor's copy in the machine's memory. From a GPU it is there once the event has come, and
    nothing here waits for that; what is launched later does not hold it up."""
    if not values.is_cuda:
        return values.cpu(), None
    copy = torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(values.device))
    return copy, arrived


def products(kind: str) -> None:
    """What a GPU multiplies fp32 in: `ieee`, or `tf32`, which rounds to 10 bits of mantissa."""
    cuda: Any = torch.backends.cuda.matmul  # torch's own types lack these
    cudnn: Any = torch.backends.cudnn
    for part in (cuda, cudnn.conv, cudnn.rnn):
        part.fp32_precision = kind


@contextmanager
def exactly() -> Iterator[None]:
    """Within it, products of fp32 are exact, whatever they are outside."""
    matmul: Any = torch.backends.cuda.matmul
    kind = matmul.fp32_precision
    products("ieee")
    try:
        yield
    finally:
        products(kind)


def there() -> list[str]:
    """The names of the devices of this machine."""
    found = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ["cpu", *found]


def pick_device(name: str | None, world: World = ALONE) -> torch.device:
    """A device by its name; without one, a GPU if there is one. BadUsage if it is not there.

    Several processes on one machine get a GPU each.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda" and device.index is None and world.size > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        torch.zeros(1, device=device).item()
        products("ieee")  # fp32 is fp32: cuDNN's own default is TF32
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = _cause(error)
        here = ", ".join(there())
        raise BadUsage(f"--device {name}: {cause}; this machine has {here}") from error
    return device


def _cause(error: Exception) -> str:
    """Why a device is not there; torch lists its operators or all kinds that it knows."""
    said = runs.reason(error).partition(". ")[0]
    if said.startswith("Expected one of"):
        return "is none of cpu, cuda, cuda:1 and mps"
    return "is not there" if said.startswith("Could not run") else said[:200]
