"""The options of a verb by name, as a configuration says them, between parser and command line.

An option's name is that of its flag, with `_` for `-`: `--sample-rate` is `sample_rate`. What
stands on a command line without a flag has the name that its usage gives it.
"""

import argparse
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from stemlode.arguments import Parser
from stemlode.runs import BadUsage

CONFIG, PRINT = "--config", "--print-config"
_NOT_OFFERED = {"help", "config", "print_config"}
_PLAIN = (argparse._StoreAction, argparse._AppendAction, argparse.BooleanOptionalAction)
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

Values = dict[str, Any]  # by name: text, number, true or false, or a list of them


def named(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """What a verb can be told, by name."""
    found: dict[str, argparse.Action] = {}
    by_place = [action for action in parser._actions if not action.option_strings]
    by_flag = [action for action in parser._actions if action.option_strings]
    for action in [*by_place, *by_flag]:  # where both are there, the flag is the plainer one
        if not (action.nargs == 0 and not _is_flag(action)):
            found[_name(action)] = action
    return {name: action for name, action in found.items() if name not in _NOT_OFFERED}


def nearest(name: str, known: Mapping[str, object]) -> str:
    """What an unknown name may have meant, as the end of a sentence."""
    near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
    return f"; did you mean {near[0]}?" if near else " (see --help)"


def given(parser: Parser, argv: Sequence[str]) -> Values:
    """What a command line says, by name; BadUsage where a value is missing. What nobody knows is
    passed over."""
    raw = Parser(prog=parser.prog, add_help=False)
    options = named(parser)
    for name, action in options.items():
        _add_raw(raw, name, action)
    for action in parser._actions:
        if not action.option_strings and options.get(action.dest) is not action:
            _add_raw(raw, action.dest, action)
    found = vars(raw.parse_known_args(parser.spelt(argv))[0])
    return {
        name: _plainest(options[name], value) for name, value in found.items() if value is not None
    }


def words(parser: Parser, values: Mapping[str, Any], where: str) -> tuple[list[str], list[str]]:
    """The values as words of a command line: those without a flag, which come first, and others.

    BadUsage names the key, and what it stands in (`where`), if there is no such option or it
    cannot have this value.
    """
    options = named(parser)
    first: list[str] = []
    others: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in options:
            raise BadUsage(f"{where}: unknown key {key}{nearest(key, options)}")
        if value is None:
            continue
        said = _words(parser, options[name], f"{where}: {key}", value)
        (others if options[name].option_strings else first).extend(said)
    return first, others


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return action.dest
    flags = [flag for flag in action.option_strings if flag.startswith("--")]
    flag = flags[0] if isinstance(action, argparse.BooleanOptionalAction) else max(flags, key=len)
    return flag.lstrip("-").replace("-", "_")


def _is_flag(action: argparse.Action) -> bool:
    kinds = (argparse._StoreTrueAction, argparse._StoreFalseAction, argparse.BooleanOptionalAction)
    return isinstance(action, kinds)


def _is_list(action: argparse.Action) -> bool:
    """Whether it may be given more than once, or has several words."""
    several = action.nargs in ("+", "*") or isinstance(action.nargs, int)
    return several or not isinstance(action, _PLAIN) or isinstance(action, argparse._AppendAction)


def _add_raw(raw: Parser, name: str, action: argparse.Action) -> None:
    """The option again, for text alone and without a default."""
    flags, nothing = action.option_strings, argparse.SUPPRESS
    if not flags:
        raw.add_argument(name, nargs="*" if _is_list(action) else "?", default=nothing)
    elif isinstance(action, argparse.BooleanOptionalAction):
        plain = [flag for flag in flags if not flag.startswith("--no-")]
        raw.add_argument(*plain, dest=name, action=argparse.BooleanOptionalAction, default=nothing)
    elif _is_flag(action):
        raw.add_argument(*flags, dest=name, action="store_true", default=nothing)
    elif _is_list(action) and not isinstance(action.nargs, int):
        raw.add_argument(*flags, dest=name, action="append", default=nothing)
    else:
        alone: dict[str, Any] = {"const": True} if action.nargs == "?" else {}
        raw.add_argument(*flags, dest=name, nargs=action.nargs, default=nothing, **alone)


def _plainest(action: argparse.Action, value: Any) -> Any:
    """Text as a number, where the option is one and this is how the number is written."""
    if isinstance(value, list):
        return [_plainest(action, one) for one in value]
    if not isinstance(value, str) or action.type in (None, str):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if str(number) == value:
            return number
    return value


def _words(parser: Parser, action: argparse.Action, where: str, value: Any) -> list[str]:
    if _is_flag(action):
        if not isinstance(value, bool):
            _refuse(where, bool, value)
        return _flag_words(action, value)
    if value is True and action.nargs == "?":
        return [action.option_strings[0]]
    if isinstance(value, dict) and (action.type is json.loads or not isinstance(action, _PLAIN)):
        value = json.dumps(value, default=str)  # as Beam's options of this kind are written
    several = _is_list(action) and isinstance(value, list)
    texts = [_text(action, where, one) for one in (value if several else [value])]
    for text in texts:
        _check(parser, action, where, text)
    if not action.option_strings:
        return texts
    flag = max(action.option_strings, key=len)
    if isinstance(action.nargs, int):
        if len(texts) != action.nargs:
            raise BadUsage(f"{where}: a list of {action.nargs} is wanted, not {value!r}")
        return [flag, *texts]
    return [f"{flag}={text}" for text in texts]


def _flag_words(action: argparse.Action, value: bool) -> list[str]:
    flags = [flag for flag in action.option_strings if flag.startswith("--")]
    if isinstance(action, argparse.BooleanOptionalAction):
        return [flags[0] if value else f"--no-{flags[0].removeprefix('--')}"]
    return [max(flags, key=len)] if value else []


def _text(action: argparse.Action, where: str, value: Any) -> str:
    kind = action.type if isinstance(action.type, type) else None
    if isinstance(value, bool) and kind is None and action.type is not None:
        return str(value).lower()  # a recipe's yes or no
    if isinstance(value, bool) or not isinstance(value, str | int | float | list):
        _refuse(where, kind or str, value)
    if kind in (int, float) and not isinstance(value, int if kind is int else int | float):
        _refuse(where, kind, value)
    if isinstance(value, list):  # `stems = ["vocals", "drums"]` for --stems vocals,drums
        if not all(isinstance(one, str | int | float) for one in value):
            _refuse(where, kind or str, value)
        return ",".join(map(str, value))
    return str(value)


def _refuse(where: str, wanted: type, value: Any) -> NoReturn:
    raise BadUsage(f"{where}: {_WANTED[wanted]} is wanted, not {value!r}")


def _check(parser: Parser, action: argparse.Action, where: str, text: str) -> None:
    """Whether the option takes this value."""
    try:
        parser._check_value(action, parser._get_value(action, text))
    except argparse.ArgumentError as error:
        raise BadUsage(f"{where}: {error.message}") from error
