"""Who hears the pitch of a song: our networks, teachers of pitch, and f0 that others wrote."""

import posixpath
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stemlode import audio, files, runs
from stemlode.audio import AudioError
from stemlode.shards.salience import SAMPLE_RATE, frame_count
from training.checkpoint import Checkpoint
from training.evaluation import annotations, bsseval
from training.evaluation.annotations import Melody
from training.evaluation.references import ReferenceSong
from training.evaluation.scoring import cancels
from training.pitch.targets import F0, f0_of, on_grid, ridges
from training.pitch.teachers import PitchTeacher
from training.recipes.chunks import Chunking

MIXTURE, VOCALS, SEPARATED = "mixture", "vocals", "separated"  # what is listened to


@dataclass(frozen=True)
class Heard:
    """What a listener made of a song."""

    f0: F0 | None = None
    vocals: Tensor | None = None  # [samples], mono at 22,050 Hz


@dataclass(frozen=True)
class Mono:
    """A song in mono at 22,050 Hz, float32 [samples] each, and its true f0."""

    name: str
    mixture: Tensor
    vocals: Tensor
    truth: Melody

    @classmethod
    def of(cls, name: str, song: ReferenceSong, truth: Melody) -> "Mono":
        """AudioError where the song's vocals are not known."""

        def mono(samples: np.ndarray) -> Tensor:
            mean = np.ascontiguousarray(samples.mean(0, keepdims=True))
            return torch.from_numpy(audio.resample(mean, song.sample_rate, SAMPLE_RATE)[0])

        return cls(name, mono(song.mixture), mono(song.source("vocals")), truth)

    @property
    def f0(self) -> F0:
        """The true f0 as a series with confidence."""
        voiced = self.truth.f0_hz > 0
        return F0(self.truth.time_s, self.truth.f0_hz, voiced.astype(np.float64))


class Listener(Protocol):
    """What is scored."""

    @property
    def name(self) -> str: ...

    @property
    def hears_from(self) -> str:
        """MIXTURE, VOCALS or SEPARATED."""
        ...

    def hear(self, song: Mono) -> Heard: ...


@dataclass(frozen=True)
class Network:
    """A checkpoint that hears pitch, separates vocals, or both; oracles are told the truth."""

    name: str
    trained: Checkpoint

    @property
    def hears_from(self) -> str:
        """Of oracles of vocals, the vocals."""
        return VOCALS if "vocals" in self.trained.recipe.told else MIXTURE

    @torch.inference_mode()
    def hear(self, song: Mono) -> Heard:
        """See `Listener`."""
        recipe, nets = self.trained.recipe, self.trained.core
        signal, frames = song.mixture[None], frame_count(len(song.mixture))
        truth = {
            "vocals": song.vocals[None],
            "salience": torch.from_numpy(ridges(on_grid(song.f0, frames))),
        }
        told = {name: truth[name] for name in recipe.told}
        f0 = vocals = None
        if recipe.hears:
            blocks = [block.numpy() for block in recipe.hear(nets, signal, **told)]
            f0 = f0_of(np.concatenate(blocks, axis=1)[:, :frames])
        if recipe.separates and "vocals" in recipe.separated:
            vocals = _vocals(self.trained, song)
        elif "salience" in recipe.told:
            vocals = torch.cat(list(recipe.separate_told(nets, signal, **told)), dim=-1)[0]
        return Heard(f0, vocals)


def _vocals(trained: Checkpoint, song: Mono) -> Tensor:
    """The vocals of a mixture by any checkpoint that separates them, at the song's rate."""
    recipe = trained.recipe
    low = audio.resample(song.mixture[None].numpy(), SAMPLE_RATE, recipe.sample_rate)
    blocks = recipe.separate(trained.core, torch.from_numpy(low), Chunking())
    found = torch.cat(list(blocks), dim=-1)[recipe.separated.index("vocals")]
    back = audio.resample(found.numpy(), recipe.sample_rate, SAMPLE_RATE)[0]
    missing = max(0, len(song.mixture) - len(back))
    return torch.from_numpy(np.pad(back, (0, missing))[: len(song.mixture)])


@dataclass(frozen=True)
class Tracker:
    """A teacher of pitch, on what is said."""

    teacher: PitchTeacher
    hears_from: str
    by: Checkpoint | None = None  # who separates, if it hears what is separated

    @property
    def name(self) -> str:
        """The teacher's."""
        return self.teacher.name

    def hear(self, song: Mono) -> Heard:
        """See `Listener`."""
        if self.hears_from == SEPARATED:
            assert self.by is not None
            with torch.inference_mode():
                heard = _vocals(self.by, song)
        else:
            heard = song.vocals if self.hears_from == VOCALS else song.mixture
        signal = audio.resample(heard[None].numpy(), SAMPLE_RATE, self.teacher.sample_rate)[0]
        frames = frame_count(len(song.mixture))
        blocks = list(self.teacher.likelihoods(signal, frames))
        return Heard(f0_of(np.concatenate(blocks, axis=1)[:, :frames]))


@dataclass(frozen=True)
class Written:
    """f0 that any other tracker wrote: SONG.csv or SONG/f0.csv, of `time_s,f0_hz,confidence`."""

    folder: str

    @property
    def name(self) -> str:
        """The folder's."""
        return posixpath.basename(self.folder.rstrip("/"))

    @property
    def hears_from(self) -> str:
        """What the end of the folder's name says, as in `pyin-vocals`; else the mixture."""
        last = self.name.rpartition("-")[2]
        return last if last in (VOCALS, SEPARATED) else MIXTURE

    def hear(self, song: Mono) -> Heard:
        """See `Listener`; AudioError where there is no file or it is none."""
        places = [
            files.join(self.folder, *p) for p in ((f"{song.name}.csv",), (song.name, "f0.csv"))
        ]
        path = next(filter(files.exists, places), None)
        if path is None:
            raise AudioError(f"{self.name} holds no {song.name}.csv or {song.name}/f0.csv")
        try:
            return Heard(_series(files.read_bytes(path).decode("utf-8-sig")))
        except (OSError, ValueError) as error:
            raise AudioError(f"{path}: {runs.reason(error)}") from error


def _series(text: str) -> F0:
    """f0 as trackers write it: numbers between commas, tabs or spaces, after a header or none. NaN,
    as librosa's pYIN has it, is no pitch; where lines are left out nobody sings, as in truths."""
    rows = [line.replace(",", " ").split() for line in text.splitlines()]
    rows = [row for row in rows if row and row[0][0] in "0123456789."]
    if not rows or any(len(row) not in (2, 3) for row in rows):
        raise ValueError("no lines of time_s,f0_hz,confidence")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("some lines have a confidence, and others none")
    values = np.array([[*map(float, row)] for row in rows])
    values[:, 1] = np.nan_to_num(values[:, 1], nan=0.0, posinf=np.inf, neginf=np.inf)
    voiced = (values[:, 1] > 0).astype(np.float64)
    confidence = values[:, 2] if values.shape[1] > 2 else voiced
    if not np.isfinite(values).all() or (np.diff(values[:, 0]) <= 0).any():
        raise ValueError("a value is not finite, or times do not rise")
    # Silent frames are put into gaps: mir_eval would go on singing.
    whole = annotations.filled(Melody(values[:, 0], values[:, 1]))
    sure = np.zeros(len(whole.time_s))
    sure[np.isin(whole.time_s, values[:, 0])] = confidence
    return F0(whole.time_s, whole.f0_hz, sure)


def vocals_sdr(song: Mono, vocals: Tensor) -> float | None:
    """mir_eval's SDR of mono vocals beside the rest of the mixture; None where one is silent."""
    rest = song.mixture - song.vocals
    true = torch.stack((song.vocals, rest))
    guess = torch.stack((vocals, song.mixture - vocals))
    if any(cancels(part[None]) for part in (*true, *guess)):
        return None
    return float(bsseval.bss_eval_sources(true, guess).sdr[0])
