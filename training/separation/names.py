"""What the files of `separate` are called: `{track}/{stem}.{ext}`, or as a user says.

A track's name is its file's, made safe and unique among a run's (`naming.of_files`). What a
template makes of it never leads out of the output folder.
"""

import re
from collections.abc import Mapping, Sequence

from stemlode import files, runs
from stemlode.runs import BadUsage

DEFAULT = "{track}/{stem}.{ext}"
FIELDS = ("track", "stem", "ext")
LONGEST_PART = 255  # bytes of a file's or folder's name
_FIELD = re.compile(r"\{([^{}]*)\}")


def check(template: str, stems: Sequence[str]) -> str:
    """A template as it was given; BadUsage where files could share a name, or lie elsewhere."""
    what = f"--name {template}"
    fields = _FIELD.findall(template)
    if unknown := [name for name in fields if name not in FIELDS]:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise BadUsage(f"{what}: {{{unknown[0]}}} is unknown; there are {known}")
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise BadUsage(f"{what}: a {{ or }} stands alone")
    if not template.endswith(".{ext}"):
        raise BadUsage(f"{what}: must end with .{{ext}}, which --format says")
    if "track" not in fields or (len(stems) > 1 and "stem" not in fields):
        lacks = "stem" if "track" in fields else "track"
        raise BadUsage(f"{what}: needs {{{lacks}}}, or files would share a name")
    shown = filled(template, "track", stems[0], "wav")
    if not files.is_below(shown) or not shown.isprintable():
        raise BadUsage(f"{what}: must name files below --output")
    top = shown.partition("/")[0]
    if top in (*runs.OWN, runs.PARTS) or shown.startswith("_parts"):
        raise BadUsage(f"{what}: {top} is the run's own")
    return template


def filled(template: str, track: str, stem: str, ext: str) -> str:
    """A file's path below the output folder."""
    given = {"track": track, "stem": stem, "ext": ext}
    return _FIELD.sub(lambda found: given[found[1]], template)


def of_songs(
    template: str, tracks: Sequence[str], stems: Sequence[str], ext: str
) -> list[Mapping[str, str]]:
    """For each track the paths of its stems, by stem; BadUsage where two are one, or too long."""
    found: list[Mapping[str, str]] = []
    taken: dict[str, str] = {}
    for track in tracks:
        paths = {stem: filled(template, track, stem, ext) for stem in stems}
        for stem, path in paths.items():
            if other := taken.get(path.casefold()):
                raise BadUsage(
                    f"--name {template}: {stem} of {track} and {other} would both be {path}"
                )
            if max(len(part.encode()) for part in path.split("/")) > LONGEST_PART:
                raise BadUsage(f"--name {template}: {path[:60]}… is too long for a file's name")
            taken[path.casefold()] = f"{stem} of {track}"
        found.append(paths)
    return found


def pattern(template: str, formats: Sequence[str]) -> str:
    """A regular expression of the paths that a template may give."""
    given = {"track": "[^/]+", "stem": "[a-z][a-z0-9_-]{0,44}", "ext": f"({'|'.join(formats)})"}
    parts = re.split(r"(\{[^{}]*\})", template)
    return "".join(given.get(part[1:-1], re.escape(part)) for part in parts)
