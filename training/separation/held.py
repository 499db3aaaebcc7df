"""What an output folder holds of songs that were worked on before, and whether that still counts.

`run.json` says of each song under `separated` what its file was then (`file`, see `files.stamps`),
how long it is (`seconds`), and how large its stems are (`bytes`, by path).
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stemlode import audio, files, runs
from stemlode.audio import AudioError
from stemlode.layouts import naming

LONGEST_MISS_S = 0.1  # by which two stems of one song may differ in length


@dataclass(frozen=True)
class Held:
    """Of an output folder: what its run had made when it last came to its end, and what is there
    now."""

    output: str
    outputs: Mapping[str, str] = field(default_factory=dict)  # hashes by path
    rejects: Mapping[str, str] = field(default_factory=dict)  # by input
    tracks: Mapping[str, str] = field(default_factory=dict)  # songs' names by input
    songs: Mapping[str, Any] = field(default_factory=dict)  # facts by input
    there: Collection[str] = ()  # paths

    @classmethod
    def of(cls, output: str) -> "Held":
        """What is known; nothing of a folder without a record."""
        root = files.join(output, "")
        there = {path.removeprefix(root) for path in files.list_files(output)}
        record = _record(output) if runs.RECORD in there else {}
        known = _objects(record, "separated")
        tracks = {source: track for track, source in _objects(record, "songs").items()}
        songs = {source: known[track] for source, track in tracks.items() if track in known}
        rejects = _objects(record, "rejects")
        return cls(output, _objects(record, "outputs"), rejects, tracks, songs, there)

    def named(self, inputs: Sequence[str], reserved: Iterable[str] = ()) -> dict[str, str]:
        """A name for each song, as `naming.of_files`; those that have one keep it."""
        new = [source for source in inputs if source not in self.tracks]
        names = naming.of_files(new, [*reserved, *self.tracks.values()])
        found = {**self.tracks, **dict(zip(new, names, strict=True))}
        return {source: found[source] for source in inputs}

    def tried(self, source: str, paths: Collection[str]) -> bool:
        """Whether a song has come to an end before, good or bad."""
        return source in self.rejects or all(path in self.outputs for path in paths)

    def kept(self, paths: Collection[str]) -> dict[str, str]:
        """The hashes of what was written of a song, as far as it is there."""
        known = [path for path in paths if path in self.outputs and path in self.there]
        return {path: self.outputs[path] for path in known}

    def is_whole(self, source: str, paths: Collection[str]) -> bool:
        """Whether a song's stems are there and whole, and its file is what it was."""
        if not all(path in self.there for path in paths):
            return False
        known = self.songs.get(source, {})
        if "file" in known and _stamps(source) not in ([], known["file"]):
            return False
        sizes = known.get("bytes", {})
        here = {path: files.join(self.output, path) for path in paths}
        if all(sizes.get(path) == files.size(place) for path, place in here.items()):
            return True
        return _play([*here.values()])  # written by a killed run, or touched since


def noted(source: str, written: Mapping[str, str]) -> dict[str, Any]:
    """What a record says of a song; `written` are the places of its stems by path."""
    seconds = audio.probe(next(iter(written.values()))).duration_s
    sizes = {path: files.size(place) for path, place in sorted(written.items())}
    return {"file": _stamps(source), "seconds": round(seconds, 3), "bytes": sizes}


def _stamps(source: str) -> list[list[str]]:
    """As `files.stamps`; of a store nothing, which would be asked for each song."""
    return files.stamps(source) if files.is_local(source) else []


def _play(places: Sequence[str]) -> bool:
    """Whether files decode from end to end, and are equally long."""
    try:
        lengths = [
            sum(part.samples.shape[1] / part.sample_rate for part in audio.blocks(place))
            for place in places
        ]
    except (AudioError, OSError):
        return False
    return max(lengths) - min(lengths) <= LONGEST_MISS_S


def _record(output: str) -> dict[str, Any]:
    """`run.json` as it is, also of a run that goes on; nothing of a damaged one."""
    try:
        found = json.loads(files.read_bytes(files.join(output, runs.RECORD)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _objects(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
