"""`stemlode finetune CHECKPOINT`: a trained separator teaches its successor on unlabelled songs.

BSRNN, sections III and IV-B. Online, the teacher labels unlabelled mixtures in the loop and is
replaced whenever the student is better on the validation set. Offline, the labels are shards that
`stemlode pseudolabel` wrote with this same checkpoint as teacher. Such a run is one round: its
teacher stays, and the best student at its end labels for the next round.
"""

import argparse
import dataclasses
import math
import re
from collections.abc import Sequence

from stemlode import files, runs
from stemlode.arguments import Parser, read_as
from stemlode.audio import activity, decoders
from stemlode.runs import BadUsage, Failed, Run
from training import checkpoint, devices
from training.checkpoint import BEST
from training.data import corpus
from training.devices import World, pick_device
from training.finetuning import sets
from training.finetuning.material import Boosting, Rules, Start
from training.finetuning.sets import Unlabelled
from training.loop import command as train_verb
from training.loop import memory
from training.loop.command import decisive_fields, summary
from training.loop.options import LATER, SONGS, Options, add_field, add_loop, begun, loop_of
from training.loop.stopping import Termination
from training.loop.train import train
from training.published import places
from training.recipes import meanings, registry
from training.recipes.registry import Recipe

LEARNING_RATE = 1e-4  # BSRNN IV-B
# What plans without these options mean.
ADDED = {"activity_threshold": activity.GAMMA, "processes": 1}
MODES = ("online", "offline")
DESCRIPTION = """Fine-tune a trained separator with songs without stems.

The checkpoint teaches a copy of itself. It separates unlabelled segments: those without the source
are clean residuals, those with nothing else are clean targets, and of the others its estimates are
pseudo-labels. The copy learns from mixtures of these and of the labelled sources. When the copy is
better than its teacher on the valid split of the labelled set, it becomes the teacher. A rerun
resumes a killed run. Several GPUs: torchrun --nproc-per-node N -m stemlode finetune …"""
WRITES = (*train_verb.WRITES, re.escape(sets.FILE))
EPILOG = """One run fine-tunes one source, the one that the checkpoint estimates. The
unlabelled set must not hold songs of the valid and test splits."""


def main(argv: Sequence[str]) -> int:
    """Run `stemlode finetune`; the exit status."""
    given = parser().parse(argv)
    for name in ("labelled", "unlabelled", "output"):
        if not getattr(given, name) and not given.print:
            raise BadUsage(f"stemlode finetune needs --{name} (see --help)")
    if given.print:
        print(registry.describe(recipe_of(started(given.checkpoint).trained.recipe, given)))
        return 0
    world = devices.join()
    try:
        return carry_out(given, world)
    finally:
        world.close()


def carry_out(given: argparse.Namespace, world: World) -> int:
    """Fine-tune into --output, unless that is done; the exit status."""
    device = pick_device(given.device, world)
    start = started(given.checkpoint)
    folder = start.folder
    recipe = recipe_of(start.trained.recipe, given)
    rules = Rules(given.mode == "online", given.ratio, given.min_confidence)
    before = begun("finetune", given, recipe, ADDED)
    options = loop_of(given, before, recipe)
    if given.workers is None and "workers" not in before:
        options = memory.fitting(options, recipe, world.size)
    train_verb.check_steps(recipe, options, world)
    check(given, options, rules, world)
    inputs = {
        "checkpoint": folder,
        "labelled": files.absolute(given.labelled),
        "unlabelled": files.absolute(given.unlabelled),
    }
    data = corpus.open_corpus(inputs["labelled"])
    output = files.absolute(given.output)
    decisive = decisive_fields(recipe) | options.decisive | rules.decisive
    decisive |= {"lossless_only": given.lossless_only, "processes": world.size}
    threshold = given.activity_threshold or before.get("activity_threshold", activity.RELATIVE)
    decisive["activity_threshold"] = threshold
    # Unusable input is refused before a plan is written, which the next attempt would run into.
    if rules.online:
        sets.check_mixtures(inputs["unlabelled"], lossless_only=given.lossless_only)
    else:
        place, sure = inputs["unlabelled"], rules.min_confidence
        unlabelled = sets.shards(place, recipe, start.sha256, sure, folder)
    memory.check_shared(recipe, options.workers, world)
    memory.check(*(recipe, device, options, world, output), overwrite=given.overwrite, teachers=1)
    run: Run | None = None
    if world.first:
        run = runs.start(
            "finetune",
            output,
            decisive,
            inputs,
            overwrite=given.overwrite,
            added=registry.added(recipe) | LATER | ADDED,
            writes=WRITES,
            raisable=train_verb.RAISABLE,
            decoder=decoders.name() if rules.online else None,
        )
    run = world.shared(run)
    if run is None:
        if world.first:
            print(f"finetune: already complete in {output}")
        return 0
    if rules.online:
        named = runs.rules([inputs["unlabelled"]], [], given.allow_uri or ())
        run = dataclasses.replace(run, rules=named)
    try:
        if rules.online:
            unlabelled = mixtures(run, recipe, given, options, threshold, world)
        material = Boosting(run, data, recipe, options, device, unlabelled, rules, start, world)
        weights = start.trained.core.state_dict()
        with Termination() as termination:
            train(run, recipe, material, options, device, weights, world, termination)
    except OSError as error:
        where = error.filename or f"--output {output}"
        raise Failed(f"{where}: {runs.reason(error)}; run again to resume") from error
    if world.first:
        print(f"finetune: {summary(output)}")
        print(f"finetune: {verdict(output, start, rules, recipe.target)}")
    return 0


def check(given: argparse.Namespace, options: Options, rules: Rules, world: World) -> None:
    """BadUsage where options do not go together."""
    if given.lossless_only and not rules.online:
        raise BadUsage("--lossless-only: what is labelled is labelled; give it to `pseudolabel`")
    if world.size > 1 and options.sampling != SONGS:
        raise BadUsage(
            f"--sampling {options.sampling} draws from a whole batch, which several processes "
            "do not see"
        )
    if given.activity_threshold and sets.is_corpus(files.absolute(given.unlabelled)):
        raise BadUsage(
            f"--activity-threshold: {given.unlabelled} is a corpus, and its index says where it "
            "sounds; give the option to the command that writes it"
        )


def mixtures(
    run: Run,
    recipe: Recipe,
    given: argparse.Namespace,
    options: Options,
    threshold: str,
    world: World,
) -> Unlabelled:
    """What the teacher hears in the loop; the first process surveys it for all."""
    if not world.first:
        world.shared(None)
    found = sets.mixtures(
        run,
        files.absolute(given.unlabelled),
        recipe,
        lossless_only=given.lossless_only,
        workers=options.workers,
        across=options.sampling == SONGS,
        threshold=threshold,
    )
    if world.first:
        world.shared(None)
    return found


def started(folder: str) -> Start:
    """The checkpoint to begin with; BadUsage where there is none, Failed where it is damaged."""
    try:
        trained = checkpoint.load(folder)
    except (BadUsage, Failed) as error:
        raise type(error)(str(error).replace("--checkpoint", "CHECKPOINT", 1)) from error
    return Start(trained.name, trained, trained.sha256)


def recipe_of(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """The checkpoint's recipe at the rate of IV-B, with the values that were given.

    Raises BadUsage if a value cannot be, or if the recipe does not mix.
    """
    values = {name: getattr(given, f"field_{name}") for name in fields()}
    changes = {name: value for name, value in values.items() if value is not None}
    for name in sorted(set(changes) - set(recipe.tunable)):
        raise BadUsage(f"--{name.replace('_', '-')}: {recipe.name} has no such value")
    try:
        recipe = registry.override(recipe, {"learning_rate": LEARNING_RATE, **changes})
    except ValueError as error:
        raise BadUsage(f"stemlode finetune: {error}") from error
    try:
        recipe.checked_mixing()
    except ValueError as error:
        mix = " or ".join(sorted({one.family for one in _mixing()}))
        raise BadUsage(
            f"CHECKPOINT {given.checkpoint}: {error}; fine-tuning needs a recipe that mixes ({mix})"
        ) from error
    return recipe


def fields() -> dict[str, registry.Field]:
    """The fields that may be changed in recipes that can be fine-tuned, by name."""
    found: dict[str, registry.Field] = {}
    for recipe in _mixing():
        readers = registry.overridable(recipe)
        found |= {name: readers[name] for name in recipe.tunable}
    return found


def _mixing() -> list[Recipe]:
    return [recipe for recipe in registry.RECIPES.values() if recipe.mixing is not None]


def verdict(output: str, start: Start, rules: Rules, target: str) -> str:
    """What became of the teacher, and what to do next."""
    record = runs.record(output)
    first = record["teachers"][len(start.trained.teachers)]
    best, folder = record["scores"]["valid_loss"], files.join(output, BEST)
    change = f"validation loss {first['score']:.4g} before, {best:.4g} after"
    if not record["best_step"]:
        return f"no student was better than its teacher, which stays ({change})"
    if rules.online:
        replaced = record["counts"]["teachers"] - 1
        return f"the teacher was replaced {replaced:,} times ({change})"
    return (
        f"the student is better than its teacher ({change}); for another round label anew by "
        f"{sets.command(folder, target)} and run `stemlode finetune {folder} "
        "--mode offline --unlabelled NEW …`"
    )


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode finetune",
        usage="stemlode finetune CHECKPOINT --labelled DIR --unlabelled PLACE --output DIR "
        "[options]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    found.add_argument("checkpoint", metavar="CHECKPOINT", help=places.SAID)
    found.add_argument(
        "--labelled", metavar="DIR", help="folder written by `stemlode corpus`, with a valid split"
    )
    found.add_argument(
        "--unlabelled",
        metavar="PLACE",
        help="mixtures: a folder of audio files, a catalogue (.parquet or .csv with audio_uri), or "
        "a folder written by `stemlode scan` or `corpus`; with --mode offline a folder written by "
        "`stemlode pseudolabel`",
    )
    found.add_argument(
        "--allow-uri",
        action="append",
        metavar="BEGINNING",
        help="open files of a catalogue whose addresses begin so, or that lie in this folder, "
        "which it may not have opened (docs/addresses.md); may be given again",
    )
    found.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    found.add_argument("--overwrite", action="store_true", help="start over")
    found.add_argument("--print", action="store_true", help="print the recipe and do nothing")
    found.add_argument(
        "--mode",
        choices=MODES,
        default="online",
        help="online: the teacher labels in the loop, and is replaced as soon as a student is "
        "better (default); offline: `stemlode pseudolabel` labelled before, and the teacher stays",
    )
    found.add_argument(
        "--ratio",
        type=at_least_zero,
        default=Rules.ratio,
        help="labelled signals for each unlabelled one (1); 0: unlabelled ones wherever "
        "there are any",
    )
    found.add_argument(
        "--min-confidence",
        type=share,
        default=Rules.min_confidence,
        metavar="0…1",
        help="leave out segments that the teacher separates with less confidence than this (0)",
    )
    found.add_argument(
        "--lossless-only",
        action="store_true",
        help="leave out unlabelled files of lossy formats (MP3, Ogg, AAC), as the paper did",
    )
    found.add_argument(
        "--activity-threshold",
        type=read_as(activity.read_threshold),
        metavar="DBFS",
        help="unlabelled windows are silent below this level, or with relative (default), 30 dB "
        "below the mean of their song, however loud it is",
    )
    add_loop(found)
    group = found.add_argument_group("recipe", "by default as the checkpoint's, but for the rate")
    for name, field in fields().items():
        known = next(one for one in _mixing() if name in one.tunable)
        more = f" (default {LEARNING_RATE:g})" if name == "learning_rate" else ""
        add_field(group, name, field, meanings.shown(known, name) + more)
    return found


def at_least_zero(text: str) -> float:
    """A finite number, 0 or more, as an argparse type."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} must be 0 or more, and finite")
    return value


def share(text: str) -> float:
    """A number from 0 to 1, as an argparse type."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and 1")
    return value
