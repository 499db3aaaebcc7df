"""The cache of checkpoints whose hash is known: fetched once, checked at every load.

It lies in `$STEMLODE_CACHE`, else in `$XDG_CACHE_HOME/stemlode`, else in `~/.cache/stemlode`; a
file is called by its hash, so that it is the same whichever address it came from.
"""

import os
from pathlib import Path

from stemlode import files, runs
from stemlode.runs import BadUsage, Failed

MODEL = "model.safetensors"
_PIECE_BYTES = 1 << 20


def root() -> Path:
    """The folder of the cache."""
    if own := os.environ.get("STEMLODE_CACHE"):
        return Path(own).absolute()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).absolute() / "stemlode"


def weights(address: str, sha256: str) -> str:
    """The file of weights with this hash that an address leads to, or a folder at an address.

    A local one is checked where it lies. Raises BadUsage where there is none, Failed where it
    cannot be had, or is another.
    """
    if files.is_local(address):
        path = _there(address)
        if (found := files.sha256(path)) != sha256:
            raise Failed(_other(address, found, sha256))
        return path
    path = str(root() / "models" / sha256 / MODEL)
    if files.exists(path):
        if files.sha256(path) == sha256:
            return path
        files.remove(path)  # a disk that lost something: it is fetched again
    try:
        _fetch(_there(address), path, address, sha256)
    except OSError as error:
        why = runs.reason(error.__cause__ or error)  # a web client's error names the address alone
        raise Failed(
            f"--checkpoint {address}: cannot be fetched, and {root()} does not hold it yet: {why}"
        ) from error
    return path


def _there(address: str) -> str:
    """The file of weights at an address, or in the folder there."""
    if address.endswith(".safetensors"):
        if files.is_local(address) and not files.exists(address):
            raise BadUsage(f"--checkpoint {address}: no such file")
        return address
    for folder in (address, files.join(address, "checkpoint")):
        if files.exists(found := files.join(folder, MODEL)):
            return found
    far = "" if files.is_local(address) else ", or cannot be reached"
    raise BadUsage(f"--checkpoint {address}: holds no {MODEL}{far}")


def _fetch(source: str, path: str, address: str, sha256: str) -> None:
    def check(temporary: str) -> None:
        if (found := files.sha256(temporary)) != sha256:
            raise Failed(_other(address, found, sha256))

    with files.open_input(source, in_order=True) as there, files.atomic_write(path, check) as here:
        while piece := there.read(_PIECE_BYTES):
            here.write(piece)


def _other(address: str, found: str, wanted: str) -> str:
    return (
        f"--checkpoint {address}: is another file than was named: its SHA-256 is {found}, not "
        f"{wanted}"
    )
