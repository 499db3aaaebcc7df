"""No page tells a user to run what the program does not know."""

import importlib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

import pipelines.options
from pipelines.remote import runners
from stemlode import arguments, cli
from stemlode.configuration import calling
from stemlode.runs import BadUsage
from tests.docs.commands import Command, ours

STANDS_FOR = {"VERB": "scan", "RECIPE": "unet-vocals"}
HALF_TOLD = re.compile(
    r"needs --|is required|are required|one of the arguments|needs one of|nothing to "
)


class Parsed(Exception):
    """The verb has understood its words, and does nothing more."""


@pytest.fixture
def parse_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(parse: Any) -> Any:
        def parsed(self: object, argv: Sequence[str]) -> NoReturn:
            parse(self, argv)
            raise Parsed

        return parsed

    for parser in (arguments.Parser, pipelines.options.Verb):
        monkeypatch.setattr(parser, "parse", alone(parser.parse))
    # Stores, projects and wheels in pages are examples: nobody asks for them.
    monkeypatch.setattr(pipelines.options.Verb, "_go_on_as_begun", lambda *_: None)
    monkeypatch.setattr(runners, "check", lambda _: None)


@pytest.mark.usefixtures("parse_alone")
@pytest.mark.parametrize("command", sorted({*ours()}, key=str), ids=str)
def test_a_command_of_a_page_is_one(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    verb, *words = (STANDS_FOR.get(word, word) for word in command.words)
    assert verb in cli.VERBS
    words, configs, shown = calling._taken(words)  # a file that is not here says the rest
    is_whole = command.is_whole and not configs and not shown
    try:
        with pytest.raises((Parsed, SystemExit)) as end:
            importlib.import_module(cli.VERBS[verb][0]).main(words)
    except BadUsage as error:
        assert not is_whole and HALF_TOLD.search(str(error)), error
    else:
        assert end.type is Parsed or end.value.code == 0  # --help, --version
