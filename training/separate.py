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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import soxr
import torch
from torch import Tensor
from tqdm import tqdm

from pipelines import audio, files, runs
from pipelines.audio import Audio, AudioError
from pipelines.runs import BadUsage, Failed
from training import sources, wav
from training.arguments import Parser, above_zero
from training.checkpoint import Checkpoint, load
from training.chunks import Chunking
from training.device import pick_device

FAST_HOP = 1.5  # BSRNN V-B
LONGEST_CHUNK = 600.0  # seconds
LONGEST_NAME = 120  # bytes of an output folder's name


def separate(
    samples: np.ndarray, sample_rate: int, trained: Checkpoint, chunking: Chunking
) -> dict[str, np.ndarray]:
    """The stems of a song in memory, float32 [channels, frames], each of the same shape."""
    low = torch.from_numpy(audio.resample(samples, sample_rate, trained.recipe.sample_rate))
    found = torch.cat(list(sources.estimates(low, trained, chunking)), dim=-1)
    return complete(samples, sample_rate, found, trained)


def complete(
    samples: np.ndarray, sample_rate: int, found: Tensor, trained: Checkpoint
) -> dict[str, np.ndarray]:
    """Stems from estimates [sources, channels, samples] at the model's rate."""
    estimates = [
        fit(audio.resample(part.numpy(), trained.recipe.sample_rate, sample_rate), samples.shape[1])
        for part in found
    ]
    if len(estimates) == 1:
        estimates.append(samples - estimates[0])
    return dict(zip(sources.stems(trained.recipe), estimates, strict=True))


def fit(samples: np.ndarray, frames: int) -> np.ndarray:
    """[channels, n] with its end cut off or continued with zeros, to `frames`: resampling twice
    may leave a frame too many or too few."""
    return np.pad(samples[:, :frames], ((0, 0), (0, max(0, frames - samples.shape[1]))))


def separate_file(source: str, folder: str, trained: Checkpoint, chunking: Chunking) -> int:
    """Write the stems of an audio file into a folder, as STEM.wav; the file's frames.

    Memory does not grow with the file's length: it is decoded twice, and what lies between is a
    temporary file at the model's rate. Raises AudioError where the file cannot be used.
    """
    rate, stems = trained.recipe.sample_rate, sources.stems(trained.recipe)
    with tempfile.TemporaryFile() as scratch:
        frames, channels, sample_rate = _to_model_rate(source, rate, scratch)
        low = _OnDisk(scratch, channels)
        parts = sources.estimates(low, trained, chunking)
        # The sources travel as further channels: [sources * channels, frames].
        found = _resampled((part.flatten(0, 1) for part in parts), rate, sample_rate)
        with contextlib.ExitStack() as stack:
            sinks = [
                stack.enter_context(files.atomic_write(files.join(folder, f"{stem}.wav")))
                for stem in reversed(stems)  # closed in turn, the last stem last: then all is
            ][::-1]
            for sink in sinks:
                sink.write(wav.header(frames, channels, sample_rate))
            for mixture, block in _side_by_side(audio.blocks(source), found):
                estimates = list(block.reshape(-1, *mixture.shape))
                if len(estimates) == 1:
                    estimates.append(mixture - estimates[0])
                for sink, estimate in zip(sinks, estimates, strict=True):
                    sink.write(wav.samples(estimate))
    return frames


def _to_model_rate(source: str, rate: int, scratch: IO[bytes]) -> tuple[int, int, int]:
    """Decode a file into `scratch` at the model's rate; its frames, channels and own rate."""
    frames, resampler = 0, None
    for block in audio.blocks(source):
        channels, sample_rate = block.samples.shape[0], block.sample_rate
        frames += block.samples.shape[1]
        if resampler is None:
            resampler = _Resampler(sample_rate, rate, channels)
        scratch.write(resampler.next(block.samples).T.tobytes())
    assert resampler is not None  # audio.blocks gives at least one
    scratch.write(resampler.end().T.tobytes())
    scratch.flush()
    return frames, channels, sample_rate


class _OnDisk:
    """A spectrogram.Signal in a file of float32 frames. Mapped into memory, it would stay there."""

    def __init__(self, file: IO[bytes], channels: int) -> None:
        self.file = file
        self.shape = channels, file.seek(0, 2) // (4 * channels)

    def __getitem__(self, channels_and_samples: tuple[slice, slice]) -> Tensor:
        first, last, _ = channels_and_samples[1].indices(self.shape[1])
        self.file.seek(4 * self.shape[0] * first)
        data = self.file.read(4 * self.shape[0] * max(0, last - first))
        frames = np.frombuffer(bytearray(data), np.float32).reshape(-1, self.shape[0])
        return torch.from_numpy(frames.T)[channels_and_samples[0]]


def _resampled(blocks: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Blocks [channels, frames] at another rate."""
    resampler = None
    for block in blocks:
        if resampler is None:
            resampler = _Resampler(from_rate, to_rate, block.shape[0])
        yield resampler.next(block.numpy())
    if resampler is not None:
        yield resampler.end()


def _side_by_side(
    mixture: Iterable[Audio], estimates: Iterator[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of the mixture, each with as many frames of the estimates; zeros where these end."""
    held = np.zeros((0, 0), np.float32)
    for block in mixture:
        frames = block.samples.shape[1]
        parts = [held] if held.size else []
        have = held.shape[1]
        while have < frames and (part := next(estimates, None)) is not None:
            parts.append(part)
            have += part.shape[1]
        held = np.concatenate(parts, axis=1)
        yield block.samples, fit(held, frames)
        held = held[:, frames:]


class _Resampler:
    """soxr over blocks [channels, frames]; nothing to do where the rates are equal."""

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.channels = channels
        self.stream = None
        if from_rate != to_rate:
            self.stream = soxr.ResampleStream(
                from_rate, to_rate, channels, dtype="float32", quality=audio.QUALITY
            )

    def next(self, block: np.ndarray) -> np.ndarray:
        return block if self.stream is None else self._chunk(block, last=False)

    def end(self) -> np.ndarray:
        empty = np.zeros((self.channels, 0), np.float32)
        return empty if self.stream is None else self._chunk(empty, last=True)

    def _chunk(self, block: np.ndarray, last: bool) -> np.ndarray:
        assert self.stream is not None
        frames = np.ascontiguousarray(block.T, np.float32)  # [frames, channels]
        return self.stream.resample_chunk(frames, last=last).reshape(-1, self.channels).T


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
    parser = Parser(
        prog="stemlode separate",
        description="Split audio files into their sources, as 32-bit float WAV files of the "
        "input's length, rate and channels; those of a net for one source sum to the input.",
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="audio files of any format; all that belong in one output folder",
    )
    parser.add_argument("--checkpoint", metavar="DIR", help="folder written by `stemlode train`")
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(parser)
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    options = parser.parse(argv)
    for name in ("checkpoint", "output"):
        if not getattr(options, name):
            raise BadUsage(f"stemlode separate needs --{name} (see --help)")
    chunking = chunking_of(options)
    device = pick_device(options.device)
    trained = load(options.checkpoint, device)
    inputs = list(dict.fromkeys(files.absolute(path) for path in options.inputs))
    output = files.absolute(options.output)
    decisive = {"inputs": inputs} | cut(chunking)
    run = _claimed(output, decisive, files.absolute(options.checkpoint), options.overwrite)
    if run is None:
        print(f"separate: already complete in {output}")
        return 0

    rejects: dict[str, str] = {}
    written: dict[str, str] = {}
    seconds = 0.0
    for source, name in tqdm(
        list(zip(inputs, folder_names(inputs), strict=True)), "separate", unit="file", disable=None
    ):
        outputs = [f"{name}/{stem}.wav" for stem in sources.stems(trained.recipe)]
        if not all(files.exists(run.path(path)) for path in outputs):
            try:
                separate_file(source, run.path(name), trained, chunking)
            except AudioError as error:
                rejects[source] = str(error)
                print(f"error: {source}: {error}", file=sys.stderr)
                continue
            except OSError as error:
                why = f"{runs.reason(error)}; run again to resume"
                raise Failed(f"--output {output}: {source}: {why}") from error
        seconds += audio.probe(run.path(outputs[0])).duration_s
        written |= {path: files.sha256(run.path(path)) for path in outputs}
    run.finish(
        {"inputs": len(inputs), "separated": len(inputs) - len(rejects), "rejected": len(rejects)},
        written,
        audio_seconds=round(seconds, 3),
        songs=dict(zip(folder_names(inputs), inputs, strict=True)),
        rejects=rejects,
    )
    for path in written:
        print(run.path(path))
    if rejects:
        raise Failed(
            f"{len(rejects)} of {len(inputs)} inputs could not be separated; "
            "the same command tries them again"
        )
    return 0


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


def _claimed(
    output: str, decisive: dict[str, Any], checkpoint: str, overwrite: bool
) -> runs.Run | None:
    """The run to do; None where it is done and had no rejects, which are worth another try."""

    def start() -> runs.Run | None:
        return runs.start(
            "separate", output, decisive, {"checkpoint": checkpoint}, overwrite=overwrite
        )

    run = start()
    if run is None and runs.record(output)["rejects"]:
        files.remove(files.join(output, runs.SUCCESS))
        run = start()
    return run
