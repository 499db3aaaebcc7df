"""What users say of columns: `--columns title=name`, `--constant artist=Muse`. Free of Beam."""

import difflib
import re
from collections.abc import Mapping, Sequence

from stemlode import schemas
from stemlode.runs import BadUsage

ARTIST_IDS = "artist_ids"  # all artists of a track: a list, or text with a separator
DURATION, MILLISECONDS = "duration_s", "duration_ms"  # the latter where there is no duration_s
IS_VIDEO = "is_video"  # whether it is the sound of a video: these pair with each other
COLUMNS = (
    *(name for name in schemas.TRACK.names if name != "extra"),
    ARTIST_IDS,
    MILLISECONDS,
    IS_VIDEO,
)


def mapping(columns: str | None, known: Sequence[str] = COLUMNS) -> dict[str, str]:
    """`ours=theirs,…` as a dict; BadUsage for anything else.

    A name may hold spaces, and commas too: in quotes (`title="Name, long"`), or where what follows
    the comma has no "=".
    """
    found: dict[str, str] = {}
    place = 0
    while columns is not None and place < max(1, len(columns)):
        entry = _ENTRY.match(columns, place)
        if not entry:
            raise BadUsage(f"--columns {columns}: write ours=theirs,… such as title=name")
        ours, theirs = entry["ours"], (entry["plain"] or "").strip()
        if entry["quoted"] is not None:
            theirs = entry["quoted"].replace('""', '"')
        name = _ours("--columns", columns, ours, known)
        if name in found:
            raise BadUsage(f"--columns {columns}: {name} is given twice")
        found[name] = theirs
        place = entry.end()
    if columns is not None and columns.endswith(","):
        raise BadUsage(f"--columns {columns}: nothing follows the last comma")
    if {DURATION, MILLISECONDS} <= found.keys():
        raise BadUsage(f"--columns {columns}: take one of {DURATION} and {MILLISECONDS}")
    return found


def constants(given: Sequence[str] | None, mapped: Mapping[str, str]) -> dict[str, str]:
    """`ours=value` each, as a dict; BadUsage for anything else, and for what is mapped too."""
    found: dict[str, str] = {}
    for entry in given or ():
        ours, equals, value = entry.partition("=")
        if not equals or not value:
            raise BadUsage(f"--constant {entry}: write ours=value, such as artist='Taylor Swift'")
        name = _ours("--constant", entry, ours.strip(), COLUMNS)
        if name in found or name in mapped:
            raise BadUsage(f"--constant {entry}: {name} is given twice")
        found[name] = value
    return found


def _ours(option: str, given: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, cutoff=0)[0]
        raise BadUsage(f"{option} {given}: no column {name} of ours; did you mean {near}?")
    return name


_ENTRY = re.compile(  # of --columns
    r"""\s*(?P<ours>[^\s=,"]+)\s*=\s*
    (?:"(?P<quoted>(?:[^"]|"")+)"\s*
      |(?P<plain>[^",\s][^,]*(?:,(?=[^,=]*[^,=\s])(?![^,=]*=)[^,]*)*))
    (?:,|\Z)""",
    re.VERBOSE,
)
