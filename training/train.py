"""`stemlode train RECIPE`: the training loop, from top to bottom.

A run killed at any step and started again gives the weights of one never killed (on one device,
with one number of threads): weights, Adam's moments, random states, position in the corpus and
early stopping all travel in `last/state.safetensors`.
"""

import sys

if __name__ == "__main__":
    from stemlode import run as run_verb

    sys.exit(run_verb("training.train", sys.argv[1:]))

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pipelines import files, runs
from pipelines.runs import BadUsage, Failed, Run
from training import checkpoint, corpus, mixing, recipes, state
from training.arguments import Parser, above_zero, count, processes
from training.checkpoint import Checkpoint
from training.corpus import Bad, Corpus, Window, Windows
from training.device import pick_device
from training.examples import Batch, batch_of, remix, to_device
from training.recipes import RECIPES, Recipe
from training.state import Progress

BEST, LAST, LEVELS, LOG = "checkpoint", "last/state.safetensors", "levels.json", "log.jsonl"
REPORTED_REJECTS = 100  # of the samples that could not be used, in run.json


def train(  # noqa: PLR0915 (one loop that reads from top to bottom)
    run: Run, recipe: Recipe, data: Corpus, options: Any, device: torch.device
) -> None:
    """Train a recipe on a corpus into a run folder, from the start or from where it stopped."""
    torch.manual_seed(options.seed)
    nets = recipe.nets().to(device)
    nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    betas = (recipe.beta1, recipe.beta2)
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, betas=betas)
    peaks, rejects = levels(run, data, recipe, options.workers, device)
    progress, log = Progress(), []
    if files.exists(run.path(LAST)):
        progress = state.restore(run.path(LAST), nets, adam, device)
        log = [row for row in state.read_log(run.path(LOG)) if row["step"] <= progress.step]
    saved_step = progress.step
    validating = bool(data.usable("valid", recipe.target))
    if not validating:
        tell("the corpus has no valid split, so nothing says when to stop early")
    cache_bytes = int(options.cache_gb * 1e9 / max(1, options.workers))
    valid = Windows(data, "valid", recipe, cache_bytes=cache_bytes // 4)
    valid_items = corpus.loader(valid, options.workers, ahead=recipe.batch_size)
    started = time.monotonic() - progress.seconds
    batches = mixing.batches(
        data,
        recipe,
        peaks,
        progress,
        rejects,
        seed=options.seed,
        workers=options.workers,
        cache_bytes=cache_bytes,
        device=device,
    )
    losses: list[float] = []
    bar = tqdm(total=recipe.steps, initial=progress.step, desc="train", unit="step", disable=None)

    while not finished(recipe, progress, options.minutes):
        for group in adam.param_groups:
            group["lr"] = recipe.learning_rate_after(progress.step)
        progress.step += 1
        batch = to_device(next(batches), device)
        if recipe.remixes:
            batch = remix(batch, recipe)
        adam.zero_grad(set_to_none=True)
        loss = recipe.losses(nets, batch.mixture, batch.reference, batch.residual).mean()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise Failed(diverged(losses[-1], progress.step, saved_step, batch))
        loss.backward()
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(nets.parameters(), recipe.clip_norm)
        adam.step()

        progress.seconds = time.monotonic() - started
        bar.update()
        ends = finished(recipe, progress, options.minutes)
        validates = progress.step % recipe.validate_every == 0 or ends
        if not validates and progress.step % recipe.log_every:
            continue
        log.append(state.log_line(progress, losses))
        losses.clear()
        if validates:
            score = log[-1]["loss"]
            if validating:
                score = log[-1]["valid_loss"] = validate(nets, valid_items, recipe, peaks, device)
            if not (math.isfinite(score) and weights_are_finite(nets)):
                raise Failed(diverged(score, progress.step, saved_step, batch))
            bar.set_postfix(loss=f"{log[-1]['loss']:.4g}", valid=f"{score:.4g}")
            keep(run, recipe, nets, progress, score, validating)
        state.write_log(run.path(LOG), log)
        if validates:
            state.preserve(run.path(LAST), nets, adam, progress)
            saved_step = progress.step
    bar.close()

    outputs = [f"{BEST}/{checkpoint.MODEL}", f"{BEST}/{checkpoint.CONFIG}", LOG]
    counts = {
        "steps": progress.step,
        "epochs": progress.epoch,
        "samples_train": data.usable("train", recipe.target),
        "samples_valid": data.usable("valid", recipe.target),
        "rejected": len(rejects),
    }
    run.finish(
        counts,
        {path: files.sha256(run.path(path)) for path in outputs},
        recipe=recipes.to_fields(recipe),
        scores={"valid_loss" if validating else "loss": progress.best_loss},
        best_step=progress.best_step,
        device=str(device),
        training_seconds=round(progress.seconds, 3),
        rejects=dict(sorted(rejects.items())[:REPORTED_REJECTS]),
    )


def finished(recipe: Recipe, progress: Progress, minutes: float | None) -> bool:
    """Whether the steps, the patience or the time are used up."""
    return (
        progress.step >= recipe.steps
        or progress.stale >= recipe.patience
        or (minutes is not None and progress.seconds >= 60 * minutes)
    )


@torch.no_grad()
def validate(
    nets: nn.Module,
    items: Iterable[Window | Bad | None],
    recipe: Recipe,
    peaks: dict[str, float],
    device: torch.device,
) -> float:
    """Mean over the valid split's songs of the loss, each song's as if of one patch's length."""
    nets.eval()
    losses: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    windows = (item for item in items if isinstance(item, Window))
    for held in batched(windows, recipe.batch_size * recipe.patch_samples):
        batch = to_device(batch_of(held, peaks), device)
        found = recipe.losses(nets, batch.mixture, batch.reference, batch.residual)
        patches = 1.0 if recipe.summed else batch.mixture.shape[-1] / recipe.patch_samples
        for window, loss in zip(held, found.tolist(), strict=True):
            losses[window.song][0] += loss * patches
            losses[window.song][1] += window.mixture.shape[-1] / recipe.patch_samples
    nets.train()
    return sum(loss / patches for loss, patches in losses.values()) / max(1, len(losses))


def batched(windows: Iterable[Window], samples: int) -> Iterator[list[Window]]:
    """Windows in batches that, padded, hold no more samples than a batch of training examples."""
    held: list[Window] = []
    for window in windows:
        longest = max(one.mixture.shape[-1] for one in [*held, window])
        if held and longest * (len(held) + 1) > samples:
            yield held
            held = []
        held.append(window)
    if held:
        yield held


def levels(
    run: Run, data: Corpus, recipe: Recipe, workers: int, device: torch.device
) -> tuple[dict[str, float], dict[str, str]]:
    """The level of each song (`Recipe.level`), and why which samples cannot be used.

    One pass over train and valid before the first step; a resumed run reads what it found.
    """
    if files.exists(run.path(LEVELS)):
        return state.read_levels(run.path(LEVELS))
    peaks: dict[str, float] = defaultdict(float)
    rejects: dict[str, str] = {}
    for split in ("train", "valid"):
        total, heard = data.usable(split, recipe.target), len(peaks)
        items = corpus.loader(Windows(data, split, recipe), workers) if total else []
        for item in tqdm(items, f"levels, {split}", total, unit="sample", disable=None):
            if isinstance(item, Bad):
                rejects[item.key] = item.reason
                tell(f"left out {item.key}: {item.reason}")
            elif item is not None:
                found = recipe.level(item.mixture.to(device))
                peaks[item.song] = max(peaks[item.song], found)
        if total and len(peaks) == heard:
            raise Failed(
                f"--corpus {data.folder}: the corpus has no sample in its {split} split "
                "that can be used; the lines above say why"
            )
    files.write_bytes(run.path(LEVELS), runs.to_json({"peaks": peaks, "rejects": rejects}))
    return dict(peaks), rejects


def keep(
    run: Run, recipe: Recipe, nets: nn.Module, progress: Progress, score: float, validating: bool
) -> None:
    """Save the checkpoint where it is the best so far, or where nothing tells which is."""
    if validating and not score < progress.best_loss:
        progress.stale += 1
        return
    progress.best_loss, progress.best_step, progress.stale = score, progress.step, 0
    scores = {"valid_loss" if validating else "loss": score}
    checkpoint.save(run.path(BEST), Checkpoint(recipe, nets, progress.step, scores))


def weights_are_finite(nets: nn.Module) -> bool:
    """Whether no weight, and no running mean or variance, is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in nets.state_dict().values())


def diverged(loss: float, step: int, saved_step: int, batch: Batch) -> str:
    """The line for a run that cannot go on. What was saved before stays as it is."""
    some = ", ".join(batch.sample_ids[:3]) + (", …" if len(batch.sample_ids) > 3 else "")
    last = f"the last good state is of step {saved_step}" if saved_step else "nothing was saved yet"
    return (
        f"the loss is {loss} at step {step} (samples {some}); {last}; "
        "try a lower --learning-rate in another --output"
    )


def tell(line: str) -> None:
    """A line for the user that does not break the progress bar."""
    tqdm.write(f"train: {line}", file=sys.stderr)


def parser_of(recipe: Recipe | None) -> Parser:
    """The command line; a recipe's fields are options, with its values as defaults."""
    names = "\n".join(f"  {name:<26}{r.summary}" for name, r in RECIPES.items())
    parser = Parser(
        prog="stemlode train",
        usage="stemlode train RECIPE --corpus DIR --output DIR [options]",
        description="Train a separator on a corpus. A rerun resumes a killed run.",
        epilog=f"recipes:\n{names}\n\nstemlode train RECIPE --help lists the recipe's own options.",
    )
    parser.add_argument("recipe", metavar="RECIPE", choices=RECIPES, help="one of those below")
    parser.add_argument("--corpus", metavar="DIR", help="folder written by `stemlode corpus`")
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--print", action="store_true", help="print the recipe and do nothing")
    parser.add_argument("--minutes", type=above_zero, help="stop after so long")
    parser.add_argument("--seed", type=count, default=0, help="decides weights, order and crops")
    parser.add_argument("--workers", type=processes, default=2, help="decoding processes (2)")
    parser.add_argument(
        "--cache-gb", type=above_zero, default=1.0, help="decoded audio to keep (1)"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    if recipe is not None:
        fields = parser.add_argument_group(f"recipe {recipe.name}")
        for name, kind in recipes.overridable(recipe).items():
            value = getattr(recipe, name)
            many = isinstance(value, tuple)
            shown = ",".join(map(str, value)) if many else value
            fields.add_argument(
                f"--{name.replace('_', '-')}",
                dest=f"field_{name}",
                metavar="N,N,…" if many else kind.__name__.upper(),
                type=_tuple_of(kind) if many else kind,
                help=f"default {shown}",
            )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode train`; the exit status."""
    named = next((RECIPES[word] for word in argv if word in RECIPES), None)
    options = parser_of(named).parse(argv)
    recipe = RECIPES[options.recipe]
    given = {name: getattr(options, f"field_{name}") for name in recipes.overridable(recipe)}
    try:
        changes = {name: value for name, value in given.items() if value is not None}
        recipe = recipes.override(recipe, changes)
    except ValueError as error:
        raise BadUsage(f"stemlode train: {error}") from error
    if options.print:
        print(recipes.describe(recipe))
        return 0
    for name in ("corpus", "output"):
        if not getattr(options, name):
            raise BadUsage(f"stemlode train needs --{name} (see --help)")
    device = pick_device(options.device)
    folder, output = files.absolute(options.corpus), files.absolute(options.output)
    data = corpus.open_corpus(folder)
    if not mixing.mixes(recipe) and not data.usable("train", recipe.target):
        raise Failed(f"--corpus {folder}: no sample in its train split can teach {recipe.target}")
    fields = {k: v for k, v in recipes.to_fields(recipe).items() if k not in ("name", "summary")}
    decisive = {"recipe": recipe.name, **fields}
    decisive |= {name: getattr(options, name) for name in ("seed", "minutes", "workers")}
    run = runs.start("train", output, decisive, {"corpus": folder}, overwrite=options.overwrite)
    if run is None:
        print(f"train: already complete in {output}")
        return 0
    try:
        train(run, recipe, data, options, device)
    except OSError as error:
        where = error.filename or f"--output {output}"
        raise Failed(f"{where}: {runs.reason(error)}; run again to resume") from error
    record = runs.record(output)
    ((name, score),) = record["scores"].items()
    print(
        f"train: {record['counts']['steps']:,} steps of {recipe.name} in "
        f"{record['training_seconds']:.1f} s; {name.replace('_', ' ')} {score:.4g} at step "
        f"{record['best_step']:,}; checkpoint in {files.join(output, BEST)}"
    )
    return 0


def _tuple_of(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def numbers(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(",") if part)

    return numbers
