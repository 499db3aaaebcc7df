"""A registry of models: `models.toml`, a table for each name.

    [vocals-2026]
    path = "vocals/checkpoint"   # beside this file; or url = "https://…", "s3://…", "gs://…"
    sha256 = "…"                 # of its model.safetensors, 64 hex digits
    summary = "…"                # for people; may be left out

It is looked for where `$STEMLODE_MODELS` says, else in the current folder and then in
`$XDG_CONFIG_HOME/stemlode` or `~/.config/stemlode`.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from stemlode import files, runs
from stemlode.addresses import pinned as addresses
from stemlode.runs import BadUsage, Failed

FILE = "models.toml"
KNOWN = ("path", "url", "sha256", "summary")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def registries() -> list[str]:
    """The registries that are there, the nearest first."""
    if own := os.environ.get("STEMLODE_MODELS"):
        if not files.is_file(own):
            raise BadUsage(f"STEMLODE_MODELS: {own}: no such file")
        return [files.absolute(own)]
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    places = (Path(FILE), Path(home) / "stemlode" / FILE)
    return [files.absolute(str(place)) for place in places if place.is_file()]


def pinned(name: str) -> str:
    """The address of a model by its name in a registry, with its hash.

    Raises BadUsage where none knows it, with what is near; or where its entry makes no sense.
    """
    found = registries()
    known: dict[str, tuple[str, Any]] = {}
    for path in reversed(found):
        known |= {key: (path, entry) for key, entry in _read(path).items()}
    if name in known:
        return _address(name, *known[name])
    raise BadUsage(f"--checkpoint {name}: no such file or folder{_hint(name, list(known), found)}")


def _hint(name: str, known: list[str], found: list[str]) -> str:
    if not found:
        return f", and there is no {FILE} that could know it by name"
    near = difflib.get_close_matches(name, known, 3)
    if near:
        return f", nor a name in {' or '.join(found)}; did you mean {' or '.join(near)}?"
    some = ", ".join(sorted(known)[:8]) + (", …" if len(known) > 8 else "")
    return f", nor a name in {' or '.join(found)}, which knows {some or 'none'}"


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(files.read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of text that is no UTF-8
        raise BadUsage(f"{path}: no TOML: {runs.reason(error)}") from error
    except OSError as error:
        raise Failed(f"{path}: {runs.reason(error)}") from error


def _address(name: str, path: str, entry: Any) -> str:
    where = f"{path}: {name}"
    if not isinstance(entry, dict):
        raise BadUsage(f"{where} is no table such as [{name}]")
    if unknown := sorted(entry.keys() - {*KNOWN}):
        raise BadUsage(f"{where}: {unknown[0]} is unknown; it may say {', '.join(KNOWN)}")
    places = [entry[key] for key in ("path", "url") if key in entry]
    if len(places) != 1 or not isinstance(places[0], str) or not places[0]:
        raise BadUsage(f"{where}: needs either path or url")
    sha256 = entry.get("sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BadUsage(f"{where}: needs sha256, 64 hex digits: sha256sum of its model.safetensors")
    place = places[0]
    if "path" in entry:
        if "://" in place:
            raise BadUsage(f"{where}: path is {place}, an address: call it url")
        place = files.absolute(str(Path(path).parent / Path(place).expanduser()))
    elif "://" not in place:
        raise BadUsage(f"{where}: url is {place}, no address: call it path")
    return addresses.with_hash(place, sha256.lower())
