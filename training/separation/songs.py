"""Songs that a user names, and the run that makes a folder of each."""

import glob
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stemlode import files, plans, runs
from stemlode.audio.kinds import is_named_audio
from stemlode.runs import BadUsage

PATTERN = re.compile(r"[*?\[]")
LIST = "-"  # an input: the list of them is standard input
_SOUNDS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3\x03", b"ID3\x04", b"FORM")


def named(paths: Iterable[str], output: str) -> list[str]:
    """The files, absolute, each once: a folder gives the audio files below it, in order, and a
    pattern (`*`, `?`, `[…]`, `**`) what it matches, and `-` what standard input lists, a line each
    or with zero bytes between; nothing below `output`, which is ours.

    A file that is named itself need not be there: its song is then a reject. BadUsage for a folder
    without audio, and for a pattern that matches nothing.
    """
    every = [name for path in paths for name in (_listed() if path == LIST else [path])]
    found = [name for path in every for name in _below(path, files.absolute(output))]
    return list(dict.fromkeys(found))


def _listed() -> list[str]:
    """The paths that standard input lists; BadUsage where there is none."""
    data = sys.stdin.buffer.read()
    if data[:4] in _SOUNDS:
        raise BadUsage("-: standard input is sound; it lists paths: write the sound into a file")
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    if not (found := [os.fsdecode(part) for part in parts if part.strip()]):
        raise BadUsage("-: standard input lists no path")
    return found


def _below(path: str, output: str) -> list[str]:
    whole = files.absolute(path)
    own = files.join(output, "")

    def audio(names: Iterable[str]) -> list[str]:
        return [name for name in names if is_named_audio(name) and not name.startswith(own)]

    if Path(whole).is_dir() if files.is_local(whole) else _is_remote_folder(whole):
        if inside := audio(files.list_files(whole, follow_links=True)):
            return inside
        raise BadUsage(f"{path}: is a folder without audio files")
    if PATTERN.search(path) and "://" not in path and not Path(whole).exists():
        every = glob.glob(whole, recursive=True)  # noqa: PTH207 (Path's takes no absolute pattern)
        if matched := audio(sorted(filter(os.path.isfile, every))):
            return matched
        raise BadUsage(f"{path}: matches no audio file")
    return [whole]


def _is_remote_folder(path: str) -> bool:
    """Whether a store has files below it; a web server has no folders."""
    if path.startswith(("http://", "https://")) or is_named_audio(path):
        return False
    return not files.is_file(path) and files.exists(path)


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
