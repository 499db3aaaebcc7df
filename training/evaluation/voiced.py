"""Songs that are known to contain vocals, by annotations of their melody (thesis, 4.3).

"We limit our evaluation to clips that are known to contain vocals, using the melody transcriptions
provided in both iKala and MedleyDB." A song, or a clip of it, is one in which its annotation has a
frame that is voiced. Where the melody is an instrument's, the vocals of such a clip are silent, and
what is silent has no score.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from stemlode.audio import AudioError
from training.evaluation import annotations
from training.evaluation.annotations import SLACK_S, Melody
from training.evaluation.references import ReferenceSong, Stems
from training.separation.system import Parts

SHORTEST_S = 1.0  # of a clip at a song's end


@dataclasses.dataclass(frozen=True)
class Clip:
    """A song from one second to another, or the whole of it. `load` reads it."""

    song: Stems
    begin_s: float
    end_s: float
    last_s: float  # of the annotation
    held: dict[str, ReferenceSong] = dataclasses.field(compare=False)  # the song that was read last

    @property
    def name(self) -> str:
        """The song's, with the seconds if it is a part of it."""
        if math.isinf(self.end_s):
            return self.song.name
        return f"{self.song.name} {self.begin_s:g}-{self.end_s:g} s"

    def load(self) -> ReferenceSong:
        """AudioError as `Stems.load`, or where the annotation is not one of this song."""
        whole = self.whole()
        frames, rate = whole.mixture.shape[1], whole.sample_rate
        if self.last_s > frames / rate + SLACK_S:
            raise AudioError(
                f"its annotation goes on to {self.last_s:.2f} s, and it ends at {frames / rate:.2f}"
            )
        if frames < (self.begin_s + SHORTEST_S) * rate:
            raise AudioError(f"its song ends at {frames / rate:.2f} s")
        (mixture,) = self.cut({"mixture": whole.mixture}, rate).values()
        return ReferenceSong(mixture, self.cut(whole.sources, rate), rate)

    def whole(self) -> ReferenceSong:
        """The song that this is of; AudioError as `Stems.load`."""
        if self.song.name not in self.held:
            self.held.clear()
            self.held[self.song.name] = self.song.load()
        return self.held[self.song.name]

    def cut(self, parts: Parts, rate: int) -> Parts:
        """The clip of signals [channels, frames] of the whole song."""
        end = None if math.isinf(self.end_s) else round(self.end_s * rate)
        return {name: part[:, round(self.begin_s * rate) : end] for name, part in parts.items()}


def clips(
    songs: Sequence[Stems], folder: str, clip_s: float | None
) -> tuple[list[Clip], dict[str, str], list[str]]:
    """The clips with vocals; which songs have no annotation to say so, and why; which songs and
    clips have none. BadUsage where the folder annotates none of the songs."""
    found: list[Clip] = []
    faults: dict[str, str] = {}
    without: list[str] = []
    held: dict[str, ReferenceSong] = {}
    truths = annotations.beside(folder, [song.name for song in songs])
    for song in songs:
        if song.name not in truths:
            faults[song.name] = "has no annotation in --melody"
            continue
        try:
            melody = annotations.read(truths[song.name], math.inf)
        except AudioError as error:
            faults[song.name] = str(error)
            continue
        for begin_s, end_s, sung in _stretches(melody, clip_s):
            clip = Clip(song, begin_s, end_s, float(melody.time_s[-1]), held)
            if sung:
                found.append(clip)
            else:
                without.append(clip.name)
    return found, faults, without


def _stretches(melody: Melody, clip_s: float | None) -> list[tuple[float, float, bool]]:
    """From where to where each clip goes, and whether a frame in it is voiced."""
    voiced = melody.time_s[melody.f0_hz > 0]
    if clip_s is None:
        return [(0.0, math.inf, bool(len(voiced)))]
    count = 1 + int(melody.time_s[-1] // clip_s)
    sung = np.bincount((voiced // clip_s).astype(int), minlength=count) > 0
    return [(n * clip_s, (n + 1) * clip_s, bool(sung[n])) for n in range(count)]
