"""`stemlode separate INPUT…`: any audio file → its sources.

A net works at the model's rate, so its sources reach up to half of that rate. If it estimates one
source, the other stem is the rest of the mixture at the full rate, so the two sum to the input.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from stemlode import audio, files
from stemlode.runs import BadUsage
from training.checkpoint import Checkpoint
from training.models.spectrogram import Signal
from training.recipes.chunks import Chunking
from training.separation import streams, wav

RESIDUAL = "residual"
GRID = np.float32(2**23)


@torch.inference_mode()
def estimates(signal: Signal, trained: Checkpoint, chunking: Chunking) -> Iterator[Tensor]:
    """A song at the model's rate → blocks of its sources in turn, see `Recipe.separate`."""
    yield from trained.recipe.separate(trained.core, signal, chunking)


def separate(
    samples: np.ndarray, sample_rate: int, trained: Checkpoint, chunking: Chunking
) -> dict[str, np.ndarray]:
    """The stems of a song in memory, float32 [channels, frames], each of the same shape."""
    low = torch.tensor(audio.resample(samples, sample_rate, trained.recipe.sample_rate))
    found = torch.cat(list(estimates(low, trained, chunking)), dim=-1)
    return complete(samples, sample_rate, found, trained)


def complete(
    samples: np.ndarray, sample_rate: int, found: Tensor, trained: Checkpoint
) -> dict[str, np.ndarray]:
    """Stems from estimates [sources, channels, samples] at the model's rate."""
    parts = [
        streams.fit(
            audio.resample(part.numpy(), trained.recipe.sample_rate, sample_rate), samples.shape[1]
        )
        for part in found
    ]
    if len(parts) == 1:
        parts.append(samples - parts[0])
    return dict(zip(trained.recipe.stems, parts, strict=True))


def stem_names(models: Sequence[Checkpoint], residual: bool) -> tuple[str, ...]:
    """What a song is separated into by these models; BadUsage where two give the same source."""
    names = [name for model in models for name in model.recipe.separated]
    for name in names:
        if names.count(name) > 1:
            raise BadUsage(f"--checkpoint: two of the models estimate {name}; name one of them")
    if len(names) == 1:
        return models[0].recipe.stems
    return (*names, RESIDUAL) if residual else tuple(names)


def separate_file(
    source: str,
    folder: str,
    models: Sequence[Checkpoint],
    chunking: Chunking,
    residual: bool = False,
    done: Callable[[float], object] = lambda seconds: None,
) -> int:
    """Write the stems of an audio file into a folder, as STEM.wav; the file's frames.

    `done` is called with the seconds of audio of each block. Memory does not grow with the file's
    length: the file is decoded twice, first into a temporary file at the models' rate. Raises
    AudioError if the file cannot be used.
    """
    stems = stem_names(models, residual)
    with contextlib.ExitStack() as stack:
        rates = {model.recipe.sample_rate for model in models}
        scratch = {rate: stack.enter_context(tempfile.TemporaryFile()) for rate in sorted(rates)}
        frames, channels, sample_rate = streams.decode_to(source, scratch)
        found_by = [
            _estimates(
                streams.OnDisk(scratch[m.recipe.sample_rate], channels), sample_rate, m, chunking
            )
            for m in models
        ]
        sinks = [
            stack.enter_context(files.atomic_write(files.join(folder, f"{stem}.wav")))
            for stem in reversed(
                stems
            )  # closed in this order, so that the last stem is there only when all are
        ][::-1]
        for sink in sinks:
            sink.write(wav.header(frames, channels, sample_rate))
        for block in streams.ahead(audio.blocks(source)):
            mixture = block.samples
            parts = [taken.next(mixture.shape[1]) for taken in found_by]
            found = on_grid(np.concatenate(parts)).reshape(-1, *mixture.shape)
            left = mixture - found.sum(0) if len(stems) > len(found) else mixture[:0]
            for sink, part in zip(sinks, (*found, left), strict=False):
                sink.write(wav.samples(part))
            done(mixture.shape[1] / sample_rate)
    return frames


def _estimates(
    low: streams.OnDisk, sample_rate: int, model: Checkpoint, chunking: Chunking
) -> streams.Taken:
    """A model's sources at the file's rate, as further channels: [sources * channels, frames]."""
    parts = (part.flatten(0, 1) for part in estimates(low, model, chunking))
    return streams.Taken(streams.resampled(parts, model.recipe.sample_rate, sample_rate))


def on_grid(samples: np.ndarray) -> np.ndarray:
    """Samples rounded to 24 bits: then the rest of a mixture of up to 24 bits is exact, and so is
    the sum of the stems. The error is at most −138 dB re full scale."""
    return np.round(samples * GRID) / GRID
