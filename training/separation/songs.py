"""Songs that a user names, and the run that makes a folder of each."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stemlode import files, plans, runs
from stemlode.audio.kinds import is_named_audio
from stemlode.runs import BadUsage
from training.separation import names

PATTERN = re.compile(r"[*?\[]")
LIST = "-"  # an input: the list of them is standard input
LONGEST = 4096  # bytes of a path
_SOUNDS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM")
# What hardly stands in names, and makes up a tenth of anything packed.
_CONTROL = bytes({*range(1, 9), *range(14, 27), *range(28, 32)})
_LOOKED_AT, _MOST_CONTROL = 4096, 0.02


def named(paths: Iterable[str], output: str) -> tuple[list[str], dict[str, str]]:
    """The files, absolute, each once: a folder gives the audio files below it, in order, and a
    pattern (`*`, `?`, `[…]`, `**`) what it matches, and `-` what standard input lists, a line each
    or with zero bytes between; nothing below `output`, which is ours. And of each folder and
    pattern that gives none, why.

    A file that is named itself need not be there: its song is then a reject. BadUsage where
    nothing gives any.
    """
    every = [name for path in paths for name in (_listed() if path == LIST else [path])]
    found: dict[str, None] = {}
    without: dict[str, str] = {}
    for path in every:
        inside, why = _below(path, files.absolute(output))
        found |= dict.fromkeys(inside)
        if not inside:
            without[path] = why
    if not found:
        path, why = next(iter(without.items()))
        raise BadUsage(f"{path}: {why}")
    return [*found], without


def _listed() -> list[str]:
    """The paths that standard input lists; BadUsage where there is none."""
    data = sys.stdin.buffer.read()
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    head = data[:_LOOKED_AT]
    packed = len(head) - len(head.translate(None, _CONTROL)) > max(8, _MOST_CONTROL * len(head))
    if packed or max(map(len, parts), default=0) > LONGEST or data[:4] in _SOUNDS:
        raise BadUsage("-: standard input is sound; it lists paths: write the sound into a file")
    if not (found := [os.fsdecode(part) for part in parts if part.strip()]):
        raise BadUsage("-: standard input lists no path")
    return found


def _below(path: str, output: str) -> tuple[list[str], str]:
    """The files that a path gives, and why there are none."""
    whole = files.absolute(path)
    if files.is_local(whole) and len(os.fsencode(whole.rpartition("/")[2])) > names.LONGEST_PART:
        return [], "is too long for a file's name"
    if Path(whole).is_dir() if files.is_local(whole) else _is_remote_folder(whole):
        every, why = files.list_files(whole, follow_links=True), "is a folder without audio files"
    elif PATTERN.search(path) and "://" not in path and not Path(whole).exists():
        every = glob.glob(whole, recursive=True)  # noqa: PTH207 (Path's takes no absolute pattern)
        every, why = sorted(filter(os.path.isfile, every)), "matches no audio file"
    else:
        return [whole], ""
    own = files.join(output, "")
    sounds = [name for name in every if is_named_audio(name)]
    found = [name for name in sounds if not name.startswith(own)]
    if sounds and not found:
        why = f"all audio files there lie in --output {output}, so they are no inputs"
    return found, why


def _is_remote_folder(path: str) -> bool:
    """Whether a store has files below it; a web server has no folders."""
    if path.startswith(("http://", "https://")) or is_named_audio(path):
        return False
    return not files.is_file(path) and files.exists(path)


def with_held(verb: str, output: str, inputs: Sequence[str]) -> list[str]:
    """The songs of the run of this verb that a folder holds, in their order, and these behind."""
    options = plans.options_of(verb, output) or {}
    found = options.get("inputs")
    before = [str(song) for song in found] if isinstance(found, list) else []
    return list(dict.fromkeys((*before, *inputs)))


def claimed(
    verb: str,
    output: str,
    options: dict[str, Any],
    inputs: dict[str, str],
    *,
    again: bool = False,
    **facts: Any,
) -> runs.Run | None:
    """The run to do, arguments as for `runs.start`; None where it is done. With `again` one that
    is done goes on: of the songs that are asked for now some want another try.

    `options["inputs"]` are songs. A folder that has some takes further ones, made in the same way:
    they begin with the run's own (`with_held`).
    """
    facts |= {"raisable": ("inputs",)}
    run = runs.start(verb, output, options, inputs, **facts)
    if run is None and again:
        files.remove(files.join(output, runs.SUCCESS))
        run = runs.start(verb, output, options, inputs, **facts)
    return run
