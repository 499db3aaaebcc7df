"""Audio seconds a second of the whole verb `prune`, beside decoding alone and beside librosa.

    python benchmarks/prune.py [--repeats 3] [--copies 4]

The pairs are real songs (from STEMLODE_TEST_DATA, default ../shared/data beside the project): true
ones, of which the full songs are real instrumentals with real vocals mixed onto them, and unrelated
ones; each track in one pair only, and every pair several times under other ids. Beside the verb,
in the same run, over the same files:

* decoding alone, samples thrown away: soundfile in blocks (PyAV for the one stems file), and each
  file by whichever of soundfile and PyAV is the faster for it;
* what hearing files whole costs: to find what states their lengths, and the checksums of FLAC;
* a straightforward librosa script (load, trim, STFT, sum of differences): as librosa loads unless
  told otherwise (22,050 Hz), at the files' own rate, and on prune's grid (8192 Hz, 1024/768). None
  of them aligns.

Processor time of the process and its children counts there, so that a busy machine does not. Then,
by the clock: two processes beside one. Last, the peak memory of a pair of three hours.
"""

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import librosa
import numpy as np
import pyarrow as pa
import soundfile

from pipelines.prune import command
from stemlode import audio, runs, schemas, tables
from stemlode.audio import decoders, decoding_process, reading
from stemlode.ids import digest

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
THREE_HOURS_S = 3 * 3600
TWO = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
SHORT = ("so_easy", "mallory")
Pair = tuple[Path, Path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of these counts")
    parser.add_argument("--copies", type=int, default=4, help="how often each pair is used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = real_pairs(folder) * options.copies
        candidates = write_candidates(folder / "candidates", pairs)
        processor(candidates, pairs, options.repeats, folder)
        many = write_candidates(folder / "many", pairs * 3)
        clock(many, folder, options.repeats)
        memory(folder)


def processor(candidates: str, pairs: Sequence[Pair], repeats: int, folder: Path) -> None:
    """Processor seconds of the verb, of decoding, and of librosa."""
    numbers = iter(range(1000))
    paths = [path for pair in pairs for path in pair]
    with_av = {path for path in {*paths} if is_faster_with_av(path)}
    flacs = [path for path in paths if path.suffix == ".flac"]
    works: dict[str, Callable[[], object]] = {
        "stemlode prune": lambda: run_prune(candidates, f"{folder}/{next(numbers)}"),
        "its decoding alone": lambda: each(paths, decode_as_prune),
        "to find what states a length": lambda: each(paths, opened),
        "to open the files without": lambda: each(paths, opened_plainly),
        "FLAC with checksums": lambda: each(flacs, checked),
        "FLAC without": lambda: each(flacs, by_av),
        "decoding alone, soundfile": lambda: decode(paths, set()),
        "decoding alone, the faster": lambda: decode(paths, with_av),
        "librosa, its defaults": lambda: every(pairs, 22_050, {}),
        "librosa, the files' rate": lambda: every(pairs, None, {}),
        "librosa, prune's grid": lambda: every(pairs, 8192, {"n_fft": 1024, "hop_length": 768}),
    }
    spent = {name: float("inf") for name in works}
    for _ in range(repeats):  # in turn, so that a slow moment meets all
        for name, work in works.items():
            spent[name] = min(spent[name], cpu_seconds(work))
    counts = runs.record(f"{folder}/0")["counts"]
    audio_s, ours = counts["audio_seconds"], spent["stemlode prune"]
    made = {name: counts[name] for name in schemas.DECISIONS if counts[name]}
    print(f"{len(pairs)} pairs of real songs, {audio_s:,.0f} s of audio; {made}")
    for name, seconds in spent.items():
        print(
            f"  {name:<28}{seconds:>8.2f} s CPU{audio_s / seconds:>9,.0f} audio s/s"
            f"{seconds / ours:>8.2f} of prune's time"
        )
    print(
        f"  prune reaches {spent['decoding alone, soundfile'] / ours:.2f} of the throughput of "
        f"soundfile, {spent['decoding alone, the faster'] / ours:.2f} of the faster (goal 0.8)\n"
        f"  and {spent['librosa, its defaults'] / ours:.1f} × that of a librosa script (goal 3)\n"
        f"  exactness costs {100 * exactness(spent) / ours:.1f} % of its time (goal: at most 5)\n"
        f"  of its time {100 * counts['decode_ms'] / 1000 / ours:.0f} % decodes and "
        f"{100 * counts['score_ms'] / 1000 / ours:.0f} % compares, by the clock"
    )


def exactness(spent: dict[str, float]) -> float:
    """Processor seconds that go into hearing files whole: into what states their lengths, and into
    the checksums of FLAC. Counting frames as they come costs nothing that could be measured."""
    found = spent["to find what states a length"] - spent["to open the files without"]
    return found + spent["FLAC with checksums"] - spent["FLAC without"]


def each(paths: Sequence[Path], work: Callable[[Path], object]) -> None:
    for path in paths:
        work(path)


def decode_as_prune(path: Path) -> None:
    """At the rate and with the channels that `prune` compares, samples thrown away."""
    with decoders.opened(str(path)) as source:
        for _ in reading.blocks_of(source, 8192, 2, decoding_process.BLOCK_FRAMES):
            pass


def opened(path: Path) -> None:
    with decoders.opened(str(path)):
        pass


def opened_plainly(path: Path) -> None:
    """By the same library, which then knows what it knows."""
    if path.suffix == ".wav":
        soundfile.SoundFile(path).close()
    else:
        av.open(str(path)).close()


def checked(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
        for _ in container.decode(stream):
            pass


def clock(candidates: str, folder: Path, repeats: int) -> None:
    """Seconds by the clock of the command with one process and with two."""
    nothing = write_candidates(folder / "nothing", [])
    flags: dict[str, tuple[str, ...]] = {"one": (), "two": TWO}
    works = [(name, what) for what in (nothing, candidates) for name in flags]
    best, spent = dict.fromkeys(works, float("inf")), dict.fromkeys(works, float("inf"))
    for number in range(repeats):
        for name, what in works:
            output = folder / f"{name} {Path(what).name} {number}"
            words = ["--candidates", what, "--output", str(output), "--pairs-per-part=4"]
            begun, cpu = time.perf_counter(), _cpu()
            subprocess.run(
                [sys.executable, "-m", "stemlode", "prune", *words, *flags[name]],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            best[name, what] = min(best[name, what], time.perf_counter() - begun)
            spent[name, what] = min(spent[name, what], _cpu() - cpu)
    start, whole = ({name: best[name, what] for name in flags} for what in (nothing, candidates))
    listening = {name: whole[name] - start[name] for name in flags}
    print(
        f"the command by the clock: {whole['one']:.1f} s, with two processes {whole['two']:.1f} s, "
        f"{whole['one'] / whole['two']:.2f} × as fast\n"
        f"  starting and ending {start['one']:.1f} and {start['two']:.1f} s; without these "
        f"{listening['one'] / listening['two']:.2f} × as fast (goal 1.7)\n"
        f"  processor seconds {spent['one', candidates]:.1f} and {spent['two', candidates]:.1f}"
    )


def memory(folder: Path) -> None:
    """What a pair of three hours takes beyond the worker and its decoder as they started."""
    paths = three_hours(folder)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, paths)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    print(f"a pair of three hours: {done.stdout.strip()} (goal: 250 MiB)")


MEMORY = """
import sys
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune.scoring import Listener

def status(name, pid="self"):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

def track(uri):
    return {"title": uri, "audio_uri": uri, "duration_s": None, "duration_source": None}

mix, instrumental = sys.argv[1:]
listener = Listener(Settings(), Thresholds())
ours = status("VmRSS")
listener.decoder._start()
child = listener.decoder._process.pid
theirs = status("VmRSS", child)
row = {"pair_id": "p", "song_id": "s", "mix": track(mix), "instrumental": track(instrumental)}
row |= {f"{role}_track_id": role for role in ("mix", "instrumental")}
row |= {"mix_audio_uri": mix, "instrumental_audio_uri": instrumental}
heard = listener.hear([row])
(found,) = heard.measures.values()
ours, theirs = status("VmHWM") - ours, status("VmHWM", child) - theirs
print(f"{found['decision']} ({found['reason']}), {ours:.0f} MiB in the worker, {theirs:.0f} MiB in "
      f"its decoder, decoded in {heard.decode_ms / 1000:.1f} s, compared in "
      f"{heard.score_ms / 1000:.1f} s")
listener.close()
"""


def three_hours(folder: Path) -> Pair:
    """Real instrumentals one after the other, and the same with vocals, for three hours."""
    songs = [audio.read(str(p)) for p in sorted((DATA / "audio/instrumental").iterdir())]
    rate = songs[0].sample_rate
    paths = (folder / "long mixture.flac", folder / "long instrumental.flac")
    for path, parts in zip(
        paths, ([with_voice(s) for s in songs], [s.samples.T for s in songs]), strict=True
    ):
        with soundfile.SoundFile(path, "w", rate, 2, format="FLAC") as file:
            for _ in range(round(THREE_HOURS_S / sum(song.duration_s for song in songs))):
                for part in parts:
                    file.write(part)
    return paths


def real_pairs(folder: Path) -> list[Pair]:
    """True pairs, also of full songs, and unrelated ones; no file is in two pairs."""
    music = DATA / "audio"
    mixes, instrumentals = (sorted((music / n).iterdir()) for n in ("mixes", "instrumental"))
    stems = music / "multitrack"
    true = [
        *((stems / f"{song}/mixture.mp3", stems / f"{song}/accompaniment.mp3") for song in SHORT),
        *((sung(path, folder / f"{path.stem}.mp3"), path) for path in instrumentals),
    ]
    others = [
        (stems / "song2_rap_92bpm/mixture.flac", stems / "song2_rap_92bpm/drums.flac"),
        (stems / "trackswitch/synth.mp3", stems / "trackswitch/drums.mp3"),
        (next((stems / "falcon").iterdir()), stems / "playlist/guitar.mp3"),
        (mixes[0], mixes[1]),
    ]
    return [*true, *others]


def sung(instrumental: Path, path: Path) -> Path:
    """A mixture for a real instrumental: real vocals on top, and a second of silence before."""
    song = audio.read(str(instrumental))
    rate, mixture = song.sample_rate, with_voice(song)
    with soundfile.SoundFile(path, "w", rate, 2, format="MP3") as file:
        file.write(np.zeros((rate, 2), np.float32))
        for start in range(0, len(mixture), rate):
            file.write(mixture[start : start + rate])
    return path


def with_voice(song: audio.Audio) -> np.ndarray:
    """Real vocals, again and again, on top of a song [frames, 2]."""
    voice = DATA / "audio/multitrack/so_easy/vocals.mp3"
    sung = audio.read(str(voice), sample_rate=song.sample_rate).samples.T
    return 0.7 * (song.samples.T + np.resize(sung, song.samples.T.shape))


def write_candidates(folder: Path, pairs: Sequence[Pair]) -> str:
    """A folder as `stemlode match` leaves it."""
    run = runs.start("match", str(folder), {}, {})
    assert run is not None
    rows = [candidate(number, *pair) for number, pair in enumerate(pairs)]
    name = "candidates-00000-of-00001.parquet"
    written = tables.write(run, name, pa.Table.from_pylist(rows, schemas.CANDIDATE))
    run.finish({"candidates": len(rows)}, {name: written["sha256"]})
    return str(folder)


def candidate(number: int, mix: Path, instrumental: Path) -> dict[str, object]:
    """A row of schemas.CANDIDATE."""
    tracks = {
        role: {
            "track_id": digest(str(path), str(number)),
            "artist_id": "artist",
            "title": path.stem,
            "artist": "artist",
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
        command.main(["--candidates", candidates, "--output", output])


def is_faster_with_av(path: Path) -> bool:
    times = [min(cpu_seconds(lambda d=d: d(path)) for _ in range(2)) for d in (by_av, by_soundfile)]
    return times[0] < times[1]


def decode(paths: Sequence[Path], with_av: set[Path]) -> None:
    for path in paths:
        if path in with_av or path.suffix == ".mp4":
            by_av(path)
        else:
            by_soundfile(path)


def by_soundfile(path: Path) -> None:
    if path.suffix == ".mp4":  # it cannot
        return by_av(path)
    with soundfile.SoundFile(path) as file:
        buffer = np.empty((65_536, file.channels), np.float32)
        while len(file.read(out=buffer)) == len(buffer):
            pass
    return None


def by_av(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def every(pairs: Sequence[Pair], rate: int | None, grid: dict[str, int]) -> None:
    """The script that one writes first."""
    for pair in pairs:
        X, Y = (
            np.abs(librosa.stft(librosa.effects.trim(loaded(path, rate), top_db=60)[0], **grid))
            for path in pair
        )
        frames = min(X.shape[1], Y.shape[1])
        float(np.abs(X[:, :frames] - Y[:, :frames]).sum())


def loaded(path: Path, rate: int | None) -> np.ndarray:
    """librosa reads what libsndfile reads; the stems file comes through PyAV for it as well."""
    if path.suffix != ".mp4":
        return librosa.load(path, sr=rate)[0]
    with av.open(str(path)) as container:
        samples = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
        found = container.streams.audio[0].rate
    return librosa.resample(librosa.to_mono(samples), orig_sr=found, target_sr=rate or found)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of the children that it has waited for."""
    begun = _cpu()
    work()
    return _cpu() - begun


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
