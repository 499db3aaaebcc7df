"""`stemlode separate INPUT…`: any audio file → its sources.

A net for one source works at the model's rate, so its source reaches up to half of that; the other
stem is what is left of the mixture at its full rate, so the two sum to the input.
"""

import sys

if __name__ == "__main__":
    from stemlode import run as run_verb

    sys.exit(run_verb("training.separate", sys.argv[1:]))

import argparse
import contextlib
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipelines import audio, files, runs
from pipelines.arguments import Parser
from pipelines.audio import AudioError
from pipelines.runs import BadUsage, Failed
from training import sources, streams, wav
from training.arguments import above_zero
from training.checkpoint import Checkpoint, load
from training.chunks import Chunking
from training.device import pick_device

FAST_HOP = 1.5  # BSRNN V-B
LONGEST_CHUNK = 600.0  # seconds
RESIDUAL = "residual"
GRID = np.float32(2**23)
LONGEST_STATED = 7 * 86_400.0  # seconds; a header that claims more is not believed
LONGEST_NAME = 120  # bytes of an output folder's name


def separate(
    samples: np.ndarray, sample_rate: int, trained: Checkpoint, chunking: Chunking
) -> dict[str, np.ndarray]:
    """The stems of a song in memory, float32 [channels, frames], each of the same shape."""
    low = torch.tensor(audio.resample(samples, sample_rate, trained.recipe.sample_rate))
    found = torch.cat(list(sources.estimates(low, trained, chunking)), dim=-1)
    return complete(samples, sample_rate, found, trained)


def complete(
    samples: np.ndarray, sample_rate: int, found: Tensor, trained: Checkpoint
) -> dict[str, np.ndarray]:
    """Stems from estimates [sources, channels, samples] at the model's rate."""
    estimates = [
        streams.fit(
            audio.resample(part.numpy(), trained.recipe.sample_rate, sample_rate), samples.shape[1]
        )
        for part in found
    ]
    if len(estimates) == 1:
        estimates.append(samples - estimates[0])
    return dict(zip(sources.stems(trained.recipe), estimates, strict=True))


def stem_names(models: Sequence[Checkpoint], residual: bool) -> tuple[str, ...]:
    """What a song is separated into by these models; BadUsage where two give the same source."""
    names = [name for model in models for name in sources.estimated(model.recipe)]
    for name in names:
        if names.count(name) > 1:
            raise BadUsage(f"--checkpoint: two of the models estimate {name}; name one of them")
    if len(names) == 1:
        return sources.stems(models[0].recipe)
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

    `done` is told the seconds of audio that each block brings. Memory does not grow with the file's
    length: it is decoded twice, and what lies between is a temporary file at the models' rate.
    Raises AudioError where the file cannot be used.
    """
    stems = stem_names(models, residual)
    with contextlib.ExitStack() as stack:
        rates = {model.recipe.sample_rate for model in models}
        scratch = {rate: stack.enter_context(tempfile.TemporaryFile()) for rate in sorted(rates)}
        frames, channels, sample_rate = streams.decode_to(source, scratch)
        estimates = [
            _estimates(
                streams.OnDisk(scratch[m.recipe.sample_rate], channels), sample_rate, m, chunking
            )
            for m in models
        ]
        sinks = [
            stack.enter_context(files.atomic_write(files.join(folder, f"{stem}.wav")))
            for stem in reversed(stems)  # closed in turn, the last stem last: then all is
        ][::-1]
        for sink in sinks:
            sink.write(wav.header(frames, channels, sample_rate))
        for block in streams.ahead(audio.blocks(source)):
            mixture = block.samples
            parts = [estimate.next(mixture.shape[1]) for estimate in estimates]
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
    parts = (part.flatten(0, 1) for part in sources.estimates(low, model, chunking))
    return streams.Taken(streams.resampled(parts, model.recipe.sample_rate, sample_rate))


def on_grid(samples: np.ndarray) -> np.ndarray:
    """Rounded to 24 bits: then what is left of a mixture of up to 24 bits is exact, and so is the
    sum of the stems. The error is at most -138 dB of full scale."""
    return np.round(samples * GRID) / GRID


def folder_names(inputs: Sequence[str]) -> list[str]:
    """A folder name for each input: its file's name without extension, made safe and unique."""
    names: list[str] = []
    taken: set[str] = set()
    for path in inputs:
        stem = Path(path.rstrip("/").rsplit("/", 1)[-1]).stem
        safe = re.sub(r"[^\w .,+()&'!-]+", "_", stem).strip(" .") or "song"
        safe = safe.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
        name, number = safe, 1
        while name.casefold() in taken or name.casefold() in RESERVED:
            number += 1
            name = f"{safe}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


RESERVED = {runs.PLAN.casefold(), runs.RECORD, runs.SUCCESS.casefold()}


def main(argv: Sequence[str]) -> int:
    """Run `stemlode separate`; the exit status, 1 where an input could not be separated."""
    options = _parser().parse(argv)
    for name in ("checkpoint", "output"):
        if not getattr(options, name):
            raise BadUsage(f"stemlode separate needs --{name} (see --help)")
    chunking = chunking_of(options)
    device = pick_device(options.device)
    models = [load(folder, device) for folder in options.checkpoint]
    stems = stem_names(models, options.residual)
    inputs = list(dict.fromkeys(files.absolute(path) for path in options.inputs))
    output = files.absolute(options.output)
    decisive = {"inputs": inputs} | cut(chunking)
    if options.residual:
        decisive["residual"] = True
    checkpoints = named_checkpoints(options.checkpoint)
    run = _claimed(output, decisive, checkpoints, options.overwrite)
    if run is None:
        print(f"separate: already complete in {output}")
        return 0

    rejects: dict[str, str] = {}
    written: dict[str, str] = {}
    seconds = 0.0
    names = folder_names(inputs)
    known = {source: _seconds(source) for source in inputs}
    bar = tqdm(total=round(sum(known.values())), desc="separate", unit=" s of audio", disable=None)
    for source, name in zip(inputs, names, strict=True):
        outputs = [f"{name}/{stem}.wav" for stem in stems]
        before = bar.n
        if not all(files.exists(run.path(path)) for path in outputs):
            try:
                folder = run.path(name)
                separate_file(source, folder, models, chunking, options.residual, bar.update)
            except AudioError as error:
                rejects[source] = str(error)
                bar.write(runs.on_one_line(f"error: {source}: {error}"), file=sys.stderr)
                continue
            except OSError as error:
                why = f"{runs.reason(error)}; run again to resume"
                raise Failed(f"--output {output}: {source}: {why}") from error
        bar.update(max(0.0, before + known[source] - bar.n))  # what was there, or no header said
        seconds += audio.probe(run.path(outputs[0])).duration_s
        written |= {path: files.sha256(run.path(path)) for path in outputs}
    bar.close()
    run.finish(
        {"inputs": len(inputs), "separated": len(inputs) - len(rejects), "rejected": len(rejects)},
        written,
        audio_seconds=round(seconds, 3),
        songs=dict(zip(names, inputs, strict=True)),
        rejects=rejects,
    )
    for path in written:
        print(runs.on_one_line(run.path(path)))
    if rejects:
        raise Failed(
            f"{len(rejects)} of {len(inputs)} inputs could not be separated; "
            "the same command tries them again"
        )
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="stemlode separate",
        description="Split audio files into their sources, as 32-bit float WAV files of the "
        "input's length, rate and channels; those of one net for one source, and those with "
        "--residual, sum to the input.",
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="audio files of any format; all that belong in one output folder",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        action="append",
        help="folder written by `stemlode train`; again for a model of another source",
    )
    parser.add_argument(
        "--residual",
        action="store_true",
        help="also write what several models leave of the mixture, so that all sums to it",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(parser)
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    return parser


def _seconds(source: str) -> float:
    """What a file's header says; 0 where it says nothing, or there is none."""
    try:
        stated = audio.probe(source).duration_s
    except (AudioError, OSError):
        return 0.0
    return stated if 0 < stated < LONGEST_STATED else 0.0


def add_chunking(parser: Parser) -> None:
    """The options that say how a song is cut for nets that work in chunks."""
    default = Chunking()
    shown = f"length of the chunks that a net sees ({default.seconds:g}); not for U-Nets"
    parser.add_argument("--chunk-seconds", type=above_zero, metavar="S", help=shown)
    shown = f"time from one chunk to the next ({default.hop_seconds:g})"
    parser.add_argument("--hop-seconds", type=above_zero, metavar="S", help=shown)
    parser.add_argument("--fast", action="store_true", help=f"--hop-seconds {FAST_HOP:g}")


def chunking_of(options: argparse.Namespace) -> Chunking:
    """The options of `add_chunking`; BadUsage where they do not fit together."""
    default = Chunking()
    if options.fast and options.hop_seconds:
        raise BadUsage("--fast and --hop-seconds exclude each other")
    seconds = options.chunk_seconds or default.seconds
    hop = options.hop_seconds or (FAST_HOP if options.fast else default.hop_seconds)
    if hop > seconds:
        raise BadUsage(f"--hop-seconds {hop:g} must not be above --chunk-seconds {seconds:g}")
    if seconds > LONGEST_CHUNK:
        raise BadUsage(f"--chunk-seconds {seconds:g} must not be above {LONGEST_CHUNK:g}")
    return Chunking(seconds, hop)


def cut(chunking: Chunking) -> dict[str, float]:
    """What of a chunking decides the output, for a run's plan."""
    return {"chunk_seconds": chunking.seconds, "hop_seconds": chunking.hop_seconds}


def named_checkpoints(folders: Sequence[str]) -> dict[str, str]:
    """Checkpoints as inputs of a run: checkpoint, checkpoint_2, …"""
    first, *others = (files.absolute(folder) for folder in folders)
    return {"checkpoint": first} | {f"checkpoint_{n}": path for n, path in enumerate(others, 2)}


def _claimed(
    output: str, decisive: dict[str, Any], checkpoints: dict[str, str], overwrite: bool
) -> runs.Run | None:
    """The run to do; None where it is done and had no rejects, which are worth another try."""

    def start() -> runs.Run | None:
        return runs.start("separate", output, decisive, checkpoints, overwrite=overwrite)

    run = start()
    if run is None and runs.record(output)["rejects"]:
        files.remove(files.join(output, runs.SUCCESS))
        run = start()
    return run
