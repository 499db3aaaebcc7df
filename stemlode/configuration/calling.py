"""A verb is called: what `--config` names is read, and what the run is told is kept for its record.

Every verb's module has `main(argv)`, which runs it, and `parser(argv)`, which says what it can be
told. A configuration becomes words of the command line, so that a verb never knows of it.
"""

import argparse
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from stemlode import files, plans
from stemlode.arguments import Parser
from stemlode.configuration import options, printed, sources
from stemlode.configuration.options import CONFIG, PRINT, Values
from stemlode.runs import BadUsage

HELP = {"-h", "--help"}
_PATHS = {"PATH", "DIR", "FOLDER", "FILE", "CORPUS", "CHECKPOINT", "SCORED", "RUN", "INPUT"}
_PATHS |= {"SONG", "MIXTURE", "PLACE", "MODEL"}  # metavars of what may be one
_NOT_KEPT = {"overwrite"}  # a run that is made again does not remove itself


def call(module: ModuleType, verb: str, argv: Sequence[str]) -> int:
    """Run a verb by its command line, as `stemlode VERB` does; the exit status."""
    rest, configs, shown = _taken(argv)
    if HELP & {*rest}:
        return module.main(rest)
    if configs or shown:
        rest = merged(module, verb, rest, configs)
    parser = module.parser(rest)
    try:
        told = options.given(parser, rest)
    except BadUsage:
        if shown:
            raise
        told = {}  # the verb itself says what is wrong
    if shown:
        print(printed.text(parser, told))
        return 0
    with plans.asking(_kept(parser, told)):
        return module.main(rest)


def merged(module: ModuleType, verb: str, argv: Sequence[str], configs: Sequence[str]) -> list[str]:
    """A command line with what configurations say of options that it does not name; of several
    the last one wins. `--no-x` takes back a flag `x` that a configuration sets."""
    read: dict[str, tuple[str, Any]] = {}
    for path in configs:
        known = options.named(module.parser(argv))
        for key, value in sources.read(path, verb, known).items():
            read[key.replace("-", "_")] = (f"--config {path}", value)
    # A recipe that a configuration names has options of its own.
    parser = module.parser([*argv, *(v for _, v in read.values() if isinstance(v, str))])
    off = {f"--no-{name.replace('_', '-')}": name for name in _flags(parser) if name in read}
    taken_back = {off[word] for word in argv if word in off}
    argv = [word for word in argv if word not in off]
    said = options.given(parser, argv)
    first: list[str] = []
    others: list[str] = []
    for name, (where, value) in read.items():
        by_place, by_flag = options.words(parser, {name: value}, where)
        if name not in said and name not in taken_back:
            first += by_place
            others += by_flag
    return [*first, *argv, *others]


def words(parser: Parser, values: Mapping[str, Any], where: str) -> list[str]:
    """Values by name as a command line; BadUsage as `options.words`."""
    first, others = options.words(parser, values, where)
    return [*first, *others]


def _flags(parser: Parser) -> list[str]:
    """Options that are there or not, and have no `--no-` of their own."""
    plain = (argparse._StoreTrueAction, argparse._StoreFalseAction)
    named = options.named(parser).items()
    return [name for name, action in named if isinstance(action, plain)]


def _taken(argv: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """A command line without our two options, what they say, and whether to print."""
    rest, configs, shown = [], [], False
    given = iter(argv)
    for word in given:
        if word == CONFIG:
            if (path := next(given, None)) is None:
                raise BadUsage(f"{CONFIG} needs a file")
            configs.append(path)
        elif word.startswith(f"{CONFIG}="):
            configs.append(word.partition("=")[2])
        elif word == PRINT:
            shown = True
        else:
            rest.append(word)
    return rest, configs, shown


def _kept(parser: Parser, told: Values) -> Values:
    """What a record keeps of what a verb was told: local paths are made absolute."""
    known = options.named(parser)

    def whole(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [whole(name, one) for one in value]
        if known[name].metavar not in _PATHS or not isinstance(value, str):
            return value
        try:
            local = files.is_local(value)
        except files.BadAddress:
            return value
        is_path = local and (name == "output" or files.exists(value) or _is_glob(value))
        return files.absolute(value) if is_path else value

    return {name: whole(name, value) for name, value in told.items() if name not in _NOT_KEPT}


def _is_glob(value: str) -> bool:
    """Whether it names files by a pattern, and is no query (`SELECT * …`)."""
    return bool({*"*?["} & {*value}) and " " not in value and bool(files.stamps(value))
