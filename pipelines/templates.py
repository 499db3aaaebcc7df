"""Flex Templates of Dataflow: what each pipeline's parameters are, and the launcher's entry.

The metadata is made of the verbs' own options, so that it says what `--help` says. A template gives
every parameter as `--name=value`, also what is a flag on a command line.

    python -m pipelines.templates FOLDER     writes FOLDER/VERB.json for every pipeline
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.options import INPUTS, Verb
from stemlode import cli

PIPELINES = ("scan", "match", "prune", "corpus", "pseudolabel", "salience", "perturb-songs")
VARIABLE = "STEMLODE_VERB"  # which of them an image is the template of
SEVERAL = ";"  # between the values of what may be given again
# Of the machine on which a command line is typed.
HERE = {"help", "config", "print_config", "shared_path", "engine", "memory", "threads", "spill"}
HERE |= {"quiet", "verbose", "prices"}
HERE |= {"maximum_bytes_billed", "bigquery_endpoint", "rescore", "thresholds"}
STORED = r"^(gs|s3)://\S+$"
NEEDED = {"prune": ("candidates",), "pseudolabel": ("teacher",), "perturb-songs": ("model",)}


def verb_of(name: str) -> Verb:
    """A pipeline by its verb."""
    found = importlib.import_module(cli.VERBS[name][0]).VERB
    assert isinstance(found, Verb)
    return found


def metadata(name: str) -> dict[str, Any]:
    """What Dataflow's console and API ask for before they launch a pipeline."""
    verb = verb_of(name)
    needed = {*verb.inputs, "output", *NEEDED.get(name, ())}
    return {
        "name": f"stemlode {name}",
        "description": verb.summary,
        "parameters": [_parameter(action, needed) for action in _actions(verb)],
    }


def _actions(verb: Verb) -> Iterator[argparse.Action]:
    for action in verb._parser()._actions:
        if action.dest not in HERE | {*verb.dry} and action.option_strings:
            yield action


def _parameter(action: argparse.Action, needed: set[str]) -> dict[str, Any]:
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    if _is_several(action):
        text += f"; several with {SEVERAL} between"
    found: dict[str, Any] = {
        "name": action.dest,
        "label": action.dest.replace("_", " ").capitalize(),
        "helpText": " ".join(text.split()),
        "isOptional": action.dest not in needed,
    }
    if action.dest in {*INPUTS, "output"}:
        found |= {"regexes": [STORED]}
    elif action.choices is not None:
        found |= {"paramType": "ENUM", "enumOptions": [{"value": str(c)} for c in action.choices]}
    elif action.nargs == 0:
        found |= {"paramType": "BOOLEAN"}
    return found


def _is_several(action: argparse.Action) -> bool:
    return isinstance(action, argparse._AppendAction)


def command_line(name: str, argv: Sequence[str]) -> list[str]:
    """A template's parameters as the verb's own options; others, which are Beam's, as they are."""
    known = {action.dest: action for action in _actions(verb_of(name))}
    words: list[str] = []
    for word in argv:
        flag, _, value = word.partition("=")
        action = known.get(flag.removeprefix("--").replace("-", "_"))
        if action is None or not flag.startswith("--"):
            words.append(word)
        elif action.nargs == 0:
            words += _switched(action, value)
        else:
            values = value.split(SEVERAL) if _is_several(action) else [value]
            words += [f"{action.option_strings[0]}={one}" for one in values if one]
    return words


def _switched(action: argparse.Action, value: str) -> list[str]:
    """A flag, or its opposite where it has one."""
    if value.lower() in ("", "true", "1", "yes"):
        return [action.option_strings[0]]
    opposite = [flag for flag in action.option_strings if flag.startswith("--no-")]
    return opposite[:1] if isinstance(action, argparse.BooleanOptionalAction) else []


def main(argv: Sequence[str]) -> int:
    """Launch the pipeline that this image is the template of; the exit status.

    The job's file is all that a launcher of templates makes: Dataflow runs it after it is gone.
    """
    name = os.environ[VARIABLE]
    return cli.run(name, command_line(name, argv))


def write(folder: Path) -> None:
    """The metadata of every pipeline, `VERB.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PIPELINES:
        text = json.dumps(metadata(name), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
