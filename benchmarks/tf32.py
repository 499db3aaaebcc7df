"""What TF32 does to what nets separate, emulated where there is no GPU.

TF32 rounds the operands of matrix products and convolutions to 10 bits of mantissa and adds up in
fp32. Here they are rounded so on a CPU, transforms and losses left as they are, and the sources of
a mixture are compared with those in fp32. 60 dB and more count as safe.

    python -m benchmarks.tf32 CHECKPOINT … --song FILE [--seconds 10]
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stemlode import audio
from training import checkpoint

SAFE_DB = 60.0
PRODUCTS = ("convolution", "mm", "addmm", "bmm", "baddbmm")
BITS = 13  # of a float32's 23 that TF32 lacks


class TF32(TorchDispatchMode):
    """Rounds the operands of products, to nearest."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            first = 1 if name in ("addmm", "baddbmm") else 0  # what is added stays as it is
            operands = [rounded(one) for one in args[first : first + 2]]
            args = (*args[:first], *operands, *args[first + 2 :])
        return func(*args, **(kwargs or {}))


def rounded(x: Tensor) -> Tensor:
    """float32 with 10 bits of mantissa, to nearest."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + (1 << (BITS - 1))) & ~((1 << BITS) - 1)).view(torch.float32).view_as(x)


@torch.no_grad()
def ratio_db(folder: str, song: Tensor, rate: int) -> float:
    """How far the sources by rounded products lie from those in fp32."""
    trained = checkpoint.load(folder)
    recipe, nets = trained.recipe, trained.core.eval()
    low = torch.from_numpy(audio.resample(song.numpy(), rate, recipe.sample_rate))
    mono = low.mean(0, keepdim=True) if recipe.audio_channels == 1 else low
    given = (mono / mono.abs().max())[None]
    with torch.backends.mkldnn.flags(enabled=False):  # its LSTM would hide its products
        exact = recipe.estimate(nets, given)
        with TF32():
            found = recipe.estimate(nets, given)
    return float(10 * torch.log10(exact.square().sum() / (found - exact).square().sum()))


def main() -> None:
    """Print a row for each checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--song", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    read = audio.read(given.song)
    song = torch.from_numpy(read.samples[:, : round(given.seconds * read.sample_rate)])
    print("| recipe | sources in TF32 against fp32, dB | safe |\n|---|---|---|")
    for folder in given.checkpoints:
        found = ratio_db(folder, song, read.sample_rate)
        name = checkpoint.load(folder).recipe.name
        print(f"| {name} | {found:.1f} | {'yes' if found > SAFE_DB else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
