"""The files that `--config` reads: TOML, and the record of a run."""

import json
import sys
import tomllib
from typing import Any

from stemlode import files, runs
from stemlode.configuration.options import Values
from stemlode.runs import BadUsage


def read(path: str, verb: str, known: dict[str, Any]) -> Values:
    """The values in a file, by name; BadUsage where it is no configuration of this verb.

    A run folder, or its `run.json`, gives what the run was told. `known` are the verb's options,
    of which a record of an earlier version names those that decided its output.
    """
    whole = files.absolute(path)
    if not files.is_file(whole) and files.exists(files.join(whole, runs.RECORD)):
        whole = files.join(whole, runs.RECORD)
    elif files.exists(files.join(whole, runs.PLAN)):
        raise BadUsage(f"--config {path}: is not finished, and keeps what it was told at the end")
    try:
        data = files.read_bytes(whole)
    except OSError as error:
        raise BadUsage(f"--config {path}: {runs.reason(error)}") from error
    if whole.endswith(".json"):
        return _of_record(path, data, verb, known)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUsage(f"--config {path}: is no TOML: {runs.reason(error)}") from error


def _of_record(path: str, data: bytes, verb: str, known: dict[str, Any]) -> Values:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadUsage(f"--config {path}: is no JSON: {runs.reason(error)}") from error
    if not isinstance(found, dict) or not isinstance(found.get("verb"), str):
        raise BadUsage(f"--config {path}: is no record of a run: it names no verb")
    if found["verb"] != verb:
        raise BadUsage(f"--config {path}: is of a run of {found['verb']}, not of {verb}")
    asked, decisive = found.get("config"), found.get("options")
    if isinstance(asked, dict):
        return asked
    if not isinstance(decisive, dict):
        raise BadUsage(f"--config {path}: is no record of a run: options is no object")
    print(
        f"note: --config {path} is of an earlier version, whose records do not say where inputs "
        "lay: name them",
        file=sys.stderr,
    )
    return {name: value for name, value in decisive.items() if name in known}
