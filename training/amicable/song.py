"""A mixture and its true stems, as an informed encoder has them."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stemlode import audio, files
from stemlode.audio import AudioError
from stemlode.audio.kinds import is_named_audio, without_extension
from stemlode.layouts.songs import Part
from stemlode.runs import BadUsage
from training.models.metrics import SILENCE
from training.recipes.values import rest_of

MIXTURE = "mixture"
LARGEST_MISS_DB = -6.0  # beyond this, a mixture is not that of its stems; as for a corpus
LATER_S = 0.1  # by which encoders lengthen a file


@dataclass(frozen=True)
class Song:
    """A song in memory: float32 [channels, samples] of one shape."""

    mixture: np.ndarray
    stems: dict[str, np.ndarray]
    sample_rate: int

    def stem(self, name: str) -> np.ndarray:
        """A stem, or what the mixture is without it; AudioError where it is not known."""
        if name in self.stems:
            return self.stems[name]
        if rest_of(name) in self.stems:
            return self.mixture - self.stems[rest_of(name)]
        if name.startswith("no_") and name[3:] in self.stems:
            return self.mixture - self.stems[name[3:]]
        if name == "accompaniment" and "vocals" not in self.stems:
            return self.mixture  # there is no voice in it
        if name == "vocals" and "accompaniment" not in self.stems:
            return np.zeros_like(self.mixture)
        held = ", ".join(sorted(self.stems))
        raise AudioError(f"the model gives {name}, of which the stems ({held}) say nothing")

    @property
    def miss_db(self) -> float:
        """By how much the stems miss the mixture, in dB of it."""
        error = self.mixture - np.sum(list(self.stems.values()), axis=0)
        return 10 * float(np.log10(max(_power(error), 1e-30) / _power(self.mixture)))


def in_folder(mixture: str, folder: str) -> Song:
    """A mixture's file and the folder of its stems, a file each, named after it.

    A file called mixture, and the mixture itself, are no stems. BadUsage where there is no such
    folder or no stem in it, AudioError where a file cannot be used.
    """
    if files.is_file(folder):
        raise BadUsage(f"--stems {folder}: is a file; name the folder that holds the stems")
    named: dict[str, str] = {}
    for path in sorted(files.list_files(folder)):
        name = posixpath.basename(path)
        stem = without_extension(name).lower()
        beside = path.rpartition("/")[0].rstrip("/") == files.absolute(folder).rstrip("/")
        if not beside or not is_named_audio(name) or stem == MIXTURE:
            continue
        if files.absolute(path) == files.absolute(mixture):
            continue
        if stem in named:
            raise BadUsage(f"--stems {folder}: two files of {stem}")
        named[stem] = path
    if not named:
        raise BadUsage(
            f"--stems {folder}: holds no stems (vocals.wav, accompaniment.wav, drums.wav, …)"
        )
    parts = {stem: (Part(path),) for stem, path in named.items()}
    return read({MIXTURE: (Part(mixture),), **parts})


def read(parts: Mapping[str, Sequence[Part]]) -> Song:
    """A song from the files of its sources (`stemlode.layouts`); without a mixture, their sum.

    AudioError where a file cannot be read, where lengths or rates differ, where the stems do not
    sum to the mixture, or where it is silent.
    """
    held: dict[tuple[str, int], audio.Audio] = {}
    found: dict[str, np.ndarray] = {}
    first: tuple[str, audio.Audio] | None = None
    for name, some in parts.items():
        for part in some:
            heard = _read(part, held)
            if first is None:
                first = part.uri, heard
            samples = _like(first, part, heard)
            found[name] = _added(name, found[name], samples) if name in found else samples
    return of_sources(found, 0 if first is None else first[1].sample_rate)


def of_sources(found: Mapping[str, np.ndarray], sample_rate: int) -> Song:
    """A song from its sources, [channels, samples] each; without a mixture, their sum.

    AudioError where there are no stems, where channels differ (mono is repeated), where the stems
    do not sum to the mixture, or where it is silent.
    """
    widest = max(found, key=lambda name: len(found[name]), default="")
    channels = len(found[widest]) if widest else 0
    for name, samples in found.items():
        if len(samples) not in (1, channels):
            raise AudioError(f"{name} has {len(samples)} channels, {widest} {channels}", "channels")
    shaped = {  # what has its shape stays writable, as torch wants it
        name: one if len(one) == channels else np.broadcast_to(one, (channels, one.shape[1]))
        for name, one in found.items()
    }
    stems = {name: np.ascontiguousarray(one) for name, one in shaped.items() if name != MIXTURE}
    if not stems:
        raise AudioError("holds no stems", "layout")
    if len(stems) > len({*stems} & {"vocals", "accompaniment"}):
        stems.pop("accompaniment", None)  # the sum of other stems is no further one
    mixture = shaped.get(MIXTURE)
    whole = np.sum(list(stems.values()), axis=0) if mixture is None else mixture
    song = Song(np.ascontiguousarray(whole, np.float32), _whole(stems, whole), sample_rate)
    if _power(song.mixture) <= SILENCE:
        raise AudioError(
            "the mixture is silent: there is nothing to hide a perturbation behind", "silent"
        )
    if song.miss_db > LARGEST_MISS_DB:
        said = f"the stems do not sum to the mixture (error {song.miss_db:+.1f} dB)"
        raise AudioError(said, "sum")
    return song


def _whole(stems: dict[str, np.ndarray], mixture: np.ndarray) -> dict[str, np.ndarray]:
    """The stems; where one stands alone, also what it leaves."""
    if len(stems) > 1:
        return stems
    (name,) = stems
    return {**stems, rest_of(name): mixture - stems[name]}


def _read(part: Part, held: dict[tuple[str, int], audio.Audio]) -> audio.Audio:
    if (part.uri, part.stream) not in held:
        try:
            held[part.uri, part.stream] = audio.read(part.uri, stream=part.stream)
        except AudioError as error:
            raise AudioError(f"{_name(part.uri)}: {error}", error.error) from error
    return held[part.uri, part.stream]


def _like(first: tuple[str, audio.Audio], part: Part, heard: audio.Audio) -> np.ndarray:
    """A part's samples; AudioError where its rate or length is not that of the first file."""
    uri, wanted = first
    if heard.sample_rate != wanted.sample_rate:
        raise AudioError(
            f"{_name(part.uri)} has {heard.sample_rate} Hz, {_name(uri)} {wanted.sample_rate} Hz; "
            "resample one of them",
            "mixed_rates",
        )
    samples, frames = heard.samples, wanted.samples.shape[1]
    if abs(samples.shape[1] - frames) > LATER_S * wanted.sample_rate:
        raise AudioError(
            f"{_name(part.uri)} lasts {heard.duration_s:.3f} s, {_name(uri)} "
            f"{wanted.duration_s:.3f} s; cut them to one length",
            "lengths",
        )
    if part.channel is not None:
        if len(samples) <= part.channel:
            raise AudioError(f"{_name(part.uri)}: has no channel {part.channel + 1}")
        samples = samples[part.channel : part.channel + 1]
    missing = max(0, frames - samples.shape[1])
    return np.pad(samples[:, :frames], ((0, 0), (0, missing))) * np.float32(part.gain)


def _added(name: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if len(one) != len(other) and 1 not in (len(one), len(other)):
        raise AudioError(f"parts of {name} have {len(one)} and {len(other)} channels", "channels")
    return one + other


def _name(uri: str) -> str:
    return posixpath.basename(uri.rstrip("/"))


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))
