"""Folders of estimates that any separator wrote: a folder for each song, a file for each stem."""

import posixpath
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from stemlode import audio, files, runs
from stemlode.audio import AudioError
from stemlode.audio.kinds import without_extension
from stemlode.layouts.songs import songs_by_folder
from stemlode.runs import BadUsage
from training.evaluation.references import ReferenceSong, Stems
from training.separation.system import RESIDUAL, Parts

# Names that separators give to stems → ours.
ALIASES = {
    "no_vocals": "accompaniment",
    "instrumental": "accompaniment",
    "instrum": "accompaniment",
}
ALIASES |= {"vocal": "vocals", "voice": "vocals", "drum": "drums"}
IN_OTHER = {"guitar", "piano"}
NO_STEMS = {"mixture", "mix", RESIDUAL}
LONGEST_MISS_S = 0.1  # by which an estimate may be longer or shorter than its song


@dataclass(frozen=True)
class Estimates:
    """A folder of estimates, looked at but not read."""

    folder: str
    name: str  # of the separator, as it stands beside the scores
    songs: dict[str, dict[str, str]]  # folder's name → stem → path
    inputs: dict[str, str]  # folder's name → what was separated, if the folder is a run of ours

    @property
    def stems(self) -> set[str]:
        """The stems of all songs."""
        return {stem for paths in self.songs.values() for stem in paths}

    def load(self, listed: object, song: ReferenceSong, wanted: Collection[str] | None) -> Parts:
        """The estimates of a song, in its shape and at its rate: those that are wanted, as far as
        they are there or follow from others, or without `wanted` all that the song has truths for.

        Raises AudioError if there are none, or if one is damaged or not of the song's length.
        """
        paths = self.songs.get(self._folder_of(listed))
        if paths is None:
            raise AudioError(f"{self.folder} has no folder for it")
        # A guitar or piano that is part of the true `other`, as in MUSDB, is added to its estimate
        # (thesis 6.2).
        inside = {s for s in IN_OTHER & set(paths) if s not in song.sources and "other" in paths}
        held = set(paths) - inside
        known = {stem for stem in held if _is_known(song, stem)}
        needed = known if wanted is None else _needed(held, wanted)
        parts = {stem: _fitted(paths[stem], song) for stem in sorted(needed)}
        if "other" in parts:
            parts["other"] = np.sum([parts["other"], *(_fitted(paths[s], song) for s in inside)], 0)
        asked = sorted(known) if wanted is None else wanted
        found = {name: part for name in asked if (part := _part(parts, name)) is not None}
        if not found:
            lacks = f", not {', '.join(wanted)}" if wanted else ", of which no truth is known"
            raise AudioError(f"{self.folder} holds {', '.join(sorted(paths))} of it{lacks}")
        return found

    def _folder_of(self, listed: object) -> str:
        """The name of a song's folder: of the song's name but for case and special characters, or
        that of what was separated."""
        name = str(getattr(listed, "name", ""))
        by_key = {_key(folder): folder for folder in self.songs}
        for candidate in (name, name.rsplit("/", 1)[-1]):
            if _key(candidate) in by_key:
                return by_key[_key(candidate)]
        if isinstance(listed, Stems):
            uris = {part.uri for parts in listed.song.parts.values() for part in parts}
            homes = {posixpath.dirname(uri) for uri in uris}
            for folder, source in self.inputs.items():
                is_mixture = source in uris or posixpath.dirname(source) in homes
                if is_mixture and len(homes) == 1:
                    return folder
        return ""


def opened(folders: Sequence[str]) -> list[Estimates]:
    """Folders of estimates, each with a name of its own; BadUsage for one without any."""
    found: list[Estimates] = []
    for place in folders:
        if files.is_file(place) or not files.exists(place):
            what = "is a file" if files.is_file(place) else "does not exist"
            raise BadUsage(
                f"--estimates {place}: {what}; name a folder that holds one for each song"
            )
        songs = {}
        for name, paths in songs_by_folder(place, files.list_files(place, follow_links=True)):
            stems = {_stem(path): path for path in paths if _stem(path) not in NO_STEMS}
            if stems:
                songs[name] = stems
        if not songs:
            raise BadUsage(
                f"--estimates {place}: no estimates in it; needs SONG/vocals.wav, "
                "SONG/accompaniment.wav or other stems"
            )
        base = posixpath.basename(place.rstrip("/")) or "estimates"
        taken = [one.name for one in found]
        numbers = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        name = base if base not in taken else next(name for name in numbers if name not in taken)
        found.append(Estimates(place, name, songs, _inputs(place)))
    return found


def _inputs(place: str) -> dict[str, str]:
    """What a run of `stemlode separate` made its folders from; empty for anything else."""
    if not files.exists(files.join(place, runs.SUCCESS)):
        return {}
    held = runs.record(place).get("songs", {})
    return {str(k): str(v) for k, v in held.items()} if isinstance(held, dict) else {}


def _stem(path: str) -> str:
    name = without_extension(posixpath.basename(path)).lower()
    return ALIASES.get(name, name)


def _key(name: str) -> str:
    """A name without case, special characters and the ending of a stem file."""
    return re.sub(r"[\W_]+", " ", name.casefold().removesuffix(".stem")).strip()


def _is_known(song: ReferenceSong, stem: str) -> bool:
    return stem in song.sources or (stem.startswith("no_") and stem[3:] in song.sources)


def _needed(held: set[str], wanted: Collection[str]) -> set[str]:
    """The stems to read for those that are wanted."""
    found: set[str] = set()
    for name in wanted:
        found |= {name} if name in held else _others(held, name)
    return found


def _others(held: set[str], name: str) -> set[str]:
    """The stems that make up one that is a rest; empty if they are not all there."""
    left = "vocals" if name == "accompaniment" else name.removeprefix("no_")
    is_rest = name == "accompaniment" or name.startswith("no_")
    others = held - {left, "accompaniment"}
    return others if is_rest and left in held and others else set()


def _part(parts: Parts, name: str) -> np.ndarray | None:
    """A stem as it was written, or as the sum of the others."""
    if name in parts:
        return parts[name]
    others = [parts[stem] for stem in sorted(_others(set(parts), name))]
    return np.sum(others, axis=0) if others else None


def _fitted(path: str, song: ReferenceSong) -> np.ndarray:
    """An estimate in the shape of its song, float32 [channels, frames]."""
    name = posixpath.join(*path.split("/")[-2:])
    try:
        read = audio.read(path)
    except AudioError as error:
        raise AudioError(f"estimate {name}: {error}") from error
    channels, frames = song.mixture.shape
    samples = audio.resample(read.samples, read.sample_rate, song.sample_rate)
    if abs(samples.shape[1] - frames) > LONGEST_MISS_S * song.sample_rate:
        lasts, wanted = (count / song.sample_rate for count in (samples.shape[1], frames))
        raise AudioError(f"estimate {name} lasts {lasts:.2f} s, its song {wanted:.2f} s")
    if len(samples) not in (1, channels):
        raise AudioError(f"estimate {name} has {len(samples)} channels, its song {channels}")
    padded = np.pad(samples[:, :frames], ((0, 0), (0, max(0, frames - samples.shape[1]))))
    return np.ascontiguousarray(np.broadcast_to(padded, (channels, frames)), np.float32)
