"""MedleyDB: stems by instrument, weighted by the coefficients that they were mixed with. No Beam.

The audio is one download and the metadata another, so both are looked for anywhere below the
folder: `Song_METADATA.yaml`, `Song_MIX.wav`, `Song_STEMS/…`, one `mixing_coefficients.yaml`
(song → number of the stem → factor), as in the dataset's own repository.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from stemlode import files
from stemlode.layouts.grouping import family, slug
from stemlode.layouts.songs import Part, Song, named
from stemlode.runs import BadUsage, reason

COEFFICIENTS = "mixing_coefficients.yaml"
_YES = ("yes", True)  # YAML reads a bare yes as true
_METADATA = "_METADATA.yaml"


def holds(folder: str, paths: Sequence[str]) -> bool:
    """Whether there is metadata of a song."""
    return bool(named(paths, r".+_METADATA\.yaml"))


def songs(folder: str, paths: Sequence[str]) -> list[Song]:
    """A song for every metadata file; voices are summed to vocals, others by instrument.

    BadUsage without mixing coefficients: the plain sum of the stems is not the mixture.
    """
    tables = named(paths, r"mixing_coefficients\.yaml")
    if not tables:
        raise BadUsage(
            f"--stems {folder}: MedleyDB without {COEFFICIENTS}; add it from its package"
        )
    try:
        coefficients = dict(_load(tables[0]))
    except (OSError, ValueError, TypeError) as error:
        raise BadUsage(f"{tables[0]}: {reason(error)}") from error
    at = {posixpath.basename(path): path for path in paths}
    return [
        _song(path, coefficients, at)
        for path in named(paths, r".+_METADATA\.yaml")
        if not posixpath.basename(path).startswith(".")
    ]


def _song(path: str, coefficients: Mapping[str, Any], at: Mapping[str, str]) -> Song:
    name = posixpath.basename(path).removesuffix(_METADATA)
    try:
        facts = _load(path)
        weights = coefficients.get(name)
        if weights is None:
            return Song(name, {}, fault=f"{COEFFICIENTS} does not know it")
        parts: dict[str, tuple[Part, ...]] = {}
        for key, stem in sorted(facts["stems"].items()):
            if stem["filename"] not in at:
                return Song(name, {}, fault=f"{stem['filename']} is not there")
            instrument = str(stem["instrument"])
            source = "vocals" if family(instrument) == "vocals" else slug(instrument)
            part = Part(at[stem["filename"]], gain=float(weights[int(key[1:])]))
            parts[source] = (*parts.get(source, ()), part)
        genre, artist = facts.get("genre"), facts.get("artist")
        bleed = tuple(sorted(parts)) if facts.get("has_bleed") in _YES else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Song(name, {}, fault=f"its metadata is not as MedleyDB has it: {reason(error)}")
    if f"{name}_MIX.wav" in at:
        parts["mixture"] = (Part(at[f"{name}_MIX.wav"]),)
    genre = genre if isinstance(genre, str) else None
    artist = artist if isinstance(artist, str) else None
    return Song(name, parts, genre=genre, bleed=bleed, artist=artist)


def _load(path: str) -> dict[str, Any]:
    """A YAML file's mapping; ValueError for anything else."""
    try:
        found = yaml.safe_load(files.read_bytes(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is no YAML: {reason(error)}") from error
    if not isinstance(found, dict):
        raise ValueError("is no YAML mapping")
    return found
