"""What a corpus is made of: verified pairs and multitrack songs, as references. Free of Beam."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy
import soxr

from matching import artists
from matching.artists import Artist
from stemlode import audio, files
from stemlode.addresses.rules import Address, Rules
from stemlode.audio import AudioError, activity, decoders
from stemlode.ids import digest
from stemlode.layouts.songs import Part, Song
from stemlode.retry import read_fault


class Unusable(AudioError):
    """A recording that decodes and yet is no material."""

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message, error)


@dataclasses.dataclass(frozen=True)
class Shape:
    """How songs are cut: `sample_rate` None keeps that of each song's mixture."""

    chunk_seconds: float
    sample_rate: int | None
    channels: int
    flac_bits: int = 16
    window_seconds: float = activity.WINDOW_S  # of source activity; 0 for none
    activity_threshold: str = activity.RELATIVE  # as in `stemlode.audio.activity`
    follow_level: bool = True  # a pair's backing to its level in each chunk
    equalise: bool = False  # a pair's backing, where that is proven


@dataclasses.dataclass(frozen=True)
class Recording:
    """A pair or a multitrack song: where its sources lie and what is known of it."""

    kind: str  # one of schemas.KINDS
    recording_id: str
    song_id: str
    name: str  # what a person knows it by
    parts: dict[str, tuple[Part, ...]]  # source → what it is the sum of
    track_ids: tuple[str, ...] = ()
    licence: str | None = None
    genre: str | None = None
    release_year: int | None = None
    offset_s: float = 0.0
    gain_db: float = 0.0
    polarity: int = 1
    coherent: bool | None = None  # a pair's residual as prune heard it; None where it did not
    drift_ppm: float | None = None
    matched_spans: tuple[tuple[float, ...], ...] | None = None  # start and end in the mixture, s
    channel_gains: tuple[float, ...] | None = None  # these two as in schemas.SCORED_PAIR
    mono_gains: tuple[float, ...] | None = None
    clock: tuple[tuple[float, ...], ...] | None = None  # likewise
    repaired: str | None = None  # likewise
    bleed: tuple[str, ...] = ()  # sources that leak into each other's microphones
    split: str | None = None  # where its collection puts it
    artist: Artist | None = None  # the primary one; None for nobody
    fault: str = ""  # why it cannot be used
    augmentation: str | None = None  # of a copy: augmentation.Augmentation as JSON


@dataclasses.dataclass
class Facts:
    """What a recording's samples say of it as a whole."""

    duration_s: float = 0.0
    chunks: int = 0
    left_out: int = 0  # chunks of `train` in which no source is salient
    sum_error_db: float | None = None  # stems minus mixture, re mixture; None without both
    residual_chunks: int = 0  # of a pair, that hold its mixture − accompaniment as vocals
    leftover_db: float | None = None  # of the backing in these, in all
    leftover_of_codecs_db: float | None = None  # of a lossy pair: these three as in schemas.SONG
    clipped_of_codecs_db: float | None = None
    bent_of_codecs_db: float | None = None
    audio_seconds: float = 0.0  # that were read for them; of no column


def of_pair(row: Mapping[str, Any], rules: Rules | None = None) -> Recording:
    """A recording from a row of schemas.SCORED_PAIR; `rules` are those for its addresses."""
    mix, instrumental, spans = row["mix"], row["instrumental"], row["matched_spans"]
    return Recording(
        kind="pair",
        recording_id=row["pair_id"],
        song_id=row["song_id"],
        name=row["pair_id"],
        parts={
            source: (Part(Address(row[f"{role}_audio_uri"] or "", rules or Rules())),)
            for source, role in (("mixture", "mix"), ("accompaniment", "instrumental"))
        },
        track_ids=(row["mix_track_id"], row["instrumental_track_id"]),
        licence=_licences(mix["licence"], instrumental["licence"]),
        genre=mix["genre"] or instrumental["genre"],
        release_year=mix["release_year"] or instrumental["release_year"],
        offset_s=row["offset_s"] or 0.0,
        gain_db=row["gain_db"] or 0.0,
        polarity=row["polarity"] or 1,
        coherent=row["coherent"],
        drift_ppm=row["drift_ppm"],
        matched_spans=None if spans is None else tuple(tuple(span) for span in spans),
        channel_gains=_tuple(row["channel_gains"]),
        mono_gains=_tuple(row["mono_gains"]),
        clock=None if row["clock"] is None else tuple(map(tuple, row["clock"])),
        repaired=row["repaired"],
        artist=artist_of(row),
    )


def artist_of(row: Mapping[str, Any]) -> Artist | None:
    """A pair's primary artist: the mixture's, or where that has none, the instrumental's."""
    tracks = (row["mix"], row["instrumental"])
    found = (artists.of(track["artist_id"], track["artist"]) for track in tracks)
    return next(filter(None, found), None)


def usable(row: Mapping[str, Any], use_parts: bool) -> bool:
    """Whether a row of schemas.SCORED_PAIR is a recording: kept, or in parts where these count."""
    return row["decision"] == "kept" or (use_parts and in_parts(row))


def in_parts(row: Mapping[str, Any]) -> bool:
    """Whether it is a pair of which parts match, each of which was aligned by itself."""
    return row["decision"] == "partly" and "parts" in (row["repaired"] or "").split("+")


def of_songs(songs: Iterable[Song]) -> list[Recording]:
    """Recordings of a layout's songs; their ids depend on the songs' names alone."""
    return [
        Recording(
            kind=song.kind,
            recording_id=_song_id(song, song.name),
            song_id=_song_id(song, song.group or song.name),
            name=song.name,
            parts=song.parts,
            licence=song.licence,
            genre=song.genre,
            split=song.split,
            bleed=song.bleed,
            artist=artists.of(None, song.artist),
            fault=song.fault,
        )
        for song in songs
    ]


def uris(recording: Recording) -> list[str]:
    """Where its files lie, each once."""
    return sorted({p.uri for parts in recording.parts.values() for p in parts if p.uri})


def fingerprint(recording: Recording, split: str, group: str, shape: Shape) -> str:
    """Names all that decides the recording's samples: a part file that has this name is still good.

    Raises ReadFault where a remote file cannot be looked at.
    """
    facts = {
        "recording": _as_before(recording),
        "split": [split, group],
        "shape": _as_named(shape),
        "files": [stamps(uri) for uri in uris(recording)],
        "libraries": [
            decoders.name(),
            *(library.__version__ for library in (soxr, np, scipy)),
        ],
    }
    return digest(json.dumps(facts, sort_keys=True))


def stamps(uri: str) -> list[list[str]]:
    """As `files.stamps`; ReadFault where a remote file cannot be looked at."""
    try:
        return files.stamps(uri)
    except OSError as error:
        raise read_fault(error, uri) from error


def _as_before(recording: Recording) -> dict[str, Any]:
    """A recording as it was written when none was repaired, if it is not; who it is by decides no
    sample."""
    facts = dataclasses.asdict(recording)
    del facts["artist"]
    return {k: v for k, v in facts.items() if v is not None or k not in ("clock", "repaired")}


def _as_named(shape: Shape) -> dict[str, Any]:
    """A shape as it was written when all thresholds were that of the paper, and no pair's backing
    was changed beyond what `prune` found, where this is so."""
    facts = dataclasses.asdict(shape)
    if shape.activity_threshold == activity.GAMMA:
        del facts["activity_threshold"]
    for option in ("follow_level", "equalise"):
        if not facts[option]:
            del facts[option]
    return facts


def native_rate(recording: Recording) -> int:
    """The rate in Hz of a recording's mixture, or else of its first source."""
    name = "mixture" if "mixture" in recording.parts else min(recording.parts)
    part = recording.parts[name][0]
    try:
        return audio.probe(part.uri, stream=part.stream).sample_rate
    except AudioError as error:
        raise AudioError(f"{name} {part.uri}: {error}", error.error) from error
    except OSError as error:
        raise read_fault(error, part.uri) from error


def _tuple(values: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


def _song_id(song: Song, name: str) -> str:
    return (
        digest("unpaired", *song.parts, name) if song.kind == "unpaired" else digest("stems", name)
    )


def _licences(first: str | None, second: str | None) -> str | None:
    """The terms of both tracks; what is not known of one is said."""
    terms = dict.fromkeys(licence or "unknown" for licence in (first, second))
    return None if list(terms) == ["unknown"] else " + ".join(terms)
