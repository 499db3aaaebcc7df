"""`stemlode separate INPUT…`: any audio file → its sources.

A net works at the model's rate, so its sources reach up to half of that rate. If it estimates one
source, the other stem is the rest of the mixture at the full rate, so the two sum to the input.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO

import numpy as np
import torch
from torch import Tensor

from stemlode import audio, files
from stemlode.audio import wav
from training.checkpoint import Checkpoint
from training.models.spectrogram import Waveform
from training.recipes.chunks import Chunking
from training.separation import formats, shifts, streams, tags
from training.separation.formats import Form, Held
from training.separation.system import Parts, System

GRID = np.float32(2**23)


@torch.inference_mode()
def estimates(signal: Waveform, trained: Checkpoint, chunking: Chunking) -> Iterator[Tensor]:
    """A song at the model's rate → blocks of its sources in turn, see `Recipe.separate`."""

    def separate(signal: Waveform) -> Iterator[Tensor]:
        return trained.recipe.separate(trained.core, signal, chunking)

    if chunking.shifts == 1:
        yield from separate(signal)
    else:
        yield from shifts.averaged(signal, trained.recipe.sample_rate, chunking.shifts, separate)


def separate(
    samples: np.ndarray, sample_rate: int, trained: Checkpoint, chunking: Chunking
) -> Parts:
    """The stems of a song in memory, float32 [channels, frames], each of the same shape."""
    low = torch.tensor(audio.resample(samples, sample_rate, trained.recipe.sample_rate))
    found = torch.cat(list(estimates(low, trained, chunking)), dim=-1)
    return complete(samples, sample_rate, found, trained)


def complete(samples: np.ndarray, sample_rate: int, found: Tensor, trained: Checkpoint) -> Parts:
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


def separate_file(
    source: str,
    folder: str,
    system: System,
    done: Callable[[float], object] = lambda seconds: None,
    form: Form = Form(),  # noqa: B008 (frozen)
    named: Mapping[str, str] | None = None,
) -> int:
    """Write the stems of an audio file into a folder, as STEM.wav or as another form has it, or
    only some, by the names below the folder in `named`; the file's frames. What the file says of
    its song travels along.

    `done` is called with the seconds of audio of each block. Memory does not grow with the file's
    length: the file is decoded twice, first into a temporary file at the models' rate. Raises
    AudioError if the file cannot be used.
    """
    stems, models = system.stems, system.models
    with contextlib.ExitStack() as stack:
        rates = {model.recipe.sample_rate for model in models}
        scratch = {rate: stack.enter_context(tempfile.TemporaryFile()) for rate in sorted(rates)}
        frames, channels, sample_rate = streams.decode_to(source, scratch)
        found_by = [
            _estimates(
                streams.OnDisk(scratch[model.recipe.sample_rate], channels),
                sample_rate,
                model,
                system.chunking,
            )
            for model in models
        ]
        if named is None:
            named = {stem: f"{stem}.{form.name}" for stem in stems}
        paths = {stem: files.join(folder, named[stem]) for stem in stems if stem in named}
        said = tags.read(source)
        held: dict[str, Held] = {}
        sinks: dict[str, IO[bytes]] = {}
        for stem in reversed(paths):  # closed in reverse, so the last stem is there last
            if form.exact:
                sinks[stem] = stack.enter_context(files.atomic_write(paths[stem]))
                sinks[stem].write(wav.header(frames, channels, sample_rate, said.info()))
            else:
                file = stack.enter_context(tempfile.TemporaryFile())
                held[stem] = Held(file, channels, sample_rate)
        for block in streams.ahead(audio.blocks(source)):
            mixture = block.samples
            parts: Parts = {}
            for model, taken in zip(models, found_by, strict=True):
                found = on_grid(taken.next(mixture.shape[1])).reshape(-1, *mixture.shape)
                parts |= system.parts(model, mixture, found)
            left = mixture - np.sum(list(parts.values()), axis=0)
            for stem in paths:
                if form.exact:
                    sinks[stem].write(wav.samples(parts.get(stem, left)))
                else:
                    held[stem].add(parts.get(stem, left))
            done(mixture.shape[1] / sample_rate)
        gain = formats.gain_of([*held.values()], form)
        for stem, path in paths.items():
            if not form.exact:
                held[stem].write(path, form, gain, said)
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
