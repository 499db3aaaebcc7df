"""Checkpoints that hear pitch (thesis ch. 5), used as teachers of pitch are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training import checkpoint
from training.checkpoint import Checkpoint
from training.devices import pick_device
from training.pitch.hcqt import Signal
from training.pitch.teachers import PitchTeacher


@dataclass(frozen=True)
class Mono:
    """A mono signal as what nets read (`training.models.spectrogram.Waveform`)."""

    signal: Signal

    @property
    def shape(self) -> tuple[int, ...]:
        """One channel, and its samples."""
        return 1, len(self.signal)

    def __getitem__(self, channels_and_samples: tuple[slice, slice]) -> Tensor:
        part = np.array(self.signal[channels_and_samples[1]], np.float32)
        return torch.from_numpy(part)[None]


def load(folder: str, device: str | None = None) -> PitchTeacher:
    """A checkpoint, or a training run's folder, as a teacher that hears mixtures.

    Raises BadUsage where there is none, or one that hears no pitch or has to be told the truth;
    Failed where it is damaged.
    """
    trained = checkpoint.load(folder, pick_device(device))
    recipe = trained.recipe
    if not recipe.hears:
        raise BadUsage(f"--checkpoint {folder}: {recipe.name} hears no pitch")
    if recipe.told:
        raise BadUsage(
            f"--checkpoint {folder}: {recipe.name} is an oracle, which must be told the "
            f"{' and '.join(recipe.told)}; `evaluate --f0` does so"
        )
    return of_checkpoint(trained, trained.sha256)


def of_checkpoint(trained: Checkpoint, sha256: str) -> PitchTeacher:
    """A checkpoint that hears pitch; `sha256` is its file's. Its likelihoods are dense, whether it
    learnt one ridge a frame or several."""
    recipe, nets = trained.recipe, trained.core

    def likelihoods(signal: Signal, frames: int) -> Iterator[np.ndarray]:
        done = 0
        for block in recipe.hear(nets, Mono(signal)):
            kept = block[:, : max(0, frames - done)].numpy()
            done += kept.shape[1]
            yield kept

    return PitchTeacher(recipe.name, sha256, recipe.sample_rate, True, likelihoods)
