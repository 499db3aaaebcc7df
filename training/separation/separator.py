"""A checkpoint, loaded to separate songs that are in memory."""

import dataclasses
import os
from typing import Any

import numpy as np
import torch

from stemlode import audio
from stemlode.runs import BadUsage
from training import checkpoint
from training.devices import pick_device
from training.recipes.chunks import Chunking
from training.separation import streams
from training.separation.separate import estimates, on_grid
from training.separation.system import Parts, System

MOST_CHANNELS = 2
RATES = (1000, 384_000)  # Hz


@dataclasses.dataclass(frozen=True)
class Separator:
    """Models that separate a song together, ready to use.

    Attributes:
        system: the models, and how a song is cut for them.
    """

    system: System

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of what a song is separated into."""
        return tuple(self.system.stems)

    def separate(self, samples: Any, sample_rate: int) -> Parts:
        """The stems of a song by name: as `stemlode separate` writes them, in the shape and at the
        rate of what is given.

        Args:
            samples: [channels, samples] of one or two channels, or [samples]; floating point, full
                scale is 1. A NumPy array, or what becomes one.
            sample_rate: of these, in Hz.

        The song is held in memory, with its stems. BadUsage for arrays that are no sound.
        """
        given = np.asarray(samples)
        mixture = _checked(given, sample_rate)
        parts: Parts = {}
        for model in self.system.models:
            rate = model.recipe.sample_rate
            low = torch.tensor(audio.resample(mixture, sample_rate, rate))
            found = torch.cat([*estimates(low, model, self.system.chunking)], dim=-1).cpu().numpy()
            high = [
                streams.fit(audio.resample(part, rate, sample_rate), mixture.shape[1])
                for part in found
            ]
            parts |= self.system.parts(model, mixture, on_grid(np.stack(high)))
        left = mixture - np.sum([*parts.values()], axis=0)
        return {name: parts.get(name, left).reshape(given.shape) for name in self.stems}


def load(
    *checkpoints: str | os.PathLike[str],
    device: str | None = None,
    chunk_seconds: float | None = None,
    hop_seconds: float = Chunking.hop_seconds,
    residual: bool = False,
) -> Separator:
    """A separator from one checkpoint, or from several that separate different sources.

    Args:
        checkpoints: folders that `stemlode train` wrote, or other names of theirs
            (docs/models.md).
        device: cpu, cuda or cuda:1; a GPU where there is one.
        chunk_seconds: how long the pieces are that a song is cut into; as the recipe has it.
        hop_seconds: time from one piece to the next.
        residual: also give what several models leave of a mixture, so that all sums to it.

    BadUsage where there is no checkpoint or they do not go together, Failed where one is damaged.
    """
    if not checkpoints:
        raise BadUsage("load: needs a checkpoint")
    for name, value in (("chunk_seconds", chunk_seconds), ("hop_seconds", hop_seconds)):
        if value is not None and not 0 < value < np.inf:
            raise BadUsage(f"{name}={value}: must be above 0, and finite")
    on = pick_device(device)
    models = [checkpoint.load(os.path.expanduser(os.fsdecode(c)), on) for c in checkpoints]  # noqa: PTH111 (may be an address)
    return Separator(System(models, Chunking(chunk_seconds, hop_seconds), residual))


def _checked(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """float32 [channels, samples]; BadUsage where that is not what is given."""
    if not np.issubdtype(samples.dtype, np.floating):
        raise BadUsage(
            f"samples are {samples.dtype}: floating point is wanted, with full scale at 1 "
            "(divide 16-bit integers by 32768)"
        )
    if samples.ndim not in (1, 2) or not samples.size:
        raise BadUsage(f"samples have the shape {samples.shape}: [channels, samples] is wanted")
    whole = np.atleast_2d(samples)
    if len(whole) > MOST_CHANNELS:
        hint = "; transpose it" if whole.shape[1] <= MOST_CHANNELS else ""
        raise BadUsage(
            f"samples have the shape {samples.shape}: [channels, samples] of one or two channels "
            f"is wanted{hint}"
        )
    if not np.isfinite(whole).all():
        raise BadUsage("samples hold NaN or infinity")
    if int(sample_rate) != sample_rate or not RATES[0] <= sample_rate <= RATES[1]:
        raise BadUsage(f"sample_rate={sample_rate}: a whole number from {RATES[0]} to {RATES[1]}")
    return np.ascontiguousarray(whole, np.float32)
