"""What scoring costs: our BSS Eval beside museval and mir_eval, and `evaluate` by its parts.

Songs are noise that is coloured and leaks, stereo at 44.1 kHz; nets are untrained, which costs the
same. First the seconds per minute of audio of each metric, then where `stemlode evaluate` spends
its time, by processor time on a CPU that others share and by the clock on a GPU.

    python -m benchmarks.metrics [--device cuda] [--minutes 1] [--recipes unet-vocals bsrnn-vocals]
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from types import ModuleType

import mir_eval.separation
import numpy as np
import torch

from training.checkpoint import Checkpoint
from training.evaluation import bsseval, scoring
from training.evaluation.references import ReferenceSong
from training.evaluation.table import METRICS
from training.models import metrics
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES
from training.separation.system import System

RATE = 44_100


def museval_metrics() -> ModuleType:
    """museval.metrics alone: the package wants an ffmpeg that scores do not need."""
    package = importlib.util.find_spec("museval")
    assert package is not None and package.submodule_search_locations is not None
    place = f"{package.submodule_search_locations[0]}/metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def song(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates, float32 [2, 2, samples]."""
    rng = np.random.default_rng(0)
    references = 0.1 * rng.standard_normal((2, 2, round(seconds * RATE))).astype(np.float32)
    references[..., 1:] += 0.9 * references[..., :-1]
    leak = 0.8 * references + 0.2 * references[::-1]
    return references, leak + np.float32(0.01) * rng.standard_normal(leak.shape, np.float32)


def clock(device: torch.device) -> float:
    """Seconds of this process on a CPU; of the wall on a GPU, once it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def taken(work: Callable[[], object], device: torch.device, rounds: int = 2) -> float:
    """The fastest round."""
    best = float("inf")
    for _ in range(rounds):
        started = clock(device)
        work()
        best = min(best, clock(device) - started)
    return best


def by_metric(seconds: float, device: torch.device) -> None:
    """A row a metric: ours, theirs."""
    references, estimates = song(seconds)
    true, guess = (torch.from_numpy(part).to(device) for part in (references, estimates))
    as_theirs = [part.swapaxes(1, 2).astype(np.float64) for part in (references, estimates)]
    mono = [part.mean(1) for part in (references, estimates)]
    museval = museval_metrics()
    cpu = torch.device("cpu")

    def their_v4() -> object:
        return museval.bss_eval(*as_theirs, window=RATE, hop=RATE)

    def their_v3() -> object:
        return mir_eval.separation.bss_eval_sources(*mono, False)

    rows = (
        ("uSDR", lambda: metrics.usdr(references, estimates), None, cpu),
        ("cSDR", lambda: metrics.frame_sdr(true, guess, RATE), their_v4, device),
        ("ISR, SIR, SAR of 1 s frames", lambda: bsseval.bss_eval(true, guess, RATE),
         their_v4, device),
        ("mir_eval's SDR, SIR, SAR",
         lambda: bsseval.bss_eval_sources(true.mean(1), guess.mean(1)), their_v3, device),
    )  # fmt: skip
    print(
        "| metric | ours, s per minute | museval or mir_eval | theirs / ours |\n|---|---|---|---|"
    )
    known: dict[object, float] = {}
    for name, ours, theirs, place in rows:
        ours()
        mine = taken(ours, place)
        if theirs is not None and theirs not in known:
            known[theirs] = taken(theirs, cpu, rounds=1)
        scale = 60 / seconds
        other = known.get(theirs)
        beside = f"{scale * other:.1f} | {other / mine:.1f}" if other else "– | –"
        print(f"| {name} | {scale * mine:.3f} | {beside} |")


def by_part(name: str, seconds: float, device: torch.device) -> None:
    """Where scoring a song by a recipe's net goes."""
    references, _ = song(seconds)
    recipe = RECIPES[name]
    model = Checkpoint(recipe, recipe.nets().to(device).eval(), 0)
    system = System([model], Chunking(hop_seconds=1.5))
    whole = ReferenceSong(
        references.sum(0), dict(zip(("vocals", "accompaniment"), references, strict=True)), RATE
    )
    for chosen in (("usdr", "csdr"), METRICS):
        watch = scoring.Stopwatch(lambda: clock(device))
        scoring.Scorer(chosen, device, watch).of_system("song", whole, system)
        spent = watch.seconds
        everything = sum(spent.values())
        shares = " | ".join(f"{spent[p]:.2f}" for p in ("nets", "oracle", "metrics"))
        print(f"| {name} | {', '.join(chosen)} | {shares} | {spent['nets'] / everything:.0%} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--recipes", nargs="+", default=["unet-vocals", "bsrnn-vocals-small"])
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    is_gpu = device.type == "cuda"
    print(torch.cuda.get_device_name(device) if is_gpu else f"CPU, {options.threads} thread(s)")
    by_metric(60 * options.minutes, device)
    print("\n| recipe | metrics | nets, s | oracle, s | metrics, s | share of the nets |")
    print("|---|---|---|---|---|---|")
    for name in options.recipes:
        by_part(name, 60 * options.minutes, device)


if __name__ == "__main__":
    main()
