"""The command line of the verbs without Beam: argparse that answers with one line."""

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from stemlode.runs import BadUsage

LARGEST_NUMBER = 1e12
LARGEST_COUNT = 2**63 - 1
MOST_PROCESSES = 1024
T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """Raises BadUsage where argparse would print its usage and exit.

    `leading` is the option that a first word without a flag is the value of; `passed_on` are
    options that another program defines, and `--help` does not list.
    """

    leading: str | None = None
    passed_on: Sequence[argparse.Action] = ()

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)
        if self.add_help:
            _add_configuration(self)
        width = max(40, shutil.get_terminal_size().columns - 2)  # as argparse does with the rest
        paragraphs = (self.description or "").split("\n\n")
        self.description = "\n\n".join(textwrap.fill(text, width) for text in paragraphs)

    def error(self, message: str) -> NoReturn:
        """One line that names the option."""
        raise BadUsage(f"{self.prog}: {message} (see --help)")

    def spelt(self, argv: Sequence[str]) -> list[str]:
        """A command line with a flag before its first word, if that is the value of `leading`."""
        argv = list(argv)
        if self.leading and argv and not argv[0].startswith("-"):
            argv[0] = f"--{self.leading}={argv[0]}"
        return argv

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse everything; BadUsage suggests what an unknown option may have meant."""
        options, unknown = self.parse_known_args(list(argv))
        if unknown:
            flag = unknown[0].split("=", maxsplit=1)[0]
            near = difflib.get_close_matches(flag, self._option_string_actions, 1)
            hint = f"; did you mean {near[0]}?" if near else " (see --help)"
            raise BadUsage(f"{self.prog}: unknown {unknown[0]}{hint}")
        return options


def _add_configuration(parser: Parser) -> None:
    """Options that `stemlode.configuration` takes out of a command line before it is parsed."""
    parser.add_argument(
        "--config",
        action=_NotHere,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="TOML with these options by name, or a run folder whose options to take; what the "
        "command line says as well wins",
    )
    parser.add_argument(
        "--print-config",
        action=_NotHere,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the options as such a file, and do nothing",
    )


class _NotHere(argparse.Action):
    """For main(argv) of a verb, which does not read it: nothing is passed over in silence."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        flag = self.option_strings[0]
        raise BadUsage(f"{parser.prog}: {flag} is read by the program `stemlode`, not here")


def above_zero(text: str) -> float:
    """A number above 0, as an argparse type."""
    value = float(text)
    if not 0 < value < LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"{text} must be above 0, and finite")
    return value


def read_as(read: Callable[[str], T]) -> Callable[[str], T]:
    """An argparse type whose errors say what `read` says in its ValueError."""

    def value(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return value


def count(text: str) -> int:
    """A whole number, 0 or more, as an argparse type."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} must not be negative")
    if value > LARGEST_COUNT:
        raise argparse.ArgumentTypeError(f"{text} is too large")
    return value


def processes(text: str) -> int:
    """A number of worker processes, as an argparse type."""
    value = count(text)
    if value > MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text} must not be above {MOST_PROCESSES}")
    return value
