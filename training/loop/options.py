"""The command line of `stemlode train`: how a run is carried out, and a recipe's own fields."""

import argparse
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from stemlode import files, plans
from stemlode.arguments import Parser, above_zero, count, processes
from stemlode.runs import BadUsage
from training.models import precision
from training.published import places
from training.recipes import meanings, registry
from training.recipes.registry import RECIPES, Recipe

PIECES, SAMPLES = "pieces", "samples"  # of --validation
SONGS, CHUNKS = "songs", "chunks"  # of --sampling
# Options that runs of earlier versions lack, with what they did.
LATER = {
    **{"validation": SAMPLES, "sampling": CHUNKS},
    **{"tf32": False, "fast": False, "deterministic": False},
}


ON_CPU, MOST_WORKERS = 2, 16


@dataclass(frozen=True)
class Options:
    """How a run is carried out; what is learnt is the recipe's matter."""

    seed: int = 0
    minutes: float | None = None
    workers: int = ON_CPU
    cache_gb: float = 1.0
    precision: str | None = None  # of the nets while they learn
    compile: bool = False
    checkpoint_activations: bool = False
    tensorboard: bool = False
    overfit_one_batch: bool = False
    force: bool = False  # to begin although memory is short
    validation: str = PIECES
    sampling: str = SONGS
    tf32: bool = False  # whether a GPU rounds the operands of products in fp32, while nets learn
    fast: bool = False  # whether cuDNN chooses by trying
    deterministic: bool = False

    @property
    def decisive(self) -> dict[str, Any]:
        """The options that must be the same when a run is resumed."""
        names = ("seed", "minutes", "workers", "precision", "compile", "overfit_one_batch")
        return {name: getattr(self, name) for name in (*names, *LATER)}


def add_loop(parser: Parser) -> None:
    """Add the options of the loop itself, which train and finetune share."""
    parser.add_argument("--minutes", type=above_zero, help="stop after so long")
    parser.add_argument("--seed", type=count, default=0, help="decides weights, order and crops")
    parser.add_argument(
        "--workers",
        type=processes,
        help=f"decoding processes ({ON_CPU} beside a CPU; beside each GPU its share of the cores "
        f"but one, up to {MOST_WORKERS}, as far as shared memory goes; in a run that goes on, as "
        "many as it was begun with)",
    )
    parser.add_argument(
        "--cache-gb", type=above_zero, default=1.0, help="decoded audio to keep (1)"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    parser.add_argument(
        "--precision",
        choices=precision.KINDS,
        help="of the nets while they learn: fp32, bf16 or fp16 (bf16 on a GPU, else fp32)",
    )
    parser.add_argument(
        "--tf32",
        action=argparse.BooleanOptionalAction,
        help="let a GPU round what it multiplies in fp32 to 10 bits while nets learn; by default "
        "where that keeps what a recipe separates above 60 dB",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="let cuDNN choose its algorithms by trying: a resumed run is then not exact",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="take no operation on a GPU that may add up in another order the next time",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile the nets: pays for long runs of convolutional nets on a GPU",
    )
    parser.add_argument(
        "--checkpoint-activations",
        action="store_true",
        help="keep the inputs of a net's layers alone and compute the rest again in the backward "
        "pass: far less memory, a longer step, the same gradients (bsrnn and demucs)",
    )
    parser.add_argument(
        "--force", action="store_true", help="begin although the memory will not do"
    )
    parser.add_argument(
        "--validation",
        choices=(PIECES, SAMPLES),
        help="on pieces of an example's length, at its level (default), or on whole samples at "
        "theirs, as runs do that began before there was this option",
    )
    parser.add_argument(
        "--sampling",
        choices=(SONGS, CHUNKS),
        help="for recipes that mix: pieces from anywhere in songs and, in fine-tuning, signals "
        "drawn for each example (default); or pieces within chunks and signals drawn from a whole "
        "batch's, as in runs that began before there was this option",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write the log for TensorBoard too"
    )


def begun(
    verb: str, given: argparse.Namespace, recipe: Recipe, further: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Options (LATER and `further`), and fields of a recipe, that the run in --output was begun
    without, each with what it did then: there it stays so, unless somebody names it. And the
    number of its workers, which follows the machine in a new run."""
    if given.overwrite or not given.output:
        return {}
    later = registry.added(recipe) | LATER | dict(further or {})
    output = files.absolute(given.output)
    held = plans.options_of(verb, output) or {}
    workers = {"workers": held["workers"]} if "workers" in held else {}
    return plans.as_begun(verb, output, later) | workers


def workers_of(device: str | None) -> int:
    """How many processes decode beside a net, unless somebody says how many: on a GPU this
    process' share of the cores but one. A net on a CPU takes the cores itself."""
    if not (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda"):
        return ON_CPU
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
    return min(MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) // beside - 1))


def loop_of(given: argparse.Namespace, before: Mapping[str, Any], recipe: Recipe) -> Options:
    """The options that `add_loop` read; `before` as `begun` gives it."""
    if given.fast and given.deterministic:
        raise BadUsage("--fast and --deterministic exclude each other")
    return Options(
        seed=given.seed,
        minutes=given.minutes,
        workers=before.get("workers", workers_of(given.device))
        if given.workers is None
        else given.workers,
        cache_gb=given.cache_gb,
        precision=given.precision,
        compile=given.compile,
        checkpoint_activations=given.checkpoint_activations,
        tensorboard=given.tensorboard,
        overfit_one_batch=getattr(given, "overfit_one_batch", False),
        force=given.force,
        validation=given.validation or before.get("validation", PIECES),
        sampling=given.sampling or before.get("sampling", SONGS),
        tf32=before.get("tf32", recipe.tf32) if given.tf32 is None else given.tf32,
        fast=given.fast,
        deterministic=given.deterministic,
    )


def add_fields(parser: Parser, recipe: Recipe) -> None:
    """A recipe's fields as options, with its values as defaults."""
    group = parser.add_argument_group(f"recipe {recipe.name}")
    for name, field in registry.overridable(recipe).items():
        value = getattr(recipe, name)
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        said = f"{meanings.shown(recipe, name)} (default {shown})"
        add_field(group, name, field, said.replace("%", "%%"))


def add_field(
    group: argparse._ArgumentGroup, name: str, field: registry.Field, shown: str | None
) -> None:
    """A recipe's field as an option."""

    def read(text: str) -> Any:
        try:
            return field.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    group.add_argument(
        f"--{name.replace('_', '-')}",
        dest=f"field_{name}",
        metavar=field.metavar,
        type=read,
        help=shown,
    )


def changed(recipe: Recipe, given: argparse.Namespace, before: Mapping[str, Any]) -> Recipe:
    """The recipe with the fields that were given, or else as a run was begun (`begun`); ValueError
    where a value cannot be."""
    names = registry.overridable(recipe)
    recipe = registry.override(recipe, {k: v for k, v in before.items() if k in names})
    values = {name: getattr(given, f"field_{name}") for name in names}
    return registry.override(recipe, {k: v for k, v in values.items() if v is not None})


def parser_of(recipe: Recipe | None) -> Parser:
    """The command line of train, with a recipe's fields where one is named."""
    parser = Parser(
        prog="stemlode train",
        usage="stemlode train RECIPE --corpus DIR --output DIR [options]",
        description="Train a separator on a corpus. A rerun resumes a killed run; with more "
        "--steps, --patience or --minutes it goes on with a finished one. Several GPUs: "
        "torchrun --nproc-per-node N -m stemlode train …",
        epilog=f"recipes:\n{patterns()}\n\n--list prints each one; stemlode train RECIPE --help "
        "lists its own options.",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=_known, help="one of those below")
    parser.add_argument("--list", action=_List, nargs=0, help="print every recipe and do nothing")
    parser.add_argument(
        "--corpus",
        metavar="DIR",
        action="append",
        default=[],
        help="folder written by `stemlode corpus`, or by `stemlode pseudolabel`; again to learn "
        "from several, such as labelled songs and what a teacher labelled",
    )
    parser.add_argument(
        "--salience",
        metavar="DIR",
        help="folder written by `stemlode salience` of that corpus, for recipes that hear pitch",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="CHECKPOINT",
        help=f"start with the weights of {places.SAID}, of whichever recipe: what fits is taken, "
        "what does not is named",
    )
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--print", action="store_true", help="print the recipe and do nothing")
    parser.add_argument(
        "--overfit-one-batch",
        action="store_true",
        help="a check: does the loss fall when the same batch is learnt again and again?",
    )
    add_loop(parser)
    if recipe is not None:
        add_fields(parser, recipe)
    return parser


def patterns() -> str:
    """The recipes' names as patterns; what stands in [] may be left out."""
    return "\n".join(f"  {pattern}\n      {summary}" for pattern, summary in registry.NAMES)


def listed() -> str:
    """Every recipe and what it is."""
    width = max(map(len, RECIPES))
    return "\n".join(f"{name:<{width}}  {recipe.summary}" for name, recipe in RECIPES.items())


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(listed())
        parser.exit()


def _known(name: str) -> str:
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1)
        hint = f"did you mean {near[0]}?" if near else "--list prints those there are"
        raise argparse.ArgumentTypeError(f"no recipe is called {name!r}; {hint}")
    return name
