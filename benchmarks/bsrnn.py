"""BSRNN's band split and mask estimation: batched products against a plain loop over bands.

Forward and backward of both parts, V7, N = 128, the same weights and the same input; each time is
the best of several, taken in turn so that other work on the machine meets both. On a GPU also a
whole training step against a plain one, in fp32 without TF32, and how large a batch fits.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.training.models.plain_bsrnn import PlainBSRNN, copy_weights
from training import devices
from training.models import bsrnn_bands
from training.models.bsrnn import BSRNN

SIZES = (128, 12, 256, 512)
FRAMES = 260  # 3 s


def device_name(device: torch.device) -> str:
    """What the figures are of."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s)"


def seconds(device: torch.device, work: Callable[[], object]) -> float:
    """How long one call takes: of the processor's time on a CPU, of the clock's on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        return time.perf_counter() - begun
    begun = time.process_time()
    work()
    return time.process_time() - begun


def split_and_mask(
    core: BSRNN | PlainBSRNN, spectrum: Tensor, gradient: Tensor
) -> Callable[[], None]:
    """Forward and backward of what lies before and after the LSTMs."""

    def work() -> None:
        core.zero_grad(set_to_none=True)
        core.mask(core.split(spectrum)).backward(gradient)

    return work


def in_turn(device: torch.device, works: list[Callable[[], None]], rounds: int) -> list[float]:
    """The best time of each."""
    for work in works:
        work()
    times = [[seconds(device, work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def cores(device: torch.device, scheme: str) -> tuple[PlainBSRNN, BSRNN]:
    """A plain core and a batched one of the same weights."""
    widths = bsrnn_bands.widths(bsrnn_bands.SCHEMES[scheme], 2048, 44_100)
    plain, batched = PlainBSRNN(widths, *SIZES), BSRNN(widths, *SIZES)
    copy_weights(plain, batched)
    return plain.to(device), batched.to(device)


def compare(device: torch.device, items: int, frames: int, rounds: int) -> None:
    """Print the table's row of one batch."""
    plain, batched = cores(device, "v7")
    spectrum = torch.randn(items, 2, 1025, frames, device=device)
    gradient = torch.randn(items, 2, 1025, frames, device=device)
    with torch.no_grad():
        apart = (plain.mask(plain.split(spectrum)) - batched.mask(batched.split(spectrum))).abs()
    works = [split_and_mask(core, spectrum, gradient) for core in (plain, batched)]
    loop, one = in_turn(device, works, rounds)
    print(
        f"| {items} × {frames} | {1e3 * loop:.1f} ms | {1e3 * one:.1f} ms | {loop / one:.2f} "
        f"| {float(apart.max()):.0e} |",
        flush=True,
    )


def step(core: nn.Module, adam: torch.optim.Adam, items: int, lower: bool) -> Callable[[], None]:
    """A training step of the core: forward, backward, Adam."""
    device = next(core.parameters()).device
    spectrum = torch.randn(items, 2, 1025, FRAMES, device=device)

    def work() -> None:
        adam.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=lower):
            mask = core(spectrum)
        (mask.float() * spectrum - spectrum).abs().mean().backward()
        adam.step()

    return work


def whole_steps(device: torch.device, rounds: int) -> None:
    """Examples a second of whole steps, at the batches that fit; 2 items are one stereo example."""
    for name, lower in (("plain, fp32 without TF32", False), ("batched, bf16", True)):
        devices.products("tf32" if lower else "ieee")
        core = cores(device, "v7")[1 if lower else 0]
        adam = torch.optim.Adam(core.parameters(), 1e-3, fused=True)
        for items in (4, 8, 16, 32, 64, 128, 256):
            torch.cuda.reset_peak_memory_stats(device)
            try:
                (best,) = in_turn(device, [step(core, adam, items, lower)], rounds)
            except torch.OutOfMemoryError:
                print(f"{name}: {items} items do not fit")
                break
            peak = torch.cuda.max_memory_allocated(device) / 2**30
            print(f"{name}: {items} items, {items / 2 / best:.1f} examples/s, {peak:.1f} GiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"BSRNN-V7, N = 128, band split and mask, forward + backward; {device_name(device)}")
    print("| items × frames | loop over bands | batched | ratio | largest difference |")
    print("|---|---|---|---|---|")
    batches = [(1, FRAMES), (2, 64), (2, FRAMES), (4, FRAMES)]
    if device.type == "cuda":
        batches += [(16, FRAMES), (32, FRAMES)]
    for items, frames in batches:
        compare(device, items, frames, options.rounds)
    if device.type == "cuda":
        whole_steps(device, options.rounds)


if __name__ == "__main__":
    main()
