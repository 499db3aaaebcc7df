"""`stemlode train RECIPE`: the training loop, from top to bottom.

A run killed at any step and started again gives the weights of one never killed (on one device,
with one number of threads): weights and their average, Adam's moments, random states, the scaler,
position in the corpus and early stopping all travel in `last/state.safetensors`.
"""

import sys

if __name__ == "__main__":
    from stemlode import run as run_verb

    sys.exit(run_verb("training.train", sys.argv[1:]))

import argparse
import copy
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipelines import files, runs
from pipelines.runs import BadUsage, Failed, Run
from training import (
    board,
    checkpoint,
    console,
    corpus,
    mixing,
    one_batch,
    pace,
    precision,
    previews,
    ranks,
    recipes,
    state,
)
from training.average import follow
from training.board import Board
from training.checkpoint import Checkpoint
from training.console import tell
from training.device import pick_device
from training.divergence import diverged, not_finite, weights_are_finite
from training.examples import Batch, parts_of
from training.material import Material
from training.one_batch import OneBatch
from training.pace import Pace
from training.ranks import ALONE, World
from training.recipes import RECIPES, Recipe
from training.state import Progress
from training.train_options import Options, changed, loop_of, parser_of

BEST, LAST, LOG = "checkpoint", "last/state.safetensors", "log.jsonl"
REPORTED_REJECTS = 100  # of the samples that could not be used, in run.json
SAVE_EVERY_S = 600.0  # at the latest, so that a kill costs no hours where validations are rare


def train(  # noqa: PLR0912, PLR0915 (one loop that reads from top to bottom)
    run: Run,
    recipe: Recipe,
    material: Material,
    options: Options,
    device: torch.device,
    initial: Mapping[str, Tensor] | None = None,
    world: World = ALONE,
) -> None:
    """Train a recipe on a material into a run folder, from the start or from where it stopped.

    `initial` are weights to begin with (`state_dict` of `Recipe.nets`) in place of random ones.
    Several processes each call it, with their part of the material.
    """
    torch.manual_seed(options.seed)
    nets = recipe.nets()
    if initial is not None:
        nets.load_state_dict(initial)
    # This layout concerns the weights of 2-D convolutions alone; others have none of four axes.
    nets.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(nets) if recipe.ema_decay else None
    judged = nets if average is None else average  # what is validated and saved
    betas, fused = (recipe.beta1, recipe.beta2), device.type == "cuda"
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, betas=betas, fused=fused)
    kind = precision.choose(options.precision, device, nets)
    scaler = torch.amp.GradScaler(device.type, enabled=kind is torch.float16)
    learning = state.Learning(nets, average, adam, scaler, material)
    progress, log = Progress(), []
    torch.manual_seed(options.seed + world.rank)
    if files.exists(run.path(LAST)):
        progress = state.restore(run.path(LAST), learning, device, world)
        log = [row for row in state.read_log(run.path(LOG)) if row["step"] <= progress.step]
    else:
        log = material.begin(nets, progress)
    saved_step, saved_at = progress.step, time.monotonic()
    shown = options.tensorboard and world.first
    curves = Board(run.path(board.FOLDER) if shown else None, progress.step)
    batches = ahead(material, progress)
    coming = next(batches)
    work = pace.work_of(recipe, nets, coming.batch)  # of one segment
    watch = Pace(device, pace.matmul_rate(device, kind))
    if options.compile:
        for net in nets.values() if isinstance(nets, nn.ModuleDict) else [nets]:
            net.compile()
    lesson = world.around(Lesson(recipe, nets), device)
    losses: list[float] = []
    shows = None if world.first else True  # None: on a terminal
    bar = tqdm(total=recipe.steps, initial=progress.step, desc="train", unit="step", disable=shows)
    started = time.monotonic() - progress.seconds

    while not finished(recipe, progress, options.minutes):
        for group in adam.param_groups:
            group["lr"] = recipe.learning_rate_after(progress.step)
        progress.step += 1
        progress.epoch, progress.position = coming.epoch, coming.position
        batch = material.prepare(coming.batch)
        count = len(batch.sample_ids)
        adam.zero_grad(set_to_none=True)
        total = torch.zeros((), device=device)
        parts = list(parts_of(batch, recipe.accumulate))
        for part in parts:
            with ranks.apart(lesson, part is not parts[-1]), precision.lowered(kind):
                loss = lesson(part.mixture, part.reference, part.residual).sum() / count
            scaler.scale(loss).backward()
            total += loss.detach()
        if progress.step < recipe.steps:
            coming = watch.fetched(lambda: next(batches))  # while the device still computes
        scaler.unscale_(adam)
        norm = nn.utils.clip_grad_norm_(nets.parameters(), recipe.clip_norm or math.inf)
        own, found, size = torch.stack((total, world.mean(total), norm)).tolist()
        if trouble := not_finite(found, size, scaler):  # which is the same for all
            culprits = world.gathered([] if math.isfinite(own) else batch.sample_ids)
            ids = [name for ids in culprits for name in ids] or batch.sample_ids
            raise Failed(diverged(trouble, progress.step, saved_step, ids))
        scaler.step(adam)
        scaler.update()
        if average is not None:
            follow(average, nets, recipe.ema_decay, progress.step)

        # The step is taken; what follows is the books.
        losses.append(found)
        watch.step(count * world.size, work * count)
        progress.seconds = time.monotonic() - started
        if options.minutes is not None:
            progress.seconds = world.shared(progress.seconds)  # all stop at one step
        bar.update()
        ends = finished(recipe, progress, options.minutes)
        validates = progress.step % recipe.validate_every == 0 or ends
        if not validates and progress.step % recipe.log_every:
            continue
        line = state.log_line(progress, losses, adam, size) | watch.line()
        losses.clear()
        if validates:
            judged.eval()
            scores = material.validate(judged)
            heard = material.previews(judged) if world.first else []
            judged.train()
            score = scores.get("valid_loss", line["loss"])
            if not (math.isfinite(score) and weights_are_finite(nets)):
                trouble = f"the validation's loss is {score}"
                raise Failed(diverged(trouble, progress.step, saved_step, batch.sample_ids))
            best = is_best(progress, score, validating=material.validates)
            if best and world.first:
                kept = {"valid_loss" if material.validates else "loss": score}
                trained = Checkpoint(recipe, judged, progress.step, kept, material.lineage())
                checkpoint.save(run.path(BEST), trained)
            previews.write(run, heard, recipe.sample_rate, best=best)
            line |= scores | material.after_validation(judged, scores, progress, best=best)
            if world.first:
                tell(console.line(line, recipe.steps, progress))
        bar.set_postfix(console.short(line))
        log.append(line)
        if world.first:
            state.write_log(run.path(LOG), log)
            curves.write(line)
        if validates or world.shared(time.monotonic() - saved_at > SAVE_EVERY_S):
            state.preserve(run.path(LAST), learning, progress, world)
            saved_step, saved_at = progress.step, time.monotonic()
        watch.restart()
    bar.close()
    curves.close()
    if not world.first:
        return

    outputs = [f"{BEST}/{checkpoint.MODEL}", f"{BEST}/{checkpoint.CONFIG}", LOG]
    outputs += previews.written(run, previews.SONGS)
    run.finish(
        {"steps": progress.step, "epochs": progress.epoch, **material.counts()},
        {path: files.sha256(run.path(path)) for path in outputs},
        recipe=recipes.to_fields(recipe),
        scores={"valid_loss" if material.validates else "loss": progress.best_loss},
        best_step=progress.best_step,
        device=str(device),
        training_seconds=round(progress.seconds, 3),
        rejects=dict(sorted(material.rejects.items())[:REPORTED_REJECTS]),
        **material.record(),
    )


class Lesson(nn.Module):
    """The loss of a recipe's nets as a module of its own, which several processes can share."""

    def __init__(self, recipe: Recipe, nets: nn.Module) -> None:
        super().__init__()
        self.recipe, self.nets = recipe, nets

    def forward(self, mixture: Tensor, reference: Tensor, residual: Tensor) -> Tensor:
        """See `Recipe.losses`."""
        return self.recipe.losses(self.nets, mixture, reference, residual)


@dataclasses.dataclass(frozen=True)
class Coming:
    """A batch, and where the run is once it is learnt from."""

    batch: Batch
    epoch: int
    position: int


def ahead(material: Material, progress: Progress) -> Iterator[Coming]:
    """The material's batches; `progress` stays behind until each is learnt from."""
    reached = dataclasses.replace(progress)
    for batch in material.batches(reached):
        yield Coming(batch, reached.epoch, reached.position)


def finished(recipe: Recipe, progress: Progress, minutes: float | None) -> bool:
    """Whether the steps, the patience or the time are used up."""
    return (
        progress.step >= recipe.steps
        or progress.stale >= recipe.patience
        or (minutes is not None and progress.seconds >= 60 * minutes)
    )


def is_best(progress: Progress, score: float, *, validating: bool) -> bool:
    """Note whether a score is the best so far; the last one is, where nothing tells which is."""
    if validating and not score < progress.best_loss:
        progress.stale += 1
        return False
    progress.best_loss, progress.best_step, progress.stale = score, progress.step, 0
    return True


def main(argv: Sequence[str]) -> int:
    """Run `stemlode train`; the exit status."""
    named = next((RECIPES[word] for word in argv if word in RECIPES), None)
    given = parser_of(named).parse(argv)
    options = loop_of(given)
    try:
        recipe = changed(RECIPES[given.recipe], given)
        if options.overfit_one_batch:
            recipe = one_batch.recipe_of(recipe, given.field_steps)
    except ValueError as error:
        raise BadUsage(f"stemlode train: {error}") from error
    if given.print:
        print(recipes.describe(recipe))
        return 0
    for name in ("corpus", "output"):
        if not getattr(given, name):
            raise BadUsage(f"stemlode train needs --{name} (see --help)")
    world = ranks.join()
    try:
        return carry_out(recipe, options, given, world)
    finally:
        world.close()


def carry_out(recipe: Recipe, options: Options, given: argparse.Namespace, world: World) -> int:
    """Train into --output, unless that is done; the exit status."""
    if recipe.batch_size % world.size:
        raise BadUsage(
            f"--batch-size {recipe.batch_size}: {world.size} processes cannot share it equally"
        )
    device = pick_device(given.device, world)
    folder, output = files.absolute(given.corpus), files.absolute(given.output)
    if options.tensorboard:
        board.check(output)
    data = corpus.open_corpus(folder)
    if not mixing.mixes(recipe) and not data.usable("train", recipe.target):
        raise Failed(f"--corpus {folder}: no sample in its train split can teach {recipe.target}")
    run: Run | None = None
    if world.first:
        decisive = decisive_fields(recipe) | options.decisive | {"processes": world.size}
        run = runs.start("train", output, decisive, {"corpus": folder}, overwrite=given.overwrite)
    run = world.shared(run)
    if run is None:
        if world.first:
            print(f"train: already complete in {output}")
            conclude(recipe, options, output)
        return 0
    try:
        kind = OneBatch if options.overfit_one_batch else Material
        material = kind(run, data, recipe, options, device, world)
        train(run, recipe, material, options, device, world=world)
    except OSError as error:
        where = error.filename or f"--output {output}"
        raise Failed(f"{where}: {runs.reason(error)}; run again to resume") from error
    if world.first:
        print(f"train: {summary(output)}")
        conclude(recipe, options, output)
    return 0


def conclude(recipe: Recipe, options: Options, output: str) -> None:
    """Where the run was a check: say what came of it, or Failed."""
    if options.overfit_one_batch:
        log = state.read_log(files.join(output, LOG))
        print(f"train: {one_batch.verdict(recipe, log)}")


def decisive_fields(recipe: Recipe) -> dict[str, object]:
    """A recipe as the options of a run's plan."""
    fields = recipes.to_fields(recipe)
    return {"recipe": recipe.name} | {
        k: v for k, v in fields.items() if k not in ("name", "summary")
    }


def summary(output: str) -> str:
    """What a finished run came to."""
    record = runs.record(output)
    ((name, score),) = record["scores"].items()
    return (
        f"{record['counts']['steps']:,} steps of {record['recipe']['name']} in "
        f"{record['training_seconds']:.1f} s; {name.replace('_', ' ')} {score:.4g} at step "
        f"{record['best_step']:,}; checkpoint in {files.join(output, BEST)}"
    )
