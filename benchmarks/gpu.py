"""What a GPU does with every family of recipes, in eight minutes: run it once on any new card.

    python -m benchmarks.gpu [--minutes 8] [--output table.md]
    python -m benchmarks.gpu --dry-run        # small recipes on a CPU: does it still run?

For each family: milliseconds of a training step per example, plain (fp32, contiguous, eager) and
as `train` takes it (its precision, layout and fused Adam), and what share of the card's own matrix
rate that is; the largest batch that fits, with activations kept and computed again; how many times
real time `separate` is, with 4 chunks at once and with 16; and how long `train` waits for data, on
a corpus of the multitracks of STEMLODE_TEST_DATA. What there was no time for says so.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.bsrnn import device_name, in_turn
from benchmarks.loop import STEMS, trained
from benchmarks.separate import a_song
from pipelines.corpus import command as corpus_verb
from training import devices, recompute
from training.checkpoint import Checkpoint
from training.loop import pace
from training.models import cost, precision
from training.recipes import chunks
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES, Recipe
from training.separation.separate import separate_file
from training.separation.system import System

FAMILIES = ("unet-vocals", "complex-unet-vocals", "cws-unet5-k8", "cws-mdensenet-k8")
FAMILIES += ("bsrnn-vocals", "demucs-vocals", "joint-source-to-pitch")
SALIENCE_ROWS = 360
LARGEST = 4096  # examples that are tried at once
NO_TIME = "no time"


class Clock:
    """The minutes that there are."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def has(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return time.monotonic() < self.end - seconds


def step(recipe: Recipe, device: torch.device, batch: int, way: str) -> Callable[[], None]:
    """A training step: `plain`, as `ours`, or `again` with activations computed again."""
    torch.manual_seed(0)
    nets = recipe.nets().to(device)
    kind = precision.FULL if way == "plain" else precision.choose(None, device, nets)
    if way != "plain":
        nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if way == "again":
        recompute.again(recipe.blocks(nets))
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, fused=way != "plain")
    mixture = 0.1 * torch.randn(batch, recipe.audio_channels, recipe.patch_samples, device=device)
    given = [mixture, 0.5 * mixture, torch.zeros(batch, dtype=torch.bool, device=device)]
    if recipe.needs_salience:
        frames = recipe.patch_frames  # type: ignore[attr-defined]
        given.append(torch.zeros(batch, SALIENCE_ROWS, frames, device=device))

    def work() -> None:
        devices.products("tf32" if recipe.tf32 and way != "plain" else "ieee")
        adam.zero_grad(set_to_none=True)
        with precision.lowered(kind):
            loss = recipe.judge_given(nets, *given).loss.mean()
        loss.backward()
        adam.step()

    return work


def largest(recipe: Recipe, device: torch.device, way: str, most: int, clock: Clock) -> int:
    """The largest power of two of examples of which a step fits, up to `most`."""
    found = 0
    while (batch := max(1, 2 * found)) <= most and clock.has(60):
        try:
            step(recipe, device, batch, way)()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        except (RuntimeError, MemoryError) as error:
            if not chunks.is_out_of_memory(error):
                raise
            break
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
        found = batch
    return found


def learning(name: str, device: torch.device, most: int, clock: Clock) -> list[str]:
    """Cells of the first table."""
    recipe = RECIPES[name]
    if not clock.has(60):
        return [NO_TIME] * 6
    fits = largest(recipe, device, "ours", most, clock)
    again = largest(recipe, device, "again", most, clock) if recipe.recomputes else None
    batch = max(1, min(recipe.batch_size, fits // 2))
    works = [step(recipe, device, batch, way) for way in ("plain", "ours")]
    plain, ours = in_turn(device, works, 2)
    nets = recipe.nets().to(device)
    kind = precision.choose(None, device, nets)
    from_ours = torch.zeros(1, recipe.audio_channels, recipe.patch_samples, device=device)
    with torch.no_grad(), cost.Products() as products:
        none = torch.zeros(1, dtype=torch.bool, device=device)
        recipe.losses(nets.eval(), from_ours, from_ours, none)
    work = pace.PASSES * float(products.total) * batch
    share = work / ours / pace.matmul_rate(device, kind.nets)
    return [
        str(batch),
        f"{1e3 * plain / batch:.1f}",
        f"{1e3 * ours / batch:.1f}",
        f"{plain / ours:.2f}",
        f"{100 * share:.0f} %",
        f"{fits}" + ("" if again is None else f" / {again}"),
    ]


def separating(name: str, device: torch.device, seconds: float, folder: str) -> list[str]:
    """× real time with 4 and with 16 chunks at once."""
    recipe = RECIPES[name]
    source, length = a_song(folder, seconds)
    model = Checkpoint(recipe, recipe.nets().to(device).eval(), 0)
    found = []
    for batch in (4, 16):
        system = System([model], Chunking(hop_seconds=1.5, batch=batch))
        begun = time.perf_counter()
        separate_file(source, folder, system)
        found.append(f"{length / (time.perf_counter() - begun):.1f}")
    return found


def waiting(name: str, device: torch.device, steps: int, data: str, root: Path) -> list[str]:
    """Segments a second and the share of time without a batch, of the real loop."""
    given = argparse.Namespace(steps=steps, workers=min(8, os.cpu_count() or 1), device=str(device))
    row = trained(name, data, root / name, given)
    return [f"{row['segments_per_s']:.1f}", f"{100 * row['data_wait']:.1f} %"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--output", metavar="FILE", help="write the tables there too")
    parser.add_argument("--dry-run", action="store_true", help="small recipes on a CPU")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE")
    given = parser.parse_args()
    dry, clock = given.dry_run, Clock(given.minutes)
    if not dry and not torch.cuda.is_available():
        raise SystemExit("no GPU is here; --dry-run shows on a CPU that this runs")
    device = torch.device("cpu" if dry else "cuda")
    names = given.recipes or [f"{name}-small" if dry else name for name in FAMILIES]
    lines = [f"{device_name(device)}, torch {torch.__version__}", ""]

    def said(*cells: str) -> None:
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)

    print(lines[0])
    said("recipe", "batch", "plain, ms", "ours, ms", "ratio", "of matrix rate", "largest / again")
    said(*["---"] * 7)
    for name in names:
        said(name, *learning(name, device, 2 if dry else LARGEST, clock))
    with tempfile.TemporaryDirectory() as folder:
        said("recipe", "separate × real time, 4 at once", "16 at once")
        said(*["---"] * 3)
        for name in names:
            if not RECIPES[name].separates:
                continue
            seconds, cells = (6.0 if dry else 60.0), [NO_TIME] * 2
            if clock.has(45):
                cells = separating(name, device, seconds, folder)
            said(name, *cells)
        if STEMS.is_dir():
            data = str(Path(folder) / "corpus")
            corpus_verb.main(["--stems", str(STEMS), "--output", data, "--split", "train=1"])
            said("recipe", "segments/s of `train`", "data wait")
            said(*["---"] * 3)
            for name in names:
                if RECIPES[name].needs_salience or RECIPES[name].needs_weights:
                    continue
                steps, cells = (2 if dry else 40), [NO_TIME] * 2
                if clock.has(30):
                    cells = waiting(name, device, steps, data, Path(folder))
                said(name, *cells)
    if given.output:
        Path(given.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
