"""What salience costs beside what it is made of: librosa's transforms, a plain net, a bare teacher.

    python -m benchmarks.salience [--seconds S] [--songs N] [--rounds R]

One thread, processor time, both sides in one process and by turns:

* the HCQT of a voice beside six of librosa's constant-Q transforms;
* Deep Salience on a song, block by block, its HCQT and its decibels included, beside a plain
  `nn.Sequential` of its layers on the HCQT of the whole (needs the weights of STEMLODE_TEST_DATA);
* `stemlode salience` on a corpus, from the first song read to the last byte written, beside its
  teacher alone on the same signals in memory: swift-f0, and Deep Salience on one short song.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from torch import nn

from pipelines.corpus import command as corpus_command
from pipelines.salience import command, vocals
from stemlode import audio, runs
from stemlode.shards import salience
from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE, frame_count
from training.pitch import deep_salience, hcqt, teachers

RATE = 44_100


def took(work: Callable[[], object]) -> float:
    """Processor seconds of this process and its threads."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def transforms(voice: np.ndarray, rounds: int) -> None:
    """The HCQT beside librosa's."""
    transform = hcqt.HCQT()

    def ours() -> None:
        for _ in hcqt.blocks(transform, voice, 2048):
            pass

    def theirs() -> None:
        for harmonic in hcqt.HARMONICS:
            lowest = salience.LOWEST_HZ * harmonic
            np.abs(
                librosa.cqt(
                    voice,
                    sr=SAMPLE_RATE,
                    hop_length=HOP_LENGTH,
                    fmin=lowest,
                    n_bins=salience.ROWS,
                    bins_per_octave=salience.ROWS_PER_OCTAVE,
                )
            )

    ours()  # once for what is made or compiled at the first call
    theirs()
    found = [(took(ours), took(theirs)) for _ in range(rounds)]
    mean = [statistics.median(column) for column in zip(*found, strict=True)]
    print(
        f"HCQT of {len(voice) / SAMPLE_RATE:.0f} s: {mean[0]:.2f} s, six of librosa's "
        f"{mean[1]:.2f} s: {mean[1] / mean[0]:.2f} times as fast",
        flush=True,
    )


def plain(net: deep_salience.DeepSalience) -> nn.Sequential:
    """The layers of Deep Salience and nothing else."""
    return nn.Sequential(*net)


def nets(voice: np.ndarray, weights: Path, rounds: int) -> None:
    """Deep Salience as it is used, beside its layers."""
    net, _ = deep_salience.load(str(weights))
    transform = hcqt.HCQT()
    whole = torch.cat(list(hcqt.blocks(transform, voice, 2048)), dim=-1)
    given = hcqt.scaled(whole, float(whole.max()))[None]

    def ours() -> None:
        for _ in deep_salience.likelihoods(net, transform, voice):
            pass

    def theirs() -> None:
        with torch.inference_mode():
            plain(net)(given)

    found = [(took(ours), took(theirs)) for _ in range(rounds)]
    mean = [statistics.median(column) for column in zip(*found, strict=True)]
    print(
        f"Deep Salience on {len(voice) / SAMPLE_RATE:.0f} s: {mean[0]:.1f} s, its layers alone "
        f"{mean[1]:.1f} s: {mean[1] / mean[0]:.3f}",
        flush=True,
    )


def songs(voice: np.ndarray, folder: Path, count: int, seconds: int) -> Path:
    """Multitrack songs whose vocals are a real voice, again and again."""
    for number in range(count):
        song = folder / f"song {number}"
        song.mkdir(parents=True)
        sung = np.resize(np.roll(voice, number * 7919), RATE * seconds)
        both = np.stack([sung, sung * (1 - 0.1 * number)], axis=1)
        soundfile.write(song / "vocals.flac", both, RATE)
        soundfile.write(song / "accompaniment.flac", both[::-1] * 0.5, RATE)
    return folder


class Timed:
    """What a teacher takes in the pipeline by the clock, and what the whole process takes since the
    first song was read, by the clock and in processor time; `reading` is songs' part of it."""

    def __init__(self) -> None:
        self.saliences, self.signals = teachers.PitchTeacher.saliences, vocals.signals
        self.clock = self.reading = self.begun = self.process = 0.0

    def __enter__(self) -> "Timed":
        timed = self

        def saliences(teacher: teachers.PitchTeacher, *rest: object) -> object:
            return timed.heard(teacher, *rest)

        teachers.PitchTeacher.saliences = saliences  # type: ignore[method-assign, assignment]
        vocals.signals = self.read  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        self.begun = time.perf_counter() - self.begun
        self.process = time.process_time() - self.process
        teachers.PitchTeacher.saliences = self.saliences  # type: ignore[method-assign]
        vocals.signals = self.signals

    def read(self, *given: object) -> object:
        """`vocals.signals`."""
        if not self.begun:
            self.begun, self.process = time.perf_counter(), time.process_time()
        cpu = time.thread_time()
        found = self.signals(*given)  # type: ignore[arg-type]
        self.reading += time.thread_time() - cpu
        return found

    def heard(self, *given: object) -> object:
        """`PitchTeacher.saliences`."""
        clock = time.perf_counter()
        found = self.saliences(*given)  # type: ignore[arg-type]
        self.clock += time.perf_counter() - clock
        return found


def pipeline(
    voice: np.ndarray, count: int, seconds: int, rounds: int, weights: Path | None = None
) -> None:
    """`stemlode salience` beside its teacher; with `weights` that is Deep Salience."""
    name = teachers.DEEP if weights else teachers.SWIFT
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stems = songs(voice, folder / "stems", count, seconds)
        flags = ["--stems", str(stems), "--split", "train=1", "--window-seconds", "0"]
        corpus_command.main([*flags, "--output", str(folder / "corpus")])
        teacher = teachers.load(name, str(weights) if weights else None, "cpu")
        known = [audio.read(str(path)) for path in sorted(stems.glob("*/vocals.flac"))]
        signals = [
            audio.resample(held.samples.mean(0), held.sample_rate, teacher.sample_rate)
            for held in known
        ]
        frames = frame_count(seconds * SAMPLE_RATE)

        def alone() -> None:
            for signal in signals:
                for _ in teacher.likelihoods(signal, frames):
                    pass

        more = ["--weights", str(weights), "--device", "cpu"] if weights else []
        ratios = []
        for number in range(rounds):
            bare = took(alone)
            output = ["--output", str(folder / f"round {number}")]
            with Timed() as timed:
                command.main(
                    ["--corpus", str(folder / "corpus"), "--teacher", name, *more, *output]
                )
            assert runs.record(output[1])["counts"]["songs"] == count
            ratios.append((timed.clock / timed.begun, bare / timed.process))
            print(
                f"{count} songs of {seconds} s: {name} alone {bare:.2f} s, the pipeline "
                f"{timed.process:.2f} s (processor; {timed.reading:.2f} s of reading): "
                f"{ratios[-1][1]:.3f}; at work {ratios[-1][0]:.3f} of the time; load "
                f"{os.getloadavg()[0]:.1f}",
                flush=True,
            )
        medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
        print("pipeline: its teacher is at work {:.3f} of the time; {:.3f}".format(*medians))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8, help="of the voice, for the nets")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--only-pipeline", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("STEMLODE_TEST_DATA", shared))
    path = data / "audio" / "voice" / "vocadito_1.wav"
    if not path.is_file():
        print(f"no real voice at {path}: set STEMLODE_TEST_DATA")
        return
    torch.set_num_threads(1)
    held = audio.read(str(path), mono=True)
    voice = audio.resample(held.samples[0], held.sample_rate, SAMPLE_RATE)
    weights = data / "weights" / "deepsalience_multif0.h5"
    if not options.only_pipeline:
        transforms(voice, options.rounds)
        nets(voice[: round(options.seconds * SAMPLE_RATE)], weights, options.rounds)
    full = audio.resample(held.samples[0], held.sample_rate, RATE)
    pipeline(full, options.songs, 120, options.rounds)
    pipeline(full, 1, 30, 1, weights)


if __name__ == "__main__":
    main()
