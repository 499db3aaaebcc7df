"""Songs that a user names one by one, and the run that makes a folder of each."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stemlode import files, plans, runs
from stemlode.runs import BadUsage

LONGEST_NAME = 120  # bytes of an output folder's name


def named(paths: Iterable[str]) -> list[str]:
    """The files, absolute, each once; BadUsage for a folder."""
    inputs = list(dict.fromkeys(files.absolute(path) for path in paths))
    for path in inputs:
        if "://" not in path and Path(path).is_dir():
            raise BadUsage(f"{path}: is a folder; name the files in it")
    return inputs


def folder_names(inputs: Sequence[str], reserved: Iterable[str] = ()) -> list[str]:
    """A folder name for each song: its file's name without extension, made safe and unique.
    `reserved` are names that the run needs for itself, beside those of every run."""
    own = {name.casefold() for name in (*runs.OWN, *reserved)}
    names: list[str] = []
    taken: set[str] = set()
    for path in inputs:
        stem = Path(path.rstrip("/").rsplit("/", 1)[-1]).stem
        safe = re.sub(r"[^\w .,+()&'!-]+", "_", stem).strip(" .") or "song"
        safe = safe.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
        name, number = safe, 1
        while name.casefold() in taken or name.casefold() in own:
            number += 1
            name = f"{safe}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def claimed(
    verb: str, output: str, options: dict[str, Any], inputs: dict[str, str], **facts: Any
) -> runs.Run | None:
    """The run to do, arguments as for `runs.start`; None where it is done and had no rejects, which
    are worth another try.

    `options["inputs"]` are songs. A folder that has some takes further ones, made in the same way:
    the run's own `inputs` then are those of before, and these.
    """
    if not facts.get("overwrite"):
        before = _held(verb, output)
        more = [song for song in options["inputs"] if song not in before]
        options = options | {"inputs": before + more}
    facts |= {"raisable": ("inputs",)}
    run = runs.start(verb, output, options, inputs, **facts)
    if run is None and runs.record(output)["rejects"]:
        files.remove(files.join(output, runs.SUCCESS))
        run = runs.start(verb, output, options, inputs, **facts)
    return run


def _held(verb: str, output: str) -> list[str]:
    """The songs of the run of this verb that a folder holds."""
    path = files.join(output, plans.PLAN)
    held = plans.read(files.read_bytes(path)) if files.exists(path) else None
    found = held["options"].get("inputs") if held and held["verb"] == verb else None
    return [str(song) for song in found] if isinstance(found, list) else []
