"""`stemlode train RECIPE`: the training loop, from top to bottom.

A run killed at any step and started again gives the weights of one never killed (on one device,
with one number of threads): weights, Adam's moments, random states, position in the corpus and
early stopping all travel in `last/state.safetensors`.
"""

import sys

if __name__ == "__main__":
    from stemlode import run as run_verb

    sys.exit(run_verb("training.train", sys.argv[1:]))

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipelines import files, runs
from pipelines.runs import BadUsage, Failed, Run
from training import checkpoint, corpus, mixing, recipes, state
from training.checkpoint import Checkpoint
from training.device import pick_device
from training.examples import Batch
from training.material import Material
from training.recipes import RECIPES, Recipe
from training.state import Progress
from training.train_options import Options, changed, loop_of, parser_of

BEST, LAST, LOG = "checkpoint", "last/state.safetensors", "log.jsonl"
REPORTED_REJECTS = 100  # of the samples that could not be used, in run.json


def train(  # noqa: PLR0915 (one loop that reads from top to bottom)
    run: Run,
    recipe: Recipe,
    material: Material,
    options: Options,
    device: torch.device,
    initial: Mapping[str, Tensor] | None = None,
) -> None:
    """Train a recipe on a material into a run folder, from the start or from where it stopped.

    `initial` are weights to begin with (`state_dict` of `Recipe.nets`) in place of random ones.
    """
    torch.manual_seed(options.seed)
    nets = recipe.nets()
    if initial is not None:
        nets.load_state_dict(initial)
    nets.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    betas = (recipe.beta1, recipe.beta2)
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, betas=betas)
    progress, log = Progress(), []
    if files.exists(run.path(LAST)):
        progress = state.restore(run.path(LAST), nets, adam, material, device)
        log = [row for row in state.read_log(run.path(LOG)) if row["step"] <= progress.step]
    else:
        log = material.begin(nets, progress)
    saved_step = progress.step
    started = time.monotonic() - progress.seconds
    batches = ahead(material, progress)
    coming = next(batches)
    losses: list[float] = []
    bar = tqdm(total=recipe.steps, initial=progress.step, desc="train", unit="step", disable=None)

    while not finished(recipe, progress, options.minutes):
        for group in adam.param_groups:
            group["lr"] = recipe.learning_rate_after(progress.step)
        batch, progress.epoch, progress.position = coming
        progress.step += 1
        batch = material.prepare(batch)
        adam.zero_grad(set_to_none=True)
        loss = recipe.losses(nets, batch.mixture, batch.reference, batch.residual).mean()
        loss.backward()
        if progress.step < recipe.steps:
            coming = next(batches)  # while the device still computes
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise Failed(diverged(losses[-1], progress.step, saved_step, batch))
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(nets.parameters(), recipe.clip_norm)
        adam.step()

        progress.seconds = time.monotonic() - started
        bar.update()
        ends = finished(recipe, progress, options.minutes)
        validates = progress.step % recipe.validate_every == 0 or ends
        if not validates and progress.step % recipe.log_every:
            continue
        line = state.log_line(progress, losses)
        losses.clear()
        if validates:
            nets.eval()
            scores = material.validate(nets)
            nets.train()
            score = scores.get("valid_loss", line["loss"])
            if not (math.isfinite(score) and weights_are_finite(nets)):
                raise Failed(diverged(score, progress.step, saved_step, batch))
            bar.set_postfix(loss=f"{line['loss']:.4g}", valid=f"{score:.4g}")
            best = keep(run, material, nets, progress, score)
            line |= scores | material.after_validation(nets, scores, progress, best=best)
        log.append(line)
        state.write_log(run.path(LOG), log)
        if validates:
            state.preserve(run.path(LAST), nets, adam, material, progress)
            saved_step = progress.step
    bar.close()

    outputs = [f"{BEST}/{checkpoint.MODEL}", f"{BEST}/{checkpoint.CONFIG}", LOG]
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


def ahead(material: Material, progress: Progress) -> Iterator[tuple[Batch, int, int]]:
    """Batches, each with the epoch and the position in it once it is learnt from."""
    reached = dataclasses.replace(progress)
    for batch in material.batches(reached):
        yield batch, reached.epoch, reached.position


def finished(recipe: Recipe, progress: Progress, minutes: float | None) -> bool:
    """Whether the steps, the patience or the time are used up."""
    return (
        progress.step >= recipe.steps
        or progress.stale >= recipe.patience
        or (minutes is not None and progress.seconds >= 60 * minutes)
    )


def keep(run: Run, material: Material, nets: nn.Module, progress: Progress, score: float) -> bool:
    """Save the checkpoint where it is the best so far, or where nothing tells which is; whether."""
    if material.validates and not score < progress.best_loss:
        progress.stale += 1
        return False
    progress.best_loss, progress.best_step, progress.stale = score, progress.step, 0
    scores = {"valid_loss" if material.validates else "loss": score}
    trained = Checkpoint(material.recipe, nets, progress.step, scores, material.lineage())
    checkpoint.save(run.path(BEST), trained)
    return True


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


def main(argv: Sequence[str]) -> int:
    """Run `stemlode train`; the exit status."""
    named = next((RECIPES[word] for word in argv if word in RECIPES), None)
    given = parser_of(named).parse(argv)
    options = loop_of(given)
    try:
        recipe = changed(RECIPES[given.recipe], given)
    except ValueError as error:
        raise BadUsage(f"stemlode train: {error}") from error
    if given.print:
        print(recipes.describe(recipe))
        return 0
    for name in ("corpus", "output"):
        if not getattr(given, name):
            raise BadUsage(f"stemlode train needs --{name} (see --help)")
    device = pick_device(given.device)
    folder, output = files.absolute(given.corpus), files.absolute(given.output)
    data = corpus.open_corpus(folder)
    if not mixing.mixes(recipe) and not data.usable("train", recipe.target):
        raise Failed(f"--corpus {folder}: no sample in its train split can teach {recipe.target}")
    decisive = {**decisive_fields(recipe), **options.decisive}
    run = runs.start("train", output, decisive, {"corpus": folder}, overwrite=given.overwrite)
    if run is None:
        print(f"train: already complete in {output}")
        return 0
    try:
        train(run, recipe, Material(run, data, recipe, options, device), options, device)
    except OSError as error:
        where = error.filename or f"--output {output}"
        raise Failed(f"{where}: {runs.reason(error)}; run again to resume") from error
    print(f"train: {summary(output)}")
    return 0


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
