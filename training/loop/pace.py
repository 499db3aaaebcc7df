"""How fast a run learns: segments a second, how long it waits for data, how busy the device is."""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from training.data.examples import Batch
from training.models import cost
from training.recipes.base import Recipe

SIDES = {"cpu": 1024, "cuda": 8192}  # of the square matrices that a device is measured with
ROUNDS = {"cpu": 1, "cuda": 20}
TRIES = 5  # of which the fastest counts: other work on the machine slows some
PASSES = 3  # forward, and the backward's two products for each of its one


class Pace:
    """Counts from one line of the log to the next.

    Waiting is the time in which the device is idle because the next batch is not ready. Utilisation
    is the nets' multiplications per second, forward and backward, as a share of those of large
    matrix products on the same device in the same precision.
    """

    def __init__(self, device: torch.device, rate: float) -> None:
        """`rate`: the device's multiply-accumulates a second (`matmul_rate`)."""
        self.device, self.rate = device, rate
        self.segments, self.work, self.waited = 0, 0.0, 0.0
        self.since = time.monotonic()

    def fetched(self, fetch: Callable[[], Any]) -> Any:
        """What `fetch` returns; its time counts as waiting if the device is idle at its end."""
        done = None
        if self.device.type == "cuda":
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(self.device))
        started = time.monotonic()
        found = fetch()
        if done is None or done.query():
            self.waited += time.monotonic() - started
        return found

    def step(self, segments: int, work: float) -> None:
        """Count a step: its segments and multiplications."""
        self.segments += segments
        self.work += work

    def line(self) -> dict[str, float]:
        """The figures since the line before; counting starts again."""
        seconds = max(1e-9, time.monotonic() - self.since)
        found = {
            "segments_per_s": round(self.segments / seconds, 2),
            "data_wait": round(self.waited / seconds, 4),
            "utilisation": round(self.work / seconds / self.rate, 4),
        }
        self.restart()
        return found

    def restart(self) -> None:
        """Count from now on: validation, for example, is no training."""
        self.segments, self.work, self.waited = 0, 0.0, 0.0
        self.since = time.monotonic()


@functools.cache  # a device does not change while a process runs
def matmul_rate(device: torch.device, kind: torch.dtype) -> float:
    """Multiply-accumulates a second of large square matrix products.

    On a CPU always in fp32, as many have no instructions for less, and in processor time, so that
    other work on the machine does not count.
    """
    on_gpu = device.type == "cuda"
    side, rounds = SIDES.get(device.type, 1024), ROUNDS.get(device.type, 1)
    a = torch.ones(side, side, device=device, dtype=kind if on_gpu else torch.float32)

    def seconds() -> float:
        started = time.monotonic() if on_gpu else time.process_time()
        for _ in range(rounds):
            a @ a
        if on_gpu:
            torch.cuda.synchronize(device)
            return time.monotonic() - started
        return (time.process_time() - started) / torch.get_num_threads()

    seconds()  # wakes the device up
    return rounds * side**3 / max(1e-9, min(seconds() for _ in range(TRIES)))


@torch.no_grad()
def work_of(recipe: Recipe, nets: nn.Module, batch: Batch) -> float:
    """Multiply-accumulates of the nets for one example, forward and backward."""
    training = nets.training
    nets.eval()
    one = (batch.mixture[:1], batch.reference[:1], batch.residual[:1])
    with cost.Products() as products:
        recipe.losses(nets, *one)
    nets.train(training)
    return PASSES * float(products.total)
