"""A verb is called from Python: its options as keywords, its errors as exceptions."""

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from stemlode import cli, locks, runs
from stemlode.configuration import calling, options
from stemlode.runs import BadUsage, Failed

ALONE = ("config", "print_config", "help")  # of a command line


def run(verb: str, given: Mapping[str, Any]) -> int:
    """Run a verb with options by name; its exit status.

    A value is what a configuration would say, or a path or a Run; None leaves an option as it is.
    `config` names a configuration, whose values those given win over. Raises BadUsage or Failed
    with the line that the command line would print.
    """
    asked = {name: _plain(value) for name, value in given.items() if value is not None}
    with _apart(), _told(verb):
        module = importlib.import_module(cli.VERBS[verb][0])
        configs = asked.pop("config", [])
        if unknown := sorted({*asked} & {*ALONE}):
            raise BadUsage(f"stemlode.{verb}: {unknown[0]} is for the command line")
        texts = [value for value in asked.values() if isinstance(value, str)]
        parser = module.parser(texts)
        words = calling.words(parser, asked, f"stemlode.{verb}")
        for path in [configs] if isinstance(configs, str) else configs:
            words = calling.merged(module, verb, words, [path])
        _refuse_to_show(verb, options.given(module.parser(words), words))
        return calling.call(module, verb, words)


def path_of(place: Any) -> str:
    """A path that a caller gives: text (`~` is the home folder), a pathlib.Path, or a Run."""
    try:
        return os.path.expanduser(os.fsdecode(place))  # noqa: PTH111 (it may be an address)
    except TypeError as error:
        raise BadUsage(f"{place!r} is no path") from error


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return path_of(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item") and not getattr(value, "shape", True):  # a number of NumPy's
        return value.item()
    return value


def _refuse_to_show(verb: str, told: Mapping[str, Any]) -> None:
    """What only prints has nothing to return."""
    for name in ("estimate", "explain", "print", "list"):
        if told.get(name):
            raise BadUsage(f"stemlode.{verb}: {name} writes nothing; it is for the command line")


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """The caller's process stays as it was: its logging, its warnings; and the folders that a
    failed run worked in are free again."""
    level, before = logging.root.manager.disable, {*locks.held()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries' own, as on the command line
            yield
    finally:
        logging.disable(level)
        for folder in {*locks.held()} - before:
            locks.release(folder)


@contextlib.contextmanager
def _told(verb: str) -> Iterator[None]:
    """Whatever a verb raises, as the command line explains it."""
    try:
        yield
    except (BadUsage, Failed):
        raise
    except KeyboardInterrupt:
        runs.give_up("interrupted")
        raise
    except SystemExit as error:
        raise Failed(f"stemlode.{verb}: ended with {error.code}") from error
    except Exception as error:
        line, status = cli.explained(error, verb)
        raise (BadUsage if status == 2 else Failed)(str(line)) from error
