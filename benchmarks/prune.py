"""Audio seconds a second of the whole verb `prune`, beside decoding alone and beside librosa.

    python benchmarks/prune.py [--repeats 3]

The pairs are real songs (from STEMLODE_TEST_DATA, default ../shared/data beside the project), each
track in one pair only, and every pair several times under other ids. Beside the verb, in the same
run, over the same files:

* decoding alone: soundfile in blocks, PyAV for the one stems file, samples thrown away;
* a straightforward librosa script: load at the file's rate, trim, STFT with librosa's defaults,
  sum of differences; and the same on prune's own grid, loading at 8192 Hz. Neither aligns.

CPU time of the process counts, so that a busy machine does not.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import librosa
import numpy as np
import pyarrow as pa
import soundfile

from matching.ids import digest
from pipelines import prune, runs, schemas, tables

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
COPIES = 4  # of every pair: more audio than the runner's own second or so
Pair = tuple[Path, Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of these counts")
    repeats = parser.parse_args().repeats
    pairs = real_pairs()
    with tempfile.TemporaryDirectory() as folder:
        candidates = write_candidates(Path(folder) / "candidates", pairs)
        numbers = iter(range(1000))
        works: dict[str, Callable[[], object]] = {
            "decoding alone": lambda: every(decode, pairs),
            "stemlode prune": lambda: run_prune(candidates, f"{folder}/{next(numbers)}"),
            "librosa, its defaults": lambda: every(native, pairs),
            "librosa, prune's grid": lambda: every(low, pairs),
        }
        spent = {name: float("inf") for name in works}
        for _ in range(repeats):  # in turn, so that a slow moment meets all
            for name, work in works.items():
                spent[name] = min(spent[name], cpu_seconds(work))
        record = runs.record(f"{folder}/0")
    audio_s = record["counts"]["hours_decoded"] * 3600
    counts = {name: n for name, n in record["counts"].items() if n and name in prune.COUNTS}
    print(f"{len(pairs)} pairs of real songs, {COPIES} times: {audio_s:,.0f} s of audio; {counts}")
    for name, seconds in spent.items():
        print(f"  {name:<28}{seconds:>8.2f} s CPU{audio_s / seconds:>9,.0f} audio s/s", end="")
        print(f"{spent['stemlode prune'] / seconds:>8.2f} of prune's time")
    ratio = spent["decoding alone"] / spent["stemlode prune"]
    print(f"  prune reaches {ratio:.2f} of the throughput of decoding alone (goal 0.5)")
    for name in list(spent)[2:]:
        print(f"  and {spent[name] / spent['stemlode prune']:.1f} × that of {name} (goal 4)")


def real_pairs() -> list[Pair]:
    """True pairs and unrelated ones; no file is in two pairs."""
    audio = DATA / "audio"
    full = [*sorted((audio / "mixes").iterdir()), *sorted((audio / "instrumental").iterdir())]
    stems = audio / "multitrack"
    true = [
        (stems / "so_easy/mixture.mp3", stems / "so_easy/accompaniment.mp3"),
        (stems / "mallory/mixture.mp3", stems / "mallory/accompaniment.mp3"),
        (stems / "song2_rap_92bpm/mixture.flac", stems / "song2_rap_92bpm/drums.flac"),
        (stems / "trackswitch/synth.mp3", stems / "trackswitch/drums.mp3"),
        (next((stems / "falcon").iterdir()), stems / "playlist/guitar.mp3"),
    ]
    return [*true, *zip(full[:4], full[4:], strict=False)]


def write_candidates(folder: Path, pairs: Sequence[Pair]) -> str:
    """A folder as `stemlode match` leaves it."""
    run = runs.start("match", str(folder), {}, {})
    assert run is not None
    rows = [candidate(copy, *pair) for copy in range(COPIES) for pair in pairs]
    name = "candidates-00000-of-00001.parquet"
    written = tables.write(run, name, pa.Table.from_pylist(rows, schemas.CANDIDATE))
    run.finish({"candidates": len(rows)}, {name: written["sha256"]})
    return str(folder)


def candidate(copy: int, mix: Path, instrumental: Path) -> dict[str, object]:
    """A row of schemas.CANDIDATE."""
    tracks = {
        role: {
            "track_id": digest(str(path), str(copy)),
            "artist_id": "artist",
            "title": path.stem,
            "duration_s": 0.0,
            "audio_uri": str(path),
        }
        for role, path in (("mix", mix), ("instrumental", instrumental))
    }
    ids = {f"{role}_track_id": track["track_id"] for role, track in tracks.items()}
    uris = {f"{role}_audio_uri": track["audio_uri"] for role, track in tracks.items()}
    return {
        "pair_id": digest(*ids.values()),
        "song_id": digest(*ids.values()),
        "artist_id": "artist",
        "fuzzy_title": mix.stem,
        "duration_difference_s": 0.0,
        "marker": "instrumental",
        "rule": "none",
        **ids,
        **uris,
        **tracks,
    }


def run_prune(candidates: str, output: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        prune.main(["--candidates", candidates, "--output", output])


def every(work: Callable[[Path, Path], object], pairs: Sequence[Pair]) -> None:
    for _ in range(COPIES):
        for pair in pairs:
            work(*pair)


def decode(*paths: Path) -> None:
    for path in paths:
        if path.suffix == ".mp4":
            decode_ffmpeg(path)
        else:
            with soundfile.SoundFile(path) as file:
                buffer = np.empty((65_536, file.channels), np.float32)
                while len(file.read(out=buffer)) == len(buffer):
                    pass


def decode_ffmpeg(path: Path) -> None:
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            frame.to_ndarray()


def native(mix: Path, instrumental: Path) -> float:
    """The script that one writes first."""
    X, Y = (
        np.abs(librosa.stft(librosa.effects.trim(librosa_load(path, None), top_db=60)[0]))
        for path in (mix, instrumental)
    )
    return summed(X, Y)


def low(mix: Path, instrumental: Path) -> float:
    """The same on the grid of the thesis' chapter 4."""
    trimmed = (
        librosa.effects.trim(librosa_load(path, 8192), top_db=60)[0] for path in (mix, instrumental)
    )
    X, Y = (np.abs(librosa.stft(samples, n_fft=1024, hop_length=768)) for samples in trimmed)
    return summed(X, Y)


def summed(X: np.ndarray, Y: np.ndarray) -> float:
    frames = min(X.shape[1], Y.shape[1])
    return float(np.abs(X[:, :frames] - Y[:, :frames]).sum())


def librosa_load(path: Path, rate: int | None) -> np.ndarray:
    """librosa reads what libsndfile reads; the stems file comes through PyAV for it as well."""
    if path.suffix != ".mp4":
        return librosa.load(path, sr=rate)[0]
    with av.open(str(path)) as container:
        samples = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
        found = container.streams.audio[0].rate
    return librosa.resample(librosa.to_mono(samples), orig_sr=found, target_sr=rate or found)


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
