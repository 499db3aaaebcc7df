"""What a corpus is made of: verified pairs and multitrack songs, cut into samples. Free of Beam."""

import dataclasses
import json
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import soundfile
import soxr

from matching.ids import digest
from pipelines import activity, audio, chunks, files, shards
from pipelines.audio import AudioError
from pipelines.chunks import Source
from pipelines.layouts_songs import Part, Song

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LARGEST_MISS_DB = -6.0  # beyond this, a mixture is not that of its stems
SPOOL_BYTES = 64 << 20  # of a song's encoded chunks that are held in memory, the rest on disk


class Unusable(AudioError):
    """A recording that decodes and yet is no material, with the cause in one word."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclasses.dataclass(frozen=True)
class Shape:
    """How songs are cut: `sample_rate` None keeps that of each song's mixture."""

    chunk_seconds: float
    sample_rate: int | None
    channels: int
    flac_bits: int = 16
    window_seconds: float = activity.WINDOW_S  # of source activity; 0 for none


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
    split: str | None = None  # where its collection puts it
    fault: str = ""  # why it cannot be used
    augmentation: str | None = None  # effects.Augmentation as JSON, of a copy


@dataclasses.dataclass
class Facts:
    """What a recording's samples say of it as a whole."""

    duration_s: float = 0.0
    chunks: int = 0
    left_out: int = 0  # chunks of `train` in which no source is salient
    sum_error_db: float | None = None  # stems minus mixture, re mixture; None without both


def of_pair(row: Mapping[str, Any]) -> Recording:
    """A recording from a row of schemas.SCORED_PAIR."""
    mix, instrumental = row["mix"], row["instrumental"]
    return Recording(
        kind="pair",
        recording_id=row["pair_id"],
        song_id=row["song_id"],
        name=row["pair_id"],
        parts={
            "mixture": (Part(row["mix_audio_uri"] or ""),),
            "accompaniment": (Part(row["instrumental_audio_uri"] or ""),),
        },
        track_ids=(row["mix_track_id"], row["instrumental_track_id"]),
        licence=_licences(mix["licence"], instrumental["licence"]),
        genre=mix["genre"] or instrumental["genre"],
        release_year=mix["release_year"] or instrumental["release_year"],
        offset_s=row["offset_s"] or 0.0,
        gain_db=row["gain_db"] or 0.0,
        polarity=row["polarity"] or 1,
    )


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
            fault=song.fault,
        )
        for song in songs
    ]


def _song_id(song: Song, name: str) -> str:
    return (
        digest("unpaired", *song.parts, name) if song.kind == "unpaired" else digest("stems", name)
    )


def fingerprint(recording: Recording, split: str, group: str, shape: Shape) -> str:
    """Names all that decides the recording's samples: a part file that has this name is still good.

    Raises OSError where a remote file cannot be looked at.
    """
    uris = sorted({part.uri for parts in recording.parts.values() for part in parts})
    facts = {
        "recording": dataclasses.asdict(recording),
        "split": [split, group],
        "shape": dataclasses.asdict(shape),
        "files": [files.stamps(uri) for uri in uris if uri],
        "libraries": [soundfile.__libsndfile_version__, soxr.__version__, np.__version__],
    }
    return digest(json.dumps(facts, sort_keys=True))


def samples(
    recording: Recording, split: str, group: str, shape: Shape, facts: Facts
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """A recording's samples: index row (schemas.INDEX without shard, offset, size), files.

    Activity is measured on whole songs, so that the encoded chunks of one wait in a temporary
    file. `facts` is filled by the time of the last sample. Raises AudioError where the recording
    cannot be used, chunks.ReadFault where trying again may help.
    """
    if recording.fault:
        raise Unusable("layout", recording.fault)
    rate = shape.sample_rate or native_rate(recording)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        rows, meters = _encoded(recording, rate, shape, facts, spool)
        if not rows:
            raise Unusable("nothing_in_common", "its sources have no moment in common")
        first = rows[0]["start_s"]
        salient = {name: meter.starts(first) for name, meter in sorted(meters.items())}
        spool.seek(0)
        for row in rows:
            contents = {name: spool.read(size) for name, size in row.pop("sizes")}
            row |= {"split_group": group, "split": split}
            if meters:
                row["salient"] = _overlapping(salient, row, shape.window_seconds)
                if split == "train" and not any(row["salient"].values()):
                    facts.left_out += 1
                    continue
            contents["json"] = json.dumps(row, sort_keys=True, ensure_ascii=False).encode()
            yield row | {"sha256": shards.hashes(contents)}, contents
    if facts.left_out == facts.chunks:
        raise Unusable("silent", "no source is salient anywhere in it")


def _encoded(
    recording: Recording, rate: int, shape: Shape, facts: Facts, spool: Any
) -> tuple[list[dict[str, Any]], dict[str, "_Salience"]]:
    """Index rows, their FLAC files one after another in `spool`, and what sounds where."""
    chunk_frames = round(shape.chunk_seconds * rate)
    cut = _pair_chunks if recording.kind == "pair" else _multitrack_chunks
    rows: list[dict[str, Any]] = []
    meters: dict[str, _Salience] = {}
    for first_frame, (integers, scale) in cut(recording, rate, shape, chunk_frames, facts):
        names = sorted(integers)
        frames = integers[names[0]].shape[1]
        sizes = []
        for name in names:
            sizes.append(
                (f"{name}.flac", data := chunks.flac(integers[name], rate, shape.flac_bits))
            )
            spool.write(data)
            if shape.window_seconds:
                meter = meters.setdefault(name, _Salience(rate, shape.window_seconds))
                factor = np.float32(scale / chunks.full_scale(shape.flac_bits))
                meter.add(integers[name] * factor)
        facts.chunks += 1
        facts.duration_s += frames / rate
        rows.append(
            {
                "sample_id": digest(recording.recording_id, str(first_frame)),
                "song_id": recording.song_id,
                "kind": recording.kind,
                "sources": names,
                "salient": None,
                "start_s": first_frame / rate,
                "duration_s": frames / rate,
                "sample_rate": rate,
                "channels": shape.channels,
                "scale": scale,
                "track_ids": list(recording.track_ids) or None,
                "licence": recording.licence,
                "genre": recording.genre,
                "release_year": recording.release_year,
                "augmentation": recording.augmentation,
                "energies_db": {
                    name: chunks.energy_db(integers[name], scale, shape.flac_bits) for name in names
                },
                "teacher_sha256": None,
                "confidence": None,
                "sizes": [(name, len(data)) for name, data in sizes],
            }
        )
    return rows, meters


class _Salience(activity.Meter):
    """A source's meter, with the starts of its salient windows in the song's time."""

    def __init__(self, sample_rate: int, window_s: float) -> None:
        super().__init__(sample_rate, window_s)
        self._rate, self._window_s = sample_rate, window_s

    def starts(self, first_s: float) -> list[float]:
        found = activity.starts(self.energies(), self._rate, self._window_s)
        return [round(first_s + start, 6) for start in found]


def _overlapping(
    salient: Mapping[str, list[float]], row: Mapping[str, Any], window_s: float
) -> dict[str, list[float]]:
    """The windows of each source that share at least a millisecond with a chunk."""
    begin, end = row["start_s"], row["start_s"] + row["duration_s"]
    return {
        name: [s for s in starts if s < end - 1e-3 and s + window_s > begin + 1e-3]
        for name, starts in salient.items()
    }


_Chunks = Iterator[tuple[int, tuple[dict[str, np.ndarray], float]]]


def _pair_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> _Chunks:
    """First frame in the mixture's file, (integers, scale) of a pair's chunks."""
    placed = (recording.offset_s, recording.gain_db)
    (mixture,), (accompaniment,) = recording.parts["mixture"], recording.parts["accompaniment"]
    if not mixture.uri or not accompaniment.uri:
        raise AudioError("no audio_uri")
    if not all(math.isfinite(value) for value in placed) or recording.polarity not in (1, -1):
        raise AudioError(f"cannot be aligned by offset and gain {placed}")
    sources, first = chunks.aligned_pair(
        mixture.uri,
        accompaniment.uri,
        offset_s=recording.offset_s,
        gain_db=recording.gain_db,
        polarity=recording.polarity,
        sample_rate=rate,
    )
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=chunk_frames)
    for number, chunk in enumerate(cut):
        yield first + number * chunk_frames, chunks.quantise(chunk, {}, shape.flac_bits)


def _multitrack_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> _Chunks:
    """First frame, (integers, scale) of a multitrack's chunks; mixture = the sum of its stems."""
    sums = _sums(recording)
    owner = {}  # a part's name of its own → its source
    sources = []
    for name, parts in sorted(recording.parts.items()):
        for number, part in enumerate(parts):
            own = f"{name} {number + 1}" if number else name
            owner[own] = name
            sources.append(
                Source(own, part.uri, 0, part.gain, stream=part.stream, channel=part.channel)
            )
    cut = chunks.cut(
        sources,
        sample_rate=rate,
        channels=shape.channels,
        chunk_frames=chunk_frames,
        until="mixture" if "mixture" in recording.parts else "",
    )
    power = missed = 0.0
    for number, held in enumerate(cut):
        chunk: dict[str, np.ndarray] = {}
        for own, samples in held.items():
            name = owner[own]
            chunk[name] = chunk[name] + samples if name in chunk else samples
        given = chunk.pop("mixture") if "mixture" in sums and "mixture" in chunk else None
        integers, scale = chunks.quantise(chunk, sums, shape.flac_bits)
        if given is not None:
            written = integers["mixture"] * np.float32(scale / chunks.full_scale(shape.flac_bits))
            power += float(np.sum(given**2, dtype=np.float64))
            missed += float(np.sum((given - written) ** 2, dtype=np.float64))
        yield number * chunk_frames, (integers, scale)
    if power or missed:
        facts.sum_error_db = _ratio_db(missed, power)
    if missed > power * 10 ** (LARGEST_MISS_DB / 10):
        raise Unusable(
            "sum",
            f"the stems do not sum to the mixture (error {facts.sum_error_db:+.1f} dB); "
            "take the mixture away where it is not their plain sum",
        )


def _ratio_db(missed: float, power: float) -> float:
    """10 log10(missed / power), between ±120 dB."""
    floor = 1e-12
    return round(10 * math.log10(max(missed, power * floor) / max(power, missed * floor)), 2)


def _sums(recording: Recording) -> dict[str, dict[str, int]]:
    """What is summed from what, for a multitrack's sources; Unusable where too few are there."""
    names = recording.parts
    for name in names:
        if not SOURCE_NAME.fullmatch(name):
            raise Unusable("layout", f"{name}: no name of a source: lower case, digits, - and _")
    if recording.kind == "unpaired":
        return {}
    stems = sorted(set(names) - {"mixture", "vocals", "accompaniment"})
    if "vocals" in names and ("accompaniment" in names or stems):
        summed = {} if "accompaniment" in names else {"accompaniment": dict.fromkeys(stems, 1)}
        return summed | {"mixture": {"vocals": 1, "accompaniment": 1}}
    if "vocals" in names and "mixture" in names:
        return {"accompaniment": {"mixture": 1, "vocals": -1}}
    if "accompaniment" in names and "mixture" in names:
        return {"vocals": {"mixture": 1, "accompaniment": -1}}
    if len(stems) > 1 and "accompaniment" not in names:
        return {"mixture": dict.fromkeys(stems, 1)}
    held = ", ".join(sorted(names))
    raise Unusable(
        "layout", f"needs vocals and accompaniment, other stems or a mixture; holds {held}"
    )


def native_rate(recording: Recording) -> int:
    """The rate in Hz of a recording's mixture, or else of its first source."""
    name = "mixture" if "mixture" in recording.parts else min(recording.parts)
    part = recording.parts[name][0]
    try:
        return audio.probe(part.uri, stream=part.stream).sample_rate
    except AudioError as error:
        raise AudioError(f"{name} {part.uri}: {error}") from error
    except OSError as error:
        raise chunks.ReadFault(f"{part.uri}: {error}") from error


def _licences(first: str | None, second: str | None) -> str | None:
    """The terms of both tracks; what is not known of one is said."""
    terms = dict.fromkeys(licence or "unknown" for licence in (first, second))
    return None if list(terms) == ["unknown"] else " + ".join(terms)
