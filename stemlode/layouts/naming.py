"""Names of songs as names of folders."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from stemlode import runs

LONGEST_NAME = 120  # bytes of a folder's name


def of_files(paths: Sequence[str], reserved: Iterable[str] = ()) -> list[str]:
    """A folder name for each file: its own without extension, as `of_songs`."""
    return of_songs([Path(path.rstrip("/").rsplit("/", 1)[-1]).stem for path in paths], reserved)


def of_songs(titles: Sequence[str], reserved: Iterable[str] = ()) -> list[str]:
    """A folder name for each song, made safe on any disk, and unique where case does not count.
    `reserved` are names that the run needs for itself, beside those of every run."""
    own = {name.casefold() for name in (*runs.OWN, *reserved)}
    names: list[str] = []
    taken: set[str] = set()
    for title in titles:
        safe = _safe(unicodedata.normalize("NFC", title)).strip(" .") or "song"
        safe = safe.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
        name, number = safe, 1
        while name.casefold() in taken or name.casefold() in own:
            number += 1
            name = f"{safe}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _safe(title: str) -> str:
    """Each stretch of what no disk should see becomes a "_". Words of some scripts are written
    with marks, such as Hindi's vowels, which `\\w` leaves out."""
    kept = [
        mark if re.match(r"[\w .,+()&'!-]", mark) or unicodedata.category(mark)[0] == "M" else "\0"
        for mark in title
    ]
    return re.sub("\0+", "_", "".join(kept))
