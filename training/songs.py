"""Songs whose true sources are known: plain folders of stems, or a split of a corpus."""

import io
import json
import re
import tarfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile

from pipelines import audio, files
from pipelines.audio import AudioError
from pipelines.runs import BadUsage
from training.corpus import Corpus

AUDIO_NAME = re.compile(r"(.+)\.(wav|flac|aiff?|mp3|ogg|opus|m4a|mp4|aac|wma)", re.IGNORECASE)
GIVEN = {"vocals", "accompaniment"}
LONGEST_MISS_S = 0.5  # by which a song's files may differ in length, as codecs make them


@dataclass(frozen=True)
class Song:
    """A song in memory: its mixture and known sources, float32 [channels, frames] of one shape."""

    mixture: np.ndarray
    sources: dict[str, np.ndarray]
    sample_rate: int

    def source(self, name: str) -> np.ndarray:
        """A source, or `no_SOURCE`, the mixture without it; AudioError where it is not known."""
        if name in self.sources:
            return self.sources[name]
        without = self.sources.get(name.removeprefix("no_")) if name.startswith("no_") else None
        if without is None:
            raise AudioError(f"needs {name}; holds {', '.join(sorted(self.sources)) or 'none'}")
        return self.mixture - without


@dataclass(frozen=True)
class Stems:
    """A song folder: where its sources lie. `load` reads them."""

    name: str
    paths: dict[str, str]

    def load(self) -> Song:
        """AudioError where files are missing, cannot be decoded, or do not fit together."""
        if not self.paths:
            raise AudioError("no audio files")
        read = {name: _read(path) for name, path in sorted(self.paths.items())}
        rate = (read.get("mixture") or next(iter(read.values()))).sample_rate
        sources = {
            name: audio.resample(found.samples, found.sample_rate, rate)
            for name, found in read.items()
        }
        return _complete(_same_shape(sources, rate), rate)


@dataclass(frozen=True)
class Chunks:
    """A song of a corpus: where its chunks lie. `load` puts them together again."""

    name: str
    places: list[tuple[str, int, int]] = field(default_factory=list)  # shard, offset, size

    def load(self) -> Song:
        """AudioError where a chunk is damaged."""
        parts: dict[str, list[np.ndarray]] = {}
        rate = 0
        for shard, offset, size in self.places:
            try:
                with files.open_input(shard) as file:
                    file.seek(offset)
                    sources, rate = _chunk(file.read(size))
            except (OSError, tarfile.TarError, soundfile.LibsndfileError) as error:
                raise AudioError(f"{shard} at byte {offset}: {error}") from error
            except (KeyError, ValueError, TypeError) as error:
                raise AudioError(f"{shard} at byte {offset}: not a sample") from error
            for name, samples in sources.items():
                parts.setdefault(name, []).append(samples)
        whole = {
            name: np.concatenate(pieces, axis=1)
            for name, pieces in parts.items()
            if len(pieces) == len(self.places)
        }
        return _complete(_same_shape(whole, rate), rate)


def in_folder(folder: str) -> list[Stems]:
    """The song folders in a folder, by name; BadUsage where there is none."""
    found: dict[str, dict[str, str]] = {}
    for path in files.list_files(folder, follow_links=True):
        song, _, name = path.rpartition("/")
        if song.rpartition("/")[0] == folder.rstrip("/"):
            named = AUDIO_NAME.fullmatch(name)
            paths = found.setdefault(song.rpartition("/")[2], {})
            if named:
                paths.setdefault(named[1].lower(), path)
    if not found:
        raise BadUsage(f"--stems {folder}: no song folders in it (song/vocals.wav, …)")
    return [Stems(name, paths) for name, paths in sorted(found.items())]


def in_corpus(corpus: Corpus, split: str) -> list[Chunks]:
    """The songs of a corpus' split; BadUsage where it has none."""
    found: dict[str, Chunks] = {}
    rows = [row for row in corpus.index.to_pylist() if row["split"] == split]
    for row in sorted(rows, key=lambda row: (row["song_id"], row["track_ids"], row["start_s"])):
        if "mixture" in row["sources"]:
            name = " ".join([row["song_id"], *(row["track_ids"] or [])])
            place = (files.join(corpus.folder, row["shard"]), row["offset"], row["size"])
            found.setdefault(name, Chunks(name)).places.append(place)
    if not found:
        held = ", ".join(sorted(set(corpus.index["split"].to_pylist()))) or "none"
        raise BadUsage(f"--split {split}: the corpus has no song in it; it has songs in {held}")
    return list(found.values())


def _read(path: str) -> audio.Audio:
    try:
        return audio.read(path)
    except AudioError as error:
        raise AudioError(f"{path.rpartition('/')[2]}: {error}") from error


def _chunk(data: bytes) -> tuple[dict[str, np.ndarray], int]:
    """The sources [channels, frames] of a sample's tar entries, at their true level; the rate."""
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            contents[entry.name.partition(".")[2]] = content.read() if content else b""
    facts: dict[str, Any] = json.loads(contents["json"])
    sources, rate = {}, 0
    for name in facts["sources"]:
        samples, rate = soundfile.read(
            io.BytesIO(contents[f"{name}.flac"]), dtype="float32", always_2d=True
        )
        sources[name] = samples.T * np.float32(facts["scale"])
    return sources, rate


def _same_shape(sources: dict[str, np.ndarray], rate: int) -> dict[str, np.ndarray]:
    """Mono sources spread over the channels of the others, all cut to the shortest."""
    channels = max(samples.shape[0] for samples in sources.values())
    lengths = [samples.shape[1] for samples in sources.values()]
    if max(lengths) - min(lengths) > LONGEST_MISS_S * rate:
        raise AudioError(
            f"its files last from {min(lengths) / rate:.1f} to {max(lengths) / rate:.1f} s"
        )
    shaped = {}
    for name, samples in sources.items():
        if samples.shape[0] not in (1, channels):
            raise AudioError(f"{name} has {samples.shape[0]} channels, others {channels}")
        shaped[name] = np.broadcast_to(samples, (channels, samples.shape[1]))[:, : min(lengths)]
    return shaped


def _complete(found: dict[str, np.ndarray], rate: int) -> Song:
    """A song from what is there: what is missing is a sum or a difference of the rest."""
    sources = {name: samples for name, samples in found.items() if name != "mixture"}
    mixture, vocals = found.get("mixture"), found.get("vocals")
    stems = [samples for name, samples in sources.items() if name not in GIVEN]
    if "accompaniment" not in sources and stems:
        sources["accompaniment"] = np.sum(stems, axis=0)
    accompaniment = sources.get("accompaniment")
    if mixture is None and accompaniment is not None:
        mixture = accompaniment if vocals is None else vocals + accompaniment
    if mixture is None or (accompaniment is None and vocals is None):
        held = ", ".join(sorted(found))
        raise AudioError(f"needs vocals and accompaniment, other stems or a mixture; holds {held}")
    if accompaniment is None:
        sources["accompaniment"] = mixture - vocals
    elif vocals is None and not stems:
        sources["vocals"] = mixture - accompaniment
    return Song(mixture, sources, rate)
