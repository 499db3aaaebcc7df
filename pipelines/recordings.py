"""What a corpus is made of: verified pairs and multitrack songs, cut into samples. Free of Beam."""

import dataclasses
import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import soundfile
import soxr

from matching.ids import digest
from pipelines import audio, chunks, files, shards
from pipelines.audio import AudioError
from pipelines.chunks import Source

AUDIO_FILE = re.compile(r"\.(wav|flac|aiff?|mp3|ogg|opus|m4a|mp4|aac|wma|mka)$", re.IGNORECASE)
SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LARGEST_MISS_DB = -6.0  # beyond this, a mixture is not that of its stems


@dataclasses.dataclass(frozen=True)
class Shape:
    """How songs are cut: `sample_rate` None keeps that of each song's mixture."""

    chunk_seconds: float
    sample_rate: int | None
    channels: int
    flac_bits: int = 16


@dataclasses.dataclass(frozen=True)
class Recording:
    """A pair or a multitrack song: where its sources lie and what is known of it."""

    kind: str  # one of schemas.KINDS
    recording_id: str
    song_id: str
    uris: dict[str, str]  # source → path or URI
    track_ids: tuple[str, ...] = ()
    licence: str | None = None
    genre: str | None = None
    release_year: int | None = None
    offset_s: float = 0.0
    gain_db: float = 0.0
    polarity: int = 1


def of_pair(row: Mapping[str, Any]) -> Recording:
    """A recording from a row of schemas.SCORED_PAIR."""
    mix, instrumental = row["mix"], row["instrumental"]
    return Recording(
        kind="pair",
        recording_id=row["pair_id"],
        song_id=row["song_id"],
        uris={
            "mixture": row["mix_audio_uri"] or "",
            "accompaniment": row["instrumental_audio_uri"] or "",
        },
        track_ids=(row["mix_track_id"], row["instrumental_track_id"]),
        licence=_licences(mix["licence"], instrumental["licence"]),
        genre=mix["genre"] or instrumental["genre"],
        release_year=mix["release_year"] or instrumental["release_year"],
        offset_s=row["offset_s"] or 0.0,
        gain_db=row["gain_db"] or 0.0,
        polarity=row["polarity"] or 1,
    )


def multitracks(folder: str) -> list[Recording]:
    """The songs of a multitrack folder: one for every folder in it that holds audio files.

    A file's name says its source: `mixture.wav`, `vocals.flac`, `accompaniment.mp3`, and any
    other name for a stem of its own (`drums`, `bass`, `other`). Their ids depend on the song
    folders' names alone, so a corpus does not change where it is made from.
    """
    found: dict[str, dict[str, str]] = {}
    for path in files.list_files(folder, follow_links=True):
        song, name = posixpath.split(path)
        if posixpath.dirname(song) == folder.rstrip("/") and AUDIO_FILE.search(name):
            source = AUDIO_FILE.sub("", name).lower()
            uris = found.setdefault(posixpath.basename(song), {})
            uris[source if source not in uris else name] = path
    return [
        Recording("stems", digest("stems", song), digest("stems", song), uris)
        for song, uris in sorted(found.items())
    ]


def name_of(recording: Recording) -> str:
    """What a person knows it by: a multitrack's folder, a pair's id."""
    if recording.kind == "pair":
        return recording.recording_id
    return posixpath.dirname(next(iter(recording.uris.values())))


def fingerprint(recording: Recording, split: str, group: str, shape: Shape) -> str:
    """Names all that decides the recording's samples: a part file that has this name is still good.

    Raises OSError where a remote file cannot be looked at.
    """
    facts = {
        "recording": dataclasses.asdict(recording),
        "split": [split, group],
        "shape": dataclasses.asdict(shape),
        "files": [files.stamps(uri) for _, uri in sorted(recording.uris.items()) if uri],
        "libraries": [soundfile.__libsndfile_version__, soxr.__version__, np.__version__],
    }
    return digest(json.dumps(facts, sort_keys=True))


def samples(
    recording: Recording, split: str, group: str, shape: Shape
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """A recording's samples: index row (schemas.INDEX without shard, offset, size), files.

    Raises AudioError where the recording cannot be used, chunks.ReadFault where trying again may
    help.
    """
    rate = shape.sample_rate or _native_rate(recording)
    chunk_frames = round(shape.chunk_seconds * rate)
    cut = _pair_chunks if recording.kind == "pair" else _multitrack_chunks
    pieces = cut(recording, rate, shape, chunk_frames)
    empty = True
    for first_frame, (integers, scale) in pieces:
        empty = False
        row = {
            "sample_id": digest(recording.recording_id, str(first_frame)),
            "song_id": recording.song_id,
            "split_group": group,
            "split": split,
            "kind": recording.kind,
            "sources": sorted(integers),
            "salient": None,
            "start_s": first_frame / rate,
            "duration_s": integers["mixture"].shape[1] / rate,
            "sample_rate": rate,
            "channels": shape.channels,
            "scale": scale,
            "track_ids": list(recording.track_ids) or None,
            "licence": recording.licence,
            "genre": recording.genre,
            "release_year": recording.release_year,
            "augmentation": None,
            "energies_db": {
                name: chunks.energy_db(integers[name], scale, shape.flac_bits)
                for name in sorted(integers)
            },
            "teacher_sha256": None,
            "confidence": None,
        }
        contents = {
            f"{name}.flac": chunks.flac(integers[name], rate, shape.flac_bits)
            for name in sorted(integers)
        }
        contents["json"] = json.dumps(row, sort_keys=True, ensure_ascii=False).encode()
        yield row | {"sha256": shards.hashes(contents)}, contents
    if empty:
        raise AudioError("its sources have no moment in common")


_Chunks = Iterator[tuple[int, tuple[dict[str, np.ndarray], float]]]


def _pair_chunks(recording: Recording, rate: int, shape: Shape, chunk_frames: int) -> _Chunks:
    """First frame in the mixture's file, (integers, scale) of a pair's chunks."""
    placed = (recording.offset_s, recording.gain_db)
    if not all(recording.uris.values()):
        raise AudioError("no audio_uri")
    if not all(math.isfinite(value) for value in placed) or recording.polarity not in (1, -1):
        raise AudioError(f"cannot be aligned by offset and gain {placed}")
    sources, first = chunks.aligned_pair(
        recording.uris["mixture"],
        recording.uris["accompaniment"],
        offset_s=recording.offset_s,
        gain_db=recording.gain_db,
        polarity=recording.polarity,
        sample_rate=rate,
    )
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=chunk_frames)
    for number, chunk in enumerate(cut):
        yield first + number * chunk_frames, chunks.quantise(chunk, {}, shape.flac_bits)


def _multitrack_chunks(recording: Recording, rate: int, shape: Shape, chunk_frames: int) -> _Chunks:
    """First frame, (integers, scale) of a multitrack's chunks; mixture = vocals + accompaniment."""
    sums = _sums(recording.uris)
    cut = chunks.cut(
        [Source(name, uri) for name, uri in sorted(recording.uris.items())],
        sample_rate=rate,
        channels=shape.channels,
        chunk_frames=chunk_frames,
        until="mixture" if "mixture" in recording.uris else "",
    )
    power = missed = 0.0
    for number, chunk in enumerate(cut):
        given = chunk.pop("mixture") if "mixture" in sums and "mixture" in chunk else None
        integers, scale = chunks.quantise(chunk, sums, shape.flac_bits)
        if given is not None:
            written = integers["mixture"] * np.float32(scale / chunks.full_scale(shape.flac_bits))
            power += float(np.sum(given**2, dtype=np.float64))
            missed += float(np.sum((given - written) ** 2, dtype=np.float64))
        yield number * chunk_frames, (integers, scale)
    if missed > power * 10 ** (LARGEST_MISS_DB / 10):
        error_db = 10 * math.log10(missed / power) if power else math.inf
        raise AudioError(
            f"the stems do not sum to the mixture (error {error_db:+.1f} dB); "
            "take the mixture away where it is not their plain sum"
        )


def _sums(names: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """What is summed from what, for a multitrack's files; AudioError where too few are there."""
    for name in names:
        if not SOURCE_NAME.fullmatch(name):
            raise AudioError(f"{name}: two files of one source, or no name of a source")
    stems = sorted(set(names) - {"mixture", "vocals", "accompaniment"})
    if "vocals" in names and ("accompaniment" in names or stems):
        summed = {} if "accompaniment" in names else {"accompaniment": dict.fromkeys(stems, 1)}
        return summed | {"mixture": {"vocals": 1, "accompaniment": 1}}
    if "vocals" in names and "mixture" in names:
        return {"accompaniment": {"mixture": 1, "vocals": -1}}
    if "accompaniment" in names and "mixture" in names:
        return {"vocals": {"mixture": 1, "accompaniment": -1}}
    held = ", ".join(sorted(names))
    raise AudioError(f"needs vocals and accompaniment, other stems or a mixture; holds {held}")


def _native_rate(recording: Recording) -> int:
    name = "mixture" if "mixture" in recording.uris else min(recording.uris)
    uri = recording.uris[name]
    try:
        return audio.probe(uri).sample_rate
    except AudioError as error:
        raise AudioError(f"{name} {uri}: {error}") from error
    except OSError as error:
        raise chunks.ReadFault(f"{uri}: {error}") from error


def _licences(first: str | None, second: str | None) -> str | None:
    """The terms of both tracks; what is not known of one is said."""
    terms = dict.fromkeys(licence or "unknown" for licence in (first, second))
    return None if list(terms) == ["unknown"] else " + ".join(terms)
