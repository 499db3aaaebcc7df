"""Values as TOML."""

import argparse
import json
import math
import textwrap
from collections.abc import Mapping
from typing import Any

from stemlode.arguments import Parser
from stemlode.configuration import options
from stemlode.runs import BadUsage

WIDTH = 98


def text(parser: Parser, values: Mapping[str, Any]) -> str:
    """A configuration with these values, and in comments all that the verb could be told beside
    them."""
    lines = [f"# {parser.prog} --config FILE; what the command line says as well wins."]
    of_beam = {id(action) for action in parser.passed_on}
    for name, action in options.named(parser).items():
        is_given = name in values
        if not is_given and (action.help == argparse.SUPPRESS or id(action) in of_beam):
            continue
        lines.append("")
        if action.help and action.help != argparse.SUPPRESS and id(action) not in of_beam:
            helped = parser._get_formatter()._expand_help(action)
            lines += [f"# {line}" for line in textwrap.wrap(helped, WIDTH)]
        if is_given:
            lines.append(f"{name} = {_value(name, values[name])}")
        else:
            lines.append(f"# {name} = {_default(name, action)}".rstrip())
    return "\n".join(lines)


def _default(name: str, action: argparse.Action) -> str:
    """The value that an option has by itself; nothing where there is none."""
    value = False if isinstance(action, argparse._StoreFalseAction) else action.default
    if value is None or value == argparse.SUPPRESS:
        return ""
    try:
        return _value(name, [*value] if isinstance(value, tuple) else value)
    except BadUsage:
        return ""


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return repr(value) if {*".e"} & {*repr(value)} else f"{value!r}.0"
    if isinstance(value, list):
        return f"[{', '.join(_value(name, one) for one in value)}]"
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= mark <= "\udfff" for mark in value):
            raise BadUsage(f"--print-config: {name} is {value!a}, which is no UTF-8 text")
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise BadUsage(f"--print-config: {name} has no value that TOML could say")
