"""The disk that a run will need, and the disk that its part files need no longer. Free of Beam.

A part file whose samples a shard holds is emptied where it lies: it keeps its name and its size, so
that a rerun finds it whole and copies nothing again, but its blocks go back to the file system.
"""

import contextlib
import ctypes
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from stemlode import files

FLAC_SHARE = 0.7  # of the size of PCM; music takes from 0.5 to 0.75
FREED = ".freed"  # beside a part file of which something was given back
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of Linux' fallocate
_SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))


def flac_bytes(seconds: float, sample_rate: int, channels: int, bits: int) -> float:
    """About how large a source of that length is."""
    return seconds * sample_rate * channels * bits / 8 * FLAC_SHARE


def line(output: str, needed: float) -> str | None:
    """What a run will need in a folder, and what there is; None for a store, which has no end.

    What the folder holds already counts as done.
    """
    if not files.is_local(output):
        return None
    folder = Path(files.system(output)[1])
    further = max(0.0, needed - _held(folder))
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    said = f"needs about {_size(further)} in {output}, where {_size(free)} are free"
    if further <= free:
        return said
    return f"{said}: it will stop when the disk is full, and go on from there when run again"


def free(path: str, ranges: Iterable[tuple[int, int]]) -> None:
    """Give back what lies under ranges (offset, bytes) of a part file, where its disk can do so.

    They read as zeros then; a note beside the file says that this was meant.
    """
    punch = _fallocate()
    if punch is None or not files.is_local(path):
        return
    name = files.system(path)[1]
    with contextlib.suppress(OSError):  # a disk that cannot do it, or a file that is gone
        descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        try:
            Path(f"{name}{FREED}").touch()
            for offset, size in ranges:
                punch(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset, size)
        finally:
            os.close(descriptor)


def freed_beside(path: str) -> list[str]:
    """The part files in a part file's folder of which something was given back."""
    if not files.is_local(path):
        return []
    folder = Path(files.system(path)[1]).parent
    return [str(note).removesuffix(FREED) for note in folder.glob(f"*{FREED}")]


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        found = ctypes.CDLL(None).fallocate
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return found  # type: ignore[no-any-return]


def _held(folder: Path) -> int:
    """Bytes on disk below a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{root}/{name}").st_blocks * 512
    return total


def _size(size: float) -> str:
    name, unit = next((one for one in _SIZES if size >= one[1]), _SIZES[-1])
    return f"{size / unit:,.1f} {name}"
