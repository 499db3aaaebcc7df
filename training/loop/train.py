"""`stemlode train RECIPE`: the training loop, from top to bottom.

A run that is killed at any step and started again ends with the same weights as one that was never
killed (on the same device, with the same number of threads): weights and their average, Adam's
moments, random states, the scaler, the position in the corpus and early stopping are all saved in
`last/state.safetensors`.
"""

import copy
import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from stemlode import files
from stemlode.runs import Failed, Run
from training import checkpoint, console, devices, log, recompute, state
from training.checkpoint import BEST, Checkpoint
from training.console import Board, tell
from training.data.examples import Batch, parts_of
from training.devices import ALONE, World
from training.log import Log
from training.loop import pace, previews, readback
from training.loop.material import Material
from training.loop.options import Options
from training.loop.pace import Pace
from training.loop.readback import Taken
from training.loop.stopping import Terminated, Termination
from training.models import precision
from training.recipes import registry
from training.recipes.registry import Recipe
from training.state import Progress, Unlogged

REPORTED_REJECTS = 100  # of the samples that could not be used, in run.json
SAVE_EVERY_S = 600.0  # at the latest, so that a kill costs no hours if validations are rare
LEAST_SCALE = 1.0  # of gradients in fp16: below it they overflow by themselves


def train(  # noqa: PLR0912, PLR0915 (one loop that reads from top to bottom)
    run: Run,
    recipe: Recipe,
    material: Material,
    options: Options,
    device: torch.device,
    initial: Mapping[str, Tensor] | None = None,
    world: World = ALONE,
    termination: Termination | None = None,
) -> None:
    """Train a recipe on a material into a run folder, from the start or from where it stopped.

    `initial` are weights to begin with (of the `state_dict` of `Recipe.nets`, or some of it) in
    place of random ones. Several processes each call it, with their part of the material. Where
    `termination` is asked for, the state is saved before the process ends.
    """
    termination = termination or Termination()
    choose_algorithms(options)
    torch.manual_seed(options.seed)
    nets = recipe.nets()
    nets.load_state_dict({**nets.state_dict(), **(initial or {})})
    # The layout changes the weights of 2-D convolutions alone; no others have four axes.
    nets.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(nets) if recipe.ema_decay else None
    judged = nets if average is None else average  # what is validated and saved
    # Fused: it alone leaves the weights as they are where a flag on the device says so.
    betas = (recipe.beta1, recipe.beta2)
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, betas=betas, fused=True)
    kind = precision.choose(options.precision, device, nets)
    scaler = torch.amp.GradScaler(device.type, enabled=kind.scales)
    learning = state.Learning(nets, average, adam, scaler, material)
    progress, unlogged, lines = Progress(), Unlogged(), Log(run, writes=world.first)
    torch.manual_seed(options.seed + world.rank)
    if files.exists(run.path(state.LAST)):
        if world.first:
            state.put_back(run)
        path = run.path(state.LAST)
        progress, unlogged, logged = state.restore(path, learning, device, world)
        lines.resume(progress.step - bool(unlogged.losses), logged)
    else:
        lines.begin()
        for line in material.begin(nets, progress):
            lines.add(line)
    saved_step, saved_at = progress.step, time.monotonic()
    shown = options.tensorboard and world.first
    curves = Board(run.path(console.FOLDER) if shown else None, progress.step)
    batches = ahead(material, progress)
    coming = next(batches)
    work = pace.work_of(recipe, nets, coming.batch)  # of one segment
    watch = Pace(device, pace.matmul_rate(device, kind.nets))
    if options.checkpoint_activations:
        recompute.again(recipe.blocks(nets))
    if options.compile:
        for net in recipe.cores(nets):
            net.compile()
    lesson = world.around(Lesson(recipe, nets), device)
    sample_ids: list[str] = []  # of the last step
    taken: Taken | None = None  # the last step, until what it found is read
    shows = None if world.first else False  # None: on a terminal
    bar = console.steps_bar("train", recipe.steps, progress.step, shown=shows)
    started = time.monotonic() - progress.seconds

    def heed() -> bool:
        """Read what the last step found; whether the process is asked to end."""
        nonlocal taken
        if taken is None:
            return False
        last, found, taken = taken, taken.read(), None
        if trouble := not_finite(found["loss"], found["norm"], found["scale"], scaler):
            culprits = world.gathered([] if math.isfinite(found["own"]) else last.sample_ids)
            ids = [name for ids in culprits for name in ids] or last.sample_ids
            raise Failed(diverged(trouble, last.step, saved_step, ids))
        unlogged.note(found)
        progress.seconds = found["seconds"]  # the same for all processes, which stop at one step
        return bool(found["asked"])

    def save() -> None:
        nonlocal saved_step, saved_at
        logged = len(lines.lines)
        state.preserve(run.path(state.LAST), learning, progress, unlogged, logged, world)
        lines.next_part()
        saved_step, saved_at = progress.step, time.monotonic()

    def end_early() -> NoReturn:
        heed()
        save()
        if world.first:
            tell(f"step {progress.step:,} is saved")
        termination.hand_on()

    while True:
        # A run that resumes may first have to log or validate the step that it was saved after.
        new = taken is not None or bool(unlogged.losses)
        logs = new and not progress.step % recipe.log_every
        if (logs or is_due(recipe, progress, options.minutes)) and heed():
            end_early()
        validates = is_due(recipe, progress, options.minutes)
        if not (validates or logs):
            if finished(recipe, progress, options.minutes):
                break
            for group in adam.param_groups:
                group["lr"] = recipe.learning_rate_after(progress.step)
            progress.step += 1
            progress.epoch, progress.position = coming.epoch, coming.position
            batch = material.prepare(coming.batch)
            sample_ids, count = batch.sample_ids, len(batch.sample_ids)
            adam.zero_grad(set_to_none=True)
            total, terms = torch.zeros((), device=device), dict[str, Tensor]()
            parts = list(parts_of(batch, recipe.accumulate))
            for part in parts:
                with devices.apart(lesson, part is not parts[-1]), precision.lowered(kind):
                    found = lesson(*part.given)
                    loss = found[0].sum() / count
                scaler.scale(loss).backward()
                total += loss.detach()
                for name, term in found[1].items():
                    terms[name] = terms.get(name, 0) + term.sum() / count
            if progress.step < recipe.steps:
                coming = watch.fetched(lambda: next(batches))  # while the device still computes
            scaler.unscale_(adam)
            norm = nn.utils.clip_grad_norm_(nets.parameters(), recipe.clip_norm or math.inf)
            seconds = time.monotonic() - started
            shared = {
                "loss": total,
                "asked": total.new_full((), float(termination.asked)),
                "seconds": total.new_full((), seconds),
                **{f"loss_{name}": term for name, term in terms.items()},
            }
            means = dict(zip(shared, world.mean(torch.stack([*shared.values()])), strict=True))
            scale = scaler.scale(torch.ones_like(total))
            found = means | {"own": total, "norm": norm, "scale": scale}
            if not scaler.is_enabled():  # it sets this flag itself
                fine = torch.isfinite(norm + means["loss"])
                adam.found_inf = (~fine).float()  # type: ignore[attr-defined]
            scaler.step(adam)
            scaler.update()
            if average is not None:
                follow(average, nets, recipe.ema_decay, progress.step)
            watch.step(count * world.size, work * count)
            bar.update()
            stops = heed()  # of the step before: it has long been done, so nothing waits
            taken = readback.sent(progress.step, sample_ids, found)
            if stops:
                end_early()
            continue

        # The step is taken; now the log, the validation and the state.
        line = log.line_of(progress, unlogged, recipe.learning_rate_after(progress.step - 1))
        line |= watch.line()
        scheduled = not progress.step % recipe.validate_every
        if validates:
            if not scheduled:  # the end, which leaves no trace in the state: --steps may be raised
                save()
            world.even_out(*([nets] if average is None else [nets, average]))
            judged.eval()
            try:
                with devices.exactly(), termination.breaks_off(world.size == 1):
                    scores = material.validate(judged)
                    heard = material.previews(judged) if world.first else []
            except Terminated:
                end_early()
            judged.train()
            score = scores.get("valid_loss", line["loss"])
            if not (math.isfinite(score) and weights_are_finite(nets)):
                trouble = f"the validation's loss is {score}"
                raise Failed(diverged(trouble, progress.step, saved_step, sample_ids))
            best = is_best(progress, score, validating=material.validates)
            if not scheduled and world.first:
                state.keep(run, results(run) if best else [])
            if best and world.first:
                kept = {"valid_loss" if material.validates else "loss": score}
                kept |= {name: scores[name] for name in ("valid_sdr",) if name in scores}
                trained = Checkpoint(
                    *(recipe, judged, progress.step, kept, material.lineage()),
                    *(material.learnt_from(), material.parents()),
                )
                checkpoint.save(run.path(BEST), trained)
            previews.write(run, heard, recipe.sample_rate, best=best)
            line |= scores | material.after_validation(judged, scores, progress, best=best)
            progress.judged = progress.step
            if world.first:
                tell(console.line(line, recipe.steps, progress))
        bar.set_postfix(console.short(line))
        lines.add(line)
        unlogged = Unlogged()
        late = world.shared(time.monotonic() - saved_at > SAVE_EVERY_S)
        if scheduled or (late and not validates):
            save()
        if world.first:
            curves.write(line)
        watch.restart()
    bar.close()
    curves.close()
    for found in world.gathered(material.rejects):
        material.rejects |= found
    if not world.first:
        return

    lines.join()
    outputs = [log.FILE, *results(run), *previews.written(run, "last")]
    run.finish(
        {"steps": progress.step, "epochs": progress.epoch, **material.counts()},
        {path: files.sha256(run.path(path)) for path in outputs},
        recipe=registry.to_fields(recipe),
        scores={"valid_loss" if material.validates else "loss": progress.best_loss},
        best_step=progress.best_step,
        device=str(device),
        precision=kind.facts(),
        training_seconds=round(progress.seconds, 3),
        rejects=dict(sorted(material.rejects.items())[:REPORTED_REJECTS]),
        **material.record(),
    )


def choose_algorithms(options: Options) -> None:
    """What a GPU computes with, as the options say."""
    devices.products("tf32" if options.tf32 else "ieee")
    torch.backends.cudnn.benchmark = options.fast
    if options.fast:
        tell("--fast: a resumed run will not be exact")
    torch.use_deterministic_algorithms(options.deterministic)
    if options.deterministic:  # cuBLAS reads it when it is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


class Lesson(nn.Module):
    """The losses of a recipe's nets as a module, which DistributedDataParallel can wrap."""

    def __init__(self, recipe: Recipe, nets: nn.Module) -> None:
        super().__init__()
        self.recipe, self.nets = recipe, nets

    def forward(self, *given: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What is learnt, and the terms by name, detached; see `Recipe.judge_given`."""
        found = self.recipe.judge_given(self.nets, *given)
        return found.loss, {name: term.detach() for name, term in found.terms.items()}


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


def is_due(recipe: Recipe, progress: Progress, minutes: float | None) -> bool:
    """Whether the last step is to be validated: by the schedule, or because the run ends."""
    scheduled = progress.step % recipe.validate_every == 0
    return progress.step > progress.judged and (scheduled or finished(recipe, progress, minutes))


def results(run: Run) -> list[str]:
    """The files of the best net so far, below the run's folder."""
    beside = f"{BEST}/{checkpoint.CARD}"  # which those of earlier versions lack
    names = (f"{BEST}/{checkpoint.MODEL}", f"{BEST}/{checkpoint.CONFIG}")
    cards = [beside] if files.exists(run.path(beside)) else []
    return [*names, *cards, *previews.written(run, "best")]


def finished(recipe: Recipe, progress: Progress, minutes: float | None) -> bool:
    """Whether the steps, the patience or the time are used up."""
    return (
        progress.step >= recipe.steps
        or progress.stale >= recipe.patience
        or (minutes is not None and progress.seconds >= 60 * minutes)
    )


def is_best(progress: Progress, score: float, *, validating: bool) -> bool:
    """Note whether a score is the best so far; without validation the last one always is."""
    if validating and not score < progress.best_loss:
        progress.stale += 1
        return False
    progress.best_loss, progress.best_step, progress.stale = score, progress.step, 0
    return True


@torch.no_grad()
def follow(average: nn.Module, nets: nn.Module, decay: float, step: int) -> None:
    """Move the average by 1 − decay towards the nets, in place.

    Early on by more, as the first weights are random: decay is at most (1 + step) / (10 + step).
    Integers, which count batches, are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), nets.state_dict().values(), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    torch._foreach_lerp_([held for held, _ in floats], [now for _, now in floats], share)
    for held, now in pairs:
        if not held.is_floating_point():
            held.copy_(now)


def not_finite(loss: float, norm: float, scale: float, scaler: torch.amp.GradScaler) -> str | None:
    """Why a run cannot go on after a step, or None.

    With a scaler, gradients may overflow now and then: it skips the step and lowers its scale.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm) and not (scaler.is_enabled() and scale > LEAST_SCALE):
        return f"the gradients' norm is {norm}"
    return None


def weights_are_finite(nets: nn.Module) -> bool:
    """Whether no weight, and no running mean or variance, is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in nets.state_dict().values())


def diverged(trouble: str, step: int, saved_step: int, sample_ids: Sequence[str]) -> str:
    """The message of a run that cannot go on; what was saved before stays."""
    some = ", ".join(sample_ids[:3]) + (", …" if len(sample_ids) > 3 else "")
    where = f"step {step} (samples {some})" if some else f"step {step}"
    last = f"the last good state is of step {saved_step}" if saved_step else "nothing was saved yet"
    return f"{trouble} at {where}; {last}; try a lower --learning-rate in another --output"
