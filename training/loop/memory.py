"""Whether a run's memory will do, before it starts: what learning takes, and what is free.

A kernel that is out of memory kills without a word, and seldom at once.
"""

import dataclasses
import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.batchnorm import _BatchNorm

from stemlode import files
from stemlode.plans import PLAN
from stemlode.runs import SUCCESS, BadUsage
from training import recompute
from training.console import tell
from training.data.mixing import AHEAD
from training.devices import World
from training.loop import free_memory
from training.loop.options import Options
from training.models import precision
from training.recipes.base import Recipe

SIGNALS = 2  # that an example holds where nothing is mixed: mixture and reference
MOMENTS = 2  # that Adam keeps of each weight
# What the backward pass takes beyond what was saved for it. It has gradients of its own, a tenth;
# and in a CPU's heap what was freed lies between what was not, so that it is used again in part.
BACKWARD = {"cpu": 1.3}
ELSEWHERE = 1.1
PROGRAM = 100_000_000  # bytes of the libraries' own that the first step brings into memory
REFUSED_ABOVE = 1.3  # times what is free: an estimate may be wrong by a quarter
PAGEMAP = Path("/proc/self/pagemap")
HELD = np.uint64(0b11 << 62)  # in memory, or swapped out
LARGE = 1 << 20  # bytes; of such a tensor some pages may never be touched


@dataclass(frozen=True)
class Need:
    """Bytes that learning takes on its device."""

    fixed: int  # weights, gradients, moments, averages, and what they are cast to
    example: int  # what each example takes that goes through the net with others
    normalises: bool  # whether these share statistics of batch normalisation

    def of(self, examples: int) -> int:
        """With so many examples at once."""
        return self.fixed + examples * self.example


def need(
    recipe: Recipe,
    device: torch.device,
    kind: str | None = None,
    *,
    teachers: int = 0,
    again: bool = False,
) -> Need:
    """What a recipe takes: one example goes forward on the device, and nothing is kept of it.

    `kind` is the precision's name; `again`: blocks compute their activations again, one after the
    other. Random states stay as they are.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        nets = recipe.nets().to(device)
        nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        chosen = precision.choose(kind, device, nets)
        with precision.lowered(chosen):
            example, cast = saved(recipe, nets, 1, device), 0
            if chosen != precision.FULL:  # weights are cast once for all examples
                cast = max(0, 2 * example - saved(recipe, nets, 2, device))
            if again:
                blocks = recipe.blocks(nets)
                recompute.again(blocks)
                inputs = saved(recipe, nets, 1, device)
                example = min(example, inputs + (example - inputs) // max(1, len(blocks)))
    weights = sum(tensor.nbytes for tensor in (*nets.parameters(), *nets.buffers()))
    copies = 2 + MOMENTS + bool(recipe.ema_decay) + teachers  # the weights and their gradients
    return Need(
        copies * weights + cast + (PROGRAM if device.type == "cpu" else 0),
        round((example - cast) * BACKWARD.get(device.type, ELSEWHERE)),
        any(isinstance(module, _BatchNorm) for module in nets.modules()),
    )


def saved(recipe: Recipe, nets: nn.Module, examples: int, device: torch.device) -> int:
    """The bytes that autograd saves for the backward pass beside the weights."""
    found = _Saved([*nets.parameters(), *nets.buffers()])
    mixture = torch.rand(examples, recipe.audio_channels, recipe.patch_samples, device=device)
    plain = torch.zeros(examples, dtype=torch.bool, device=device)
    with torch.autograd.graph.saved_tensors_hooks(found.note, _never):
        recipe.losses(nets, mixture, mixture / 2, plain)
    return found.total


def check(
    recipe: Recipe,
    device: torch.device,
    options: Options,
    world: World,
    output: str,
    *,
    overwrite: bool,
    teachers: int = 0,
) -> None:
    """Warn where a step takes more memory than is free; BadUsage where it is far more.

    A run that is done in `output` is let be, also where its --steps are raised: it had room once.
    All processes must call this.
    """
    if not overwrite and files.exists(files.join(output, SUCCESS)):
        return
    frees = world.gathered(free_memory.of_device(device))
    if None in frees:
        return
    free, processes = min(frees), world.size
    again = options.checkpoint_activations
    takes = need(recipe, device, options.precision, teachers=teachers, again=again)
    # The first one's, so that all do the same.
    wanted = world.shared(takes.of(at_once(recipe, processes)))
    if wanted <= free:
        return
    begun = not overwrite and files.exists(files.join(output, PLAN))
    line = (
        f"{described(recipe, takes, processes)}, and {_gb(free)} is free on {device}; "
        f"{advice(recipe, takes, free, processes, begun=begun)}"
    )
    if recipe.recomputes and not again:
        lighter = need(recipe, device, options.precision, teachers=teachers, again=True)
        line += f"; --checkpoint-activations takes {_gb(lighter.of(at_once(recipe, processes)))}"
    if wanted > REFUSED_ABOVE * free and not options.force:
        raise BadUsage(f"{line}; --force begins all the same")
    if world.first:
        tell(f"memory is short: {line}")


def fitting(options: Options, recipe: Recipe, processes: int) -> Options:
    """The options with as many workers as shared memory has room for, but one at least, of which
    `check_shared` then says what it lacks."""
    workers, free = options.workers, free_memory.of_shared()
    while free is not None and workers > 1 and _shared(recipe, workers, processes) > free:
        workers -= 1
    return dataclasses.replace(options, workers=workers)


def check_shared(recipe: Recipe, workers: int, world: World) -> None:
    """BadUsage where worker processes would wait for ever for shared memory.

    They prepare AHEAD batches each, and one more is being learnt from.
    """
    free = free_memory.of_shared()
    if not workers or free is None:
        return
    batch, needed = _batch(recipe, world.size), _shared(recipe, workers, world.size)
    if needed > free:
        raise BadUsage(
            f"--workers {workers}: batches of {_gb(batch)} go through /dev/shm, where "
            f"{_gb(free)} are free and {_gb(needed)} are needed: start the container with "
            f"--shm-size {-(-2 * needed // 10**9)}g, or take --workers 0"
        )


def _batch(recipe: Recipe, processes: int) -> int:
    """Bytes of a process' part of a batch, decoded."""
    sources = len(recipe.mixing.sources) if recipe.mixing is not None else SIGNALS
    shape = -(-recipe.batch_size // processes), sources, recipe.audio_channels
    return 4 * math.prod(shape) * recipe.patch_samples


def _shared(recipe: Recipe, workers: int, processes: int) -> int:
    """Bytes of shared memory that the workers of this machine's processes need."""
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return beside * (workers * AHEAD + 1) * _batch(recipe, processes)


def at_once(recipe: Recipe, processes: int = 1) -> int:
    """Examples that go through the net together in each process."""
    return -(-recipe.batch_size // processes // recipe.accumulate)


def described(recipe: Recipe, takes: Need, processes: int = 1) -> str:
    """What a step takes, in words."""
    examples = at_once(recipe, processes)
    each = f"--batch-size {recipe.batch_size}"
    if recipe.accumulate > 1:
        each += f" --accumulate {recipe.accumulate}"
    return (
        f"{each}: a step takes about {_gb(takes.of(examples))} ({_gb(takes.fixed)} for weights, "
        f"their gradients and moments, {_gb(takes.example)} for each of the {examples} examples "
        "that are learnt at once)"
    )


def advice(recipe: Recipe, takes: Need, free: int, processes: int = 1, *, begun: bool) -> str:
    """What to do where a step does not fit."""
    batch = recipe.batch_size // processes
    fits = (free - takes.fixed) // takes.example  # examples at once
    if fits < 1:
        return (
            "not even one example at a time fits: take a smaller recipe, a shorter example, or a "
            "device with more memory"
        )
    parts = next(parts for parts in range(1, batch + 1) if -(-batch // parts) <= fits)
    found = f"--accumulate {parts} fits"
    if takes.normalises:
        found += (
            f" (batch normalisation then sees {-(-batch // parts)} examples at a time, so the net "
            "learns a little otherwise)"
        )
    if batch > 1:
        found += f", and so does --batch-size {min(fits, batch - 1) * processes}"
    if begun:
        found += "; a run that has begun keeps its options, so this takes --overwrite"
    return found


class _Saved:
    """Adds up what autograd saves, each storage once, and lets it go."""

    def __init__(self, known: list[Tensor]) -> None:
        """`known`: what is there anyway."""
        # While a weak reference is held, no other storage can have the same address.
        self.seen = {ref.cdata: ref for ref in map(_reference, known)}
        self.total = 0

    def note(self, tensor: Tensor) -> None:
        ref = _reference(tensor)
        if ref.cdata not in self.seen:
            self.seen[ref.cdata] = ref
            self.total += taken(tensor)


def _reference(tensor: Tensor) -> Any:
    return StorageWeakRef(tensor.untyped_storage())


def _never(_: Any) -> Tensor:
    raise AssertionError("nothing was kept for a backward pass")


def taken(tensor: Tensor) -> int:
    """The bytes that a tensor's storage takes.

    On a CPU only of the pages that were touched: the workspace of oneDNN's LSTMs is twice as large
    as what they use of it.
    """
    storage = tensor.untyped_storage()
    size = storage.nbytes()
    if tensor.device.type != "cpu" or size < LARGE:
        return size
    first = storage.data_ptr() // mmap.PAGESIZE
    pages = (storage.data_ptr() + size - 1) // mmap.PAGESIZE - first + 1
    try:
        with PAGEMAP.open("rb", buffering=0) as pagemap:
            pagemap.seek(first * 8)
            facts = np.frombuffer(pagemap.read(pages * 8), np.uint64)
    except OSError:
        return size  # Linux alone tells
    if len(facts) < pages:
        return size
    return min(size, int(np.count_nonzero(facts & HELD)) * mmap.PAGESIZE)


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.1f} GB"
