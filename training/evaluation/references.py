"""Songs whose true sources are known: multitrack folders of any layout, or a split of a corpus."""

import io
import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile

from stemlode import audio, files
from stemlode.audio import AudioError
from stemlode.audio.containers.info import check_difference, check_sum, ends_early
from stemlode.layouts import folders, songs
from stemlode.layouts.grouping import GROUPINGS
from stemlode.layouts.songs import Part
from stemlode.runs import BadUsage
from training.data.corpus import Corpus

GIVEN = {"vocals", "accompaniment"}


@dataclass(frozen=True)
class ReferenceSong:
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
    """A song of a multitrack folder: where its sources lie. `load` reads them."""

    song: songs.Song

    @property
    def name(self) -> str:
        """What its layout calls it."""
        return self.song.name

    def load(self) -> ReferenceSong:
        """AudioError where files are missing, cannot be decoded, or do not fit together.

        At the mixture's rate, or else the first source's. As in a corpus, a song ends with its
        mixture, or else with its longest source, and shorter sources are followed by silence.
        """
        if self.song.fault:
            raise AudioError(self.song.fault)
        read: dict[tuple[str, int], audio.Audio] = {}
        first = "mixture" if "mixture" in self.song.parts else min(self.song.parts)
        rate = _read(self.song.parts[first][0], read).sample_rate
        sources = {
            name: _summed([_part(part, read, rate) for part in parts])
            for name, parts in sorted(self.song.parts.items())
        }
        song = _complete(_same_shape(sources), rate)
        lengths = {uri.rpartition("/")[2]: held.duration_s for (uri, _), held in read.items()}
        _check(song, sources, lengths)
        return song


@dataclass(frozen=True)
class ChunkedSong:
    """A song of a corpus: where its chunks lie. `load` puts them together again."""

    name: str
    places: list[tuple[str, int, int]] = field(default_factory=list)  # shard, offset, size

    def load(self) -> ReferenceSong:
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
        return _complete(_same_shape(whole), rate)


def in_folder(
    folder: str, layout: str = "auto", sources: str = "own", mapping: str | None = None
) -> list[Stems]:
    """The songs of a multitrack folder, by name; arguments and BadUsage as `layouts.read`."""
    return [Stems(song) for song in folders.read(folder, layout, sources, mapping)]


def grouping(stems: Collection[str]) -> str:
    """Into which sources (GROUPINGS) songs must be summed so that these stems can be scored."""
    wanted = {stem.removeprefix("no_") for stem in stems}
    fitting = (name for name in ("two", "four", "five") if wanted <= set(GROUPINGS[name]))
    return next(fitting, "own")


def in_corpus(corpus: Corpus, split: str) -> list[ChunkedSong]:
    """The songs of a corpus' split; BadUsage where it has none."""
    found: dict[str, ChunkedSong] = {}
    columns = ["song_id", "track_ids", "start_s", "sources", "shard", "offset", "size"]
    rows = corpus.of(split).select(columns).to_pylist()
    for row in sorted(rows, key=lambda row: (row["song_id"], row["track_ids"], row["start_s"])):
        if "mixture" in row["sources"]:
            name = " ".join([row["song_id"], *(row["track_ids"] or [])])
            place = (files.join(corpus.folder, row["shard"]), row["offset"], row["size"])
            found.setdefault(name, ChunkedSong(name)).places.append(place)
    if not found:
        held = ", ".join(sorted(set(corpus.index["split"].to_pylist()))) or "none"
        raise BadUsage(f"--split {split}: the corpus has no song in it; it has songs in {held}")
    return list(found.values())


def _read(part: Part, read: dict[tuple[str, int], audio.Audio]) -> audio.Audio:
    """A stream that a part lies in, decoded once."""
    if (part.uri, part.stream) not in read:
        try:
            read[part.uri, part.stream] = audio.read(part.uri, stream=part.stream)
        except AudioError as error:
            why = f"{part.uri.rpartition('/')[2]}: {error}"
            raise AudioError(why, error.error) from error
    return read[part.uri, part.stream]


def _part(part: Part, read: dict[tuple[str, int], audio.Audio], rate: int) -> np.ndarray:
    """A part's [channels, frames] at a rate."""
    whole = _read(part, read)
    samples = whole.samples
    if part.channel is not None:
        if len(samples) <= part.channel:
            name = part.uri.rpartition("/")[2]
            raise AudioError(f"{name}: {len(samples)} channels; needs number {part.channel + 1}")
        samples = samples[part.channel : part.channel + 1]
    return audio.resample(samples, whole.sample_rate, rate) * np.float32(part.gain)


def _summed(parts: list[np.ndarray]) -> np.ndarray:
    shaped = _same_shape({str(number): part for number, part in enumerate(parts)})
    return np.sum(list(shaped.values()), axis=0)


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


def _same_shape(sources: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sources with the same number of channels (mono is repeated) and of frames: those of the
    mixture, or else of the longest source; shorter ones are followed by silence."""
    channels = max(samples.shape[0] for samples in sources.values())
    frames = max(samples.shape[1] for samples in sources.values())
    if "mixture" in sources:
        frames = sources["mixture"].shape[1]
    shaped = {}
    for name, samples in sources.items():
        if samples.shape[0] not in (1, channels):
            raise AudioError(f"{name} has {samples.shape[0]} channels, others {channels}")
        fitted = np.pad(samples[:, :frames], ((0, 0), (0, max(0, frames - samples.shape[1]))))
        shaped[name] = np.broadcast_to(fitted, (channels, frames))
    return shaped


def _complete(found: dict[str, np.ndarray], rate: int) -> ReferenceSong:
    """A song whose missing sources are sums or differences of the others."""
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
    return ReferenceSong(mixture, sources, rate)


def _check(
    song: ReferenceSong, given: Mapping[str, np.ndarray], lengths_s: Mapping[str, float]
) -> None:
    """AudioError if the mixture is not that of its stems, or was cut elsewhere than they; a corpus
    refuses the same songs. It names the files, given with their lengths, that end early: a cut stem
    is the likeliest reason."""
    if "mixture" not in given:
        return
    whole = song.mixture.shape[1]
    early = ends_early(
        {name: min(seconds, whole / song.sample_rate) for name, seconds in lengths_s.items()}
    )
    if given.keys() in ({"mixture", "vocals"}, {"mixture", "accompaniment"}):
        check_difference(early)
    if "vocals" not in song.sources:
        return
    missed = song.mixture - song.source("vocals") - song.source("accompaniment")
    ended = min(samples.shape[1] for samples in given.values())
    heads, tails = (
        [float(np.sum(np.square(x[:, part]), dtype=float)) for x in (missed, song.mixture)]
        for part in (slice(ended), slice(ended, None))
    )
    check_sum(heads, tails, early)
