"""One process at a time works in a local run folder. Free of Beam.

The lock is the kernel's (`lockf`), so that it ends with its process, however that dies, and is not
shared with forked children. Object stores have no such thing, and a lock object that a killed
process leaves behind would need a person to remove it: there, two runs in one folder do the work
twice. That is harmless, since every write is atomic and the same input gives the same bytes.
"""

import atexit
import contextlib
import fcntl
import os
from pathlib import Path

from stemlode import files

NAME = "_LOCK"
# process, folder → descriptor, while it works there; None where there are no locks
_HELD: dict[tuple[int, str], int | None] = {}


def claim(folder: str) -> str | None:
    """Take the lock of a local folder, which is made; None, or who holds it.

    A process may claim a folder again. Where the file system knows no locks, nobody is kept out.
    """
    if (os.getpid(), folder) in _HELD:
        return None
    if not files.is_local(folder):
        _HELD[os.getpid(), folder] = None
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder, NAME)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            return holder or "another process"
        except OSError:
            os.close(descriptor)
            _HELD[os.getpid(), folder] = None
            return None
        if _is_at(path, descriptor):  # else its holder removed it in between
            break
        os.close(descriptor)
    with contextlib.suppress(OSError):  # a full disk: only the name is missing
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}".encode())
    _HELD[os.getpid(), folder] = descriptor
    return None


def release(folder: str) -> None:
    """Let others in; nothing where this process does not hold the lock."""
    descriptor = _HELD.pop((os.getpid(), folder), None)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            Path(folder, NAME).unlink()
        os.close(descriptor)


def sweep(folder: str) -> None:
    """Remove the file that a killed process left; a lock that is held stays."""
    if (os.getpid(), folder) in _HELD or not files.is_local(folder):
        return
    if Path(folder, NAME).exists():
        with contextlib.suppress(OSError):  # a folder that may only be read
            if claim(folder) is None:
                release(folder)


def held() -> list[str]:
    """The folders that this process works in."""
    return [folder for process, folder in _HELD if process == os.getpid()]


@atexit.register
def _release_all() -> None:
    for process, folder in list(_HELD):
        if process == os.getpid():
            release(folder)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
