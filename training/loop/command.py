"""`stemlode train RECIPE`: a corpus → a checkpoint."""

import argparse
import re
from collections.abc import Sequence

from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed, Run
from training import console, devices, log, state
from training.checkpoint import BEST, CARD, CONFIG, MODEL
from training.data import corpus, levels
from training.data.corpus import Corpus
from training.data.salience import learnt_beside, open_salience
from training.devices import World, pick_device
from training.loop import memory, one_batch, previews, warm_start
from training.loop.material import Material
from training.loop.one_batch import OneBatch
from training.loop.options import LATER, Options, begun, changed, loop_of, parser_of
from training.loop.stopping import Termination
from training.loop.train import train
from training.loop.warm_start import WarmStart
from training.published import places
from training.recipes import registry
from training.recipes.registry import RECIPES, Recipe
from training.separation.options import numbered

PREVIEWS = rf"{previews.FOLDER}/(best|last)/\d/({'|'.join(previews.NAMES)})\.flac"
KEPT = (
    *map(re.escape, (f"{BEST}/{MODEL}", f"{BEST}/{CONFIG}", f"{BEST}/{CARD}", log.FILE)),
    PREVIEWS,
)
WRITES = (
    *(rf"({re.escape(state.KEPT)}/)?{name}" for name in KEPT),
    *map(re.escape, (state.LAST, levels.FILE)),
    log.PART,
    rf"{console.FOLDER}/events\.out\..+",
)
RAISABLE = ("steps", "patience", "minutes")  # how long a run lasts, not what it does


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line, with the options of the recipe that it names."""
    return parser_of(next((RECIPES[word] for word in argv if word in RECIPES), None))


def main(argv: Sequence[str]) -> int:
    """Run `stemlode train`; the exit status."""
    given = parser(argv).parse(argv)
    before = begun("train", given, RECIPES[given.recipe])
    options = loop_of(given, before, RECIPES[given.recipe])
    try:
        recipe = changed(RECIPES[given.recipe], given, before)
        if options.overfit_one_batch:
            recipe = one_batch.recipe_of(recipe, given.field_steps)
    except ValueError as error:
        raise BadUsage(f"stemlode train: {error}") from error
    if given.print:
        print(registry.describe(recipe))
        return 0
    for name in ("corpus", "output"):
        if not getattr(given, name):
            raise BadUsage(f"stemlode train needs --{name} (see --help)")
    world = devices.join()
    if given.workers is None and "workers" not in before:
        options = memory.fitting(options, recipe, world.size)
    try:
        return carry_out(recipe, options, given, world)
    finally:
        world.close()


def carry_out(recipe: Recipe, options: Options, given: argparse.Namespace, world: World) -> int:
    """Train into --output, unless that is done; the exit status."""
    check_steps(recipe, options, world)
    device = pick_device(given.device, world)
    output = files.absolute(given.output)
    if options.tensorboard:
        console.check(output)
    inputs = numbered("corpus", given.corpus)
    data = material_of(recipe, given, inputs, world)
    start = begun_with(recipe, given, inputs, world)
    # Before there is a plan, from which other options would differ.
    memory.check_shared(recipe, options.workers, world)
    memory.check(recipe, device, options, world, output, overwrite=given.overwrite)
    run: Run | None = None
    if world.first:
        decisive = decisive_fields(recipe) | options.decisive | {"processes": world.size}
        run = runs.start(
            "train",
            output,
            decisive,
            inputs,
            overwrite=given.overwrite,
            added=registry.added(recipe) | LATER,
            writes=WRITES,
            raisable=RAISABLE,
        )
    run = world.shared(run)
    if run is None:
        if world.first:
            print(f"train: already complete in {output}")
            conclude(recipe, options, output)
        return 0
    try:
        kind = OneBatch if options.overfit_one_batch else Material
        material = kind(run, data, recipe, options, device, world, start)
        weights = start.weights if start else None
        with Termination() as termination:
            train(run, recipe, material, options, device, weights, world, termination)
    except OSError as error:
        where = error.filename or f"--output {output}"
        raise Failed(f"{where}: {runs.reason(error)}; run again to resume") from error
    if world.first:
        print(f"train: {summary(output)}")
        conclude(recipe, options, output)
    return 0


def check_steps(recipe: Recipe, options: Options, world: World) -> None:
    """BadUsage where a recipe's steps cannot be taken so."""
    if options.checkpoint_activations and not recipe.recomputes:
        raise BadUsage(
            f"--checkpoint-activations: {recipe.name} has no layers whose activations could be "
            "computed again: batch normalisation would count its statistics twice"
        )
    if options.checkpoint_activations and options.compile:
        raise BadUsage("--checkpoint-activations does not go together with --compile")
    if recipe.batch_size % world.size:
        raise BadUsage(
            f"--batch-size {recipe.batch_size}: {world.size} processes cannot share it equally"
        )


def material_of(
    recipe: Recipe, given: argparse.Namespace, inputs: dict[str, str], world: World
) -> Corpus:
    """What can teach the recipe of --corpus, and the salience beside it if it needs that, which is
    added to `inputs`."""
    data = corpus.open_corpora([*inputs.values()])
    if len(inputs) > 1 and given.salience:
        raise BadUsage("--salience lies beside one corpus: give one --corpus")
    if recipe.needs_salience:
        if not given.salience:
            raise BadUsage(
                f"stemlode train {recipe.name} needs --salience DIR, where `stemlode salience "
                f"--corpus {given.corpus[0]} --output DIR` wrote the pitch of the vocals"
            )
        inputs["salience"] = files.absolute(given.salience)
        found, samples = open_salience(inputs["salience"], data), len(data.index)
        data = learnt_beside(data, found)
        if world.first:
            console.tell(
                f"learns from the {len(data.index):,} of {samples:,} samples that have salience "
                f"({found.teacher}, {found.targets})"
            )
    elif given.salience:
        raise BadUsage(f"--salience {given.salience}: {recipe.name} does not learn from pitch")
    if recipe.mixing is None and not data.usable("train", recipe.target):
        what = f"{recipe.target}{' and its pitch' if recipe.needs_salience else ''}"
        raise Failed(f"--corpus {data.folder}: no sample in its train split can teach {what}")
    return data


def begun_with(
    recipe: Recipe, given: argparse.Namespace, inputs: dict[str, str], world: World
) -> WarmStart | None:
    """The weights of --from, which is added to `inputs`."""
    if not given.start:
        if recipe.needs_weights:
            names = " and ".join(name.rstrip(".") for name in recipe.needs_weights)
            raise BadUsage(
                f"stemlode train {recipe.name} needs --from CHECKPOINT, one that holds the net "
                f"called {names}: it is used as it is"
            )
        return None
    try:
        inputs["from"] = places.pinned(given.start)
    except (BadUsage, Failed) as error:
        raise type(error)(str(error).replace("--checkpoint", "--from", 1)) from error
    start = warm_start.read(inputs["from"], recipe)
    start.check(recipe)
    if world.first:
        console.tell(start.line())
    return start


def conclude(recipe: Recipe, options: Options, output: str) -> None:
    """If the run was a check, print its result; Failed if it did not pass."""
    if options.overfit_one_batch:
        lines = log.read(files.join(output, log.FILE))
        print(f"train: {one_batch.verdict(recipe, lines)}")


def decisive_fields(recipe: Recipe) -> dict[str, object]:
    """A recipe as the options of a run's plan."""
    fields = registry.to_fields(recipe)
    return {"recipe": recipe.name} | {
        k: v for k, v in fields.items() if k not in ("name", "summary")
    }


def summary(output: str) -> str:
    """The result of a finished run in one line."""
    record = runs.record(output)
    ((name, score),) = record["scores"].items()
    return (
        f"{record['counts']['steps']:,} steps of {record['recipe']['name']} in "
        f"{record['training_seconds']:.1f} s; {name.replace('_', ' ')} {score:.4g} at step "
        f"{record['best_step']:,}; checkpoint in {files.join(output, BEST)}"
    )
